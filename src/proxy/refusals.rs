//! Records what the kernel refused or let in by itself.
//!
//! An attempt is a flow: the first packet of one set of addresses and ports, until it has been quiet for ten seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Gate;
use crate::audit::{Direction, Kind, Subject};
use crate::gateway::refusal::{self, Packet, Report, Why};
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
    let (mut seen, mut numbers) = (Seen::default(), Numbers::default());
    loop {
        let mut ready = arrived.readable().await?;
        match ready.try_io(|_| reports.take()) {
            Ok(Ok(datagram)) => {
                for Report { number, packet } in refusal::reports(&datagram) {
                    overrun(&gate, numbers.lost_before(number));
                    if seen.is_new(packet, Instant::now()) {
                        write(&gate, packet);
                    }
                }
            }
            // ENOBUFS: some were lost, which the next one's number shows.
            Ok(Err(error)) if ![Some(libc::ENOBUFS), Some(libc::EINTR)].contains(&error.raw_os_error()) => {
                return Err(error.into());
            }
            Ok(Err(_)) | Err(_) => {}
        }
        // In a flood the socket is never empty, and the others of this thread would wait for ever.
        tokio::task::yield_now().await;
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

/// The numbers of reports: each is one more than the last, or some were lost.
#[derive(Debug, Default)]
struct Numbers {
    next: u32,
}

impl Numbers {
    fn lost_before(&mut self, number: u32) -> u32 {
        let expected = std::mem::replace(&mut self.next, number.wrapping_add(1));
        number.wrapping_sub(expected)
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
        number: packet.number,
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

/// Packets were refused faster than they could be read: that many are recorded as a count.
fn overrun(gate: &Gate, lost: u32) {
    if lost == 0 {
        return;
    }
    let nowhere = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
    let entry = gate.journal.begin(Subject {
        kind: Kind::Other,
        direction: Direction::Out,
        source: nowhere,
        destination: nowhere,
        name: None,
        method: None,
        path: None,
        number: None,
    });
    entry.deny_many(&plain("more packets were refused than could be told apart".to_owned()), lost.into());
}

fn plain(reason: String) -> Denial {
    Denial { reason, rule: None, suggestion: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_the_numbers_tells_how_many_were_lost() {
        let mut numbers = Numbers::default();
        let lost: Vec<u32> = [0, 1, 5, u32::MAX, 0, 2].into_iter().map(|number| numbers.lost_before(number)).collect();
        assert_eq!(lost, [0, 0, 3, u32::MAX - 6, 0, 1]);
    }
}
