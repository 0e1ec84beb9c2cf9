//! IPv6 neighbours on the inside link: every address that the container looks for is answered with the gateway's station.
//!
//! The kernel does this for IPv4 (`proxy_arp`), but for IPv6 only address by address (`ip neigh add proxy`), and an address
//! that nobody answers for costs the container three seconds before its refusal. Pure: RFC 4861 messages in and out.

use std::net::Ipv6Addr;

const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Every message of neighbour discovery has it, which proves that no router passed it on (RFC 4861, 7.1).
const HOP_LIMIT: u8 = 255;

/// Who asked, for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solicitation {
    /// The asker's address. Never unspecified.
    pub asker: Ipv6Addr,
    /// The address looked for.
    pub target: Ipv6Addr,
}

/// Reads an IPv6 packet: a valid solicitation, or nothing. Duplicate address detection (from `::`) is not answered: it is
/// the container trying on an address of its own.
#[must_use]
pub fn solicitation(packet: &[u8]) -> Option<Solicitation> {
    let head: &[u8; 64] = packet.first_chunk()?;
    let (version, next, hops) = (head[0] >> 4, head[6], head[7]);
    let (kind, code) = (head[40], head[41]);
    if (version, next, hops, kind, code) != (6, ICMPV6, HOP_LIMIT, SOLICITATION, 0) {
        return None;
    }
    let asker = Ipv6Addr::from(<[u8; 16]>::try_from(&head[8..24]).ok()?);
    let target = Ipv6Addr::from(<[u8; 16]>::try_from(&head[48..64]).ok()?);
    (!asker.is_unspecified() && !target.is_multicast()).then_some(Solicitation { asker, target })
}

/// The advertisement that answers it: an IPv6 packet that says `target` is at `station`.
#[must_use]
pub fn advertisement(of: Solicitation, station: [u8; 6]) -> Vec<u8> {
    const ROUTER_SOLICITED_OVERRIDE: u8 = 0xe0;
    const TARGET_STATION: [u8; 2] = [2, 1];
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, ROUTER_SOLICITED_OVERRIDE, 0, 0, 0];
    message.extend(of.target.octets());
    message.extend(TARGET_STATION);
    message.extend(station);
    let sum = checksum(of.target, of.asker, &message);
    message.splice(2..4, sum.to_be_bytes());
    let length = u16::try_from(message.len()).unwrap_or_default();
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([ICMPV6, HOP_LIMIT]);
    packet.extend(of.target.octets());
    packet.extend(of.asker.octets());
    packet.extend(message);
    packet
}

/// The internet checksum over the pseudo-header and the message (RFC 8200, 8.1; RFC 1071).
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or_default();
    let pseudo = from.octets().into_iter().chain(to.octets()).chain(length.to_be_bytes()).chain([0, 0, 0, ICMPV6]);
    let bytes: Vec<u8> = pseudo.chain(message.iter().copied()).collect();
    let mut sum: u32 = bytes.chunks(2).map(|pair| pair.iter().fold(0, |all, byte| all << 8 | u32::from(*byte))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A solicitation as the kernel sends it, for fd30::1 from fd30::2.
    fn asked() -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 32, ICMPV6, HOP_LIMIT];
        packet.extend("fd30::2".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("ff02::1:ff00:1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend([SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend("fd30::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend([1, 1, 2, 0x42, 0, 0, 0, 2]);
        packet
    }

    #[test]
    fn a_solicitation_is_answered_for_its_target() {
        let of = solicitation(&asked()).unwrap();
        let answer = advertisement(of, [2, 3, 4, 5, 6, 7]);
        assert_eq!(answer.len(), 72);
        assert_eq!(&answer[8..24], of.target.octets());
        assert_eq!(&answer[24..40], of.asker.octets());
        assert_eq!(answer[40], ADVERTISEMENT);
        assert_eq!(&answer[66..72], [2, 3, 4, 5, 6, 7]);
        // A right checksum adds up to nothing (RFC 1071, 3).
        assert_eq!(checksum(of.target, of.asker, &answer[40..]), 0);
    }

    #[test]
    fn a_container_that_tries_on_an_address_is_left_alone() {
        let mut packet = asked();
        packet[8..24].fill(0);
        assert_eq!(solicitation(&packet), None);
    }

    #[test]
    fn a_solicitation_that_a_router_passed_on_is_none() {
        let mut packet = asked();
        packet[7] = 254;
        assert_eq!(solicitation(&packet), None);
    }

    proptest! {
        #[test]
        fn no_packet_panics(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = solicitation(&packet);
        }
    }
}
