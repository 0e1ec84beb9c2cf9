//! Records what the kernel refused or let in by itself.
//!
//! An attempt is a flow: the first packet of one set of addresses and ports, until it has been
//! quiet for ten seconds.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::awaited::Awaited;
use super::handshakes::Handshakes;
use super::held::Held;
use super::judge::Judge;
use crate::audit::{Direction, End, Entry, Kind, Subject};
use crate::packets::fragment::{Fragment, Pieces, Whole};
use crate::packets::nflog::{self, LogReason, Packet, Report, Transport};
use crate::policy::{Attempt, Denial, Grounds, Protocol};
use crate::sys::netlink::Netfilter;
use crate::sys::readiness;

/// How long a flow must be quiet before its next packet is a new attempt.
const QUIET: Duration = Duration::from_secs(10);
/// How long the fragments of a packet may take: no kernel waits longer (`ipfrag_time` is 30 s,
/// `ip6frag_time` 60 s).
const WHOLE_WITHIN: Duration = Duration::from_secs(60);
/// Flows remembered. When full, the oldest are forgotten, and their next packet is recorded again:
/// never the other way.
const FLOWS: usize = 4096;

/// Reads reports until the socket fails; and, when it is dropped, what the kernel has told by then.
pub(super) async fn record(
    judge: Judge,
    handshakes: Arc<Handshakes>,
    held: Arc<Held>,
    reports: Netfilter,
) -> anyhow::Result<()> {
    let arrived = readiness::of(&reports)?;
    let fragments = Awaited::new(WHOLE_WITHIN, "not all fragments of the packet arrived");
    let (seen, numbers) = (RecentFlows::default(), Numbers::default());
    let mut reader = LogReader {
        judge,
        handshakes,
        held,
        fragments,
        reports,
        seen,
        numbers,
    };
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        let mut ready = tokio::select! {
            ready = arrived.readable() => ready?,
            _ = second.tick() => {
                reader.give_up();
                continue;
            }
        };
        // A call that would block clears the readiness.
        if let Ok(outcome) = ready.try_io(|_| reader.take()) {
            outcome?;
        }
        // In a flood the socket is never empty, and the others of this thread would wait for ever.
        tokio::task::yield_now().await;
    }
}

#[derive(Debug)]
struct LogReader {
    judge: Judge,
    handshakes: Arc<Handshakes>,
    held: Arc<Held>,
    fragments: Awaited<Whole, Pieces>,
    reports: Netfilter,
    seen: RecentFlows,
    numbers: Numbers,
}

