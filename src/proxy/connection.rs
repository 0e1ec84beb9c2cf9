//! The life of one captured TCP connection: identify, decide, dial, move the bytes, record.
//!
//! Owns the order of these steps and the choice of the name that is decided about. Invariant:
//! before the verdict no byte of the client's leaves, however long it is silent. After it the bytes
//! go to the *decided* name, resolved by us, on the port that the client addressed; the address
//! that the client addressed proves nothing.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::ahead::{self, Ahead, Connected, Unidentified};
use super::budget::{Share, used_up};
use super::close::{self, reset};
use super::dial::DialError;
use super::flow::Flow;
use super::http;
use super::identify::{self, Answer, Identity};
use super::splice::{Early, Ends, splice_both};
use super::stream::Stream;
use crate::audit::{End, Entry, Kind};
use crate::policy::{Denial, Hostname, Permit, Protocol};

/// Serves one captured connection from its first byte to its record. Port 53 is not for here.
pub(super) async fn serve(flow: Flow, client: Stream) {
    let mut entry = flow.begin(Kind::Tcp);
    let mut seen = EarlyBytes {
        bytes: Vec::new(),
        room: flow.streams().budget.nothing(),
    };
    // Boxed: what lives on doesn't carry the room that this took.
    let (ahead, identity) = Box::pin(identify(&flow, &client, &mut seen, &mut entry)).await;
    // Kept until the connection ends.
    let EarlyBytes {
        bytes: early,
        room: _room,
    } = seen;
    match identity {
        // Boxed: a spliced connection doesn't carry the room that HTTP takes.
        Ok(Identity::Http) if ahead.as_ref().is_none_or(Ahead::is_unused) => {
            Box::pin(http::serve(&flow, client, early, entry, ahead)).await;
        }
        Ok(Identity::Http) => {
            entry.deny(&Denial::because(
                "the server sent data before the client's HTTP request",
            ));
            reset(client);
        }
        Ok(Identity::Tls(hello)) => {
            Box::pin(tunnel_tls(&flow, client, early, hello.sni, entry, ahead)).await
        }
        Ok(Identity::Opaque) => Box::pin(tunnel_opaque(&flow, client, early, entry, ahead)).await,
        Err(Unidentified::Denied(denial)) => {
            entry.deny(&denial);
            reset(client);
        }
        Err(Unidentified::Broken(end)) => {
            entry.finish(end);
            reset(client);
        }
    }
}

/// What a client has said before it was clear what that is.
struct EarlyBytes {
    bytes: Vec<u8>,
    room: Share,
}

/// How long a client may take to show what it is: from its first byte where the connection is
/// allowed whatever it is, else from the start. Real ones show it within a round trip.
const IDENTIFY_WITHIN: Duration = Duration::from_secs(5);

/// Reads into `early` until it is clear what the connection is. Where it is allowed whatever
/// that will be, the server is dialled at once and heard meanwhile, and the client may take its
/// time. Bounded by the parsers' limits.
async fn identify(
    flow: &Flow,
    client: &Stream,
    early: &mut EarlyBytes,
    entry: &mut Entry,
) -> (Option<Ahead>, Result<Identity, Unidentified>) {
    let mut ahead = Ahead::begin(flow);
    if ahead.is_none() {
        match timeout(IDENTIFY_WITHIN, read_identity(flow, client, early)).await {
            Ok(identity) => return (None, identity.map_err(Unidentified::Denied)),
            Err(_) if early.bytes.is_empty() => ahead = Ahead::begin(flow),
            // It may yet become HTTP to a path that a rule denies: not opaque.
            Err(_) => return (None, Err(Unidentified::Denied(Denial::because(UNTOLD)))),
        }
    }
    match &mut ahead {
        // Nothing was said, and nothing would be allowed: the words for that are those for
        // opaque bytes.
        None => (None, Ok(Identity::Opaque)),
        Some(before) => {
            let identity = before
                .hear_server_until(client, entry, read_identity_whenever(flow, client, early))
                .await;
            (ahead, identity)
        }
    }
}

/// Waits for the client's first byte as long as it takes, for the rest not so long.
async fn read_identity_whenever(
    flow: &Flow,
    client: &Stream,
    early: &mut EarlyBytes,
) -> Result<Identity, Denial> {
    match read_some(client, early).await {
        Ok(0) => Ok(Identity::Opaque),
        Ok(_) => timeout(IDENTIFY_WITHIN, read_identity(flow, client, early))
            .await
            .unwrap_or_else(|_| Err(Denial::because(UNTOLD))),
        Err(error) => Err(broke(&error)),
    }
}

