//! Reads the headers of an IP packet, of which perhaps only the beginning is there: the kernel logs
//! the first 128 bytes. Pure; the bytes are the container's, and nothing in them is believed.
//!
//! Each header is read by etherparse, which is faster than what was here. The way past IPv6's
//! extension headers is our own, since etherparse's takes a header that is cut for the packet's
//! protocol, and then the record would not say that the packet is TCP.

use std::net::IpAddr;

use etherparse::{
    IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeader, Ipv6FragmentHeaderSlice, Ipv6Header,
    Ipv6HeaderSlice,
};

use super::fragment::{Fragment, Whole};

/// The headers of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpHeaders<'a> {
    /// From.
    pub source: IpAddr,
    /// To.
    pub destination: IpAddr,
    /// What stands behind the headers.
    pub protocol: IpNumber,
    /// As much of it as is there.
    pub payload: &'a [u8],
    /// Which part of a larger packet this is.
    pub fragment: Option<Fragment>,
}

/// Reads the headers, where both addresses are there.
#[must_use]
pub fn read(packet: &[u8]) -> Option<IpHeaders<'_>> {
    match packet.first()? >> 4 {
        4 => read_v4(packet),
        6 => read_v6(packet),
        _ => None,
    }
}

fn read_v4(packet: &[u8]) -> Option<IpHeaders<'_>> {
    let header = Ipv4HeaderSlice::from_slice(packet).ok()?;
    let length = usize::from(header.ihl()) * 4;
    let whole = Whole {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        protocol: header.protocol().0,
        identification: header.identification().into(),
    };
    Some(IpHeaders {
        source: whole.source,
        destination: whole.destination,
        protocol: header.protocol(),
        payload: packet.get(length..).unwrap_or_default(),
        fragment: Fragment::new(
            whole,
            header.fragments_offset().byte_offset(),
            usize::from(header.total_len()).saturating_sub(length),
            !header.more_fragments(),
        ),
    })
}

fn read_v6(packet: &[u8]) -> Option<IpHeaders<'_>> {
    let header = Ipv6HeaderSlice::from_slice(packet).ok()?;
    let (mut protocol, mut payload) = (header.next_header(), packet.get(Ipv6Header::LEN..)?);
    let mut fragment_header = None;
    while let Some(length) = extension_length(protocol, payload) {
        if protocol == IpNumber::IPV6_FRAGMENTATION_HEADER {
            fragment_header = fragment_header.or(Some(payload));
        }
        protocol = IpNumber(*payload.first()?);
        payload = payload.get(length..).unwrap_or_default();
    }
    Some(IpHeaders {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        protocol,
        payload,
        fragment: fragment_header.and_then(|at| {
            let before_it = packet.len() - Ipv6Header::LEN - at.len();
            fragment_v6(&header, before_it, at)
        }),
    })
}

/// The length of an extension header that can be passed over (RFC 8200, 4.1), where this is one.
fn extension_length(protocol: IpNumber, bytes: &[u8]) -> Option<usize> {
    let units = usize::from(*bytes.get(1)?);
    match protocol {
        IpNumber::IPV6_HEADER_HOP_BY_HOP
        | IpNumber::IPV6_ROUTE_HEADER
        | IpNumber::IPV6_DESTINATION_OPTIONS => Some((units + 1) * 8),
        IpNumber::IPV6_FRAGMENTATION_HEADER => Some(Ipv6FragmentHeader::LEN),
        _ => None,
    }
}

/// Reads the fragment header behind `before` bytes of other extension headers.
fn fragment_v6(packet: &Ipv6HeaderSlice<'_>, before: usize, header: &[u8]) -> Option<Fragment> {
    let header = Ipv6FragmentHeaderSlice::from_slice(header).ok()?;
    let whole = Whole {
        source: packet.source_addr().into(),
        destination: packet.destination_addr().into(),
        protocol: header.next_header().0,
        identification: header.identification(),
    };
    let headers = before + Ipv6FragmentHeader::LEN;
    Fragment::new(
        whole,
        header.fragment_offset().byte_offset(),
        usize::from(packet.payload_length()).saturating_sub(headers),
        !header.more_fragments(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v6(next: u8, extensions: &[u8]) -> Vec<u8> {
        let length = u8::try_from(extensions.len()).unwrap();
        let mut packet = vec![0x60, 0, 0, 0, 0, length, next, 64];
        packet.extend([0xfd; 32]);
        packet.extend(extensions);
        packet
    }

    #[test]
    fn a_whole_packet_is_not_a_fragment() {
        let packet = [
            0x45, 0, 0, 28, 0, 1, 0x40, 0, 64, 17, 0, 0, 172, 17, 0, 2, 198, 51, 100, 7,
        ];
        assert_eq!(read(&packet).unwrap().fragment, None);
        assert_eq!(read(&v6(17, &[0; 8])).unwrap().fragment, None);
    }

    #[test]
    fn options_are_passed_over() {
        let mut packet = vec![
            0x46, 0, 0, 28, 0, 1, 0x40, 0, 64, 17, 0, 0, 172, 17, 0, 2, 198, 51, 100, 7, 1, 1, 1, 1,
        ];
        packet.extend([9, 9, 9, 9]);
        let head = read(&packet).unwrap();
        assert_eq!(head.payload, [9, 9, 9, 9]);
        assert_eq!(head.protocol, IpNumber::UDP);
    }

    #[test]
    fn a_fragment_is_found_behind_other_headers_of_ipv6() {
        let packet = v6(
            60,
            &[
                44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 17, 0, 0, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                1, 1, 1, 1, 1,
            ],
        );
        let head = read(&packet).unwrap();
        let whole = Whole {
            source: head.source,
            destination: head.destination,
            protocol: 17,
            identification: 0x102,
        };
        assert_eq!(head.fragment, Fragment::new(whole, 16, 16, false));
        assert_eq!((head.protocol, head.payload.len()), (IpNumber::UDP, 16));
    }

    #[test]
    fn the_protocol_is_told_though_an_extension_header_is_cut() {
        let packet = v6(60, &[6, 30, 0, 0, 0, 0, 0, 0]);
        let head = read(&packet).unwrap();
        assert_eq!(
            (head.protocol, head.payload),
            (IpNumber::TCP, [].as_slice())
        );
    }

    #[test]
    fn extension_headers_are_passed_over_however_many() {
        let packet = v6(60, &[[60, 0, 0, 0, 0, 0, 0, 0]; 11].concat());
        assert_eq!(read(&packet).unwrap().payload, [0_u8; 0]);
    }

    proptest! {
        #[test]
        fn no_packet_panics(mut packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            for version in [0x40, 0x60] {
                packet.iter_mut().take(1).for_each(|first| *first = version | *first & 0x0f);
                if let Some(head) = read(&packet) {
                    prop_assert!(head.payload.len() <= packet.len() - 20);
                }
            }
        }
    }
}
