//! Captures as bytes: what is in a packet, and whether a filtered container's uplink may carry it.
//!
//! tcpdump's text shows what it understood. Here nothing depends on that: every byte of every
//! packet is looked at, and what is not of a form that is expected counts as a leak.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use test_support::hosts::{ALLOWED, RESOLVER, WILD};

use crate::old_tls;
use crate::row::APPROVED;

/// So many bytes of a secret in a row have got out: not the whole of it, since errors quote what
/// they complain of in part.
const TELLING: usize = 8;

/// A capture file's header and each packet's (pcap-savefile(5)).
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

/// Where in a capture file the packets end that are whole: tcpdump may be about to write one.
pub(crate) fn length(file: &Path) -> usize {
    let bytes = std::fs::read(file).unwrap_or_default();
    walk(&bytes, FILE_HEADER)
        .map(|(_, end)| end)
        .last()
        .unwrap_or(FILE_HEADER)
}

/// The packets behind a place of a capture file.
pub(crate) fn packets(file: &Path, from: usize) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(file).unwrap_or_default();
    walk(&bytes, from.max(FILE_HEADER))
        .map(|(packet, _)| packet.to_vec())
        .collect()
}

/// Each packet, and where it ends.
fn walk(bytes: &[u8], from: usize) -> impl Iterator<Item = (&[u8], usize)> {
    let mut at = from;
    std::iter::from_fn(move || {
        let length = bytes.get(at + 8..at + 12)?.try_into().unwrap();
        let start = at + PACKET_HEADER;
        at = start + usize::try_from(u32::from_ne_bytes(length)).unwrap();
        Some((bytes.get(start..at)?, at))
    })
}

/// Whether bytes hold a part of a secret of letters and digits, in either case: names have none.
pub(crate) fn tells(bytes: &[u8], secret: &str) -> bool {
    let parts: BTreeSet<Vec<u8>> = secret
        .to_ascii_lowercase()
        .as_bytes()
        .windows(TELLING)
        .map(<[u8]>::to_vec)
        .collect();
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + TELLING) {
        // Captures are large: where no letter or digit is, no window that holds that place can be a
        // part.
        match window
            .iter()
            .rposition(|byte| !byte.is_ascii_alphanumeric())
        {
            Some(other) => at += other + 1,
            None if parts.contains(&window.to_ascii_lowercase()) => return true,
            None => at += 1,
        }
    }
    false
}

/// Whose uplink it is.
#[derive(Debug, Clone)]
pub(crate) struct Uplink {
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Option<Ipv6Addr>,
    /// Its neighbours that it may look for.
    pub(crate) routers: Vec<IpAddr>,
}

impl Uplink {
    /// Whether a frame is one that the red team's policy lets out, or that a link needs.
    pub(crate) fn permits(&self, frame: &[u8]) -> bool {
        let payload = frame.get(14..).unwrap_or_default();
        match frame.get(12..14) {
            Some([0x08, 0x06]) => self.permits_arp(payload),
            Some([0x08, 0x00]) => self.permits_v4(payload),
            Some([0x86, 0xdd]) => self.permits_v6(payload),
            _ => false,
        }
    }

    /// Questions of our own about the router, and answers about ourselves.
    fn permits_arp(&self, message: &[u8]) -> bool {
        let address = |at: usize| -> Option<Ipv4Addr> {
            Some(Ipv4Addr::from(
                <[u8; 4]>::try_from(message.get(at..at + 4)?).ok()?,
            ))
        };
        let target = address(24);
        let asks = message.get(7) == Some(&1)
            && target.is_some_and(|target| self.may_look_for(target.into()));
        let answers = message.get(7) == Some(&2);
        message.len() <= 46 && address(14) == Some(self.v4) && (asks || answers)
    }

    fn may_look_for(&self, target: IpAddr) -> bool {
        self.routers.contains(&target)
            || target == IpAddr::V4(self.v4)
            || Some(target) == self.v6.map(IpAddr::V6)
    }

    fn permits_v4(&self, packet: &[u8]) -> bool {
        let Some(header) = packet.get(..20) else {
            return false;
        };
        let address =
            |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
        let whole = u16::from_be_bytes([header[6], header[7]]) & 0x3fff == 0;
        let payload = packet
            .get(usize::from(header[0] & 15) * 4..)
            .unwrap_or_default();
        header[0] == 0x45
            && whole
            && address(12) == self.v4
            && permits_payload(header[9], address(16).into(), payload, self.v4.into())
    }

