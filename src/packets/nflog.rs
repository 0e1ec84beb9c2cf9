//! What the kernel reports of packets that it refused or let in by itself: nfnetlink_log messages,
//! read into the facts that a record needs. Pure; the packets in them are the container's, and
//! nothing in them is believed.
//!
//! The messages are read here, since netlink-packet-netfilter takes seven times as long, makes the
//! program 100 KB larger, drops a whole message for one attribute that it can't read, and accepts
//! attributes whose type has flags. The packets' headers are `ip`'s.

use std::net::SocketAddr;

use etherparse::IpNumber;

use super::fragment::Fragment;
use super::nfnetlink::{
    Attributes, HEADER, NFPROTO_UNSPEC, NLM_F_ACK, NLM_F_REQUEST, NfMessage, kind,
};
use super::{agreed, ip};
use crate::sys::netlink::{attributes, raw_messages};

/// `NFNL_SUBSYS_ULOG` (linux/netfilter/nfnetlink.h): our messages' subsystem.
const NFNL_SUBSYS_ULOG: u8 = 4;
/// Types of messages (`enum nfulnl_msg_types`, linux/netfilter/nfnetlink_log.h, as all that follow).
const NFULNL_MSG_PACKET: u8 = 0;
const NFULNL_MSG_CONFIG: u8 = 1;
/// Attributes of a packet (`enum nfulnl_attr_type`).
const NFULA_PAYLOAD: u16 = 9;
const NFULA_PREFIX: u16 = 10;
const NFULA_SEQ: u16 = 12;

/// Why the kernel tells us about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogReason {
    /// No rule lets it out.
    Refused,
    /// Its source address is not the container's.
    Spoofed,
    /// It opens a connection from outside, and was let in.
    Inbound,
    /// TCP for the proxy, which will hear of it only if a connection comes about.
    Opening,
    /// A SYN for the proxy, which is kept back until it is known what the far end says.
    Held,
    /// A SYN that wasn't kept back, since too many were.
    NotHeld,
    /// From outside, and of no connection.
    Stray,
    /// A part of a packet, before the kernel puts it together.
    Fragment,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6.
    Icmp,
    /// Something else.
    Other,
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Why we are told.
    pub why: LogReason,
    /// What it carries.
    pub transport: Transport,
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
        let number = self.number.filter(|_| self.transport == Transport::Other);
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
pub struct Report<'a> {
    /// Counts up by one, also for reports that were lost on the way to us.
    pub number: u32,
    /// The packet.
    pub packet: Packet,
    /// Which part of a larger one it is.
    pub fragment: Option<Fragment>,
    /// As much of it as was logged.
    pub logged: &'a [u8],
}

/// What makes the kernel send the packets of a group: a binding, then a copy mode that keeps `bytes`
/// of each packet, then numbers on all of them. Three messages, three acknowledgements.
#[must_use]
pub fn subscription(group: u16, bytes: u32) -> (Vec<u8>, usize) {
    // Attributes of a configuration (`enum nfulnl_attr_config`) and their values.
    const NFULA_CFG_CMD: u16 = 1;
    const NFULNL_CFG_CMD_BIND: u8 = 1;
    const NFULA_CFG_MODE: u16 = 2;
    const NFULNL_COPY_PACKET: u8 = 2;
    const NFULA_CFG_FLAGS: u16 = 6;
    const NFULNL_CFG_F_SEQ: u16 = 1;
    // `struct nfulnl_msg_config_mode`: range, mode, a byte of padding.
    let mut mode = bytes.to_be_bytes().to_vec();
    mode.extend([NFULNL_COPY_PACKET, 0]);
    let messages = [
        configuration(group, NFULA_CFG_CMD, &[NFULNL_CFG_CMD_BIND]),
        configuration(group, NFULA_CFG_MODE, &mode),
        configuration(group, NFULA_CFG_FLAGS, &NFULNL_CFG_F_SEQ.to_be_bytes()),
    ];
    (messages.concat(), messages.len())
}

/// One `NFULNL_MSG_CONFIG` with one attribute.
fn configuration(group: u16, attribute: u16, value: &[u8]) -> Vec<u8> {
    let mut attributes = Attributes::default();
    attributes.raw(attribute, value);
    let message = NfMessage {
        subsystem: NFNL_SUBSYS_ULOG,
        kind: NFULNL_MSG_CONFIG,
        flags: NLM_F_REQUEST | NLM_F_ACK,
        sequence: 0,
        family: NFPROTO_UNSPEC,
        resource: group,
    };
    message.bytes(&attributes)
}

