//! Bodies that are counted as they pass, and the record that ends with the last of them.
//!
//! What is counted: the head as it was parsed (request or status line, and each header with `: ` and its line end) plus
//! the body's data; not the chunk framing, trailers, or anything below TCP.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::http::{request, response};
use hyper::{HeaderMap, Request};

use crate::audit::Entry;

/// Bytes of one request that went out. Shared: its body may still be going out when the answer comes.
#[derive(Debug, Clone, Default)]
pub(super) struct Count(Arc<AtomicU64>);

impl Count {
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request's body, counted.
#[derive(Debug)]
pub(super) struct Counted {
    body: Incoming,
    count: Count,
}

/// Makes a request count what of it goes out.
pub(super) fn counted(request: Request<Incoming>) -> (Request<Counted>, Count) {
    let count = Count::default();
    let (parts, body) = request.into_parts();
    count.add(request_head(&parts));
    (Request::from_parts(parts, Counted { body, count: count.clone() }), count)
}

/// The request as it was before [`counted`]. For one that was never sent.
pub(super) fn uncounted(request: Request<Counted>) -> Request<Incoming> {
    request.map(|body| body.body)
}

fn request_head(parts: &request::Parts) -> usize {
    const AROUND: usize = "  HTTP/1.1\r\n\r\n".len();
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    parts.method.as_str().len() + target + AROUND + headers(&parts.headers)
}

/// The size of a response's head.
pub(super) fn response_head(parts: &response::Parts) -> usize {
    const AROUND: usize = "HTTP/1.1 200 \r\n\r\n".len();
    AROUND + parts.status.canonical_reason().map_or(0, str::len) + headers(&parts.headers)
}

fn headers(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.count.add(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body, counted; its end, or its being given up, writes the record.
#[derive(Debug)]
pub(super) struct Recorded {
    body: Incoming,
    out: Count,
    back: u64,
    entry: Option<Entry>,
}

impl Recorded {
    pub(super) fn new(body: Incoming, head: &response::Parts, out: Count, entry: Entry) -> Self {
        Self { body, out, back: response_head(head) as u64, entry: Some(entry) }
    }

    fn finish(&mut self, problem: Option<&str>) {
        if let Some(entry) = self.entry.take() {
            entry.finish(self.out.total(), self.back, problem);
        }
    }
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.back += frame.data_ref().map_or(0, Bytes::len) as u64,
            Poll::Ready(Some(Err(error))) => self.finish(Some(&format!("the answer broke off: {error}"))),
            Poll::Ready(None) => self.finish(None),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let whole = self.body.is_end_stream();
        self.finish((!whole).then_some("the client left before the end of the answer"));
    }
}
