//! Counts bodies as they pass, and writes the record when both are finished.
//!
//! Invariant: a server may answer while the request is still going out, so the end of the answer is
//! not the end of the exchange. A record written then would hide whatever the client goes on to
//! send.
//!
//! What is counted: the head as it was parsed (request or status line, and each header with `: `
//! and its line end), the body's data and the trailers; not the chunk framing, or anything below
//! TCP.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::http::{request, response};
use hyper::{HeaderMap, Request};

use super::held::Passage;
use crate::audit::line::Side;
use crate::audit::{End, Entry, Traffic};

/// The account of one exchange, held by its two bodies. Writes the record when both are gone.
#[derive(Debug)]
pub(super) struct Accounting {
    traffic: Arc<Traffic>,
    /// What of the head goes out.
    head: u64,
    record: Mutex<Option<(Entry, End)>>,
}

impl Accounting {
    /// The record to write, and how it ended.
    pub(super) fn close(&self, entry: Entry, end: End) {
        *self.record.lock().unwrap_or_else(PoisonError::into_inner) = Some((entry, end));
    }

    /// The head of the response came.
    pub(super) fn answered(&self, parts: &response::Parts) {
        self.traffic.add_back(response_head(parts));
    }
}

impl Drop for Accounting {
    fn drop(&mut self) {
        if let Some((entry, end)) = self
            .record
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            entry.finish(end);
        }
    }
}

/// A request's body, counted.
#[derive(Debug)]
pub(super) struct Counted {
    body: Incoming,
    passage: Passage,
    accounting: Arc<Accounting>,
}

/// Makes a request count what of it goes out.
pub(super) fn counted(
    request: Request<Incoming>,
    passage: Passage,
    traffic: Arc<Traffic>,
) -> (Request<Counted>, Arc<Accounting>) {
    let (parts, body) = request.into_parts();
    let head = request_head(&parts);
    traffic.add_out(head);
    let accounting = Arc::new(Accounting {
        traffic,
        head,
        record: Mutex::default(),
    });
    (
        Request::from_parts(
            parts,
            Counted {
                body,
                passage,
                accounting: Arc::clone(&accounting),
            },
        ),
        accounting,
    )
}

/// The request as it was before [`counted`]. For one that was never sent.
pub(super) fn uncounted(request: Request<Counted>) -> Request<Incoming> {
    request.map(
        |Counted {
             body, accounting, ..
         }| {
            accounting.traffic.take_back_out(accounting.head);
            body
        },
    )
}

fn request_head(parts: &request::Parts) -> u64 {
    const AROUND: usize = "  HTTP/1.1\r\n\r\n".len();
    let target = parts
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    (parts.method.as_str().len() + target + AROUND + headers(&parts.headers)) as u64
}

/// The size of a response's head.
fn response_head(parts: &response::Parts) -> u64 {
    const AROUND: usize = "HTTP/1.1 200 \r\n\r\n".len();
    (AROUND + parts.status.canonical_reason().map_or(0, str::len) + headers(&parts.headers)) as u64
}

fn headers(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum()
}

/// The size of a piece of a body: data, or the trailers.
fn size(frame: &Frame<Bytes>) -> usize {
    frame.data_ref().map_or(0, Bytes::len) + frame.trailers_ref().map_or(0, headers)
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        ready!(self.passage.poll_room(cx));
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = size(frame);
            self.passage.passed(length);
            self.accounting.traffic.add_out(length as u64);
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
    accounting: Arc<Accounting>,
    entry: Option<Entry>,
}

impl Recorded {
    pub(super) fn new(
        body: Incoming,
        head: &response::Parts,
        passage: Passage,
        accounting: Arc<Accounting>,
        entry: Entry,
    ) -> Self {
        accounting.answered(head);
        Self {
            body,
            passage,
            accounting,
            entry: Some(entry),
        }
    }

    fn close(&mut self, end: End) {
        if let Some(entry) = self.entry.take() {
            self.accounting.close(entry, end);
        }
    }
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        ready!(self.passage.poll_room(cx));
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let length = size(frame);
                self.passage.passed(length);
                self.accounting.traffic.add_back(length as u64);
                // Nothing follows them, and nobody asks whether something does.
                if frame.is_trailers() {
                    self.close(End::closed(Side::Server));
                }
            }
            Poll::Ready(Some(Err(error))) => {
                self.close(End::reset(Side::Server, Some(error.to_string())))
            }
            Poll::Ready(None) => self.close(End::closed(Side::Server)),
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
        self.close(if whole {
            End::closed(Side::Server)
        } else {
            End::reset(Side::Client, None)
        });
    }
}
