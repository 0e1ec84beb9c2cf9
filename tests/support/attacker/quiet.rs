//! What a scanner sends that no program's socket hears of: the kernel answers it, or nobody does.

use std::net::{IpAddr, SocketAddr};

use crate::link::Link;
use crate::packets::{
    ACK, FIN, FRAGMENT, ICMP, ICMPV6, IGMP, MORE_FRAGMENTS, RST, SYN, UDP, V4, icmp, ip, tcp, udp,
    v6_fragment,
};

/// From this port on, one for each segment.
const FIRST_PORT: u16 = 50_001;

/// Segments of every kind, each from a port of its own; ICMP of odd types; IGMP; and the first
/// fragment of a datagram.
pub(crate) fn send_all(target: SocketAddr) -> anyhow::Result<()> {
    let link = Link::look("eth0")?;
    let (own, to) = (link.own(target.ip())?, target.ip());
    let frames = link.open()?;
    for (port, flags) in (FIRST_PORT..).zip([SYN, ACK, RST, FIN, 0, SYN | ACK]) {
        let segment = tcp((own, port).into(), target, flags, (1, 1), b"");
        frames.send(&ip(own, to, crate::packets::TCP, &segment))?;
    }
    let (protocol, kinds): (u8, &[u8]) = match to {
        IpAddr::V4(_) => (ICMP, &[13, 17]),
        IpAddr::V6(_) => (ICMPV6, &[130, 131, 132, 133, 134, 137, 143]),
    };
    for kind in kinds {
        frames.send(&ip(
            own,
            to,
            protocol,
            &icmp((own, to), (*kind, 0), [0; 4], &[0; 16]),
        ))?;
    }
    frames.send(&ip(own, to, IGMP, &[0x16, 0, 0, 0, 224, 0, 0, 251]))?;
    let datagram = udp((own, FIRST_PORT).into(), target, b"the beginning   ");
    frames.send(&match (own, to) {
        (IpAddr::V4(own), IpAddr::V4(to)) => {
            let packet = V4 {
                fragment: MORE_FRAGMENTS,
                ..V4::new(own, to, UDP)
            };
            packet.around(&datagram)
        }
        _ => ip(own, to, FRAGMENT, &v6_fragment(UDP, 1, &datagram)),
    })
}
