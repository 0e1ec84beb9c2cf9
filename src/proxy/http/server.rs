//! The client's side of a conversation in HTTP/1: requests in, replies out, and at the end the
//! socket back.
//!
//! Must not know what the requests are about. The socket is given back so that its end can be a
//! tunnel or a farewell.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::sleep;

use super::held::{Held, HttpSocket};
use super::response::Reply;
use crate::proxy::stream::Stream;

/// The longest head, and the most that is buffered of a body, in each direction. Servers commonly
/// take heads of 8 to 16 KiB; this leaves room for large cookies and makes reads of bulk data large
/// enough.
pub(super) const BUFFER: usize = 64 * 1024;

/// How long a connection may wait for a request's head to become complete, idle time before it
/// included. As long as servers commonly keep idle connections.
const HEAD_WITHIN: Duration = Duration::from_secs(75);

/// The connection ends without an answer, as the server's did.
#[derive(Debug, thiserror::Error)]
#[error("the server broke off")]
pub(super) struct BrokenOff;

/// A conversation that is over.
pub(super) struct Ended {
    /// The socket. Nothing more will be sent in HTTP.
    pub(super) client: Stream,
    /// Bytes that the client sent after its last request.
    pub(super) unread: Vec<u8>,
    /// What was wrong with the last request, where it was not HTTP. It was answered with 400 and
    /// never reached `reply`.
    pub(super) malformed: Option<String>,
    /// Whether there was no room for the last request's head.
    pub(super) short: bool,
}

/// How long what a client said may go on to the server after the client is lost.
const SURVIVES: Duration = Duration::from_secs(5);

/// Gets every request replied to, until either side wants no more. `early` was already read. Gives
/// nothing where the client is lost.
pub(super) async fn serve<F, R>(
    client: Stream,
    held: Arc<Held>,
    early: Vec<u8>,
    reply: F,
) -> Option<Ended>
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Result<Reply, BrokenOff>> + Send,
{
    let watched = client.clone();
    // Seen here, as hyper doesn't look at a client while it can't read from it.
    let lost = async {
        watched.lost().await;
        sleep(SURVIVES).await;
    };
    let io = TokioIo::new(HttpSocket::client(client, Arc::clone(&held), early));
    let mut http = Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(BUFFER);
    // Some clients end their side right after the request (`printf … | nc`) and still read the
    // answer.
    http.half_close(true)
        .preserve_header_case(true)
        .auto_date_header(false);
    let mut connection = http.serve_connection(io, service_fn(|request| Box::pin(reply(request))));
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = lost => return None,
    };
    let parts = connection.into_parts();
    let malformed = outcome
        .err()
        .filter(hyper::Error::is_parse)
        .map(|error| format!("malformed: {error}"));
    let (client, early) = parts.io.into_inner().into_parts();
    let unread = [&parts.read_buf, early.as_slice()].concat();
    Some(Ended {
        client,
        unread,
        malformed,
        short: held.is_short(),
    })
}
