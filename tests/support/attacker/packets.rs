//! Packets by hand, from the Ethernet header up. Checksums are right: what is wrong in a packet is
//! what its attack is about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// IP protocol numbers (IANA).
pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ICMP: u8 = 1;
pub(crate) const IGMP: u8 = 2;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;

/// TCP's flags.
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// Ethernet types.
const ARP_TYPE: u16 = 0x0806;

/// An IPv4 header's fields that attacks turn.
#[derive(Debug, Clone)]
pub(crate) struct V4 {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) id: u16,
    /// Flags and offset, as they stand in the header.
    pub(crate) fragment: u16,
    pub(crate) ttl: u8,
    /// A multiple of four bytes.
    pub(crate) options: Vec<u8>,
}

/// More fragments follow.
pub(crate) const MORE_FRAGMENTS: u16 = 0x2000;
/// This packet must not be cut.
pub(crate) const DONT_FRAGMENT: u16 = 0x4000;

impl V4 {
    pub(crate) fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> Self {
        Self {
            source,
            destination,
            protocol,
            id: rand::random(),
            fragment: 0,
            ttl: 64,
            options: Vec::new(),
        }
    }

    pub(crate) fn around(&self, payload: &[u8]) -> Vec<u8> {
        let words = 5 + self.options.len() / 4;
        let mut header = vec![0x40 | low(words), 0];
        header.extend(length(words * 4 + payload.len()));
        header.extend(self.id.to_be_bytes());
        header.extend(self.fragment.to_be_bytes());
        header.extend([self.ttl, self.protocol, 0, 0]);
        header.extend(self.source.octets());
        header.extend(self.destination.octets());
        header.extend(&self.options);
        let sum = checksum(&[&header]).to_be_bytes();
        header.splice(10..12, sum);
        header.extend(payload);
        header
    }
}

/// An IPv6 packet; extension headers are part of the payload.
pub(crate) fn v6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next: u8,
    hops: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length(payload.len()));
    packet.extend([next, hops]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// A whole packet of either family with one of TCP's, UDP's or ICMP's messages in it.
pub(crate) fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            V4::new(source, destination, protocol).around(payload)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            v6(source, destination, protocol, 64, payload)
        }
        (source, destination) => unreachable!("{source} and {destination} are of two families"),
    }
}

pub(crate) fn udp(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::from(from.port().to_be_bytes());
    datagram.extend(to.port().to_be_bytes());
    datagram.extend(length(8 + data.len()));
    datagram.extend([0, 0]);
    datagram.extend(data);
    let sum = match transport_checksum(from.ip(), to.ip(), UDP, &datagram) {
        0 => 0xffff,
        sum => sum,
    };
    datagram.splice(6..8, sum.to_be_bytes());
    datagram
}

pub(crate) fn tcp(
    from: SocketAddr,
    to: SocketAddr,
    flags: u8,
    numbers: (u32, u32),
    data: &[u8],
) -> Vec<u8> {
    let mut segment = Vec::from(from.port().to_be_bytes());
    segment.extend(to.port().to_be_bytes());
    segment.extend(numbers.0.to_be_bytes());
    segment.extend(numbers.1.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(data);
    let sum = transport_checksum(from.ip(), to.ip(), TCP, &segment).to_be_bytes();
    segment.splice(16..18, sum);
    segment
}

/// An ICMP message of either family: type, code, the four bytes behind the checksum, and what
/// follows.
pub(crate) fn icmp(ends: (IpAddr, IpAddr), kind: (u8, u8), rest: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut message = vec![kind.0, kind.1, 0, 0];
    message.extend(rest);
    message.extend(data);
    let sum = match ends {
        (IpAddr::V4(_), _) => checksum(&[&message]),
        _ => transport_checksum(ends.0, ends.1, ICMPV6, &message),
    };
    message.splice(2..4, sum.to_be_bytes());
    message
}

/// A neighbour solicitation or advertisement (RFC 4861) about `target`, with a link-layer address.
pub(crate) fn neighbour(
    ends: (Ipv6Addr, Ipv6Addr),
    kind: u8,
    target: Ipv6Addr,
    station: [u8; 6],
    tail: &[u8],
) -> Vec<u8> {
    let mut data = Vec::from(target.octets());
    data.extend([if kind == 135 { 1 } else { 2 }, 1]);
    data.extend(station);
    data.extend(tail);
    let rest = if kind == 136 { [0x60, 0, 0, 0] } else { [0; 4] };
    icmp((ends.0.into(), ends.1.into()), (kind, 0), rest, &data)
}

/// The fragment header of IPv6 (RFC 8200): what follows, offset and the more-flag as they stand in
/// it.
pub(crate) fn v6_fragment(next: u8, offset: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![next, 0];
    packet.extend(offset.to_be_bytes());
    packet.extend(rand::random::<[u8; 4]>());
    packet.extend(payload);
    packet
}

/// A hop-by-hop or destination options header with one option, padded to eights.
pub(crate) fn v6_options(next: u8, option: u8, data: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut header = vec![next, 0, option, low(data.len())];
    header.extend(data);
    while !header.len().is_multiple_of(8) {
        header.push(0);
    }
    header[1] = low(header.len() / 8 - 1);
    header.extend(payload);
    header
}

/// An ARP message: 1 asks, 2 answers.
pub(crate) fn arp(operation: u16, from: ([u8; 6], Ipv4Addr), to: ([u8; 6], Ipv4Addr)) -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4];
    message.extend(operation.to_be_bytes());
    message.extend(from.0);
    message.extend(from.1.octets());
    message.extend(to.0);
    message.extend(to.1.octets());
    message
}

/// An Ethernet frame. Packets tell their type by their first byte; ARP's is 0.
pub(crate) fn frame(from: [u8; 6], to: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let kind = match packet.first().map_or(0, |byte| byte >> 4) {
        4 => 0x0800_u16,
        6 => 0x86dd,
        _ => ARP_TYPE,
    };
    let mut frame = Vec::from(to);
    frame.extend(from);
    frame.extend(kind.to_be_bytes());
    frame.extend(packet);
    frame
}

/// A question for a name's A records, by hand: labels that no library would take are possible.
pub(crate) fn dns_question(id: u16, name: &str) -> Vec<u8> {
    let mut message = Vec::from(id.to_be_bytes());
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(low(label.len()));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// RFC 1071, over several parts of even length but for the last.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 = pairs
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice")
}

pub(crate) fn transport_checksum(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    message: &[u8],
) -> u16 {
    let mut pseudo = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => pseudo.extend(address.octets()),
            IpAddr::V6(address) => pseudo.extend(address.octets()),
        }
    }
    pseudo.extend(length(message.len()));
    pseudo.extend([0, protocol]);
    checksum(&[&pseudo, message])
}

fn length(length: usize) -> [u8; 2] {
    u16::try_from(length)
        .expect("a packet's length")
        .to_be_bytes()
}

fn low(number: usize) -> u8 {
    u8::try_from(number).expect("a small number")
}
