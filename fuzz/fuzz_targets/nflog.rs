//! What the kernel reports of packets that it refused or keeps back: the packets in it are the
//! container's.

#![no_main]

use boundary_shim::packets::ip;
use boundary_shim::packets::nflog::{Transport, reports};
use boundary_shim::packets::syn::HeldSyn;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let found: Vec<_> = reports(bytes).collect();
    // A message has 16 bytes at least.
    assert!(found.len() <= bytes.len() / 16);
    for report in found {
        let packet = report.packet;
        assert_eq!(packet.source.is_ipv4(), packet.destination.is_ipv4());
        let has_ports = matches!(packet.transport, Transport::Tcp | Transport::Udp);
        assert!(has_ports || packet.source.port() == 0 && packet.destination.port() == 0);
        let Some(syn) = HeldSyn::read(report.logged) else {
            continue;
        };
        for (packet, from, to) in [
            (syn.again(), syn.source, syn.destination),
            (syn.reset(), syn.destination, syn.source),
        ] {
            let head = ip::read(&packet).expect("a packet of ours");
            assert_eq!((head.source, head.destination), (from.ip(), to.ip()));
            assert!(head.payload.len() <= 60, "a TCP header, and no data");
        }
    }
});
