//! Bodies that are counted as they pass, and the record that is written when the last of them is gone.
//!
//! The one fact: a server may answer while the request is still going out, so the end of the answer is not the end of the
//! exchange. A record written then would hide whatever the client goes on to send.
//!
//! What is counted: the head as it was parsed (request or status line, and each header with `: ` and its line end), the
//! body's data and the trailers; not the chunk framing, or anything below TCP.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::http::{request, response};
use hyper::{HeaderMap, Request};

use super::held::Passage;
use crate::audit::Entry;

/// The account of one exchange, held by its two bodies. Writes the record when both are gone.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    out: AtomicU64,
    back: AtomicU64,
    record: Mutex<Option<(Entry, Option<String>)>>,
}

impl Ledger {
    /// Bytes that went out so far.
    pub(super) fn out(&self) -> u64 {
        self.out.load(Ordering::Relaxed)
    }

    /// The record to write, and what went wrong, if something did.
    pub(super) fn close(&self, entry: Entry, problem: Option<String>) {
        *self.record.lock().unwrap_or_else(PoisonError::into_inner) = Some((entry, problem));
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Some((entry, problem)) = self.record.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            entry.finish(*self.out.get_mut(), *self.back.get_mut(), problem.as_deref());
        }
    }
}

/// A request's body, counted.
#[derive(Debug)]
pub(super) struct Counted {
    body: Incoming,
    passage: Passage,
    ledger: Arc<Ledger>,
}

/// Makes a request count what of it goes out.
pub(super) fn counted(request: Request<Incoming>, passage: Passage) -> (Request<Counted>, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let (parts, body) = request.into_parts();
    add(&ledger.out, request_head(&parts));
    (Request::from_parts(parts, Counted { body, passage, ledger: Arc::clone(&ledger) }), ledger)
}

/// The request as it was before [`counted`]. For one that was never sent.
pub(super) fn uncounted(request: Request<Counted>) -> Request<Incoming> {
    request.map(|body| body.body)
}

fn add(count: &AtomicU64, bytes: usize) {
    count.fetch_add(bytes as u64, Ordering::Relaxed);
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

/// The size of a piece of a body: data, or the trailers.
fn size(frame: &Frame<Bytes>) -> usize {
    frame.data_ref().map_or(0, Bytes::len) + frame.trailers_ref().map_or(0, headers)
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        ready!(self.passage.poll_room(cx));
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = size(frame);
            self.passage.passed(length);
            add(&self.ledger.out, length);
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

/// A response's body, counted; its end, or its being given up, is how the exchange went.
#[derive(Debug)]
pub(super) struct Recorded {
    body: Incoming,
    passage: Passage,
    ledger: Arc<Ledger>,
    entry: Option<Entry>,
}

impl Recorded {
    pub(super) fn new(
        body: Incoming,
        head: &response::Parts,
        passage: Passage,
        ledger: Arc<Ledger>,
        entry: Entry,
    ) -> Self {
        add(&ledger.back, response_head(head));
        Self { body, passage, ledger, entry: Some(entry) }
    }

    fn close(&mut self, problem: Option<String>) {
        if let Some(entry) = self.entry.take() {
            self.ledger.close(entry, problem);
        }
    }
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        ready!(self.passage.poll_room(cx));
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let length = size(frame);
                self.passage.passed(length);
                add(&self.ledger.back, length);
            }
            Poll::Ready(Some(Err(error))) => self.close(Some(format!("the answer broke off: {error}"))),
            Poll::Ready(None) => self.close(None),
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
        self.close((!whole).then(|| "the client left before the end of the answer".to_owned()));
    }
}
