//! What the kernel tells about packets that it refused or let in by itself: nfnetlink_log messages,
//! read into the facts that a record needs. Pure; the bytes are the container's own packets and are
//! believed in nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::audit::Kind;
use crate::gateway::fragment::Fragment;
use crate::gateway::ruleset;

/// Why the kernel tells us about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// No rule lets it out.
    Refused,
    /// Its source address is not the container's.
    Spoofed,
    /// It opens a connection from outside, and was let in.
    Inbound,
    /// TCP for the proxy, which will hear of it only if a connection comes about.
    Opening,
    /// From outside, and of no connection.
    Stray,
    /// A part of a packet, before the kernel puts it together.
    Fragment,
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Why we are told.
    pub why: Why,
    /// What it carries.
    pub kind: Kind,
    /// From; port 0 where the protocol has none.
    pub source: SocketAddr,
    /// To.
    pub destination: SocketAddr,
    /// ICMP's type, or the number of a protocol that is neither that nor TCP nor UDP.
    pub number: Option<u8>,
}

impl Packet {
    /// The same, where what stands behind the header is the middle of a message.
    fn without_ports(self) -> Self {
        let portless = |address: SocketAddr| SocketAddr::new(address.ip(), 0);
        let number = self.number.filter(|_| self.kind == Kind::Other);
        Self {
            source: portless(self.source),
            destination: portless(self.destination),
            number,
            ..self
        }
    }
}

/// What the kernel tells about one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Counts up by one, also for reports that were lost on the way to us.
    pub number: u32,
    /// The packet.
    pub packet: Packet,
    /// Which part of a larger one it is.
    pub fragment: Option<Fragment>,
}

/// What makes the kernel send the packets of a group: `NFULNL_MSG_CONFIG` with
/// `NFULNL_CFG_CMD_BIND`, then a copy mode that keeps `bytes` of each packet, then numbers on all
/// of them. Three messages, three acknowledgements.
#[must_use]
pub fn subscription(group: u16, bytes: u32) -> (Vec<u8>, usize) {
    const NFULA_CFG_CMD: u16 = 1;
    const NFULA_CFG_MODE: u16 = 2;
    const NFULA_CFG_FLAGS: u16 = 6;
    const NFULNL_CFG_F_SEQ: u16 = 1;
    const BIND: u8 = 1;
    const COPY_PACKET: u8 = 2;
    let mut mode = bytes.to_be_bytes().to_vec();
    mode.extend([COPY_PACKET, 0]);
    let mut message = configuration(group, NFULA_CFG_CMD, &[BIND]);
    message.extend(configuration(group, NFULA_CFG_MODE, &mode));
    message.extend(configuration(
        group,
        NFULA_CFG_FLAGS,
        &NFULNL_CFG_F_SEQ.to_be_bytes(),
    ));
    (message, 3)
}

/// One `NFULNL_MSG_CONFIG` (linux/netfilter/nfnetlink_log.h) with one attribute.
fn configuration(group: u16, attribute: u16, value: &[u8]) -> Vec<u8> {
    const NFNL_SUBSYS_ULOG_CONFIG: u16 = (4 << 8) | 1;
    const REQUEST_AND_ACK: u16 = 0x5;
    let padded = value.len().next_multiple_of(4);
    let length = u32::try_from(24 + padded).unwrap_or_default();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(NFNL_SUBSYS_ULOG_CONFIG.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0, 0]);
    message.extend(group.to_be_bytes());
    message.extend(
        u16::try_from(4 + value.len())
            .unwrap_or_default()
            .to_ne_bytes(),
    );
    message.extend(attribute.to_ne_bytes());
    message.extend(value);
    message.resize(24 + padded, 0);
    message
}

