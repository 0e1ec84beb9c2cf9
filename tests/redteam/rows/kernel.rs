//! The gateway is a router. What its kernel says by itself quotes what the container sent, and goes
//! to whom the container names as the source.

use std::time::Duration;

use crate::pairing::Family;
use crate::row::{Meanwhile, Need, ROW, Row};
use crate::scene::Scene;

/// Why none of it gets out.
const INSIDE_ONLY: &str = "what the gateway's kernel says by itself has a route to the inside only";

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "kernel_host_unreachable_for_a_silent_container",
        attack: "the container stops answering ARP for itself and asks TARGET a DNS question: the answer, in TARGET's name, \
                 can't be delivered, and host unreachable goes to TARGET",
        defence: INSIDE_ONLY,
        needs: &[Need::Only(Family::V4), Need::NetAdmin],
        script: |scene| {
            format!(
                // Taking the link down makes the gateway forget where the container's address is.
                "set -e; gateway=$(ip route | awk '/^default/ {{print $3}}'); attacker send udp $gateway:9 hello
                 mac=$(/bin/ip neigh show $gateway | sed 's/.*lladdr \\([^ ]*\\).*/\\1/')
                 /bin/ip link set eth0 down; /bin/ip link set eth0 arp off up; /bin/ip route add default via $gateway
                 /bin/ip neigh replace $gateway lladdr $mac nud permanent dev eth0
                 attacker speak question {} {}",
                scene.target(),
                scene.secret
            )
        },
        linger: Duration::from_secs(6),
        silences: true,
        ..ROW
    },
    Row {
        name: "kernel_reassembly_time_exceeded_v4",
        attack: "a first fragment in TARGET's name that is never completed",
        defence: INSIDE_ONLY,
        needs: &[Need::Only(Family::V4)],
        script: |scene| speak(scene, "first-fragment"),
        linger: Duration::from_secs(33),
        ..ROW
    },
    Row {
        name: "kernel_net_unreachable_while_the_proxy_dies",
        attack: "datagrams in the names of TARGET's neighbours while the proxy is killed: nf_tables end before the links",
        defence: INSIDE_ONLY,
        needs: &[Need::Only(Family::V4)],
        script: |scene| {
            format!(
                "timeout 20 attacker-raw flood {} {} 5",
                scene.target(),
                scene.secret
            )
        },
        meanwhile: Meanwhile::ProxyIsKilled,
        silences: true,
        alone: true,
        ..ROW
    },
    Row {
        name: "kernel_unreachable_for_an_unknown_link_local_source",
        attack: "a DNS question to TARGET from a link-local address that nobody has",
        defence: INSIDE_ONLY,
        needs: &[Need::Only(Family::V6)],
        script: |scene| speak(scene, "unreachable-source"),
        linger: Duration::from_secs(6),
        ..ROW
    },
    Row {
        name: "kernel_parameter_problem_for_an_unknown_option",
        attack: "a hop-by-hop or destination option that must be complained about, in TARGET's name: it is parsed before any \
                 rule of nf_tables",
        defence: INSIDE_ONLY,
        needs: &[Need::Only(Family::V6)],
        script: |scene| speak(scene, "option"),
        linger: Duration::from_secs(3),
        ..ROW
    },
    Row {
        name: "kernel_unreachable_for_a_far_neighbour_solicitation",
        attack: "a neighbour solicitation (ICMPv6 type 135) to a far address, in TARGET's name",
        defence: "neighbour discovery passes only with hop limit 255 and to an address of the link; the source check comes first",
        needs: &[Need::Only(Family::V6)],
        script: |scene| speak(scene, "far-solicitation"),
        linger: Duration::from_secs(3),
        ..ROW
    },
    Row {
        name: "kernel_reassembly_time_exceeded_v6",
        attack: "a first fragment in TARGET's name that is never completed",
        defence: INSIDE_ONLY,
        needs: &[Need::Only(Family::V6)],
        script: |scene| speak(scene, "first-fragment"),
        linger: Duration::from_secs(63),
        ..ROW
    },
    Row {
        name: "kernel_port_and_protocol_unreachable",
        attack: "datagrams to closed ports of the gateway's own addresses, and protocols that it doesn't speak, in TARGET's name",
        defence: INSIDE_ONLY,
        script: |scene| all(&[speak(scene, "closed-port"), speak(scene, "protocol")]),
        ..ROW
    },
    Row {
        name: "kernel_time_exceeded_at_the_last_hop",
        attack: "packets in TARGET's name that may make no further hop",
        defence: INSIDE_ONLY,
        script: |scene| speak(scene, "last-hop"),
        ..ROW
    },
    Row {
        name: "kernel_fragmentation_needed_and_bad_options_v4",
        attack: "packets in TARGET's name that are as long as the link takes and must not be cut, and broken options",
        defence: INSIDE_ONLY,
        needs: &[Need::Only(Family::V4)],
        script: |scene| all(&[speak(scene, "too-big"), speak(scene, "bad-option")]),
        ..ROW
    },
    Row {
        name: "kernel_reset_and_handshake",
        attack: "segments in TARGET's name that the gateway's TCP answers: a reset for what belongs to no connection, SYN-ACKs, \
                 again and again, for a handshake on a captured port; their numbers are the secret",
        defence: "the source check drops what claims to come from elsewhere; the proxy's answers have a route to the inside only",
        script: |scene| all(&[speak(scene, "reset"), speak(scene, "handshake")]),
        linger: Duration::from_secs(4),
        ..ROW
    },
    Row {
        name: "kernel_echo_timestamp_and_mask_replies",
        attack: "pings, timestamp, information and mask requests in TARGET's name, to every address of the gateway",
        defence: INSIDE_ONLY,
        script: |scene| speak(scene, "ping"),
        ..ROW
    },
    Row {
        name: "kernel_answers_to_neighbours_routers_and_listeners",
        attack: "neighbour and router solicitations and listener queries in TARGET's name: the answer, or the question where TARGET \
                 is, would be seen on the wire",
        defence: "the container's side has its own neighbours; listener and router messages are dropped",
        needs: &[Need::Only(Family::V6)],
        script: |scene| speak(scene, "neighbour-question"),
        linger: Duration::from_secs(4),
        ..ROW
    },
];

fn all(scripts: &[String]) -> String {
    scripts.join(" && ")
}

/// A trigger, to somebody on the wire and to somebody far.
fn speak(scene: &Scene<'_>, trigger: &str) -> String {
    let secret = &scene.secret;
    let [near, far] = [scene.neighbour(), scene.target()];
    format!(
        "attacker-raw speak {trigger} {near} {secret} && attacker-raw speak {trigger} {far} {secret}"
    )
}
