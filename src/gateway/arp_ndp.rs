//! Neighbours: who asks on a link for an address that the gateway stands for is told the gateway's
//! station, for IPv4 (ARP, RFC 826) and IPv6 (RFC 4861) alike.
//!
//! The kernel could do a part of it (`proxy_arp`, `proxy_ndp`), but it answers only for what its
//! own routing would pass on, and ours passes on nothing that isn't marked (`gateway::plumbing`);
//! for IPv6 it also must be told every single address. An address that nobody answers for costs the
//! container three seconds before its refusal. Pure: packets in and out, without their link-layer
//! header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Every message of neighbour discovery has it, which proves that no router passed it on (RFC 4861,
/// 7.1).
const HOP_LIMIT: u8 = 255;

/// The addresses that the gateway stands for on one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StandsFor {
    /// To the container, for everybody but itself.
    AllBut(Vec<IpAddr>),
    /// To the outside, for the container.
    Only(Vec<IpAddr>),
}

impl StandsFor {
    fn covers(&self, address: IpAddr) -> bool {
        match self {
            Self::AllBut(own) => !own.contains(&address),
            Self::Only(own) => own.contains(&address),
        }
    }
}

/// Who asked, for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Question<Address> {
    asker: Address,
    target: Address,
}

/// The answer to an ARP packet that asks for an address we stand for.
#[must_use]
pub fn answer_arp(packet: &[u8], stands_for: &StandsFor, station: [u8; 6]) -> Option<Vec<u8>> {
    const ETHERNET_IPV4_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
    let head: &[u8; 28] = packet.first_chunk()?;
    let (asking_station, asker) = (&head[8..14], &head[14..18]);
    let target = Ipv4Addr::from(<[u8; 4]>::try_from(&head[24..28]).ok()?);
    // Who asks for its own address, or from none, tries it on (RFC 5227): that is the container's
    // own affair.
    let tries = asker == [0; 4] || asker == target.octets();
    if head[..8] != ETHERNET_IPV4_REQUEST || tries || !stands_for.covers(target.into()) {
        return None;
    }
    let mut answer = vec![0, 1, 8, 0, 6, 4, 0, 2];
    answer.extend(station);
    answer.extend(target.octets());
    answer.extend(asking_station);
    answer.extend(asker);
    Some(answer)
}

/// The answer to an IPv6 packet that asks for an address we stand for.
#[must_use]
pub fn answer_ndp(packet: &[u8], stands_for: &StandsFor, station: [u8; 6]) -> Option<Vec<u8>> {
    let asked = solicitation(packet)?;
    stands_for
        .covers(asked.target.into())
        .then(|| advertisement(asked, station))
}

/// Reads an IPv6 packet: a valid solicitation, or nothing. Duplicate address detection (from `::`)
/// is not answered: it is somebody trying on an address of its own.
fn solicitation(packet: &[u8]) -> Option<Question<Ipv6Addr>> {
    let head: &[u8; 64] = packet.first_chunk()?;
    let (version, next, hops) = (head[0] >> 4, head[6], head[7]);
    let (kind, code) = (head[40], head[41]);
    if (version, next, hops, kind, code) != (6, ICMPV6, HOP_LIMIT, SOLICITATION, 0) {
        return None;
    }
    let asker = Ipv6Addr::from(<[u8; 16]>::try_from(&head[8..24]).ok()?);
    let target = Ipv6Addr::from(<[u8; 16]>::try_from(&head[48..64]).ok()?);
    (!asker.is_unspecified() && !target.is_multicast()).then_some(Question { asker, target })
}

/// The advertisement that answers it: an IPv6 packet that says `target` is at `station`.
fn advertisement(of: Question<Ipv6Addr>, station: [u8; 6]) -> Vec<u8> {
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
    let pseudo = from
        .octets()
        .into_iter()
        .chain(to.octets())
        .chain(length.to_be_bytes())
        .chain([0, 0, 0, ICMPV6]);
    let bytes: Vec<u8> = pseudo.chain(message.iter().copied()).collect();
    let mut sum: u32 = bytes
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

    fn arp(asker: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0x42, 0, 0, 0, 2];
        packet.extend(asker);
        packet.extend([0; 6]);
        packet.extend(target);
        packet
    }

    #[test]
    fn inside_we_stand_for_everybody_but_the_container() {
        let inside = StandsFor::AllBut(vec![
            "10.0.0.2".parse().unwrap(),
            "fd30::2".parse().unwrap(),
        ]);
        let answer = answer_arp(&arp([10, 0, 0, 2], [10, 0, 0, 1]), &inside, [2; 6]).unwrap();
        assert_eq!(answer[..8], [0, 1, 8, 0, 6, 4, 0, 2]);
        assert_eq!(answer[8..18], [2, 2, 2, 2, 2, 2, 10, 0, 0, 1]);
        assert_eq!(answer[18..], [2, 0x42, 0, 0, 0, 2, 10, 0, 0, 2]);
        assert!(answer_ndp(&asked(), &inside, [2; 6]).is_some());
    }

    #[test]
    fn outside_we_stand_for_the_container_alone() {
        let outside = StandsFor::Only(vec!["10.0.0.2".parse().unwrap()]);
        assert!(answer_arp(&arp([10, 0, 0, 1], [10, 0, 0, 2]), &outside, [2; 6]).is_some());
        assert_eq!(
            answer_arp(&arp([10, 0, 0, 1], [10, 0, 0, 3]), &outside, [2; 6]),
            None
        );
        assert_eq!(answer_ndp(&asked(), &outside, [2; 6]), None);
    }

    #[test]
    fn who_tries_on_an_ipv4_address_is_left_alone() {
        let inside = StandsFor::AllBut(vec![]);
        assert_eq!(
            answer_arp(&arp([0; 4], [10, 0, 0, 9]), &inside, [2; 6]),
            None
        );
        assert_eq!(
            answer_arp(&arp([10, 0, 0, 9], [10, 0, 0, 9]), &inside, [2; 6]),
            None
        );
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
            let _ = answer_ndp(&packet, &StandsFor::AllBut(vec![]), [0; 6]);
            let _ = answer_arp(&packet, &StandsFor::AllBut(vec![]), [0; 6]);
        }
    }
}
