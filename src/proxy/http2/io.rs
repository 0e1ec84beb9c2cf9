//! A connection as the HTTP/2 library reads and writes it.
//!
//! Owns what was read of it before, and what was written; and, of a server, whether the first that
//! it says is HTTP/2 at all (RFC 9113 3.4: a SETTINGS frame), and whether it takes WebSockets. Must
//! not know what any other frame means.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::proxy::stream::Stream;

/// A connection.
#[derive(Debug)]
pub(super) struct Io {
    stream: Stream,
    /// What was read of it before.
    early: Bytes,
    /// How much of what will be written it has been sent before.
    sent: usize,
    greeting: Option<Arc<Greeting>>,
}

impl Io {
    /// A client's, of which this was read.
    pub(super) fn client(stream: Stream, early: Vec<u8>) -> Self {
        Self {
            stream,
            early: early.into(),
            sent: 0,
            greeting: None,
        }
    }

    /// A server's that has said this, and has been sent so many bytes of the preface.
    pub(super) fn server(stream: Stream, early: Vec<u8>, sent: usize) -> (Self, Arc<Greeting>) {
        let greeting = Arc::new(Greeting::default());
        let io = Self {
            stream,
            early: early.into(),
            sent,
            greeting: Some(Arc::clone(&greeting)),
        };
        (io, greeting)
    }

    fn heard(&mut self, bytes: &[u8]) {
        if let Some(greeting) = &self.greeting
            && greeting.hear(bytes)
        {
            self.greeting = None;
        }
    }

    /// Passes over what was sent before.
    fn pass_over(&mut self, length: usize) -> Option<usize> {
        let over = self.sent.min(length);
        self.sent -= over;
        (over > 0).then_some(over)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.early.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        } else {
            let length = this.early.len().min(buffer.remaining());
            buffer.put_slice(&this.early.split_to(length));
        }
        this.heard(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.pass_over(bytes.len()) {
            Some(over) => Poll::Ready(Ok(over)),
            None => Pin::new(&mut this.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = slices.iter().map(|slice| slice.len()).sum();
        match this.pass_over(length) {
            Some(over) => Poll::Ready(Ok(over)),
            None => Pin::new(&mut this.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// The first that a server says.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    said: Mutex<Said>,
    heard: Notify,
}

#[derive(Debug)]
enum Said {
    /// Not all of it yet.
    Part(Vec<u8>),
    /// SETTINGS; whether it takes WebSockets (RFC 8441).
    Settings { websockets: bool },
    /// Something else.
    NotHttp2,
    /// Nothing more: it has ended before.
    Nothing,
}

impl Default for Said {
    fn default() -> Self {
        Self::Part(Vec::new())
    }
}

impl Greeting {
    /// Hears more of it. Gives whether that was all.
    fn hear(&self, bytes: &[u8]) -> bool {
        let mut said = self.locked();
        if let Said::Part(part) = &mut *said {
            let more = LONGEST_SETTINGS.saturating_sub(part.len());
            part.extend_from_slice(bytes.get(..more).unwrap_or(bytes));
            if let Some(whole) = understood(part) {
                *said = whole;
                self.heard.notify_waiters();
            }
        }
        !matches!(*said, Said::Part(_))
    }

    /// Whether it was something else than HTTP/2.
    pub(super) fn is_not_http2(&self) -> bool {
        matches!(*self.locked(), Said::NotHttp2)
    }

    /// Whoever waits for it needn't any more: its server has ended.
    pub(super) fn end(&self) {
        let mut said = self.locked();
        if matches!(*said, Said::Part(_)) {
            *said = Said::Nothing;
            self.heard.notify_waiters();
        }
    }

    /// Waits until it is all there. Gives whether the server takes WebSockets.
    pub(super) async fn takes_websockets(&self) -> bool {
        loop {
            let mut heard = pin!(self.heard.notified());
            // What is heard between the question and the wait, too.
            heard.as_mut().enable();
            match &*self.locked() {
                Said::Part(_) => {}
                Said::Settings { websockets } => return *websockets,
                Said::NotHttp2 | Said::Nothing => return false,
            }
            heard.await;
        }
    }

    fn locked(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The head of a frame (RFC 9113 4.1).
const HEAD: usize = 9;
/// The longest SETTINGS frame that is understood: the largest that a server may send at first.
const LONGEST_SETTINGS: usize = HEAD + 16 * 1024;
/// `SETTINGS_ENABLE_CONNECT_PROTOCOL` (RFC 8441 3).
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// What a server's first bytes are, once that is certain.
fn understood(mut bytes: &[u8]) -> Option<Said> {
    if bytes.len() < HEAD {
        return (!begins_settings(bytes)).then_some(Said::NotHttp2);
    }
    let length = usize::try_from(bytes.get_uint(3)).ok()?;
    let (kind, flags, stream) = (bytes.get_u8(), bytes.get_u8(), bytes.get_u32());
    if (kind, flags, stream) != (4, 0, 0) || length % 6 != 0 || length > LONGEST_SETTINGS - HEAD {
        return Some(Said::NotHttp2);
    }
    let mut settings = bytes.get(..length)?;
    let mut websockets = false;
    while settings.has_remaining() {
        let (setting, value) = (settings.get_u16(), settings.get_u32());
        if setting == ENABLE_CONNECT_PROTOCOL {
            websockets = value == 1;
        }
    }
    Some(Said::Settings { websockets })
}

/// Whether bytes could be the beginning of a SETTINGS frame.
fn begins_settings(bytes: &[u8]) -> bool {
    let rest = [4, 0, 0, 0, 0, 0];
    bytes.first().is_none_or(|first| *first == 0)
        && bytes.iter().skip(3).zip(rest).all(|(byte, of)| *byte == of)
}
