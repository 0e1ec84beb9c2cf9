//! A SYN that the ruleset kept back: what it asks for, and the packets that follow on it. Pure; its
//! bytes are the container's, and nothing in them is believed.
//!
//! It is written anew, since what was logged is not what can be sent: the checksum is partial where
//! the sender leaves it to its device (veth), IPv6's extension headers and IPv4's options have been
//! heeded by then, and data that comes with a SYN (TCP Fast Open, RFC 7413) is the server's to take,
//! not the proxy's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use etherparse::{IpNumber, Ipv4Header, Ipv6Header};

use super::agreed::DUMMY;
use super::icmp::{checksum, checksum_v6, with_pseudo_header};
use super::ip;
use crate::sys::socket::IcmpError;

/// The length of a TCP header without options.
const TCP_HEADER: usize = 20;
/// Where in a TCP header the checksum is.
const TCP_CHECKSUM: Range<usize> = 16..18;
/// The hop limit of what is sent in.
const HOP_LIMIT: u8 = 64;

/// A SYN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSyn {
    /// From.
    pub source: SocketAddr,
    /// To.
    pub destination: SocketAddr,
    /// As much of the packet as was logged.
    packet: Vec<u8>,
    /// Where in it the TCP header is, options included.
    tcp: Range<usize>,
}

impl HeldSyn {
    /// Reads one from a packet, where its whole TCP header is there.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let head = ip::read(packet)?;
        if head.protocol != IpNumber::TCP || head.fragment.is_some() {
            return None;
        }
        let length = usize::from(head.payload.get(12)? >> 4) * 4;
        let tcp = head.payload.get(..length.max(TCP_HEADER))?;
        let port = |at: usize| {
            let bytes = tcp.get(at..)?.first_chunk()?;
            Some(u16::from_be_bytes(*bytes))
        };
        let begins = packet.len() - head.payload.len();
        Some(Self {
            source: SocketAddr::new(head.source, port(0)?),
            destination: SocketAddr::new(head.destination, port(2)?),
            packet: packet.to_vec(),
            tcp: begins..begins + tcp.len(),
        })
    }

    fn tcp(&self) -> &[u8] {
        self.packet.get(self.tcp.clone()).unwrap_or_default()
    }

    /// Its sequence number: a repeated one has the same, and another with the same ends another.
    #[must_use]
    pub fn number(&self) -> u32 {
        let bytes = self.tcp().get(4..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// For tests: a plain one of this number.
    #[cfg(test)]
    pub(crate) fn between(source: SocketAddr, destination: SocketAddr, number: u32) -> Self {
        let mut tcp = vec![0; TCP_HEADER];
        tcp[4..8].copy_from_slice(&number.to_be_bytes());
        tcp[..2].copy_from_slice(&source.port().to_be_bytes());
        tcp[2..4].copy_from_slice(&destination.port().to_be_bytes());
        tcp[12..14].copy_from_slice(&[5 << 4, 2]);
        Self::read(&tcp_packet(source.ip(), destination.ip(), tcp)).unwrap()
    }

    /// The packet that asks for the same connection of the proxy, without data.
    #[must_use]
    pub fn again(&self) -> Vec<u8> {
        let mut tcp = self.tcp().to_vec();
        if let Some(options) = tcp.get_mut(TCP_HEADER..) {
            forget_fast_open(options);
        }
        tcp_packet(self.source.ip(), self.destination.ip(), tcp)
    }

    /// The packet by which whoever is addressed says that nobody listens there (RFC 9293, 3.10.7.1).
    #[must_use]
    pub fn reset(&self) -> Vec<u8> {
        const RST_ACK: u8 = 0x14;
        const LENGTH: u8 = 5 << 4;
        let tcp = [
            &self.destination.port().to_be_bytes()[..],
            &self.source.port().to_be_bytes(),
            &[0; 4],
            &self.number().wrapping_add(1).to_be_bytes(),
            &[LENGTH, RST_ACK],
            &[0; 6],
        ];
        tcp_packet(self.destination.ip(), self.source.ip(), tcp.concat())
    }

    /// The packet that says this error about it, in the name of who said it. None where that is of
    /// the other version of IP, which can't be about it.
    #[must_use]
    pub fn error(&self, error: IcmpError) -> Option<Vec<u8>> {
        let unused = [0; 4];
        let head = [error.kind, error.code, 0, 0];
        let mut message = [&head, &unused, &self.packet[..]].concat();
        match (self.source.ip(), error.from) {
            (IpAddr::V4(to), None | Some(IpAddr::V4(_))) => {
                let from = match error.from {
                    Some(IpAddr::V4(from)) => from,
                    _ => DUMMY,
                };
                let sum = checksum(&message);
                message.splice(2..4, sum.to_be_bytes());
                Some(packet_v4(from, to, IpNumber::ICMP, &message))
            }
            (IpAddr::V6(to), None | Some(IpAddr::V6(_))) => {
                let from = match (error.from, self.destination.ip()) {
                    (Some(IpAddr::V6(from)), _) | (_, IpAddr::V6(from)) => from,
                    (_, IpAddr::V4(_)) => return None,
                };
                let sum = checksum_v6(from, to, &message);
                message.splice(2..4, sum.to_be_bytes());
                Some(packet_v6(from, to, IpNumber::IPV6_ICMP, &message))
            }
            _ => None,
        }
    }
}

/// Writes "no operation" over the options of TCP Fast Open (RFC 7413 4.1.1) and those by which it
/// was tried out (RFC 6994): a cookie would be for the proxy then, which gives none.
fn forget_fast_open(options: &mut [u8]) {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const FAST_OPEN: [u8; 3] = [34, 253, 254];
    let mut at = 0;
    while let Some(&kind) = options.get(at).filter(|kind| **kind != END) {
        let length = match (kind, options.get(at + 1)) {
            (NO_OPERATION, _) => 1,
            (_, Some(&length)) => usize::from(length),
            (_, None) => return,
        };
        match options.get_mut(at..at + length) {
            Some(option) if FAST_OPEN.contains(&kind) && length >= 2 => option.fill(NO_OPERATION),
            Some([_, ..]) => {}
            // The kernel takes the rest for nothing, too.
            Some([]) | None => return,
        }
        at += length;
    }
}

/// A packet with this segment, whose checksum is computed.
fn tcp_packet(from: IpAddr, to: IpAddr, mut segment: Vec<u8>) -> Vec<u8> {
    if let Some(sum) = segment.get_mut(TCP_CHECKSUM) {
        sum.fill(0);
    }
    let sum = with_pseudo_header(from, to, IpNumber::TCP, &segment);
    if let Some(place) = segment.get_mut(TCP_CHECKSUM) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => packet_v4(from, to, IpNumber::TCP, &segment),
        (IpAddr::V6(from), IpAddr::V6(to)) => packet_v6(from, to, IpNumber::TCP, &segment),
        // A packet is of one version.
        _ => Vec::new(),
    }
}

