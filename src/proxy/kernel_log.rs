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
use super::reports::Reports;
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
    let mut reader = LogReader {
        judge,
        handshakes,
        held,
        fragments,
        reports: Reports::on(reports),
        seen: RecentFlows::default(),
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
    reports: Reports,
    seen: RecentFlows,
}

impl LogReader {
    /// Takes one datagram of reports.
    fn take(&mut self) -> io::Result<()> {
        let datagram = self.reports.take()?;
        nflog::reports(&datagram).for_each(|report| self.hear(report));
        Ok(())
    }

    fn hear(&mut self, report: Report<'_>) {
        let Report {
            number,
            packet,
            fragment,
            ..
        } = report;
        self.reports.record_lost_before(number, &self.judge);
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
        self.reports.record_lost_last(&self.judge);
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
        LogReason::Refused
        | LogReason::Opening
        | LogReason::Held
        | LogReason::NotHeld
        | LogReason::Fragment => entry.deny(&denial(judge, packet)),
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
