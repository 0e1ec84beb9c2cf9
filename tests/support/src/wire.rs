//! Reading captures: which packets of a filtered container may be on its uplink under the default
//! test policy.

use crate::hosts::{ALLOWED, RESOLVER, WILD};

/// Packets that nothing allows. Allowed are: finding neighbours, DNS for allowed names, web ports
/// of allowed hosts.
pub fn leaks(packets: &[String]) -> Vec<&str> {
    packets
        .iter()
        .map(String::as_str)
        .filter(|packet| !is_allowed(packet))
        .collect()
}

/// Panics unless the capture saw what it must have seen: a request, on whichever connection.
#[track_caller]
pub fn must_show_allowed_traffic(packets: &[String]) {
    let sign = format!("> {}.80: Flags [P", ALLOWED.v4);
    assert!(
        packets.iter().any(|packet| packet.contains(&sign)),
        "the capture is blind: {packets:#?}"
    );
}

fn is_allowed(packet: &str) -> bool {
    is_neighbourly(packet)
        || is_answer_to_poke(packet)
        || is_allowed_query(packet)
        || is_allowed_web(packet)
}

/// The container's answer to the datagram that shows a capture to be running (`Capture::start`).
fn is_answer_to_poke(packet: &str) -> bool {
    packet.contains("ICMP") && packet.contains("udp port 9 unreachable")
}

fn is_neighbourly(packet: &str) -> bool {
    let icmp6 = [
        "ICMP6, neighbor ",
        "ICMP6, router solicitation",
        "ICMP6, multicast listener report",
    ];
    packet.starts_with("ARP, ")
        || icmp6.iter().any(|sign| packet.contains(sign))
        || packet.contains("HBH ICMP6, multicast")
}

/// `IP a.b.c.d.port > server.53: id+ A? allowed.test. (30)`; TCP segments without a question don't
/// name anything.
fn is_allowed_query(packet: &str) -> bool {
    let to_resolver = [
        format!("> {}.53: ", RESOLVER.v4),
        format!("> {}.53: ", RESOLVER.v6),
    ];
    let named = ["? allowed.test. ", ".wild.test. ", ".rebind.test. "]
        .iter()
        .any(|name| packet.contains(name));
    let no_question = packet.contains("Flags [") && packet.ends_with("length 0");
    to_resolver.iter().any(|server| packet.contains(server)) && (named || no_question)
}

fn is_allowed_web(packet: &str) -> bool {
    [ALLOWED, WILD].iter().any(|host| {
        [80, 443].iter().any(|port| {
            packet.contains(&format!("> {}.{port}: Flags", host.v4))
                || packet.contains(&format!("> {}.{port}: Flags", host.v6))
        })
    })
}
