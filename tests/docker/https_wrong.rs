//! Servers and clients that are wrong, where TLS is intercepted: each gets one clear answer, which is
//! recorded, and leaves nothing open.

use std::time::Duration;

use serde_json::Value;
use test_support::bed::{Bed, records};
use test_support::command::{wait_for, wait_for_within};
use test_support::docker::Container;
use test_support::harness::Test;
use test_support::hosts::{ALLOWED, WILD};

use crate::https::RUNTIME;
use crate::https_world::serve_tls;
use crate::memory::Gateway;

pub(crate) const TESTS: &[Test] = &[
    ("servers_that_cant_be_verified_are_told_of", unverified),
    (
        "servers_that_dont_do_tls_as_they_should_are_told_of",
        wrong_tls,
    ),
    (
        "a_server_that_hangs_in_the_handshake_is_told_of",
        hanging_server,
    ),
    ("a_request_for_another_name_is_misdirected", misdirected),
    (
        "clients_that_dont_do_tls_as_they_should_are_denied",
        wrong_clients,
    ),
    ("ten_thousand_names_cost_nothing_that_stays", many_names),
];

/// Asks for a page of a server; gives what came: the status, the reason as the client sees it, and as
/// the record has it. Nothing is left open.
#[track_caller]
fn asked(bed: &Bed, url: &str) -> (String, String, Vec<Value>) {
    let container = bed.start_with(RUNTIME, &[], &["sleep", "600"]);
    let script = format!("curl -sS -m 40 -w '\\n%{{http_code}}' https://{url}");
    let said = container.exec(&script).must_succeed().stdout.clone();
    nothing_is_open(bed, &container);
    let (body, status) = said.rsplit_once('\n').unwrap();
    let id = container.id();
    container.remove();
    let of_https = records(bed, &id)
        .into_iter()
        .filter(|record| record["protocol"] == "https")
        .collect();
    (status.to_owned(), body.to_owned(), of_https)
}

/// No connection is left in the gateway, on either side.
#[track_caller]
fn nothing_is_open(bed: &Bed, container: &Container<'_>) {
    let proxy = container.footprint().proxy;
    let list = [
        "nsenter",
        "--target",
        &proxy,
        "--net",
        "ss",
        "-tnH",
        "state",
        "established",
    ];
    wait_for_within(Duration::from_secs(40), "every connection to end", || {
        bed.exec(&list).must_succeed().stdout.is_empty()
    });
}

#[track_caller]
fn is_told(bed: &Bed, url: &str, reason: &str) {
    let (status, body, all) = asked(bed, url);
    assert_eq!(status, "502", "{url}: {body} {all:#?}");
    assert!(body.contains(reason), "{url}: {body}");
    let [one] = &all[..] else {
        panic!("{url}: {all:#?}")
    };
    let recorded = one["reason"].as_str().unwrap_or_default();
    assert!(recorded.contains(reason), "{url}: {one:#?}");
    assert_eq!(one["verdict"], "allow", "{one:#?}");
    assert_eq!(one["method"], "GET", "{one:#?}");
}

fn unverified(bed: &Bed) {
    for (fault, reason) in [
        ("expired", "its certificate has expired"),
        ("early", "its certificate is not valid yet"),
        ("other", "its certificate is for other names"),
        (
            "self-signed",
            "its certificate is vouched for by nobody that this host trusts",
        ),
    ] {
        is_told(bed, &format!("{fault}.wrong.wild.test/open/a"), reason);
    }
    // The server heard no request.
    assert!(
        !bed.internet_log().contains("wrong.wild.test\n"),
        "{}",
        bed.internet_log()
    );
}

fn wrong_tls(bed: &Bed) {
    let serve = |port: u16, flags: &str| {
        let script = format!(
            "exec openssl s_server -accept {}:{port} -cert /tmp/certificate.pem -key /tmp/key.pem -www -quiet {flags}",
            ALLOWED.v4
        );
        serve_tls(bed, &[], port, &script)
    };
    let _old = serve(8461, "-tls1 -cipher ALL:@SECLEVEL=0");
    let _certified = serve(8462, "-Verify 1");
    let _certified_old = serve(8463, "-Verify 1 -tls1_2");
    let closing = format!(
        "exec /usr/bin/python3 -c 'import socket\nserver = socket.create_server((\"{}\", 8464))\nwhile True:\n  with server.accept()[0] as one: one.recv(65536)'",
        ALLOWED.v4
    );
    let _closing = serve_tls(bed, &[], 8464, &closing);
    let clear = format!(
        "exec /usr/bin/python3 -m http.server --bind {} 8465",
        ALLOWED.v4
    );
    let _clear = serve_tls(bed, &[], 8465, &clear);
    let certificate = "it wants a certificate of the client's, which can't be given in its place: put allowed.test into tls: passthrough";
    for (port, reason) in [
        (8461, "its TLS handshake failed"),
        (8462, certificate),
        (8463, certificate),
        (8464, "it ended within its TLS handshake"),
        (8465, "it does not speak TLS on this port"),
    ] {
        is_told(bed, &format!("allowed.test:{port}/open/a"), reason);
    }
}

fn hanging_server(bed: &Bed) {
    let silent = format!(
        "exec /usr/bin/python3 -c 'import socket\nserver = socket.create_server((\"{}\", 8466))\nkept = []\nwhile True: kept.append(server.accept())'",
        ALLOWED.v4
    );
    let _silent = serve_tls(bed, &[], 8466, &silent);
    is_told(
        bed,
        "allowed.test:8466/open/a",
        "its TLS handshake did not end",
    );
}

