//! A UDP datagram with its headers, as a raw socket sends it. Pure.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, Ipv4Header, Ipv6Header, UdpHeader};

/// The hop limit: it goes no further than the loopback.
const HOP_LIMIT: u8 = 64;

/// The whole packet; none where the addresses are of two versions of IP, or it would be too long.
#[must_use]
pub fn whole(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let ports = (from.port(), to.port());
    let (ip, udp) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = u16::try_from(UdpHeader::LEN + payload.len()).ok()?;
            let ip = Ipv4Header::new(length, HOP_LIMIT, IpNumber::UDP, from.octets(), to.octets());
            let ip = ip.ok()?;
            let udp = UdpHeader::with_ipv4_checksum(ports.0, ports.1, &ip, payload).ok()?;
            (ip.to_bytes().to_vec(), udp)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ip = Ipv6Header {
                payload_length: u16::try_from(UdpHeader::LEN + payload.len()).ok()?,
                next_header: IpNumber::UDP,
                hop_limit: HOP_LIMIT,
                source: from.octets(),
                destination: to.octets(),
                ..Ipv6Header::default()
            };
            let udp = UdpHeader::with_ipv6_checksum(ports.0, ports.1, &ip, payload).ok()?;
            (ip.to_bytes().to_vec(), udp)
        }
        _ => return None,
    };
    Some([ip.as_slice(), &udp.to_bytes(), payload].concat())
}

#[cfg(test)]
mod tests {
    use etherparse::{SlicedPacket, TransportSlice};

    use super::*;

    #[test]
    fn it_is_what_was_meant_with_checksums_that_hold() {
        for (from, to) in [
            ("203.0.113.7:53", "192.0.2.2:40000"),
            ("[2001:db8::7]:53", "[fd6a:6169::2]:40000"),
        ] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let packet = whole(from, to, b"payload").unwrap();
            let sliced = SlicedPacket::from_ip(&packet).unwrap();
            let Some(TransportSlice::Udp(udp)) = sliced.transport else {
                panic!("{sliced:?}");
            };
            assert_eq!(
                (udp.source_port(), udp.destination_port(), udp.payload()),
                (from.port(), to.port(), b"payload".as_slice())
            );
            let header = udp.to_header();
            let right = match sliced.net.unwrap() {
                etherparse::NetSlice::Ipv4(ip) => {
                    header.calc_checksum_ipv4(&ip.header().to_header(), b"payload")
                }
                etherparse::NetSlice::Ipv6(ip) => {
                    header.calc_checksum_ipv6(&ip.header().to_header(), b"payload")
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(udp.checksum(), right.unwrap());
        }
    }

    #[test]
    fn what_fits_no_packet_is_none() {
        let [v4, v6] = ["192.0.2.2:1", "[::1]:1"].map(|address| address.parse().unwrap());
        assert_eq!(whole(v4, v6, b"x"), None);
        assert_eq!(whole(v4, v4, &[0; 65_536]), None);
    }
}
