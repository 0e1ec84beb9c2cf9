//! What arrives on a link for address resolution: the container's own frames, or those of its
//! neighbours.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use boundary_shim::packets::arp_ndp::{StandsFor, answer_arp, answer_ndp};
use libfuzzer_sys::fuzz_target;

const STATION: [u8; 6] = [2, 0, 0, 0, 0, 7];
const OWN: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
];

fuzz_target!(|packet: &[u8]| {
    for (stands_for, of_own) in [
        (StandsFor::AllBut(OWN.to_vec()), false),
        (StandsFor::Only(OWN.to_vec()), true),
    ] {
        if let Some(answer) = answer_arp(packet, &stands_for, STATION) {
            assert_eq!(answer.len(), 28);
            assert_eq!(answer[8..14], STATION);
            assert_eq!(
                OWN.iter().any(|own| *own == address::<4>(&answer[14..18])),
                of_own
            );
            assert_eq!(answer[18..28], packet[8..18], "to who asked");
            assert_eq!(
                answer_arp(&answer, &stands_for, STATION),
                None,
                "an answer is no question"
            );
        }
        if let Some(answer) = answer_ndp(packet, &stands_for, STATION) {
            assert_eq!(answer.len(), 40 + 32);
            assert_eq!(
                OWN.iter().any(|own| *own == address::<16>(&answer[8..24])),
                of_own
            );
            assert_eq!(answer[24..40], packet[8..24], "to who asked");
            assert_eq!(answer[66..72], STATION);
            assert_eq!(
                answer_ndp(&answer, &stands_for, STATION),
                None,
                "an answer is no question"
            );
        }
    }
});

fn address<const LENGTH: usize>(bytes: &[u8]) -> IpAddr
where
    IpAddr: From<[u8; LENGTH]>,
{
    IpAddr::from(<[u8; LENGTH]>::try_from(bytes).expect("as long as an address"))
}