async fn read_identity(
    flow: &Flow,
    client: &Stream,
    seen: &mut EarlyBytes,
) -> Result<Identity, Denial> {
    let denials = flow.denials();
    let mut answer = identify::identify(&seen.bytes, denials);
    while answer == Answer::NeedMore {
        answer = match read_some(client, seen).await {
            Ok(0) => identify::identify_ended(&seen.bytes, denials),
            // What comes at once is part of the connection's room; what is kept until there is
            // more is not.
            Ok(_)
                if !seen
                    .room
                    .grow_to(KEPT * seen.bytes.len().saturating_sub(READ_AT_ONCE)) =>
            {
                return Err(used_up());
            }
            Ok(_) => identify::identify(&seen.bytes, denials),
            Err(error) => return Err(broke(&error)),
        };
    }
    match answer {
        Answer::Found(identity) => Ok(identity),
        Answer::Refused(why) => Err(Denial::because(why)),
        Answer::Not | Answer::NeedMore => Ok(Identity::Opaque),
    }
}

/// What the record says of bytes that never showed what they are.
const UNTOLD: &str = "the protocol could not be identified within 5 s";

fn broke(error: &io::Error) -> Denial {
    Denial::because(format!(
        "the connection broke before its protocol was identified: {error}"
    ))
}

/// What bytes take that are kept to be understood: a vector that grew has up to half of its room
/// empty.
const KEPT: usize = 2;
/// How much is read at once: a hello with a post-quantum key share, a request head.
const READ_AT_ONCE: usize = 2048;

async fn read_some(client: &Stream, seen: &mut EarlyBytes) -> io::Result<usize> {
    loop {
        client.tcp().readable().await?;
        seen.bytes.reserve(READ_AT_ONCE);
        match client.tcp().try_read_buf(&mut seen.bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// TLS: decided by its server name, spliced unread.
async fn tunnel_tls(
    flow: &Flow,
    client: Stream,
    early: Vec<u8>,
    sni: Option<Hostname>,
    mut entry: Entry,
    ahead: Option<Ahead>,
) {
    entry.subject().kind = Kind::Https;
    entry.subject().name = sni.as_ref().map(Hostname::to_string);
    let permit = flow.decide(Protocol::Https, sni.as_ref(), None);
    match Box::pin(open(flow, permit, &mut entry, ahead)).await {
        Ok(server) => tunnel(client, server, early, entry).await,
        Err(Closed::Denied(denial)) => {
            entry.deny(&denial);
            close::alert(client).await;
        }
        Err(Closed::Unreachable(problem)) => unreachable(client, &problem, entry),
    }
}

/// Anything else: decided by the names that this container resolved to the address, else by the
/// address.
async fn tunnel_opaque(
    flow: &Flow,
    client: Stream,
    early: Vec<u8>,
    mut entry: Entry,
    ahead: Option<Ahead>,
) {
    let (name, permit) = flow.decide_opaque();
    entry.subject().name = name.map(|name| name.to_string());
    match Box::pin(open(flow, permit, &mut entry, ahead)).await {
        Ok(server) => tunnel(client, server, early, entry).await,
        Err(Closed::Denied(denial)) => {
            entry.deny(&denial);
            reset(client);
        }
        Err(Closed::Unreachable(problem)) => unreachable(client, &problem, entry),
    }
}

/// Why nothing is moved.
enum Closed {
    Denied(Denial),
    Unreachable(String),
}

/// From verdict to connection, with the record kept up to date.
async fn open(
    flow: &Flow,
    permit: Result<Permit, Denial>,
    entry: &mut Entry,
    ahead: Option<Ahead>,
) -> Result<Connected, Closed> {
    let permit = permit.map_err(Closed::Denied)?;
    entry.allowed(permit.grounds(), None);
    entry.open().map_err(Closed::Denied)?;
    match ahead::connect(flow, &permit, ahead).await {
        Ok(server) => {
            entry.allowed(
                permit.grounds(),
                Some(server.upstream.address.socket_addr().ip()),
            );
            Ok(server)
        }
        Err(DialError::Denied(denial)) => Err(Closed::Denied(denial)),
        Err(DialError::Unreachable(problem)) => Err(Closed::Unreachable(problem)),
    }
}

async fn tunnel(client: Stream, server: Connected, early: Vec<u8>, mut entry: Entry) {
    let Connected {
        upstream, unpassed, ..
    } = server;
    let traffic = entry.traffic();
    traffic.measure_by(Ends::of(client.meter(), upstream.stream.meter()));
    let end = splice_both(
        client,
        upstream.stream,
        Early {
            out: early,
            back: unpassed,
        },
        &traffic,
    )
    .await;
    entry.finish(end);
}

fn unreachable(client: Stream, problem: &str, entry: Entry) {
    entry.finish(End::unreachable(problem));
    reset(client);
}

#[cfg(test)]
mod tests;