fn misdirected(bed: &Bed) {
    let container = bed.start_with(RUNTIME, &[], &["sleep", "600"]);
    for host in ["spliced.wild.test", "get.wild.test", "denied.test"] {
        let script = format!(
            "curl -sS -m 10 -w ' %{{http_code}}' -H 'Host: {host}' https://allowed.test/open/misdirected"
        );
        let said = container.exec(&script).must_succeed().stdout.clone();
        assert!(
            said.contains("misdirected") && said.ends_with(" 421"),
            "{host}: {said}"
        );
    }
    let log = bed.internet_log();
    assert!(!log.contains("GET /open/misdirected"), "{log}");
    let id = container.id();
    container.remove();
    let denied = records(bed, &id)
        .into_iter()
        .filter(|record| record["protocol"] == "https" && record["verdict"] == "deny");
    assert_eq!(denied.count(), 3);
}

fn wrong_clients(bed: &Bed) {
    let container = bed.start_with(RUNTIME, &["-v", "/machine/usr:/usr:ro"], &["sleep", "600"]);
    let address = ALLOWED.v4;
    let program = format!(
        "import socket, ssl
context = ssl.create_default_context()
context.check_hostname = False
def connect(): return socket.create_connection(('{address}', 443), 10)
def over(stream):
    try: return not stream.recv(1000)
    except ConnectionResetError: return True
    except ssl.SSLError as error: return error.reason
# No name, and an address for one.
for name in [None, '{address}']:
    try: context.wrap_socket(connect(), server_hostname=name)
    except (ssl.SSLError, OSError) as error: print(name, error)
# What follows the handshake is no HTTP.
with context.wrap_socket(connect(), server_hostname='allowed.test') as stream:
    stream.sendall(bytes(range(256)) + b'\\r\\n\\r\\n')
    print('garbage', stream.recv(1000).split(b'\\r\\n')[0])
# A request that is cut short, and one that is cut with its TLS.
for cut in [lambda stream: stream.unwrap(), lambda stream: stream.shutdown(socket.SHUT_WR)]:
    with context.wrap_socket(connect(), server_hostname='allowed.test') as stream:
        stream.sendall(b'GET /open/cut HTTP/1.1\\r\\nHost: allo')
        try: cut(stream)
        except (ssl.SSLError, OSError): pass
        print('cut')
# A handshake that stops after the hello.
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
half = context.wrap_bio(incoming, outgoing, server_hostname='allowed.test')
try: half.do_handshake()
except ssl.SSLWantReadError: pass
plain = connect()
plain.settimeout(40)
plain.sendall(outgoing.read())
got = b''
while piece := plain.recv(65536): got += piece
print('given up', len(got) > 500)"
    );
    let script = format!("/usr/bin/python3 - <<'END'\n{program}\nEND");
    let answer = container.exec(&script);
    answer.must_succeed();
    nothing_is_open(bed, &container);
    let id = container.id();
    container.remove();
    let all = records(bed, &id);
    assert!(!bed.internet_log().contains("/open/cut"));
    assert!(
        answer
            .stdout
            .contains("garbage b'HTTP/1.1 400 Bad Request'"),
        "{answer:?}"
    );
    assert!(
        answer.stdout.ends_with("cut\ncut\ngiven up True\n"),
        "{answer:?}"
    );
    let of = |reason: &str| {
        let all = all.iter().filter_map(|record| record["reason"].as_str());
        all.filter(|said| said.contains(reason)).count()
    };
    assert_eq!(of("the client's TLS handshake did not end"), 1, "{all:#?}");
    assert_eq!(
        of("the request's head never became complete"),
        2,
        "{all:#?}"
    );
}

/// What the certificates that are kept take, with what is remembered of names: more names take no
/// more.
const KEPT: u64 = 16 << 20;

fn many_names(bed: &Bed) {
    let machine = ["-v", "/machine/usr:/usr:ro"];
    let container = bed.start_with(RUNTIME, &machine, &["sleep", "600"]);
    let gateway = Gateway::of(bed, &container);
    let before = gateway.holds();
    // Gives how many of so many names, from the first on, were answered.
    let ask = |first: u32, count: u32, suffix: &str| {
        let program = format!(
            "import socket, ssl
context = ssl.create_default_context()
context.load_verify_locations('/dev/boundary/roots.pem')
answered = 0
for number in range({first}, {first} + {count}):
    name = f'n{{number}}x{{number * 7919 % 10007}}.{suffix}'
    try:
        with context.wrap_socket(socket.create_connection(('{0}', 443), 20), server_hostname=name) as stream:
            answered += stream.version() is not None
    except ssl.SSLError: pass
print(answered)",
            WILD.v4
        );
        let script = format!("/usr/bin/python3 - <<'END'\n{program}\nEND");
        let run = ["exec", &container.name, "sh", "-c", &script];
        let answer = bed.docker_within(180, &run);
        answer.must_succeed().stdout.trim().parse::<u32>().unwrap()
    };
    assert_eq!(ask(0, 5000, "any.wild.test"), 5000);
    let kept = gateway.holds();
    assert_eq!(ask(5000, 5000, "any.wild.test"), 5000);
    assert_eq!(ask(0, 10000, "nowhere.test"), 0);
    wait_for("the memory to be given back", || {
        gateway.holds() < kept + (2 << 20)
    });
    assert!(kept < before + KEPT, "{before} became {kept}");
}
