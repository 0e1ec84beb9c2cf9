//! The life of one captured TCP connection: identify, decide, dial, move the bytes, record.
//!
//! Owns the order of these steps and the choice of the name that is decided about. Must not know
//! how any step is done. Invariant: until the verdict no byte of the client's has left, however
//! long it was silent before, and after it the bytes go to the *decided* name, resolved by us, on
//! the port that the client addressed; the address that it addressed proves nothing.

mod ahead;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

pub(super) use ahead::{Ahead, Connected};

use super::budget::{Share, used_up};
use super::close::{self, reset};
use super::dial::{DialError, Network, Outside};
use super::identify::{self, Answer, Identity};
use super::splice::{Early, Ends, splice_both};
use super::stream::Stream;
use super::{Gate, http, opaque};
use crate::audit::{Direction, End, Entry, Kind, Subject};
use crate::policy::{Attempt, Denial, Hostname, Permit, Protocol, UpstreamAddr, Verdict};

/// Serves one captured connection from its first byte to its record. Port 53 is not for here.
pub async fn serve(gate: Arc<Gate>, client: Stream, source: SocketAddr, destination: SocketAddr) {
    let (source, destination) = (canonical(source), canonical(destination));
    serve_captured(
        Captured {
            gate,
            outside: Arc::new(Network),
            source,
            destination,
        },
        client,
    )
    .await;
}

/// Denies a connection before anything of it is looked at.
pub(super) fn deny(gate: &Gate, source: SocketAddr, destination: SocketAddr, why: &Denial) {
    let (source, destination) = (canonical(source), canonical(destination));
    gate.journal
        .begin(Subject::new(Kind::Tcp, Direction::Out, source, destination))
        .deny(why);
}