/// The reports in one datagram of messages.
pub fn reports(datagram: &[u8]) -> impl Iterator<Item = Report<'_>> {
    const KIND: u16 = kind(NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET);
    raw_messages(datagram)
        .filter(|message| message.kind == KIND)
        .filter_map(|message| report(message.payload.get(HEADER..)?))
}

/// Reads the attributes of one message.
fn report(bytes: &[u8]) -> Option<Report<'_>> {
    let (mut number, mut why, mut payload) = (None, None, None);
    for (kind, value) in attributes(bytes) {
        match kind {
            NFULA_PAYLOAD => payload = Some(value),
            NFULA_PREFIX => why = reason(value),
            NFULA_SEQ => number = value.try_into().ok().map(u32::from_be_bytes),
            _ => {}
        }
    }
    let logged = payload?;
    let head = ip::read(logged)?;
    let packet = packet(why?, &head);
    let packet = match head.fragment {
        Some(fragment) if !fragment.is_first() => packet.without_ports(),
        _ => packet,
    };
    Some(Report {
        number: number?,
        packet,
        fragment: head.fragment,
        logged,
    })
}

fn reason(prefix: &[u8]) -> Option<LogReason> {
    let word = std::str::from_utf8(prefix).ok()?.trim_end_matches('\0');
    match word {
        agreed::REFUSED => Some(LogReason::Refused),
        agreed::SPOOFED => Some(LogReason::Spoofed),
        agreed::ARRIVED => Some(LogReason::Inbound),
        agreed::OPENING => Some(LogReason::Opening),
        agreed::HELD => Some(LogReason::Held),
        agreed::NOT_HELD => Some(LogReason::NotHeld),
        agreed::STRAY => Some(LogReason::Stray),
        agreed::FRAGMENT => Some(LogReason::Fragment),
        _ => None,
    }
}

fn packet(why: LogReason, head: &ip::IpHeaders<'_>) -> Packet {
    let port = |offset: usize| {
        let bytes = head.payload.get(offset..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u16::from_be_bytes(*bytes))
    };
    let (transport, from, to, number) = match head.protocol {
        IpNumber::TCP => (Transport::Tcp, port(0), port(2), None),
        IpNumber::UDP => (Transport::Udp, port(0), port(2), None),
        IpNumber::ICMP | IpNumber::IPV6_ICMP => {
            (Transport::Icmp, 0, 0, head.payload.first().copied())
        }
        IpNumber(other) => (Transport::Other, 0, 0, Some(other)),
    };
    Packet {
        why,
        transport,
        source: SocketAddr::new(head.source, from),
        destination: SocketAddr::new(head.destination, to),
        number,
    }
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
    fn a_subscription_is_what_the_kernel_expects() {
        let message = |attribute: &[u8]| {
            let mut bytes = u32::try_from(20 + attribute.len())
                .unwrap()
                .to_ne_bytes()
                .to_vec();
            bytes.extend(0x0401_u16.to_ne_bytes());
            bytes.extend(5_u16.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend([0, 1]);
            bytes.extend(attribute);
            bytes
        };
        let expected = [
            message(&attribute(1, &[1])),
            message(&attribute(2, &[0, 0, 0, 128, 2, 0])),
            message(&attribute(6, &[0, 1])),
        ];
        assert_eq!(subscription(1, 128), (expected.concat(), 3));
    }

    #[test]
    fn a_refused_datagram_is_told_by_its_addresses_and_ports() {
        let found: Vec<_> = packets(&told("refused", &udp_v4())).collect();
        let packet = Packet {
            why: LogReason::Refused,
            transport: Transport::Udp,
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
                .map(|packet| (packet.transport, packet.destination.port())),
            Some((Transport::Tcp, 22))
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
        let message = told("fragment", &packet);
        let report = reports(&message).next().unwrap();
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
        assert_eq!(why, [LogReason::Refused, LogReason::Inbound]);
    }

    #[test]
    fn what_was_logged_is_told_as_it_is() {
        let message = told("held", &udp_v4());
        let report = reports(&message).next().unwrap();
        assert_eq!(
            (report.packet.why, report.logged),
            (LogReason::Held, &udp_v4()[..])
        );
    }

    proptest! {
        #[test]
        fn no_report_panics(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = packets(&told("spoofed", &packet)).count();
            let _ = packets(&packet).count();
        }
    }
}
