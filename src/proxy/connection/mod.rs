//! The life of one captured TCP connection: identify, decide, dial, move the bytes, record.
//!
//! Owns the order of these steps and the choice of the name that is decided about. Must not know how any step is done.
//! The one fact: until the verdict no byte of the client's has left, and after it the bytes go to the *decided* name,
//! resolved by us, on the port that the client addressed; the address that it addressed proves nothing.

mod farewell;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

pub(super) use farewell::close_gently;

use super::dial::{DialError, Network, Outside, Upstream};
use super::identify::{self, Answer, Identity};
use super::splice::{Early, splice_both};
use super::{Gate, http, opaque};
use crate::audit::{Direction, Entry, Kind, Subject};
use crate::policy::{Attempt, Denial, Hostname, Permit, Protocol, UpstreamAddr, Verdict};

/// Serves one captured connection from its first byte to its record. Port 53 is not for here.
pub async fn serve(gate: Arc<Gate>, client: TcpStream, source: SocketAddr, destination: SocketAddr) {
    let (source, destination) = (canonical(source), canonical(destination));
    serve_captured(Captured { gate, outside: Box::new(Network), source, destination }, client).await;
}

async fn serve_captured(captured: Captured, client: TcpStream) {
    let entry = captured.begin(Kind::Tcp);
    let _ = client.set_nodelay(true);
    let (identity, early) = captured.identify(&client).await;
    match identity {
        // Boxed: a spliced connection doesn't carry the room that HTTP takes.
        Ok(Identity::Http) => Box::pin(http::serve(&captured, client, early, entry)).await,
        Ok(Identity::Tls(hello)) => tunnel_tls(&captured, client, early, hello.sni, entry).await,
        Ok(Identity::Opaque) => tunnel_opaque(&captured, client, early, entry).await,
        Err(denial) => {
            entry.deny(&denial);
            farewell::reset(client);
        }
    }
}

/// A captured connection: who asked, where its packets were addressed to, and who decides.
#[derive(Debug)]
pub(super) struct Captured {
    gate: Arc<Gate>,
    outside: Box<dyn Outside>,
    source: SocketAddr,
    destination: SocketAddr,
}

/// How long a client may take to show what it is. Real ones speak within a round trip.
const IDENTIFY_WITHIN: Duration = Duration::from_secs(5);
/// How long it may say nothing at all where the server may be the one to speak first.
const SILENT_WITHIN: Duration = Duration::from_millis(300);

impl Captured {
    /// Where the client's packets were addressed to.
    pub(super) fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// Begins the record of an attempt on this connection.
    pub(super) fn begin(&self, kind: Kind) -> Entry {
        let (source, destination) = (self.source, self.destination);
        let direction = Direction::Out;
        self.gate.journal.begin(Subject { kind, direction, source, destination, name: None, method: None, path: None })
    }

    /// Decides one attempt: the only way from here to a permit. `request`: method and normalised path, where read.
    pub(super) fn decide(
        &self,
        protocol: Protocol,
        name: Option<&Hostname>,
        request: Option<(&str, &str)>,
    ) -> Result<Permit, Denial> {
        if !self.gate.journal.healthy() {
            return Err(because("the audit file can't be written"));
        }
        let (method, path) = request.unzip();
        match self.gate.policy.decide(&Attempt { protocol, name, destination: self.destination, method, path }) {
            Verdict::Allow(permit) => Ok(permit),
            Verdict::Deny(denial) => Err(denial),
        }
    }

    /// Connects to what a permit is for.
    pub(super) async fn dial(&self, permit: &Permit) -> Result<Upstream, DialError> {
        self.outside.dial(&self.gate, permit, self.source, self.destination).await
    }

    /// Whether a connection to this address, made under another permit, would also have been made under this one.
    pub(super) fn would_dial(&self, permit: &Permit, address: UpstreamAddr) -> bool {
        permit.upstream(address.socket_addr().ip(), &self.gate.interfaces().own) == Ok(address)
    }