/// The kernel fills in IPv4's identification and checksum (raw(7), `IP_HDRINCL`).
fn packet_v4(from: Ipv4Addr, to: Ipv4Addr, protocol: IpNumber, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4Header {
        total_len: u16::try_from(Ipv4Header::MIN_LEN + payload.len()).unwrap_or(u16::MAX),
        dont_fragment: true,
        time_to_live: HOP_LIMIT,
        protocol,
        source: from.octets(),
        destination: to.octets(),
        ..Ipv4Header::default()
    };
    [&header.to_bytes(), payload].concat()
}

fn packet_v6(from: Ipv6Addr, to: Ipv6Addr, protocol: IpNumber, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Header {
        payload_length: u16::try_from(payload.len()).unwrap_or(u16::MAX),
        next_header: protocol,
        hop_limit: HOP_LIMIT,
        source: from.octets(),
        destination: to.octets(),
        ..Ipv6Header::default()
    };
    [&header.to_bytes()[..], payload].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V4: [&str; 2] = ["172.17.0.2", "198.51.100.7"];
    const V6: [&str; 2] = ["fd30::2", "2001:db8::7"];

    /// A SYN from port 40000 to port 443 with these options, and with data behind it.
    fn packet([from, to]: [&str; 2], options: &[u8]) -> Vec<u8> {
        let mut tcp = vec![0x9c, 0x40, 1, 0xbb, 1, 2, 3, 0xff, 0, 0, 0, 0, 0, 2, 1, 0];
        tcp[12] = u8::try_from((TCP_HEADER + options.len()) / 4 * 16).unwrap();
        tcp.extend([0xde, 0xad, 0, 0]);
        tcp.extend(options);
        tcp.extend(b"data");
        match (from.parse().unwrap(), to.parse().unwrap()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => packet_v4(from, to, IpNumber::TCP, &tcp),
            (IpAddr::V6(from), IpAddr::V6(to)) => packet_v6(from, to, IpNumber::TCP, &tcp),
            _ => unreachable!(),
        }
    }

    fn held(ends: [&str; 2], options: &[u8]) -> HeldSyn {
        HeldSyn::read(&packet(ends, options)).unwrap()
    }

    /// The segment of a packet whose checksum is right.
    fn segment(packet: &[u8]) -> (IpAddr, IpAddr, Vec<u8>) {
        let head = ip::read(packet).unwrap();
        assert_eq!(head.protocol, IpNumber::TCP);
        let sum = with_pseudo_header(head.source, head.destination, IpNumber::TCP, head.payload);
        assert_eq!(sum, 0, "a right checksum adds up to nothing");
        (head.source, head.destination, head.payload.to_vec())
    }

    #[test]
    fn it_is_sent_in_again_without_data_and_with_a_whole_checksum() {
        let mss = [2, 4, 5, 0xb4];
        for ends in [V4, V6] {
            let syn = held(ends, &mss);
            assert_eq!(syn.source, SocketAddr::new(ends[0].parse().unwrap(), 40000));
            assert_eq!(
                syn.destination,
                SocketAddr::new(ends[1].parse().unwrap(), 443)
            );
            let (from, to, tcp) = segment(&syn.again());
            assert_eq!((from, to), (syn.source.ip(), syn.destination.ip()));
            assert_eq!(tcp.len(), TCP_HEADER + mss.len());
            assert_eq!(tcp[..TCP_CHECKSUM.start], syn.tcp()[..TCP_CHECKSUM.start]);
            assert_eq!(tcp[TCP_HEADER..], mss);
        }
    }

    #[test]
    fn fast_open_is_left_out_and_nothing_else() {
        let cookie = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8];
        let tried_out = [254, 4, 0xf9, 0x89];
        let others = [2, 4, 5, 0xb4, 4, 2];
        let options = [&others[..], &cookie, &tried_out].concat();
        let (_, _, tcp) = segment(&held(V4, &options).again());
        assert_eq!(tcp[TCP_HEADER..][..others.len()], others);
        assert_eq!(tcp[TCP_HEADER + others.len()..], [1; 14]);
        for malformed in [[34, 0, 34, 2], [34, 1, 0, 0], [8, 10, 34, 2], [1, 1, 1, 34]] {
            let (_, _, tcp) = segment(&held(V4, &malformed).again());
            assert_eq!(tcp[TCP_HEADER..], malformed);
        }
    }

    #[test]
    fn a_reset_is_the_addressees_and_acknowledges_the_syn() {
        for ends in [V4, V6] {
            let syn = held(ends, &[]);
            let (from, to, tcp) = segment(&syn.reset());
            assert_eq!((from, to), (syn.destination.ip(), syn.source.ip()));
            let expected = [
                1, 0xbb, 0x9c, 0x40, 0, 0, 0, 0, 1, 2, 4, 0, 0x50, 0x14, 0, 0,
            ];
            assert_eq!(tcp[..TCP_CHECKSUM.start], expected);
        }
    }

    #[test]
    fn an_error_quotes_the_packet_in_the_name_of_who_said_it() {
        for (ends, from, kind) in [(V4, "203.0.113.1", 3), (V6, "2001:db8:1::1", 1)] {
            let syn = held(ends, &[]);
            let from: IpAddr = from.parse().unwrap();
            let error = IcmpError {
                kind,
                code: 1,
                from: Some(from),
            };
            let packet = syn.error(error).unwrap();
            let head = ip::read(&packet).unwrap();
            assert_eq!((head.source, head.destination), (from, syn.source.ip()));
            assert_eq!(head.payload[..2], [kind, 1]);
            assert_eq!(head.payload[8..], syn.packet);
            let unsaid = IcmpError {
                from: None,
                ..error
            };
            assert!(syn.error(unsaid).is_some());
        }
        let other = IcmpError {
            kind: 3,
            code: 1,
            from: Some("2001:db8::1".parse().unwrap()),
        };
        assert_eq!(held(V4, &[]).error(other), None);
    }

    #[test]
    fn what_is_no_whole_syn_is_none() {
        let whole = packet(V4, &[2, 4, 5, 0xb4]);
        assert_eq!(HeldSyn::read(&whole[..43]), None);
        assert!(HeldSyn::read(&whole[..44]).is_some());
        let mut udp = whole.clone();
        udp[9] = 17;
        assert_eq!(HeldSyn::read(&udp), None);
        let mut fragment = whole;
        fragment[6] = 0x20;
        assert_eq!(HeldSyn::read(&fragment), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(packet in proptest::collection::vec(any::<u8>(), 0..300), four in any::<bool>()) {
            let mut packet = packet;
            if let Some(first) = packet.first_mut() {
                *first = if four { 0x45 } else { 0x60 };
            }
            if let Some(syn) = HeldSyn::read(&packet) {
                let _ = (syn.again(), syn.reset());
                let _ = syn.error(IcmpError { kind: 3, code: 3, from: None });
            }
        }
    }
}