async fn serve_captured(captured: Captured, client: Stream) {
    let mut entry = captured.begin(Kind::Tcp);
    let mut seen = Seen {
        bytes: Vec::new(),
        room: captured.gate.streams.budget.nothing(),
    };
    // Boxed: what lives on doesn't carry the room that this took.
    let (ahead, identity) = Box::pin(captured.identify(&client, &mut seen, &mut entry)).await;
    // Kept until the connection ends.
    let Seen {
        bytes: early,
        room: _room,
    } = seen;
    match identity {
        // Boxed: a spliced connection doesn't carry the room that HTTP takes.
        Ok(Identity::Http) if ahead.as_ref().is_none_or(Ahead::is_unused) => {
            Box::pin(http::serve(&captured, client, early, entry, ahead)).await;
        }
        Ok(Identity::Http) => {
            entry.deny(&Denial::because(
                "the server had spoken before the client began with HTTP",
            ));
            reset(client);
        }
        Ok(Identity::Tls(hello)) => {
            Box::pin(tunnel_tls(
                &captured, client, early, hello.sni, entry, ahead,
            ))
            .await
        }
        Ok(Identity::Opaque) => {
            Box::pin(tunnel_opaque(&captured, client, early, entry, ahead)).await
        }
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

/// A captured connection: who asked, where its packets were addressed to, and who decides.
#[derive(Debug)]
pub(super) struct Captured {
    gate: Arc<Gate>,
    outside: Arc<dyn Outside>,
    source: SocketAddr,
    destination: SocketAddr,
}

/// What a client has said before it was clear what that is.
struct Seen {
    bytes: Vec<u8>,
    room: Share,
}

/// How long a client may take to show what it is: from its first byte where the connection is
/// allowed whatever it is, else from the start. Real ones show it within a round trip.
const IDENTIFY_WITHIN: Duration = Duration::from_secs(5);

/// Why a connection was not identified.
enum Unidentified {
    /// It isn't allowed.
    Denied(Denial),
    /// The connection to the server, made ahead, failed or broke.
    Broken(End),
}

impl Captured {
    /// Where the client's packets were addressed to.
    pub(super) fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// Takes what one end of a conversation in HTTP keeps here. None: the budget is used up.
    pub(super) fn held(&self) -> Option<Arc<http::Held>> {
        http::Held::take(&self.gate.streams.budget).map(Arc::new)
    }

    /// Waits until what nobody needs is to be given up.
    pub(super) async fn shortage(&self) {
        self.gate.streams.shortage().await;
    }

    /// Begins the record of an attempt on this connection.
    pub(super) fn begin(&self, kind: Kind) -> Entry {
        self.gate.journal.begin(Subject::new(
            kind,
            Direction::Out,
            self.source,
            self.destination,
        ))
    }

    /// Decides one attempt: the only way from here to a permit. `request`: method and normalised
    /// path, where read.
    pub(super) fn decide(
        &self,
        protocol: Protocol,
        name: Option<&Hostname>,
        request: Option<(&str, &str)>,
    ) -> Result<Permit, Denial> {
        let (method, path) = request.unzip();
        match self.gate.policy.decide(&Attempt {
            protocol,
            name,
            destination: self.destination,
            method,
            path,
        }) {
            Verdict::Allow(permit) => Ok(permit),
            Verdict::Deny(denial) => Err(denial),
        }
    }

    /// Decides about bytes that name nobody. Gives the name decided about, too.
    fn decide_opaque(&self) -> (Option<Hostname>, Result<Permit, Denial>) {
        let names = self.gate.resolver.names_of(self.destination.ip());
        let (name, permit) = opaque::decide(&names, |name| self.decide(Protocol::Tcp, name, None));
        (name.cloned(), permit)
    }

    /// Gives the connection to what a permit is for: the one made ahead, where it is to just that;
    /// else a new one.
    pub(super) async fn connect(
        &self,
        permit: &Permit,
        ahead: Option<Ahead>,
    ) -> Result<Connected, DialError> {
        if let Some(ahead) = ahead
            && let Some(connected) = ahead.serve(self, permit).await?
        {
            return Ok(connected);
        }
        let upstream = self
            .outside
            .dial(&self.gate, permit, self.source, self.destination)
            .await?;
        Ok(ahead::fresh(upstream))
    }

    /// Whether a connection to this address, made under another permit, would also have been made
    /// under this one.
    pub(super) fn would_dial(&self, permit: &Permit, address: UpstreamAddr) -> bool {
        permit.upstream(address.socket_addr().ip(), &self.gate.interfaces().own) == Ok(address)
    }

    /// Reads into `early` until it is clear what the connection is. Where it is allowed whatever
    /// that will be, the server is dialled at once and heard meanwhile, and the client may take its
    /// time. Bounded by the parsers' limits.
    async fn identify(
        &self,
        client: &Stream,
        early: &mut Seen,
        entry: &mut Entry,
    ) -> (Option<Ahead>, Result<Identity, Unidentified>) {
        let mut ahead = Ahead::begin(self);
        if ahead.is_none() {
            match timeout(IDENTIFY_WITHIN, self.read_identity(client, early)).await {
                Ok(identity) => return (None, identity.map_err(Unidentified::Denied)),
                Err(_) if early.bytes.is_empty() => ahead = Ahead::begin(self),
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
                    .hear_server_until(client, entry, self.read_identity_whenever(client, early))
                    .await;
                (ahead, identity)
            }
        }
    }

    /// Waits for the client's first byte as long as it takes, for the rest not so long.
    async fn read_identity_whenever(
        &self,
        client: &Stream,
        early: &mut Seen,
    ) -> Result<Identity, Denial> {
        match read_some(client, early).await {
            Ok(0) => Ok(Identity::Opaque),
            Ok(_) => timeout(IDENTIFY_WITHIN, self.read_identity(client, early))
                .await
                .unwrap_or_else(|_| Err(Denial::because(UNTOLD))),
            Err(error) => Err(broke(&error)),
        }
    }

    async fn read_identity(&self, client: &Stream, seen: &mut Seen) -> Result<Identity, Denial> {
        let denials = self.gate.policy.denials_at(self.destination);
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
}

/// What the record says of bytes that never showed what they are.
const UNTOLD: &str = "what it is could not be told within 5 s";

fn broke(error: &io::Error) -> Denial {
    Denial::because(format!(
        "it broke before it could be told what it is: {error}"
    ))
}

/// What bytes take that are kept to be understood: a vector that grew has up to half of its room
/// empty.
const KEPT: usize = 2;
/// How much is read at once: a hello with a post-quantum key share, a request head.
const READ_AT_ONCE: usize = 2048;

async fn read_some(client: &Stream, seen: &mut Seen) -> io::Result<usize> {
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
    captured: &Captured,
    client: Stream,
    early: Vec<u8>,
    sni: Option<Hostname>,
    mut entry: Entry,
    ahead: Option<Ahead>,
) {
    entry.subject().kind = Kind::Https;
    entry.subject().name = sni.as_ref().map(Hostname::to_string);
    let permit = captured.decide(Protocol::Https, sni.as_ref(), None);
    match Box::pin(open(captured, permit, &mut entry, ahead)).await {
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
    captured: &Captured,
    client: Stream,
    early: Vec<u8>,
    mut entry: Entry,
    ahead: Option<Ahead>,
) {
    let (name, permit) = captured.decide_opaque();
    entry.subject().name = name.map(|name| name.to_string());
    match Box::pin(open(captured, permit, &mut entry, ahead)).await {
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
    captured: &Captured,
    permit: Result<Permit, Denial>,
    entry: &mut Entry,
    ahead: Option<Ahead>,
) -> Result<Connected, Closed> {
    let permit = permit.map_err(Closed::Denied)?;
    entry.allowed(permit.grounds(), None);
    entry.open().map_err(Closed::Denied)?;
    match captured.connect(&permit, ahead).await {
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

/// An IPv4 address in IPv6 clothes is the IPv4 address, in rules and in records.
fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
pub(super) mod rig;
#[cfg(test)]
mod tests;