    /// Reads until it is clear what the connection is; gives the bytes read too. Bounded by the parsers' limits and time.
    async fn identify(&self, client: &TcpStream) -> (Result<Identity, Denial>, Vec<u8>) {
        let mut seen = Vec::new();
        let server_first = self.gate.policy.speaks_first(self.destination);
        if server_first && timeout(SILENT_WITHIN, client.readable()).await.is_err() {
            return (Ok(Identity::Opaque), seen);
        }
        let identity = match timeout(IDENTIFY_WITHIN, read_identity(client, &mut seen)).await {
            Ok(identity) => identity,
            Err(_) if seen.is_empty() => Ok(Identity::Opaque),
            // It may yet become HTTP to a path that a rule denies: not opaque.
            Err(_) => Err(because("what it is could not be told within 5 s")),
        };
        (identity, seen)
    }
}

/// How much is read at once: a hello with a post-quantum key share, a request head.
const READ_AT_ONCE: usize = 2048;

async fn read_identity(client: &TcpStream, seen: &mut Vec<u8>) -> Result<Identity, Denial> {
    loop {
        match identify::identify(seen) {
            Answer::Found(identity) => return Ok(identity),
            Answer::Refused(why) => return Err(because(why)),
            Answer::Not => return Ok(Identity::Opaque),
            Answer::NeedMore => {}
        }
        seen.reserve(READ_AT_ONCE);
        match read_some(client, seen).await {
            // Nothing more can make it TLS or HTTP.
            Ok(0) => return Ok(Identity::Opaque),
            Ok(_) => {}
            Err(error) => return Err(because(format!("it broke before it could be told what it is: {error}"))),
        }
    }
}

async fn read_some(client: &TcpStream, seen: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        client.readable().await?;
        match client.try_read_buf(seen) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// TLS: decided by its server name, spliced unread.
async fn tunnel_tls(captured: &Captured, client: TcpStream, early: Vec<u8>, sni: Option<Hostname>, mut entry: Entry) {
    entry.subject().kind = Kind::Https;
    entry.subject().name = sni.as_ref().map(Hostname::to_string);
    let permit = captured.decide(Protocol::Https, sni.as_ref(), None);
    match open(captured, permit, &mut entry).await {
        Ok(upstream) => tunnel(client, upstream, early, entry).await,
        Err(Closed::Denied(denial)) => {
            entry.deny(&denial);
            farewell::alert(client).await;
        }
        Err(Closed::Unreachable(problem)) => unreachable(client, &problem, entry),
    }
}

/// Anything else: decided by the names that this container resolved to the address, else by the address.
async fn tunnel_opaque(captured: &Captured, client: TcpStream, early: Vec<u8>, mut entry: Entry) {
    let names = captured.gate.resolver.names_of(captured.destination.ip());
    let (name, permit) = opaque::decide(&names, |name| captured.decide(Protocol::Tcp, name, None));
    entry.subject().name = name.map(Hostname::to_string);
    match open(captured, permit, &mut entry).await {
        Ok(upstream) => tunnel(client, upstream, early, entry).await,
        Err(Closed::Denied(denial)) => {
            entry.deny(&denial);
            farewell::reset(client);
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
async fn open(captured: &Captured, permit: Result<Permit, Denial>, entry: &mut Entry) -> Result<TcpStream, Closed> {
    let permit = permit.map_err(Closed::Denied)?;
    match captured.dial(&permit).await {
        Ok(Upstream { stream, address }) => {
            entry.allowed(permit.rule(), Some(address.socket_addr().ip()));
            Ok(stream)
        }
        Err(DialError::Denied(denial)) => Err(Closed::Denied(denial)),
        Err(DialError::Unreachable(problem)) => {
            entry.allowed(permit.rule(), None);
            Err(Closed::Unreachable(problem))
        }
    }
}

async fn tunnel(client: TcpStream, upstream: TcpStream, early: Vec<u8>, entry: Entry) {
    let spliced = splice_both(client, upstream, Early { out: early, back: Vec::new() }).await;
    let problem = spliced.problem.map(|error| error.to_string());
    entry.finish(spliced.bytes_out, spliced.bytes_in, problem.as_deref());
}

fn unreachable(client: TcpStream, problem: &str, entry: Entry) {
    entry.finish(0, 0, Some(problem));
    farewell::reset(client);
}

/// A denial that no rule is the cause of, and that no rule would change.
pub(super) fn because(reason: impl Into<String>) -> Denial {
    Denial { reason: reason.into(), rule: None, suggestion: None }
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
