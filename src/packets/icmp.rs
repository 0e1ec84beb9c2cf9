//! ICMP and ICMPv6: the error about a datagram that the proxy (not the kernel) refused, as a raw
//! ICMP socket sends it, and the checksums of both. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::checksum::Sum16BitWords;
use etherparse::{IpNumber, Ipv4Header, Ipv6Header, UdpHeader};

/// Type and code of "destination unreachable, administratively prohibited" (RFC 1812, 5.2.7.1).
const PROHIBITED: [u8; 2] = [3, 13];
/// The same for ICMPv6 (RFC 4443, 3.1).
const PROHIBITED_V6: [u8; 2] = [1, 1];
/// The hop limit in the quoted header; anything will do.
const HOP_LIMIT: u8 = 64;

/// "Destination unreachable, administratively prohibited" about a datagram of `length` bytes. The
/// kernel fills in ICMPv6's checksum.
#[must_use]
pub fn prohibited(source: SocketAddr, destination: SocketAddr, length: usize) -> Vec<u8> {
    let udp = UdpHeader {
        source_port: source.port(),
        destination_port: destination.port(),
        length: u16::try_from(length.saturating_add(UdpHeader::LEN)).unwrap_or(u16::MAX),
        checksum: 0,
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut message = error(PROHIBITED, &quoted_v4(from, to, &udp), &udp);
            let sum = checksum(&message);
            message.splice(2..4, sum.to_be_bytes());
            message
        }
        (from, to) => error(
            PROHIBITED_V6,
            &quoted_v6(sixteen(from), sixteen(to), &udp),
            &udp,
        ),
    }
}

/// An error without its checksum: type and code, checksum, four unused bytes, the headers of what
/// it is about.
fn error(kind: [u8; 2], ip: &[u8], udp: &UdpHeader) -> Vec<u8> {
    [kind.as_slice(), &[0; 6], ip, &udp.to_bytes()].concat()
}

fn quoted_v4(from: Ipv4Addr, to: Ipv4Addr, udp: &UdpHeader) -> Vec<u8> {
    const LENGTH: u16 = 20;
    let header = Ipv4Header {
        total_len: udp.length.saturating_add(LENGTH),
        dont_fragment: false,
        time_to_live: HOP_LIMIT,
        protocol: IpNumber::UDP,
        source: from.octets(),
        destination: to.octets(),
        ..Ipv4Header::default()
    };
    header.to_bytes().to_vec()
}

fn quoted_v6(from: Ipv6Addr, to: Ipv6Addr, udp: &UdpHeader) -> [u8; Ipv6Header::LEN] {
    let header = Ipv6Header {
        payload_length: udp.length,
        next_header: IpNumber::UDP,
        hop_limit: HOP_LIMIT,
        source: from.octets(),
        destination: to.octets(),
        ..Ipv6Header::default()
    };
    header.to_bytes()
}

fn sixteen(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// ICMP's checksum (RFC 1071), and what is left of it where it is in the message already: 0.
pub(super) fn checksum(message: &[u8]) -> u16 {
    let sum = Sum16BitWords::new().add_slice(message);
    sum.ones_complement().to_be()
}

/// ICMPv6's checksum: a pseudo-header is counted, too (RFC 8200, 8.1).
pub(super) fn checksum_v6(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    with_pseudo_header(from.into(), to.into(), IpNumber::IPV6_ICMP, message)
}

/// The checksum of a transport protocol, in which a pseudo-header is counted (RFC 9293, 3.1; RFC
/// 8200, 8.1).
pub(super) fn with_pseudo_header(
    from: IpAddr,
    to: IpAddr,
    protocol: IpNumber,
    message: &[u8],
) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or_default();
    let address = |mut sum: Sum16BitWords, address| match address {
        IpAddr::V4(address) => sum.add_4bytes(Ipv4Addr::octets(&address)),
        IpAddr::V6(address) => sum.add_16bytes(Ipv6Addr::octets(&address)),
    };
    let sum = address(address(Sum16BitWords::new(), from), to)
        .add_4bytes(length.to_be_bytes())
        .add_2bytes([0, protocol.0])
        .add_slice(message);
    sum.ones_complement().to_be()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_quotes_the_datagram_it_is_about() {
        let message = prohibited(
            "172.17.0.2:40000".parse().unwrap(),
            "198.51.100.7:443".parse().unwrap(),
            5,
        );
        let (head, quoted) = message.split_at(8);
        assert_eq!(head, [3, 13, 3, 105, 0, 0, 0, 0]);
        assert_eq!(checksum(&message), 0, "a right checksum adds up to nothing");
        assert_eq!(
            quoted,
            [
                0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 172, 17, 0, 2, 198, 51, 100, 7, 0x9c,
                0x40, 1, 0xbb, 0, 13, 0, 0
            ]
        );
    }

    /// RFC 1071, 4.1: an odd byte is the higher one of its pair.
    #[test]
    fn an_odd_byte_is_padded_behind_it() {
        assert_eq!(checksum(&[1, 2, 3]), checksum(&[1, 2, 3, 0]));
    }

    #[test]
    fn an_ipv6_error_is_an_icmpv6_one() {
        let message = prohibited(
            "[fd30::2]:40000".parse().unwrap(),
            "[2001:db8::7]:443".parse().unwrap(),
            5,
        );
        let mut expected = vec![1, 1, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 0, 13, 17, 64];
        expected.extend("fd30::2".parse::<Ipv6Addr>().unwrap().octets());
        expected.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        expected.extend([0x9c, 0x40, 1, 0xbb, 0, 13, 0, 0]);
        assert_eq!(message, expected);
    }
}
