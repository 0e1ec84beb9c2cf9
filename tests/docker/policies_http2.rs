//! The policy is changed while streams of HTTP/2 are open, in clear text and in intercepted TLS: each
//! is judged by itself, and the others of its connection go on. When none is open, the connection to the
//! server ends where nothing more is allowed on it.

use test_support::bed::{Bed, Capture, records};
use test_support::harness::Test;
use test_support::hosts::ALLOWED;

use crate::https::RUNTIME;
use crate::https_world::serve_tls;
use crate::open_flows::Flows;

/// With the program that it needs.
pub(crate) const TESTS: &[(&str, Test)] = &[(
    "nginx",
    (
        "a_stream_of_http_2_is_cut_and_another_of_its_connection_goes_on",
        streams,
    ),
)];

const SECURE_PORT: u16 = 8477;
const CLEAR_PORT: u16 = 8478;

/// Serves as slowly as it takes for something to be under way.
fn server() -> String {
    format!(
        "mkdir -p /var/log/nginx /srv/open/kept; head -c 3000000 /dev/zero | tee /srv/open/large >/srv/open/kept/large
        cat >/tmp/conf <<'END'
user root; daemon off; error_log stderr; pid /tmp/pid;
events {{ }}
http {{
    access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
    uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
    server {{
        listen {0}:{SECURE_PORT} ssl http2; listen {0}:{CLEAR_PORT} http2; root /srv; limit_rate 1000;
        ssl_certificate /tmp/certificate.pem; ssl_certificate_key /tmp/key.pem;
        location = /open/kept/told {{ return 200 told; }}
    }}
}}
END
        exec nginx -e stderr -c /tmp/conf",
        ALLOWED.v4
    )
}

/// As much of HTTP/2 as it takes to ask, and to see what becomes of each stream.
const CLIENT: &str = r"
def frame(kind, flags, stream, body=b''):
    return len(body).to_bytes(3, 'big') + bytes([kind, flags]) + stream.to_bytes(4, 'big') + body
def get(number, path):
    fields = {':method': 'GET', ':scheme': SCHEME, ':authority': f'{HOST}:{PORT}', ':path': path}
    block = b''.join(b'\0' + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields.items())
    stream.sendall(frame(1, 5, number, block))
def next_frame():
    length, kind, flags, number = (int.from_bytes(part, 'big') for part in (exactly(stream, 3), exactly(stream, 1), exactly(stream, 1), exactly(stream, 4)))
    body = exactly(stream, length)
    if kind == 4 and not flags & 1: stream.sendall(frame(4, 1, 0))
    return kind, number, body
def until(kind, number):
    'The body of the first such frame.'
    while True:
        found, of, body = next_frame()
        assert found != 7, body
        if (found, of) == (kind, number) and (kind or body): return body
stream.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(4, 0, 0))
get(1, '/open/large'); until(0, 1)
get(3, '/open/kept/large'); until(0, 3)
tell('open')
wait('on')
tell('reset', int.from_bytes(until(3, 1), 'big'))
tell('kept', len(until(0, 3)) > 0)
stream.sendall(frame(3, 0, 3, (8).to_bytes(4, 'big')))
get(5, '/open/kept/told'); tell(until(0, 5).decode())
get(7, '/open/large'); tell(b'denied' in until(0, 7))
tell('idle')
wait('end')
get(9, '/open/kept/told'); tell(b'denied' in until(0, 9))
";

fn streams(bed: &Bed) {
    let _server = serve_tls(bed, &[], SECURE_PORT, &server());
    for (port, scheme, connect) in [
        (SECURE_PORT, "https", "secure(PORT, 'h2')"),
        (CLEAR_PORT, "http", "dial(PORT)"),
    ] {
        let rule = |paths: &str| format!("domain=allowed.test port={port} path={paths}");
        let flows = Flows::under(bed, RUNTIME, &[&rule("/open/*")]);
        flows.begin(&format!(
            "PORT, SCHEME = {port}, '{scheme}'\nstream = {connect}{CLIENT}"
        ));
        let said = flows.apply(&[&rule("/open/kept/*")]);
        assert!(
            said.must_succeed().stdout.contains("1 open flow cut"),
            "{said:?}"
        );
        flows.go_on("on");
        flows.told("idle");
        let capture = Capture::start(bed, &flows.container.uplink(), "in");
        let said = flows.apply(&["domain=a.wild.test"]);
        let reset = format!("> {}.{port}: Flags [R", ALLOWED.v4);
        let packets = capture.stop();
        assert!(
            said.must_succeed().stdout.contains("0 open flows cut")
                && packets.iter().any(|packet| packet.contains(&reset)),
            "{said:?} {packets:#?}"
        );
        flows.go_on("end");
        // CANCEL.
        assert_eq!(
            flows.told("over"),
            "open\nreset 8\nkept True\ntold\nTrue\nidle\nTrue\nover\n",
            "{scheme}"
        );
        let all = records(bed, &flows.container.id());
        let cut = all.iter().filter(|one| one["ended"] == "cut");
        let cut: Vec<_> = cut.map(|one| &one["path"]).collect();
        assert_eq!(cut, ["/open/large"], "{scheme}");
    }
}
