//! One HTTP/1 connection to a server: requests go out, answers come back, and it may end as a
//! tunnel.
//!
//! Must not know policies or who dialled. It reports what became of each request; what to make of
//! that is the session's.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use http_body_util::{Either, Full};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::accounting::{Accounting, Counted, counted, uncounted};
use super::held::{Held, HttpSocket, Passage};
use super::hop;
use super::response::Reply;
use super::server::BUFFER;
use crate::audit::line::Side;
use crate::audit::{End, Entry, Traffic};
use crate::proxy::splice::{Early, splice_both};
use crate::proxy::stream::{Meter, Stream};

/// A connection to a server.
#[derive(Debug)]
pub(super) struct UpstreamConnection {
    sender: SendRequest<Counted>,
    held: Arc<Held>,
    task: AbortHandle,
    meter: Meter,
}

/// What became of a request.
pub(super) enum Sent {
    /// It was answered; its body may still be on its way out.
    Answered(Response<Incoming>, Arc<Accounting>),
    /// The server agreed to an upgrade that was asked for.
    Switched(Box<(Reply, Tunnel)>),
    /// Not a byte of it went out: the connection had ended before.
    Unsent(Request<Incoming>),
    /// It went out, in part at least, and no answer came. By whose doing, and why not.
    Failed((Side, String), Arc<Accounting>),
}

/// How long the line may take to get over the last exchange before a new connection is the better
/// choice.
const READY_WITHIN: Duration = Duration::from_secs(1);

impl UpstreamConnection {
    /// Speaks HTTP over a new connection.
    pub(super) async fn over(stream: Stream, held: Arc<Held>) -> hyper::Result<Self> {
        let mut http = Builder::new();
        http.preserve_header_case(true).max_buf_size(BUFFER);
        let meter = stream.meter();
        let (sender, connection) = http
            .handshake(TokioIo::new(HttpSocket::server(stream, Arc::clone(&held))))
            .await?;
        // Ends when `sender` and the last answer's body are gone. Its error is also the request's,
        // and told there.
        let task = tokio::spawn(connection.with_upgrades()).abort_handle();
        Ok(Self {
            sender,
            held,
            task,
            meter,
        })
    }

    /// Whether another request can be sent.
    pub(super) async fn is_ready(&mut self) -> bool {
        matches!(timeout(READY_WITHIN, self.sender.ready()).await, Ok(Ok(())))
    }

    /// Whether it has got over the last exchange.
    pub(super) fn is_idle(&self) -> bool {
        self.sender.is_ready()
    }

    /// What ends it at once, even where the server takes nothing more.
    pub(super) fn end(&self) -> AbortHandle {
        self.task.clone()
    }

    /// Tells how much of what it is sent from now on has arrived.
    pub(super) fn meter(&self) -> Meter {
        self.meter.clone().from_now()
    }

    /// What is kept for it here.
    pub(super) fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held)
    }

    /// Sends one request that came from `client`. `upgrade`: whether it asks for one.
    pub(super) async fn send(
        &mut self,
        request: Request<Incoming>,
        client: &Arc<Held>,
        upgrade: bool,
        traffic: Arc<Traffic>,
    ) -> Sent {
        let passage = Passage {
            from: Arc::clone(client),
            to: self.held(),
        };
        let (request, accounting) = counted(request, passage, traffic);
        let sent = self.sender.try_send_request(request).await;
        self.held.understood();
        match sent {
            Ok(response) if response.status() != StatusCode::SWITCHING_PROTOCOLS => {
                Sent::Answered(response, accounting)
            }
            Ok(response) if upgrade => switched(response, &accounting),
            Ok(_) => Sent::Failed(
                (
                    Side::Server,
                    "the server switched protocols unasked".to_owned(),
                ),
                accounting,
            ),
            Err(mut error) => match error.take_message() {
                Some(unsent) => Sent::Unsent(uncounted(unsent)),
                None => Sent::Failed(no_answer(&error.into_error()), accounting),
            },
        }
    }
}

/// Whose doing it is that there is none, and why: hyper calls a body that breaks off its user's
/// error.
fn no_answer(error: &hyper::Error) -> (Side, String) {
    if error.is_user() {
        (Side::Client, "the request broke off".to_owned())
    } else {
        (Side::Server, format!("no answer: {error}"))
    }
}

fn switched(mut response: Response<Incoming>, accounting: &Accounting) -> Sent {
    let upgraded = hyper::upgrade::on(&mut response);
    let (mut parts, _nothing) = response.into_parts();
    accounting.answered(&parts);
    parts.headers = hop::end_to_end(parts.headers, true);
    let reply = Response::from_parts(parts, Either::Right(Full::default()));
    Sent::Switched(Box::new((
        reply,
        Tunnel {
            upgraded,
            entry: None,
        },
    )))
}

/// What a connection becomes after a 101: bytes, spliced.
#[derive(Debug)]
pub(super) struct Tunnel {
    upgraded: OnUpgrade,
    entry: Option<Entry>,
}

impl Tunnel {
    /// The record of the request that made it, which ends with it.
    pub(super) fn recorded_by(self, entry: Entry) -> Self {
        Self {
            entry: Some(entry),
            ..self
        }
    }

    /// Moves bytes until both sides have ended. `unread` are the client's that came with the
    /// request.
    pub(super) async fn run(self, client: Stream, unread: Vec<u8>) {
        let Some(mut entry) = self.entry else { return };
        let upgraded = match self
            .upgraded
            .await
            .map(|upgraded| upgraded.downcast::<TokioIo<HttpSocket>>())
        {
            Ok(Ok(parts)) => parts,
            Ok(Err(_)) => {
                return entry.finish(broken_off(
                    "the upgraded connection is not a socket".to_owned(),
                ));
            }
            Err(error) => return entry.finish(broken_off(error.to_string())),
        };
        let early = Early {
            out: unread,
            back: upgraded.read_buf.to_vec(),
        };
        let traffic = entry.traffic();
        let end = splice_both(
            client,
            upgraded.io.into_inner().into_parts().0,
            early,
            &traffic,
        )
        .await;
        entry.finish(end);
    }
}

fn broken_off(why: String) -> End {
    End::reset(Side::Server, Some(why))
}
