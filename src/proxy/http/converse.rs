//! The client's side of a conversation in HTTP/1: requests in, replies out, and at the end the socket back.
//!
//! Must not know what the requests are about. The socket is given back so that its end can be a tunnel or a farewell.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::BrokenOff;
use super::answer::Reply;

/// The longest head, and the most that is buffered of a body, in each direction. Servers commonly take heads of 8 to
/// 16 KiB; this leaves room for large cookies and makes reads of bulk data large enough.
pub(super) const BUFFER: usize = 64 * 1024;

/// How long a connection may wait for a request's head to become complete, idle time before it included. As long as
/// servers commonly keep idle connections.
const HEAD_WITHIN: Duration = Duration::from_secs(75);

/// A conversation that is over.
pub(super) struct Ended {
    /// The socket. Nothing more will be sent in HTTP.
    pub(super) client: TcpStream,
    /// Bytes that the client sent after its last request.
    pub(super) unread: Vec<u8>,
    /// What was wrong with the last request, where it was not HTTP. It was answered with 400 and never reached `reply`.
    pub(super) malformed: Option<String>,
}

/// Gets every request replied to, until either side wants no more. `early` was already read.
pub(super) async fn converse<F, R>(client: TcpStream, early: Vec<u8>, reply: F) -> Ended
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Result<Reply, BrokenOff>> + Send,
{
    let io = TokioIo::new(Rewound { early, taken: 0, stream: client });
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(BUFFER);
    // Some clients end their side right after the request (`printf … | nc`) and still read the answer.
    http.half_close(true).preserve_header_case(true).auto_date_header(false);
    let mut connection = http.serve_connection(io, service_fn(|request| Box::pin(reply(request))));
    let outcome = (&mut connection).await;
    let parts = connection.into_parts();
    let malformed = outcome.err().filter(hyper::Error::is_parse).map(|error| format!("malformed: {error}"));
    let Rewound { early, taken, stream } = parts.io.into_inner();
    let unread = [&parts.read_buf, early.get(taken..).unwrap_or_default()].concat();
    Ended { client: stream, unread, malformed }
}

/// A socket whose first bytes were already read, and are read again.
struct Rewound {
    early: Vec<u8>,
    taken: usize,
    stream: TcpStream,
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let early = self.early.get(self.taken..).unwrap_or_default();
        if early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let now = early.get(..buffer.remaining()).unwrap_or(early);
        buffer.put_slice(now);
        self.taken += now.len();
        if self.taken == self.early.len() {
            (self.early, self.taken) = (Vec::new(), 0); // the connection may live long
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
