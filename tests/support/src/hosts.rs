//! Who lives in the little internet: names and addresses. Shared by the server and by the tests
//! that visit it.
//!
//! Documentation ranges (RFC 5737, RFC 3849) play the public internet. Keep in step with the ranges
//! that `scripts/bed` routes here.

use std::net::{Ipv4Addr, Ipv6Addr};

/// One host: its name and its addresses.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// Name; a leading `*.` stands for any labels.
    pub name: &'static str,
    /// IPv4 address.
    pub v4: Ipv4Addr,
    /// IPv6 address.
    pub v6: Ipv6Addr,
}

const fn host(name: &'static str, v4: [u8; 4], v6: (u16, u16)) -> Host {
    let [a, b, c, d] = v4;
    Host {
        name,
        v4: Ipv4Addr::new(a, b, c, d),
        v6: Ipv6Addr::new(0x2001, 0xdb8, v6.0, 0, 0, 0, 0, v6.1),
    }
}

/// The name server.
pub const RESOLVER: Host = host("ns.test", [198, 51, 100, 53], (1, 0x53));
/// What the test policies allow.
pub const ALLOWED: Host = host("allowed.test", [198, 51, 100, 10], (1, 0x10));
/// What they don't.
pub const DENIED: Host = host("denied.test", [198, 51, 100, 20], (1, 0x20));
/// Any name below it has the same address.
pub const WILD: Host = host("*.wild.test", [198, 51, 100, 30], (1, 0x30));
/// Wants to be taken for `allowed.test`; runs a name server too.
pub const ATTACKER: Host = host("attacker.test", [203, 0, 113, 66], (2, 0x66));
/// A name server that takes EDNS (RFC 6891) for a form error, and answers like the other one
/// without it.
pub const OLD_RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 61);
/// Where nothing answers; `dead6.wild.test` has this address beside a good one.
pub const NOWHERE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 1);

/// A far end: one address in each family, the same last byte in both. `nLAST.far.test` is its name.
/// `tests/docker/far_world.rs` says what is there.
pub const fn far(last: u8) -> Host {
    host("*.far.test", [203, 0, 113, last], (3, last as u16))
}