    fn permits_v6(&self, packet: &[u8]) -> bool {
        let (Some(header), Some(payload)) = (packet.get(..40), packet.get(40..)) else {
            return false;
        };
        let address =
            |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&header[at..at + 16]).unwrap());
        let (source, destination) = (address(8), address(24));
        match header[6] {
            58 => self.permits_icmpv6(destination, header[7], payload),
            // A multicast listener's report stands behind a router alert.
            0 => {
                payload.get(8) == Some(&143)
                    && destination == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16)
            }
            next => {
                Some(source) == self.v6
                    && permits_payload(next, destination.into(), payload, source.into())
            }
        }
    }

    /// Finding neighbours, and being found.
    fn permits_icmpv6(&self, destination: Ipv6Addr, hops: u8, message: &[u8]) -> bool {
        let target = message
            .get(8..24)
            .map(|target| Ipv6Addr::from(<[u8; 16]>::try_from(target).unwrap()));
        let near = destination.is_multicast()
            || destination.is_unicast_link_local()
            || self.routers.contains(&destination.into())
            // Neighbours of the red team's bed ask about the container, and are answered.
            || destination.is_unique_local();
        match message.first() {
            Some(133) => hops == 255 && message.len() <= 16,
            Some(135) => {
                let known = target.is_some_and(|target| {
                    target.is_unicast_link_local() || self.may_look_for(target.into())
                });
                hops == 255 && near && known && message.len() <= 40
            }
            Some(136) => hops == 255 && near && message.len() <= 32,
            _ => false,
        }
    }
}

/// Questions about allowed names to the resolver, and web ports of allowed hosts.
fn permits_payload(protocol: u8, destination: IpAddr, payload: &[u8], source: IpAddr) -> bool {
    let Some(port) = payload
        .get(2..4)
        .map(|port| u16::from_be_bytes([port[0], port[1]]))
    else {
        return false;
    };
    let is = |host: &test_support::hosts::Host| destination == host.v4 || destination == host.v6;
    match (protocol, port) {
        (17, 53) => is(&RESOLVER) && payload.get(8..).is_some_and(asks_allowed),
        // Over TCP only when an answer was cut: the little internet never cuts any.
        (6, 80 | 443) => is(&ALLOWED) || is(&WILD),
        // Open whatever is said: what is denied there, is told by the secret.
        (6, 5432 | 8080 | old_tls::PORT) | (17, 9999) => is(&WILD),
        (1, _) => complains_of_what_came(payload, source),
        _ => false,
    }
}

/// Port unreachable, quoting a datagram that came from outside: the one by which the capture's
/// place was found (`Bed::port_of`, to port 9), or an answer of the resolver's about an allowed
/// name, which came too late.
fn complains_of_what_came(message: &[u8], source: IpAddr) -> bool {
    let (Some(kind), Some(quoted)) = (message.get(..2), message.get(8..)) else {
        return false;
    };
    let address = |at: usize| {
        quoted
            .get(at..at + 4)
            .map(|four| IpAddr::from(<[u8; 4]>::try_from(four).unwrap()))
    };
    let is_poke = quoted.get(22..24) == Some(&[0, 9]);
    let is_late = address(12) == Some(RESOLVER.v4.into())
        && quoted.get(20..22) == Some(&[0, 53])
        && quoted
            .get(28..)
            .and_then(asked)
            .is_some_and(|(name, _)| is_allowed(&name));
    kind == [3, 3]
        && quoted.get(9) == Some(&17)
        && address(16) == Some(source)
        && (is_poke || is_late)
}

/// One question about one of the policy's names, and nothing behind it but EDNS.
fn asks_allowed(message: &[u8]) -> bool {
    // The root's label, type, class; EDNS' pseudo record has eleven bytes.
    asked(message).is_some_and(|(name, rest)| is_allowed(&name) && rest.len() <= 5 + 11)
}

fn is_allowed(name: &str) -> bool {
    let below = [".wild.test.", ".rebind.test.", ".late.test."]
        .iter()
        .any(|suffix| name.ends_with(suffix));
    // The last one is approved in some rows; it says nothing of a secret in any.
    below || name == "allowed.test." || name.strip_suffix('.') == Some(APPROVED)
}

/// The name that a message asks for, and what stands behind it.
fn asked(message: &[u8]) -> Option<(String, &[u8])> {
    let mut name = String::new();
    let mut rest = message.get(12..)?;
    while let Some((&length, tail)) = rest.split_first().filter(|(length, _)| **length > 0) {
        name.push_str(
            &String::from_utf8_lossy(tail.get(..usize::from(length))?).to_ascii_lowercase(),
        );
        name.push('.');
        rest = tail.get(usize::from(length)..)?;
    }
    Some((name, rest))
}
