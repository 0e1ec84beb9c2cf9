//! What a scanner sends that no program's socket hears of: the kernel answers it, or nobody does.

use std::net::{IpAddr, SocketAddr};

use crate::link::Link;
use crate::packets::{ACK, FIN, ICMP, ICMPV6, IGMP, RST, SYN, icmp, ip, tcp};

/// From this port on, one for each segment.
const FIRST_PORT: u16 = 50_001;

/// Segments of every kind, each from a port of its own; IGMP; and ICMP of odd types.
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
        frames.send(&ip(own, to, protocol, &icmp((own, to), (*kind, 0), [0; 4], &[0; 16])))?;
    }
    frames.send(&ip(own, to, IGMP, &[0x16, 0, 0, 0, 224, 0, 0, 251]))
}