/// The reports in one datagram of messages.
pub fn reports(datagram: &[u8]) -> impl Iterator<Item = Report> + '_ {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        loop {
            let length = u32::from_ne_bytes(rest.get(..4)?.try_into().ok()?) as usize;
            let message = rest.get(..length.max(16))?;
            rest = rest
                .get(length.max(16).next_multiple_of(4)..)
                .unwrap_or_default();
            if let Some(report) = report(message) {
                return Some(report);
            }
        }
    })
}

/// One message: `nlmsghdr`, `nfgenmsg`, attributes.
fn report(message: &[u8]) -> Option<Report> {
    const NFULNL_MSG_PACKET: [u8; 2] = (4_u16 << 8).to_ne_bytes();
    const NFULA_PAYLOAD: u16 = 9;
    const NFULA_PREFIX: u16 = 10;
    const NFULA_SEQ: u16 = 12;
    if message.get(4..6)? != NFULNL_MSG_PACKET {
        return None;
    }
    let (mut number, mut why, mut payload) = (None, None, None);
    let mut rest = message.get(20..)?;
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length).max(4);
        let value = rest.get(4..length)?;
        match kind {
            NFULA_PAYLOAD => payload = Some(value),
            NFULA_PREFIX => why = reason(value),
            NFULA_SEQ => number = value.try_into().ok().map(u32::from_be_bytes),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let payload = payload?;
    let (packet, fragment) = (packet(why?, payload)?, Fragment::read(payload));
    let packet = if fragment.is_some_and(|fragment| !fragment.is_first()) {
        packet.without_ports()
    } else {
        packet
    };
    Some(Report {
        number: number?,
        packet,
        fragment,
    })
}

fn reason(prefix: &[u8]) -> Option<Why> {
    let word = std::str::from_utf8(prefix).ok()?.trim_end_matches('\0');
    match word {
        ruleset::REFUSED => Some(Why::Refused),
        ruleset::SPOOFED => Some(Why::Spoofed),
        ruleset::ARRIVED => Some(Why::Inbound),
        ruleset::OPENING => Some(Why::Opening),
        ruleset::STRAY => Some(Why::Stray),
        ruleset::FRAGMENT => Some(Why::Fragment),
        _ => None,
    }
}

/// Reads the head of an IP packet.
fn packet(why: Why, packet: &[u8]) -> Option<Packet> {
    let (protocol, source, destination, rest) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet.first()? & 0x0f) * 4;
            let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            let (source, destination) = (Ipv4Addr::from(source), Ipv4Addr::from(destination));
            (
                *packet.get(9)?,
                IpAddr::V4(source),
                IpAddr::V4(destination),
                packet.get(header..).unwrap_or_default(),
            )
        }
        6 => {
            let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            let destination: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            let (protocol, rest) =
                beyond_extensions(*packet.get(6)?, packet.get(40..).unwrap_or_default());
            let (source, destination) = (Ipv6Addr::from(source), Ipv6Addr::from(destination));
            (protocol, IpAddr::V6(source), IpAddr::V6(destination), rest)
        }
        _ => return None,
    };
    let port = |offset: usize| {
        rest.get(offset..offset + 2).map_or(0, |bytes| {
            bytes
                .iter()
                .fold(0, |all, byte| all << 8 | u16::from(*byte))
        })
    };
    let (kind, from, to, number) = match protocol {
        6 => (Kind::Tcp, port(0), port(2), None),
        17 => (Kind::Udp, port(0), port(2), None),
        1 | 58 => (Kind::Icmp, 0, 0, rest.first().copied()),
        other => (Kind::Other, 0, 0, Some(other)),
    };
    let (source, destination) = (
        SocketAddr::new(source, from),
        SocketAddr::new(destination, to),
    );
    Some(Packet {
        why,
        kind,
        source,
        destination,
        number,
    })
}

