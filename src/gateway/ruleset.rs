//! The gateway's ruleset, as one batch: what is handed to the proxy, what the kernel refuses at
//! once, and nothing else.
//!
//! Interfaces are told apart by name (`in0`, `in1`, …: from the container; `up0`, …: to the
//! outside), so that links which come later need no new rules. Invariant: no decision about the
//! direction of a packet rests on conntrack alone, which a peer can make forget. Conntrack sees
//! only what passes between the outside and the container; what the proxy sends and receives is
//! told by its sockets and by a set of what it sent.

use crate::gateway::nft::{Batch, Family, FlowSet, Hook, NftVerdict, Reject, Remote, Rule};
use crate::packets::agreed::{
    ARRIVED, CAPTURED, FRAGMENT, HELD, HELD_A_SECOND, HELD_AT_ONCE, HELD_BYTES, HELD_GROUP,
    LEAVING, LOG_GROUP, NOT_HELD, OPENING, ProxyPorts, REFUSED, SPOOFED, STRAY,
};
use crate::policy::CapturedPorts;

/// Names of links to the container begin so.
pub const INSIDE: &str = "in";
/// Names of links to the outside begin so.
pub const OUTSIDE: &str = "up";

/// The loopback's whole name: the end is compared, too.
const LOOPBACK: &str = "lo\0";

/// From the outside, for the proxy's own connections: delivered to this namespace's own sockets.
/// What the kernel answers by itself (a reset, "port unreachable") goes back outside.
pub const RETURNING: u32 = 0xb1;
/// From the outside, for the container. What the kernel says about it (a packet too big) goes back
/// outside.
pub const INBOUND: u32 = 0xb2;
/// From the container, in reply to a connection from outside.
pub const REPLYING: u32 = 0xb3;

/// Bytes of a packet that are logged: an IPv6 header, some extension headers, the ports.
const LOGGED: u32 = 128;

/// Datagrams that the proxy sent to the outside: what answers them, however late, never counts as a
/// connection from outside.
///
/// An entry outlasts every socket of the proxy's (`proxy::udp` closes one after 60 s of silence).
/// 1,800 new flows a second can be sustained; a full set lets nothing more out. Memory, when full:
/// 11 MiB for IPv4, 17 MiB for IPv6 (kernel 6.18).
const ASKED: [FlowSet; 2] = flows(["asked4", "asked6"], 70, 131_072);
/// Datagrams that came in from outside: only what answers them is looked for in conntrack. An entry
/// outlasts conntrack's own (120 s for UDP in both directions, nf_conntrack-sysctl.rst).
const SERVED: [FlowSet; 2] = flows(["served4", "served6"], 130, 65_536);
/// Connections that the proxy lately opened or ended: what still comes of one is no stray. A full
/// set only means that it is recorded as one.
const DIALLED: [FlowSet; 2] = flows(["dialled4", "dialled6"], 70, 65_536);
/// What was sent by the container, lately, and met no connection of the proxy's. An entry outlasts the
/// first repetitions of a segment. A full set only means that the first one is answered.
const UNMET: [FlowSet; 2] = flows(["unmet4", "unmet6"], 10, 65_536);
/// Connections from outside at the same time. Each takes 320 bytes of kernel memory, in all of
/// which the outside could otherwise drown the host.
const INBOUND_CONNECTIONS: u32 = 65_536;

