//! ARP and NDP: whoever asks on a link for an address that the gateway stands for is told the
//! gateway's MAC address, for IPv4 (ARP, RFC 826) and IPv6 (RFC 4861) alike.
//!
//! The kernel could do a part of it (`proxy_arp`, `proxy_ndp`), but it answers only for what its
//! own routing would pass on, and ours passes on nothing that isn't marked (`gateway::plumbing`);
//! for IPv6 it also must be told every single address. An address that nobody answers for costs the
//! container three seconds before its refusal. Pure: packets in and out, without their link-layer
//! header.
//!
//! Both questions are read here, since etherparse and smoltcp are slower (ARP: 4.6 and 1.2 times;
//! solicitations: 1.7 and 18 times), and smoltcp also takes a solicitation whose code isn't 0.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpNumber, Ipv6Header, Ipv6HeaderSlice};
use serde::{Deserialize, Serialize};

use super::icmp::checksum_v6;

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
struct NeighbourQuery<Address> {
    asker: Address,
    target: Address,
}

/// The answer to an ARP packet that asks for an address we stand for.
#[must_use]
pub fn answer_arp(packet: &[u8], stands_for: &StandsFor, mac: [u8; 6]) -> Option<Vec<u8>> {
    const ETHERNET_IPV4_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
    let head: &[u8; 28] = packet.first_chunk()?;
    let (asking_mac, asker) = (&head[8..14], &head[14..18]);
    let target = Ipv4Addr::from(<[u8; 4]>::try_from(&head[24..28]).ok()?);
    // Whoever asks for its own address, or from 0.0.0.0, checks whether the address is free (RFC
    // 5227), and takes silence for a yes.
    let probes = asker == [0; 4] || asker == target.octets();
    if head[..8] != ETHERNET_IPV4_REQUEST || probes || !stands_for.covers(target.into()) {
        return None;
    }
    let mut answer = vec![0, 1, 8, 0, 6, 4, 0, 2];
    answer.extend(mac);
    answer.extend(target.octets());
    answer.extend(asking_mac);
    answer.extend(asker);
    Some(answer)
}

/// The answer to an IPv6 packet that asks for an address we stand for.
#[must_use]
pub fn answer_ndp(packet: &[u8], stands_for: &StandsFor, mac: [u8; 6]) -> Option<Vec<u8>> {
    let asked = solicitation(packet)?;
    stands_for
        .covers(asked.target.into())
        .then(|| advertisement(asked, mac))
}

/// Reads an IPv6 packet: a valid solicitation, or nothing. Duplicate address detection (from `::`)
/// is not answered: silence says that the address is free.
fn solicitation(packet: &[u8]) -> Option<NeighbourQuery<Ipv6Addr>> {
    let header = Ipv6HeaderSlice::from_slice(packet).ok()?;
    let expected = (IpNumber::IPV6_ICMP, HOP_LIMIT);
    let message: &[u8; 24] = packet.get(Ipv6Header::LEN..)?.first_chunk()?;
    if (header.next_header(), header.hop_limit()) != expected || message[..2] != [SOLICITATION, 0] {
        return None;
    }
    let asker = header.source_addr();
    let target = Ipv6Addr::from(*message.last_chunk::<16>()?);
    (!asker.is_unspecified() && !target.is_multicast()).then_some(NeighbourQuery { asker, target })
}

/// The advertisement that answers it: an IPv6 packet that says `target` is at `mac`.
fn advertisement(of: NeighbourQuery<Ipv6Addr>, mac: [u8; 6]) -> Vec<u8> {
    const ROUTER_SOLICITED_OVERRIDE: u8 = 0xe0;
    /// Type and length of the option "target link-layer address" (RFC 4861, 4.6.1).
    const TARGET_MAC: [u8; 2] = [2, 1];
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, ROUTER_SOLICITED_OVERRIDE, 0, 0, 0];
    message.extend(of.target.octets());
    message.extend(TARGET_MAC);
    message.extend(mac);
    let sum = checksum_v6(of.target, of.asker, &message);
    message.splice(2..4, sum.to_be_bytes());
    let header = Ipv6Header {
        payload_length: u16::try_from(message.len()).unwrap_or_default(),
        next_header: IpNumber::IPV6_ICMP,
        hop_limit: HOP_LIMIT,
        source: of.target.octets(),
        destination: of.asker.octets(),
        ..Ipv6Header::default()
    };
    [&header.to_bytes(), message.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A solicitation as the kernel sends it, for fd30::1 from fd30::2.
    fn asked() -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 32, 58, HOP_LIMIT];
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
        assert_eq!(checksum_v6(of.target, of.asker, &answer[40..]), 0);
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
    fn a_check_whether_an_ipv4_address_is_free_is_not_answered() {
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
    fn a_check_whether_an_ipv6_address_is_free_is_not_answered() {
        let mut packet = asked();
        packet[8..24].fill(0);
        assert_eq!(solicitation(&packet), None);
    }

    #[test]
    fn a_solicitation_that_a_router_passed_on_is_not_answered() {
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
