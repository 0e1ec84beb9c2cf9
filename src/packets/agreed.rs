//! What the ruleset and the filter agree on: marks, ports, and the prefixes of log entries.

use std::net::Ipv4Addr;

/// The gateway's own address: the source of the ICMP errors that a container sees. RFC 7600 sets it
/// aside for nodes that must send ICMP and have no address of their own.
pub const DUMMY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// From the container, for the proxy: delivered to this namespace's own sockets. Answers go inside.
pub const CAPTURED: u32 = 0xb0;

/// From the proxy's sockets that lead to the outside (`SO_MARK`).
pub const LEAVING: u32 = 0xb4;

/// The log group on which refused and inbound packets are reported.
pub const LOG_GROUP: u16 = 1;

/// The log group on which SYNs are reported that are kept back. One of its own, so that no flood of
/// reports crowds them out.
pub const HELD_GROUP: u16 = 2;

/// SYNs a second that are kept back over a longer time.
pub const HELD_A_SECOND: u16 = 1000;

/// SYNs that are kept back in one moment, and connections that wait for their far end, or for their
/// client to be accepted when that has answered.
pub const HELD_AT_ONCE: u16 = 256;

/// Bytes that are logged of such a SYN, which is made anew from them: the longest IPv4 header, or an
/// IPv6 header with some extension headers, and the longest TCP header.
pub const HELD_BYTES: u32 = 256;

/// Word on a log entry: a SYN that is kept back until it is known what the far end says.
pub const HELD: &str = "held";

/// Word on a log entry: a SYN that isn't kept back, since too many were.
pub const NOT_HELD: &str = "not held";

/// Word on a log entry: refused, on its way out.
pub const REFUSED: &str = "refused";

/// Word on a log entry: dropped, for a source address that is not the container's.
pub const SPOOFED: &str = "spoofed";

/// Word on a log entry: let in, the first of a connection from outside.
pub const ARRIVED: &str = "inbound";

/// Word on a log entry: TCP, handed to the proxy, which will hear of it only if a connection comes
/// about.
pub const OPENING: &str = "opening";

/// Word on a log entry: from outside, of no connection, and not let in.
pub const STRAY: &str = "stray";

/// Word on a log entry: a fragment from the container, which goes on to be put together.
pub const FRAGMENT: &str = "fragment";

/// The sockets that captured packets are handed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyPorts {
    /// TCP, DNS over TCP included (told apart by the original port).
    pub tcp: u16,
    /// UDP, DNS included.
    pub udp: u16,
}

/// The filter's own. Known before it has opened them, so that the ruleset can be made first: in a
/// namespace of ours every port is free. None from which it dials is among them
/// (`ip_local_port_range`, 1024 to 32767).
pub const PROXY_PORTS: ProxyPorts = ProxyPorts {
    tcp: 40_001,
    udp: 40_002,
};
