//! Records what the kernel refused or let in by itself.
//!
//! An attempt is a flow: the first packet of one set of addresses and ports, until it has been quiet for ten seconds.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Gate;
use crate::audit::{Direction, Kind, Subject};
use crate::gateway::refusal::{self, Packet, Why};
use crate::policy::{Attempt, Denial, Protocol, Verdict};
use crate::sys::netlink::Netfilter;
use crate::sys::readiness;

/// How long a flow must be quiet before its next packet is a new attempt.
const QUIET: Duration = Duration::from_secs(10);
/// Flows remembered. When full, the oldest are forgotten, and their next packet is recorded again: never the other way.
const FLOWS: usize = 4096;

/// Reads reports until the socket fails.
pub(super) async fn record(gate: Arc<Gate>, reports: Netfilter) -> anyhow::Result<()> {
    let arrived = readiness::of(&reports)?;
    let mut seen = Seen::default();
    loop {
        let mut ready = arrived.readable().await?;
        match ready.try_io(|_| reports.take()) {
            Ok(Ok(datagram)) => {
                for packet in refusal::packets(&datagram).filter(|packet| seen.is_new(*packet, Instant::now())) {
                    write(&gate, packet);
                }
            }
            Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => overrun(&gate),
            Ok(Err(error)) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

/// Flows seen lately.
#[derive(Debug, Default)]
struct Seen(HashMap<Packet, Instant>);

impl Seen {
    fn is_new(&mut self, packet: Packet, now: Instant) -> bool {
        if self.0.len() >= FLOWS {
            self.0.retain(|_, last| now.duration_since(*last) < QUIET);
            if self.0.len() >= FLOWS {
                self.0.clear();
            }
        }
        match self.0.insert(packet, now) {
            Some(last) => now.duration_since(last) >= QUIET,
            None => true,
        }
    }
}

fn write(gate: &Gate, packet: Packet) {
    let direction = if packet.why == Why::Inbound { Direction::In } else { Direction::Out };
    let name = gate.resolver.names_of(packet.destination.ip()).into_iter().next();
    let mut entry = gate.journal.begin(Subject {
        kind: packet.kind,
        direction,
        source: packet.source,
        destination: packet.destination,
        name: name.as_ref().filter(|_| direction == Direction::Out).map(ToString::to_string),
        method: None,
        path: None,
    });
    match packet.why {
        Why::Inbound => {
            entry.allowed("inbound", None);
            entry.finish(0, 0, None);
        }
        Why::Spoofed => entry.deny(&plain(format!("{} is not this container's address", packet.source.ip()))),
        Why::Refused => entry.deny(&denial(gate, packet, name.as_ref())),
    }
}

/// The policy's own words, where it knows the protocol.
fn denial(gate: &Gate, packet: Packet, name: Option<&crate::policy::Hostname>) -> Denial {
    let protocol = match packet.kind {
        Kind::Tcp => Protocol::Tcp,
        Kind::Udp => Protocol::Udp,
        Kind::Icmp => return plain("ICMP is not let out".to_owned()),
        _ => return plain("only TCP and UDP can be let out".to_owned()),
    };
    let attempt = Attempt { protocol, name, destination: packet.destination, method: None, path: None };
    match gate.policy.decide(&attempt) {
        Verdict::Deny(denial) => denial,
        // The ruleset refuses only ports that no rule names, so this is a packet that isn't what it seems (no ports).
        Verdict::Allow(_) => plain("not a packet that opens a connection".to_owned()),
    }
}

/// Packets were refused faster than they could be recorded: that itself is recorded.
fn overrun(gate: &Gate) {
    let nowhere = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
    let entry = gate.journal.begin(Subject {
        kind: Kind::Other,
        direction: Direction::Out,
        source: nowhere,
        destination: nowhere,
        name: None,
        method: None,
        path: None,
    });
    entry.deny(&plain("more packets were refused than could be recorded".to_owned()));
}

fn plain(reason: String) -> Denial {
    Denial { reason, rule: None, suggestion: None }
}