/// Walks IPv6 extension headers (RFC 8200, 4.1), at most eight, to the transport protocol.
fn beyond_extensions(mut protocol: u8, mut rest: &[u8]) -> (u8, &[u8]) {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    for _ in 0..8 {
        let length = match (protocol, rest.get(1)) {
            (HOP_BY_HOP | ROUTING | DESTINATION, Some(units)) => (usize::from(*units) + 1) * 8,
            (FRAGMENT, Some(_)) => 8,
            _ => break,
        };
        protocol = rest.first().copied().unwrap_or_default();
        rest = rest.get(length..).unwrap_or_default();
    }
    (protocol, rest)
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(
        bytes.get(offset..offset + 2)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(4 + value.len())
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn told(prefix: &str, packet: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 0, 0, 1];
        body.extend(attribute(10, format!("{prefix}\0").as_bytes()));
        body.extend(attribute(12, &7_u32.to_be_bytes()));
        body.extend(attribute(9, packet));
        let mut message = u32::try_from(16 + body.len())
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        message.extend((4_u16 << 8).to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message
    }

    fn packets(datagram: &[u8]) -> impl Iterator<Item = Packet> + '_ {
        reports(datagram).map(|report| report.packet)
    }

    fn udp_v4() -> Vec<u8> {
        let mut packet = vec![
            0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 172, 17, 0, 2, 198, 51, 100, 7,
        ];
        packet.extend([0x9c, 0x40, 0x27, 0x0f, 0, 8, 0, 0]);
        packet
    }

    #[test]
    fn a_refused_datagram_is_told_by_its_addresses_and_ports() {
        let found: Vec<_> = packets(&told("refused", &udp_v4())).collect();
        let packet = Packet {
            why: Why::Refused,
            kind: Kind::Udp,
            source: "172.17.0.2:40000".parse().unwrap(),
            destination: "198.51.100.7:9999".parse().unwrap(),
            number: None,
        };
        assert_eq!(found, [packet]);
    }

    #[test]
    fn reports_are_numbered() {
        let numbers: Vec<_> = reports(&told("refused", &udp_v4()))
            .map(|report| report.number)
            .collect();
        assert_eq!(numbers, [7]);
    }

    #[test]
    fn extension_headers_hide_no_port() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 24, 0, 64];
        packet.extend([0xfd; 16]);
        packet.extend([0x20; 16]);
        packet.extend([60, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend([6, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend([0, 99, 0, 22, 0, 0, 0, 0]);
        let found: Vec<_> = packets(&told("refused", &packet)).collect();
        assert_eq!(
            found
                .first()
                .map(|packet| (packet.kind, packet.destination.port())),
            Some((Kind::Tcp, 22))
        );
    }

    #[test]
    fn other_protocols_have_their_number_and_icmp_its_type() {
        for (protocol, number) in [(2, 2), (47, 47), (1, 0x9c)] {
            let mut packet = udp_v4();
            packet[9] = protocol;
            assert_eq!(
                packets(&told("refused", &packet)).next().unwrap().number,
                Some(number)
            );
        }
    }

    #[test]
    fn the_middle_of_a_message_has_no_ports() {
        let mut packet = udp_v4();
        packet[7] = 1;
        let report = reports(&told("fragment", &packet)).next().unwrap();
        assert!(report.fragment.is_some());
        assert_eq!(
            (
                report.packet.source.port(),
                report.packet.destination.port()
            ),
            (0, 0)
        );
    }

    #[test]
    fn a_word_that_is_not_ours_is_no_report() {
        assert_eq!(packets(&told("else", &udp_v4())).count(), 0);
    }

    #[test]
    fn several_reports_come_in_one_datagram() {
        let mut both = told("refused", &udp_v4());
        both.resize(both.len().next_multiple_of(4), 0);
        both.extend(told("inbound", &udp_v4()));
        let why: Vec<_> = packets(&both).map(|packet| packet.why).collect();
        assert_eq!(why, [Why::Refused, Why::Inbound]);
    }

    proptest! {
        #[test]
        fn no_report_panics(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = packets(&told("spoofed", &packet)).count();
            let _ = packets(&packet).count();
        }
    }
}