const fn flows(names: [&'static str; 2], timeout_seconds: u64, size: u32) -> [FlowSet; 2] {
    let [v4, v6] = names;
    [
        FlowSet {
            name: v4,
            family: Family::V4,
            timeout_seconds,
            size,
        },
        FlowSet {
            name: v6,
            family: Family::V6,
            timeout_seconds,
            size,
        },
    ]
}

const TABLE: &str = "boundary";

/// Chains, in the order in which a packet meets them. Those named `…_untracked` come before
/// conntrack (priority -200).
const FRAGMENTS: &str = "fragments";
const PREROUTING_UNTRACKED: &str = "prerouting_untracked";
const PREROUTING: &str = "prerouting";
pub(crate) const FROM_CONTAINER: &str = "from_container";
const CAPTURED_TCP: &str = "captured_tcp";
const STRAYS: &str = "strays";
const INPUT: &str = "input";
const FORWARD: &str = "forward";
const OUTPUT_UNTRACKED: &str = "output_untracked";
const OUTPUT: &str = "output";

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// IPv6's groups: address and mask.
const MULTICAST: ([u8; 2], [u8; 2]) = ([0xff, 0], [0xff, 0]);

/// IPv6's link-local addresses (RFC 4291, 2.5.6).
const LINK_LOCAL: ([u8; 2], [u8; 2]) = ([0xfe, 0x80], [0xff, 0xc0]);

/// The whole ruleset. Returns the batch's bytes and the number of acknowledgements to await.
#[must_use]
pub fn build(captured: &CapturedPorts, proxy: ProxyPorts) -> (Vec<u8>, usize) {
    let mut batch = Batch::new(TABLE);
    ASKED
        .iter()
        .chain(&SERVED)
        .chain(&DIALLED)
        .chain(&UNMET)
        .for_each(|set| batch.set(set));
    declare_captured(&mut batch);
    batch.jump_target(STRAYS);
    // -450: before fragments are put together (-400), which keeps those that never become a packet.
    batch.chain(FRAGMENTS, Hook::Prerouting, -450, NftVerdict::Accept);
    // -300 (raw): before conntrack, after fragments were put together (-400). -150 (mangle): after
    // conntrack, before routing.
    batch.chain(
        PREROUTING_UNTRACKED,
        Hook::Prerouting,
        -300,
        NftVerdict::Accept,
    );
    batch.chain(PREROUTING, Hook::Prerouting, -150, NftVerdict::Accept);
    batch.chain(INPUT, Hook::Input, 0, NftVerdict::Drop);
    batch.chain(FORWARD, Hook::Forward, 0, NftVerdict::Drop);
    batch.chain(OUTPUT_UNTRACKED, Hook::Output, -300, NftVerdict::Accept);
    batch.chain(OUTPUT, Hook::Output, 0, NftVerdict::Drop);
    for family in [Family::V4, Family::V6] {
        let fragment = Rule::new().from_interface(INSIDE).is_fragment(family);
        batch.rule(FRAGMENTS, &fragment.log(LOG_GROUP, FRAGMENT, LOGGED));
    }
    accepted(&mut batch);
    for_the_proxy(&mut batch);
    sent_in_again(&mut batch, proxy);
    not_of_the_container(&mut batch);
    checked_source(&mut batch);
    opening(&mut batch);
    tracked(&mut batch);
    capture(&mut batch, captured, proxy);
    strays(&mut batch);
    to_ourselves(&mut batch);
    through(&mut batch);
    from_ourselves(&mut batch);
    batch.finish()
}

/// What puts other captured ports in the place of those of a ruleset in force: one transaction, in
/// which the chain that says so is emptied and filled again. As [`build`] gives it.
#[must_use]
pub fn recapture(captured: &CapturedPorts, proxy: ProxyPorts) -> (Vec<u8>, usize) {
    let mut batch = Batch::new(TABLE);
    batch.empty(FROM_CONTAINER);
    captured_or_refused(&mut batch, captured, proxy);
    batch.finish()
}

/// Makes the chains of [`capture`]. What is sent to the outside is to jump to [`FROM_CONTAINER`].
pub(crate) fn declare_captured(batch: &mut Batch) {
    batch.jump_target(FROM_CONTAINER);
    batch.jump_target(CAPTURED_TCP);
}

/// What becomes of what is sent to the outside: it is handed to the proxy, or refused.
pub(crate) fn capture(batch: &mut Batch, captured: &CapturedPorts, proxy: ProxyPorts) {
    captured_tcp(batch, proxy);
    captured_or_refused(batch, captured, proxy);
}

/// Connections that the proxy has accepted: nearly all that comes from the container, so it is
/// looked for first, even before the source is checked: that was done for the segment that opened
/// the connection, and another namespace's sockets and marks aren't seen here.
///
/// The proxy's connections to the outside aren't meant, which are marked, or the container could
/// speak to the proxy in a server's or a resolver's name. (Nor is UDP: there, the socket that
/// answers in a stranger's name would fit.)
fn accepted(batch: &mut Batch) {
    let rule = Rule::new()
        .from_interface(INSIDE)
        .transport(TCP)
        .of_transparent_socket()
        .of_marking_socket(0)
        .untracked()
        .mark(CAPTURED);
    batch.rule(PREROUTING_UNTRACKED, &rule.verdict(NftVerdict::Accept));
}

/// From outside: what belongs to the proxy's own connections, though it is addressed to the
/// container.
fn for_the_proxy(batch: &mut Batch) {
    let outside = || Rule::new().from_interface(OUTSIDE);
    let rule = outside()
        .of_transparent_socket()
        .untracked()
        .mark(RETURNING);
    batch.rule(PREROUTING_UNTRACKED, &rule.verdict(NftVerdict::Accept));
    for set in &ASKED {
        let rule = outside()
            .transport(UDP)
            .of_noted(set, Remote::Source)
            .note(set, Remote::Source);
        batch.rule(
            PREROUTING_UNTRACKED,
            &rule.untracked().mark(RETURNING).verdict(NftVerdict::Accept),
        );
    }
}

/// SYNs that were kept back and that the proxy sends in again, over the loopback: for its listener,
/// whomever they are addressed to. Nobody else sends there with this mark.
fn sent_in_again(batch: &mut Batch, proxy: ProxyPorts) {
    batch.rule(PREROUTING_UNTRACKED, &held_again(proxy));
}

/// A SYN that was kept back, as the proxy sends it in again.
pub(crate) fn held_again(proxy: ProxyPorts) -> Rule {
    let rule = Rule::new()
        .from_interface(LOOPBACK)
        .marked(CAPTURED)
        .transport(TCP)
        .only_opens_tcp();
    rule.to_proxy(proxy.tcp).verdict(NftVerdict::Accept)
}

/// All else that the container didn't send is conntrack's.
fn not_of_the_container(batch: &mut Batch) {
    let rule = Rule::new().not_from_interface(INSIDE);
    batch.rule(PREROUTING_UNTRACKED, &rule.verdict(NftVerdict::Accept));
}

/// From the container: the kernel's own talk, and sources that aren't the container's.
fn checked_source(batch: &mut Batch) {
    let v6 = |kind| {
        Rule::new()
            .of_family(Family::V6)
            .transport(ICMPV6)
            .icmp_type(kind, kind)
    };
    // What every container's kernel says by itself, to groups on a wire that ends here: looking for
    // routers, joining the groups of its own addresses, trying out an address. No attempt to
    // record; all else of IGMP and ICMPv6 is one.
    for rule in [v6(133), v6(143), v6(135).from_nowhere()] {
        let rule = rule.destination_in(MULTICAST.0, MULTICAST.1);
        batch.rule(PREROUTING_UNTRACKED, &rule.verdict(NftVerdict::Drop));
    }
    let spoofed = Rule::new()
        .source_is_foreign()
        .log(LOG_GROUP, SPOOFED, LOGGED)
        .verdict(NftVerdict::Drop);
    batch.rule(PREROUTING_UNTRACKED, &spoofed);
    for rule in to_this_node() {
        batch.rule(PREROUTING_UNTRACKED, &rule.verdict(NftVerdict::Accept));
    }
    // Asking for a neighbour at its own address, to see whether it is still there:
    // `proxy::neighbours` answers.
    batch.rule(PREROUTING_UNTRACKED, &discovery().verdict(NftVerdict::Drop));
}

/// Neighbour discovery for an address of the gateway's own. The hop limit proves that nobody passed
/// it on (RFC 4861 7.1).
fn to_this_node() -> [Rule; 3] {
    [
        discovery().destination_in(MULTICAST.0, MULTICAST.1),
        discovery().destination_in(LINK_LOCAL.0, LINK_LOCAL.1),
        discovery().to_own_address(),
    ]
}

/// Neighbour solicitations and advertisements.
fn discovery() -> Rule {
    Rule::new()
        .of_family(Family::V6)
        .transport(ICMPV6)
        .icmp_type(135, 136)
        .hop_limit(255)
}

/// From the container: what can't be a reply, and so needs no conntrack. Nothing of this kind
/// leaves an entry there.
fn opening(batch: &mut Batch) {
    // DNS goes to the proxy, whatever it may answer: the second lock on the way to resolvers.
    for transport in [TCP, UDP] {
        let rule = Rule::new().transport(transport).destination_port(DNS);
        batch.rule(PREROUTING_UNTRACKED, &rule.untracked().jump(FROM_CONTAINER));
    }
    batch.rule(
        PREROUTING_UNTRACKED,
        &Rule::new()
            .transport(TCP)
            .opens_tcp()
            .untracked()
            .jump(FROM_CONTAINER),
    );
    for set in &SERVED {
        let rule = Rule::new()
            .transport(UDP)
            .not_of_noted(set, Remote::Destination);
        batch.rule(PREROUTING_UNTRACKED, &rule.untracked().jump(FROM_CONTAINER));
    }
}

const DNS: (u16, u16) = (53, 53);

/// What conntrack has had a look at: connections from outside, their replies, and what pretends to
/// be either.
fn tracked(batch: &mut Batch) {
    for mark in [CAPTURED, RETURNING] {
        batch.rule(
            PREROUTING,
            &Rule::new().marked(mark).verdict(NftVerdict::Accept),
        );
    }
    for rule in to_this_node() {
        batch.rule(PREROUTING, &rule.verdict(NftVerdict::Accept));
    }
    let outside = || Rule::new().from_interface(OUTSIDE);
    // For a connection that the proxy has closed, or that never was: this node answers with a
    // reset, as any would.
    for rule in [
        outside().transport(TCP).of_no_connection(),
        outside()
            .transport(TCP)
            .opens_connection()
            .not_opening_tcp(),
    ] {
        batch.rule(PREROUTING, &rule.jump(STRAYS));
    }
    let stray = outside().of_no_connection().log(LOG_GROUP, STRAY, LOGGED);
    batch.rule(PREROUTING, &stray.verdict(NftVerdict::Drop));
    batch.rule(PREROUTING, &discovery().verdict(NftVerdict::Drop));
    batch.rule(
        PREROUTING,
        &outside().mark(INBOUND).verdict(NftVerdict::Accept),
    );
    let inside = || Rule::new().from_interface(INSIDE);
    batch.rule(
        PREROUTING,
        &answers_outside(inside())
            .mark(REPLYING)
            .verdict(NftVerdict::Accept),
    );
    batch.rule(PREROUTING, &inside().jump(FROM_CONTAINER));
}

/// TCP for the proxy. The SYN of a connection is kept back until it is known what the far end says to
/// one (`proxy::held`). How many are, this rule alone says, so that a flood of them makes no work for
/// the proxy: what is beyond that is accepted first; so is DNS, which the proxy answers itself, and
/// what a link-local address opens, which only the link that it came by could answer.
fn captured_tcp(batch: &mut Batch, proxy: ProxyPorts) {
    let tcp = || Rule::new().transport(TCP);
    let opening = || tcp().only_opens_tcp().not_destination_port(DNS);
    let local = tcp()
        .of_family(Family::V6)
        .source_in(LINK_LOCAL.0, LINK_LOCAL.1)
        .log(LOG_GROUP, OPENING, LOGGED);
    let held = opening()
        .within_rate(HELD_A_SECOND.into(), HELD_AT_ONCE.into())
        .log(HELD_GROUP, HELD, HELD_BYTES);
    // Of half a handshake, or of a connection that has ended: its first packet was told of. The
    // kernel itself looks for the socket, later: while a connection is accepted on one processor, a
    // packet of it on another may find, for some nanoseconds, neither half nor whole
    // (inet_ehash_insert of Linux up to 6.18 takes one out before it puts the other in), and `tproxy`
    // would give it to the listener, which resets.
    let known = tcp().not_opening_tcp().of_transparent_socket_in_any_state();
    let accepted_first = opening().log(LOG_GROUP, NOT_HELD, LOGGED);
    let others = tcp().log(LOG_GROUP, OPENING, LOGGED);
    let to_proxy = |rule: Rule| {
        let to_proxy = rule.to_proxy(proxy.tcp).mark(CAPTURED);
        to_proxy.verdict(NftVerdict::Accept)
    };
    for rule in [
        known.mark(CAPTURED).verdict(NftVerdict::Accept),
        to_proxy(local),
        held.verdict(NftVerdict::Drop),
        to_proxy(accepted_first),
        to_proxy(others),
    ] {
        batch.rule(CAPTURED_TCP, &rule);
    }
}

/// The end of every packet from the container that isn't a reply: handed to the proxy, or refused.
fn captured_or_refused(batch: &mut Batch, captured: &CapturedPorts, proxy: ProxyPorts) {
    for ports in captured.tcp.iter().copied().chain([DNS]) {
        let to_port = Rule::new().transport(TCP).destination_port(ports);
        batch.rule(FROM_CONTAINER, &to_port.jump(CAPTURED_TCP));
    }
    for ports in captured.udp.iter().copied().chain([DNS]) {
        let rule = Rule::new()
            .transport(UDP)
            .destination_port(ports)
            .to_proxy(proxy.udp)
            .mark(CAPTURED);
        batch.rule(FROM_CONTAINER, &rule.verdict(NftVerdict::Accept));
    }
    batch.rule(FROM_CONTAINER, &Rule::new().log(LOG_GROUP, REFUSED, LOGGED));
    batch.rule(
        FROM_CONTAINER,
        &Rule::new().transport(TCP).reject(Reject::Reset),
    );
    batch.rule(FROM_CONTAINER, &Rule::new().reject(Reject::Prohibited));
}

/// TCP from outside that belongs to no connection with the container: late packets of the proxy's
/// connections, and probes.
fn strays(batch: &mut Batch) {
    let tcp = || Rule::new().transport(TCP);
    let known = DIALLED
        .iter()
        .map(|set| tcp().of_noted(set, Remote::Source));
    let waiting = tcp().not_opening_tcp().of_transparent_socket_in_any_state();
    let unknown = tcp().log(LOG_GROUP, STRAY, LOGGED);
    for rule in known.chain([waiting, unknown]) {
        batch.rule(STRAYS, &rule.mark(RETURNING).verdict(NftVerdict::Accept));
    }
}

/// Only what was handed to the proxy, and neighbour discovery.
fn to_ourselves(batch: &mut Batch) {
    for mark in [CAPTURED, RETURNING] {
        batch.rule(INPUT, &Rule::new().marked(mark).verdict(NftVerdict::Accept));
    }
    // What the kernel tells the proxy's own sockets about packets that it could not deliver.
    batch.rule(
        INPUT,
        &Rule::new()
            .from_interface(LOOPBACK)
            .marked(LEAVING)
            .verdict(NftVerdict::Accept),
    );
    for rule in to_this_node() {
        batch.rule(INPUT, &rule.verdict(NftVerdict::Accept));
    }
}

/// A reply of a connection that came in from outside, which its mark in conntrack tells.
fn answers_outside(rule: Rule) -> Rule {
    rule.is_reply().of_connection().of_remembered(INBOUND)
}

/// Connections from outside (published ports, neighbours) and the replies to them.
fn through(batch: &mut Batch) {
    let inward = || {
        Rule::new()
            .from_interface(OUTSIDE)
            .to_interface(INSIDE)
            .marked(INBOUND)
    };
    let flood = inward()
        .opens_connection()
        .beyond_connections(INBOUND_CONNECTIONS);
    batch.rule(FORWARD, &flood.verdict(NftVerdict::Drop));
    batch.rule(
        FORWARD,
        &inward()
            .opens_connection()
            .log(LOG_GROUP, ARRIVED, LOGGED)
            .remember(INBOUND),
    );
    for set in &SERVED {
        batch.rule(
            FORWARD,
            &inward()
                .transport(UDP)
                .note(set, Remote::Source)
                .verdict(NftVerdict::Accept),
        );
    }
    // Not noted: its reply would not be let out.
    batch.rule(FORWARD, &inward().transport(UDP).verdict(NftVerdict::Drop));
    batch.rule(FORWARD, &inward().verdict(NftVerdict::Accept));
    let reply = answers_outside(
        Rule::new()
            .from_interface(INSIDE)
            .to_interface(OUTSIDE)
            .marked(REPLYING),
    );
    batch.rule(FORWARD, &reply.verdict(NftVerdict::Accept));
}

/// What this namespace itself sends. Routing is the first lock (`gateway::plumbing`), and outlasts
/// this one.
fn from_ourselves(batch: &mut Batch) {
    batch.rule(OUTPUT_UNTRACKED, &Rule::new().untracked());
    once_more_before_a_reset(batch);
    for interface in [INSIDE, LOOPBACK] {
        batch.rule(
            OUTPUT,
            &Rule::new()
                .to_interface(interface)
                .verdict(NftVerdict::Accept),
        );
    }
    let leaving = || Rule::new().to_interface(OUTSIDE).marked(LEAVING);
    for set in &ASKED {
        batch.rule(
            OUTPUT,
            &leaving()
                .transport(UDP)
                .note(set, Remote::Destination)
                .verdict(NftVerdict::Accept),
        );
    }
    for set in &DIALLED {
        batch.rule(
            OUTPUT,
            &leaving()
                .transport(TCP)
                .opens_or_ends_tcp()
                .note(set, Remote::Destination),
        );
    }
    batch.rule(
        OUTPUT,
        &leaving().transport(TCP).verdict(NftVerdict::Accept),
    );
    // Resets and ICMP errors: nothing else may be sent out with these marks, by whoever has taken the
    // proxy over.
    for mark in [RETURNING, INBOUND] {
        for transport in [TCP, ICMP, ICMPV6] {
            let answer = Rule::new().to_interface(OUTSIDE).marked(mark);
            let answer = answer.transport(transport);
            batch.rule(OUTPUT, &answer.verdict(NftVerdict::Accept));
        }
    }
    // Looking for the next hop, and the groups that takes (RFC 4861 7.2.1).
    batch.rule(OUTPUT, &discovery().verdict(NftVerdict::Accept));
    let groups = Rule::new()
        .of_family(Family::V6)
        .transport(ICMPV6)
        .icmp_type(143, 143);
    batch.rule(OUTPUT, &groups.verdict(NftVerdict::Accept));
}

/// The kernel resets a connection of the container's only where a segment that met none comes again. While
/// one is accepted on one processor, a segment of it that is looked up on another may meet neither half
/// nor whole ([`captured_tcp`]): for nanoseconds, or for as long as a virtual processor is stopped just
/// then. Other hosts hardly see that, since there one processor does both; here the proxy lets the first
/// segment in.
fn once_more_before_a_reset(batch: &mut Batch) {
    for set in &UNMET {
        let reset = || {
            let to_container = Rule::new().to_interface(INSIDE).marked(CAPTURED);
            to_container.transport(TCP).refuses_a_segment()
        };
        let again = reset().of_noted(set, Remote::Source);
        batch.rule(OUTPUT, &again.verdict(NftVerdict::Accept));
        let first = reset().note(set, Remote::Source);
        batch.rule(OUTPUT, &first.verdict(NftVerdict::Drop));
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::sys::netlink::{attributes, raw_messages};

    /// Without root, where the netns suite can't ask the kernel: the batch, attribute by attribute.
    /// What the numbers mean is in `nft/uapi.rs`; the same ruleset as `nft` lists it is in
    /// `testdata/gateway.nft`. `UPDATE_TESTDATA=1` writes the file anew.
    #[test]
    fn the_batch_is_as_written_down() {
        let captured = CapturedPorts {
            tcp: vec![(80, 80), (443, 443), (5000, 5010)],
            udp: vec![(4500, 4500)],
        };
        let ports = ProxyPorts {
            tcp: 40001,
            udp: 40002,
        };
        let (batch, acknowledged) = build(&captured, ports);
        assert_eq!(acknowledged, raw_messages(&batch).count() - 2);
        let found = dump(&batch);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/gateway.netlink");
        if std::env::var_os("UPDATE_TESTDATA").is_some() {
            crate::sys::file::replace(path.as_ref(), found.as_bytes(), 0o644).unwrap();
        }
        let expected = std::fs::read_to_string(path).unwrap();
        for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "line {} of {path}", number + 1);
        }
        assert_eq!(found.len(), expected.len());
    }

    /// One line for each message (its type, its flags, sequence number and port, `struct nfgenmsg`)
    /// and for each attribute (its type and value).
    fn dump(batch: &[u8]) -> String {
        const HEADER: usize = 16;
        const NFGENMSG: usize = 4;
        let (mut text, mut at) = (String::new(), 0);
        for message in raw_messages(batch) {
            let rest = &batch[at + 6..at + HEADER];
            let (family, attributes) = message.payload.split_at(NFGENMSG);
            writeln!(
                text,
                "message {:#06x} {rest:02x?} {family:02x?}",
                message.kind
            )
            .unwrap();
            dump_attributes(&mut text, attributes, 1);
            at += (HEADER + message.payload.len()).next_multiple_of(4);
        }
        assert_eq!(at, batch.len());
        text
    }

    fn dump_attributes(text: &mut String, bytes: &[u8], depth: usize) {
        const NESTED: u16 = 0x8000;
        for (kind, value) in attributes(bytes) {
            let indent = "  ".repeat(depth);
            if kind & NESTED != 0 {
                writeln!(text, "{indent}{}", kind & !NESTED).unwrap();
                dump_attributes(text, value, depth + 1);
                continue;
            }
            match value.strip_suffix(&[0]).map(std::str::from_utf8) {
                Some(Ok(word)) if word.len() > 1 && !word.contains(char::is_control) => {
                    writeln!(text, "{indent}{kind} {word:?}").unwrap();
                }
                _ => writeln!(text, "{indent}{kind} {value:02x?}").unwrap(),
            }
        }
    }
}