impl LogReader {
    /// Takes one datagram of reports.
    fn take(&mut self) -> io::Result<()> {
        match self.reports.take() {
            Ok(datagram) => nflog::reports(&datagram).for_each(|report| self.hear(report)),
            // The next one's number shows how many.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.numbers.some_lost = true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn hear(
        &mut self,
        Report {
            number,
            packet,
            fragment,
        }: Report,
    ) {
        overrun(&self.judge, self.numbers.lost_before(number));
        match packet.why {
            LogReason::Fragment => fragment
                .iter()
                .for_each(|fragment| self.hear_fragment(fragment, packet)),
            LogReason::NotHeld => {
                self.held.note_accepted_first();
                self.opens(packet);
            }
            LogReason::Opening => self.opens(packet),
            _ if self.seen.is_new(packet, Instant::now()) => write(&self.judge, packet),
            _ => {}
        }
    }

    fn opens(&self, packet: Packet) {
        self.handshakes
            .begun(packet.source, packet.destination, || {
                begin(&self.judge, packet)
            });
    }

    /// A packet that becomes whole is met again, by the rules.
    fn hear_fragment(&mut self, fragment: &Fragment, packet: Packet) {
        let pieces = self
            .fragments
            .await_or_begin(fragment.whole, || begin(&self.judge, packet));
        if pieces.add(fragment) {
            self.fragments.settle(&fragment.whole);
        }
    }

    fn give_up(&mut self) {
        self.handshakes.give_up();
        self.fragments.give_up();
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        while self.take().is_ok() {}
        // How many is not known any more: one at least.
        overrun(&self.judge, u32::from(self.numbers.some_lost));
    }
}

/// Flows seen lately.
#[derive(Debug, Default)]
struct RecentFlows(HashMap<Packet, Instant>);

impl RecentFlows {
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
    /// Whether the kernel said that some were lost, and no number was missing since: it says so
    /// before the reports that were waiting then.
    some_lost: bool,
}

impl Numbers {
    fn lost_before(&mut self, number: u32) -> u32 {
        let expected = std::mem::replace(&mut self.next, number.wrapping_add(1));
        let lost = number.wrapping_sub(expected);
        self.some_lost &= lost == 0;
        lost
    }
}

fn begin(judge: &Judge, packet: Packet) -> Entry {
    let direction = if [LogReason::Inbound, LogReason::Stray].contains(&packet.why) {
        Direction::In
    } else {
        Direction::Out
    };
    let name = judge.names_of(packet.destination.ip()).into_iter().next();
    let mut entry = judge.begin(Subject::new(
        kind(packet.transport),
        direction,
        packet.source,
        packet.destination,
    ));
    entry.subject().name = name
        .filter(|_| direction == Direction::Out)
        .map(|name| name.to_string());
    entry.subject().number = packet.number;
    entry
}

fn kind(transport: Transport) -> Kind {
    match transport {
        Transport::Tcp => Kind::Tcp,
        Transport::Udp => Kind::Udp,
        Transport::Icmp => Kind::Icmp,
        Transport::Other => Kind::Other,
    }
}

fn write(judge: &Judge, packet: Packet) {
    let mut entry = begin(judge, packet);
    match packet.why {
        LogReason::Inbound => {
            entry.allowed(&Grounds::rule("inbound"), None);
            entry.finish(End::untracked());
        }
        LogReason::Spoofed => entry.deny(&Denial::because(format!(
            "{} is not this container's address",
            packet.source.ip()
        ))),
        LogReason::Stray => entry.deny(&Denial::because(
            "the packet belongs to no connection of this container",
        )),
        LogReason::Refused | LogReason::Opening | LogReason::NotHeld | LogReason::Fragment => {
            entry.deny(&denial(judge, packet))
        }
    }
}

/// The policy's own words, where it knows the protocol.
fn denial(judge: &Judge, packet: Packet) -> Denial {
    let protocol = match packet.transport {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
        Transport::Icmp => return Denial::because("ICMP can't be allowed"),
        Transport::Other => return Denial::because("only TCP and UDP can be allowed"),
    };
    let names = judge.names_of(packet.destination.ip());
    let attempt = Attempt {
        protocol,
        name: names.first(),
        destination: packet.destination,
        method: None,
        path: None,
    };
    match judge.decide(&attempt) {
        Err(denial) => denial,
        // The ruleset refuses only ports that no rule names, so this is a packet that isn't what it
        // seems (no ports).
        Ok(_) => Denial::because("the packet doesn't open a connection"),
    }
}

/// Packets were refused faster than they could be read: that many are recorded as a count.
fn overrun(judge: &Judge, lost: u32) {
    if lost == 0 {
        return;
    }
    let nowhere = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
    let entry = judge.begin(Subject::new(Kind::Other, Direction::Out, nowhere, nowhere));
    entry.deny_many(
        &Denial::because(
            "packets came too fast to be recorded one by one: refused, opening a connection, or fragments",
        ),
        Some(lost.into()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_the_numbers_tells_how_many_were_lost() {
        let mut numbers = Numbers::default();
        let lost: Vec<u32> = [0, 1, 5, u32::MAX, 0, 2]
            .into_iter()
            .map(|number| numbers.lost_before(number))
            .collect();
        assert_eq!(lost, [0, 0, 3, u32::MAX - 6, 0, 1]);
    }

    #[test]
    fn what_is_lost_last_is_not_forgotten_for_what_was_waiting_before_it() {
        let mut numbers = Numbers {
            next: 7,
            some_lost: true,
        };
        assert_eq!((numbers.lost_before(7), numbers.some_lost), (0, true));
        assert_eq!((numbers.lost_before(9), numbers.some_lost), (1, false));
    }
}
