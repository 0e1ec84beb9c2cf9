//! The ICMP error for a datagram that the proxy (not the kernel) refused: the packet that a raw
//! ICMP socket sends. Pure.

use std::net::{IpAddr, SocketAddr};

/// «Destination unreachable, administratively prohibited» (RFC 1812, 5.2.7.1; RFC 4443, 3.1) about
/// a datagram of `length` bytes. The kernel fills in ICMPv6's checksum.
#[must_use]
pub fn prohibited(source: SocketAddr, destination: SocketAddr, length: usize) -> Vec<u8> {
    let udp_length = u16::try_from(length.saturating_add(8)).unwrap_or(u16::MAX);
    let mut udp = source.port().to_be_bytes().to_vec();
    udp.extend(destination.port().to_be_bytes());
    udp.extend(udp_length.to_be_bytes());
    udp.extend([0, 0]);
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut message = vec![3, 13, 0, 0, 0, 0, 0, 0, 0x45, 0];
            message.extend(udp_length.saturating_add(20).to_be_bytes());
            message.extend([0, 0, 0, 0, 64, 17, 0, 0]);
            message.extend(from.octets());
            message.extend(to.octets());
            message.extend(udp);
            let sum = checksum(&message);
            message.splice(2..4, sum.to_be_bytes());
            message
        }
        (from, to) => {
            let mut message = vec![1, 1, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0];
            message.extend(udp_length.to_be_bytes());
            message.extend([17, 64]);
            message.extend(sixteen(from));
            message.extend(sixteen(to));
            message.extend(udp);
            message
        }
    }
}

fn sixteen(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The internet checksum (RFC 1071).
fn checksum(message: &[u8]) -> u16 {
    let mut sum: u32 = message
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
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
        assert_eq!(message.get(..2), Some([3, 13].as_slice()));
        assert_eq!(checksum(&message), 0, "a right checksum adds up to nothing");
        assert_eq!(
            message.get(8 + 12..8 + 20),
            Some([172, 17, 0, 2, 198, 51, 100, 7].as_slice())
        );
        assert_eq!(
            message.get(28..34),
            Some([0x9c, 0x40, 1, 0xbb, 0, 13].as_slice())
        );
    }

    #[test]
    fn an_ipv6_error_is_an_icmpv6_one() {
        let message = prohibited(
            "[fd30::2]:40000".parse().unwrap(),
            "[2001:db8::7]:443".parse().unwrap(),
            5,
        );
        assert_eq!(message.get(..2), Some([1, 1].as_slice()));
        assert_eq!(message.len(), 8 + 40 + 8);
    }
}
