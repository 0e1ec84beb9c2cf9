//! Requests within TLS: a rule denies a path there, and nothing but the request says which it is.

use crate::pairing::Family;
use crate::row::{ROW, Row, Trace};
use crate::scene::Scene;

/// Whose TLS is intercepted: every other name's below `wild.test` passes unread.
const NAME: &str = "read.wild.test";

const READ: &str = "TLS to a name whose rules ask for requests is intercepted, each request judged by itself, and what servers could \
                    read in several ways refused";
const ONE_NAME: &str =
    "a connection leads to the one name that its hello says: a request for another is answered 421";

const fn row(
    name: &'static str,
    attack: &'static str,
    defence: &'static str,
    script: fn(&Scene<'_>) -> String,
) -> Row {
    Row {
        name,
        attack,
        defence,
        script,
        recorded: Some(Trace::Denied),
        ..ROW
    }
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "intercepted_path_spellings",
        "a denied path within TLS, as it is and in twelve other spellings",
        READ,
        |scene| {
            let spellings = [
                "/hidden/SECRET",
                "/%68idden/SECRET",
                "//hidden/SECRET",
                "/./hidden/SECRET",
                "/x/../hidden/SECRET",
                "/x/%2e%2e/hidden/SECRET",
                "/x/.%2E/hidden/SECRET",
                "/x/..%2fhidden/SECRET",
                "/x/..%5chidden/SECRET",
                "/x/..;/hidden/SECRET",
                "/hidden%2fSECRET",
                "/hidden%00/SECRET",
                "/x\\..\\hidden/SECRET",
            ];
            let asks = spellings.map(|path| asked(scene, "", path));
            asks.join("\n")
        },
    ),
    row(
        "intercepted_targets",
        "a denied path within TLS, in targets that are whole URIs of both schemes, no path, or go on behind a fragment",
        READ,
        |scene| {
            let targets = [
                "https://read.wild.test/hidden/SECRET",
                "http://read.wild.test/hidden/SECRET",
                "HTTPS://read.wild.test:443/hidden/SECRET",
                "hidden/SECRET",
                "/x#/../hidden/SECRET",
                "/hidden/?SECRET",
            ];
            let asks =
                targets.map(|target| asked(scene, &format!("--request-target '{target}'"), "/"));
            asks.join("\n")
        },
    ),
    row(
        "intercepted_hidden_behind_another",
        "a denied request in the body of an allowed one whose length is said twice, in one way or two, or whose lines are folded",
        READ,
        |scene| {
            let bodies = [
                "-H 'Content-Length: 5' -H 'Content-Length: 200'",
                "-H 'Content-Length: 5' -H 'Transfer-Encoding: chunked'",
                "-H 'Content-Length: 5' -H 'Transfer-Encoding : chunked'",
                "-H 'Content-Length: 5' -H 'Transfer-Encoding: chunked, identity'",
                "-H 'Content-Length: +5'",
            ];
            let smuggled = "0\r\n\r\nGET /hidden/SECRET HTTP/1.1\r\nHost: read.wild.test\r\n\r\n";
            let asks = bodies.map(|length| {
                let how = format!("-X POST {length} --data-binary \"$(printf '{smuggled}')\"");
                asked(scene, &how, "/x")
            });
            // And as itself, so that there is something to be seen without the filter.
            format!(
                "{}\n{}",
                asks.join("\n"),
                asked(scene, "", "/hidden/SECRET")
            )
        },
    ),
    row(
        "intercepted_for_another_host",
        "an allowed name in SNI, a denied one in Host or in the target (fronting, coalescing)",
        ONE_NAME,
        |scene| {
            let ways = [
                "-H 'Host: denied.test'",
                "-H 'Host: attacker.test:443'",
                "-H 'Host: other.wild.test'",
                "--request-target 'https://denied.test/SECRET'",
                "-H 'Host: 203.0.113.1'",
            ];
            let asks = ways.map(|way| asked(scene, way, "/SECRET"));
            asks.join("\n")
        },
    ),
    row(
        "intercepted_tunnels",
        "CONNECT within TLS to a denied name, and upgrades to HTTP/2 on a denied path",
        READ,
        |scene| {
            let ways = [
                ("-X CONNECT --request-target 'SECRET.denied.test:443'", "/"),
                (
                    "-H 'Connection: Upgrade, HTTP2-Settings' -H 'Upgrade: h2c' -H 'HTTP2-Settings: AAMAAABk'",
                    "/hidden/SECRET",
                ),
                (
                    "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='",
                    "/hidden/SECRET",
                ),
            ];
            let asks = ways.map(|(how, path)| asked(scene, how, path));
            asks.join("\n")
        },
    ),
    row(
        "intercepted_version_and_method",
        "a denied path within TLS by HTTP/1.0, HTTP/2, and methods that nobody knows",
        READ,
        |scene| {
            let ways = [
                "--http1.0",
                "--http2",
                "--http2-prior-knowledge",
                "-X get",
                "-X PROPFIND",
                "-I",
            ];
            let asks = ways.map(|way| asked(scene, way, "/hidden/SECRET"));
            asks.join("\n")
        },
    ),
];

/// Asks the server for something within TLS, whoever vouches for it.
fn asked(scene: &Scene<'_>, how: &str, path: &str) -> String {
    let family = match scene.circumstances.family {
        Family::V4 => "-4",
        Family::V6 => "-6",
    };
    let line = format!(
        "curl {family} -g -ksS -m 5 -o /dev/null --path-as-is {how} 'https://{NAME}{path}'; :"
    );
    line.replace("SECRET", &scene.secret)
}
