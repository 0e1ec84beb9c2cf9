//! The gateway's ruleset, as one batch: what is handed to the proxy, what the kernel refuses at once, and nothing else.
//!
//! Interfaces are told apart by name (`in0`, `in1`, …: from the container; `up0`, …: to the outside), so that links which
//! come later need no new rules. The one fact to remember: a packet from the container that no rule hands to the proxy is
//! refused in `prerouting`; the `forward` chain knows only the other direction and its replies.

use crate::gateway::nft::{Batch, Hook, Reject, Rule, Verdict};
use crate::policy::CapturedPorts;

/// Names of links to the container begin so.
pub const INSIDE: &str = "in";
/// Names of links to the outside begin so.
pub const OUTSIDE: &str = "up";
/// Packets with this mark are delivered to this namespace's own sockets: they belong to the proxy.
pub const MARK: u32 = 0xb0;
/// Packets with this mark may pass through: they open, or answer, a connection from outside. Routing passes on no others
/// (`gateway::plumbing`), so that nothing passes when the rules are gone before the links.
pub const PASS_MARK: u32 = 0xb1;
/// The log group on which refused and inbound packets are reported.
pub const LOG_GROUP: u16 = 1;
/// Word on a log entry: refused, on its way out.
pub const REFUSED: &str = "refused";
/// Word on a log entry: dropped, for a source address that is not the container's.
pub const SPOOFED: &str = "spoofed";
/// Word on a log entry: let in, the first of a connection from outside.
pub const INBOUND: &str = "inbound";
/// Bytes of a packet that are logged: an IPv6 header, some extension headers, the ports.
const LOGGED: u32 = 128;

const TCP: u8 = 6;
const UDP: u8 = 17;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;

/// The sockets that captured packets are handed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyPorts {
    /// TCP, DNS over TCP included (told apart by the original port).
    pub tcp: u16,
    /// UDP, DNS included.
    pub udp: u16,
}

/// The whole ruleset. Returns the batch's bytes and the number of acknowledgements to await.
#[must_use]
pub fn build(captured: &CapturedPorts, proxy: ProxyPorts) -> (Vec<u8>, usize) {
    let mut batch = Batch::new("boundary");
    // Priority -150 (mangle): after conntrack (-200) has said what a packet answers, before routing.
    batch.chain("prerouting", Hook::Prerouting, -150, Verdict::Accept);
    batch.chain("input", Hook::Input, 0, Verdict::Drop);
    batch.chain("forward", Hook::Forward, 0, Verdict::Drop);
    from_outside(&mut batch);
    from_inside(&mut batch, captured, proxy);
    to_ourselves(&mut batch);
    through(&mut batch);
    batch.finish()
}

/// Answers to the proxy's own connections are its own, though addressed to the container.
fn from_outside(batch: &mut Batch) {
    let own = Rule::new().from_interface(OUTSIDE).of_transparent_socket().mark(MARK).verdict(Verdict::Accept);
    batch.rule("prerouting", &own);
    batch.rule("prerouting", &Rule::new().not_from_interface(INSIDE).mark(PASS_MARK).verdict(Verdict::Accept));
}

fn from_inside(batch: &mut Batch, captured: &CapturedPorts, proxy: ProxyPorts) {
    // Finding neighbours and announcing group membership is the kernel's own talk on a wire that ends here: neighbour
    // solicitations and advertisements are taken in, the rest is dropped, and none of it is an attempt to record.
    batch.rule("prerouting", &Rule::new().transport(ICMPV6).icmp_type(135, 136).verdict(Verdict::Accept));
    batch.rule("prerouting", &Rule::new().transport(ICMPV6).icmp_type(130, 134).verdict(Verdict::Drop));
    batch.rule("prerouting", &Rule::new().transport(ICMPV6).icmp_type(143, 143).verdict(Verdict::Drop));
    batch.rule("prerouting", &Rule::new().transport(IGMP).verdict(Verdict::Drop));
    let spoofed = Rule::new().source_is_foreign().log(LOG_GROUP, SPOOFED, LOGGED).verdict(Verdict::Drop);
    batch.rule("prerouting", &spoofed);
    batch.rule("prerouting", &answers_outside(Rule::new()).mark(PASS_MARK).verdict(Verdict::Accept));
    let dns = (53, 53);
    for ports in captured.tcp.iter().copied().chain([dns]) {
        let rule = Rule::new().transport(TCP).destination_port(ports).to_proxy(proxy.tcp).mark(MARK);
        batch.rule("prerouting", &rule.verdict(Verdict::Accept));
    }
    for ports in captured.udp.iter().copied().chain([dns]) {
        let rule = Rule::new().transport(UDP).destination_port(ports).to_proxy(proxy.udp).mark(MARK);
        batch.rule("prerouting", &rule.verdict(Verdict::Accept));
    }
    batch.rule("prerouting", &Rule::new().log(LOG_GROUP, REFUSED, LOGGED));
    batch.rule("prerouting", &Rule::new().transport(TCP).reject(Reject::Reset));
    batch.rule("prerouting", &Rule::new().reject(Reject::Prohibited));
}

/// Only what was handed to the proxy, and neighbour discovery.
fn to_ourselves(batch: &mut Batch) {
    batch.rule("input", &Rule::new().marked(MARK).verdict(Verdict::Accept));
    batch.rule("input", &Rule::new().transport(ICMPV6).icmp_type(135, 136).verdict(Verdict::Accept));
}

/// Answers a connection from outside. That it is a reply doesn't prove it: where an entry of conntrack has run out (a client
/// can bring that about), the proxy's own next packet to the container, in a stranger's name, looks like the first of a
/// connection that the stranger opened.
fn answers_outside(rule: Rule) -> Rule {
    rule.is_reply().of_connection().of_remembered(PASS_MARK)
}

/// Connections from outside (published ports, neighbours) and the replies to them.
fn through(batch: &mut Batch) {
    let inward = || Rule::new().from_interface(OUTSIDE).to_interface(INSIDE);
    batch.rule("forward", &inward().opens_connection().log(LOG_GROUP, INBOUND, LOGGED).remember(PASS_MARK));
    batch.rule("forward", &inward().verdict(Verdict::Accept));
    let reply = answers_outside(Rule::new().from_interface(INSIDE).to_interface(OUTSIDE));
    batch.rule("forward", &reply.verdict(Verdict::Accept));
}
