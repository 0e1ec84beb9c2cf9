//! HTTP/2 over TLS that is intercepted, with real servers and clients.

use test_support::bed::{Bed, records};
use test_support::docker::Container;
use test_support::harness::Test;
use test_support::hosts::ALLOWED;

use crate::clients::Client;
use crate::https::RUNTIME;
use crate::https_clients::PINNED;
use crate::https_world::serve_tls;
use crate::servers::PROGRAMS;
use crate::side_by_side::same;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("nginx", ("http_2_is_spoken_as_with_runc", spoken)),
    (
        "h2load",
        ("ten_thousand_requests_pass_on_one_connection", many),
    ),
    (
        "nginx",
        ("a_client_that_pins_a_certificate_is_told_of", pinned),
    ),
    ("keytool", ("grpc_streams_in_both_directions", grpc)),
];

/// An nginx that speaks HTTP/2.
fn nginx(bed: &Bed, port: u16) -> Container<'_> {
    let script = format!(
        "mkdir -p /var/log/nginx /srv/open; seq 20 >/srv/open/small; head -c 3000000 /dev/zero >/srv/open/large
        cat >/tmp/conf <<'END'
user root; daemon off; error_log stderr; pid /tmp/pid;
events {{ }}
http {{
    access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
    uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; http2_max_requests 100000; keepalive_requests 100000;
    server {{
        listen {}:{port} ssl http2; root /srv;
        ssl_certificate /tmp/certificate.pem; ssl_certificate_key /tmp/key.pem;
        location = /open/told {{ return 200 \"$request_method $uri $server_protocol\\n\"; }}
    }}
}}
END
        exec nginx -e stderr -c /tmp/conf",
        ALLOWED.v4
    );
    serve_tls(bed, &[], port, &script)
}

fn spoken(bed: &Bed) {
    let _server = nginx(bed, 8471);
    let script = "url=https://allowed.test:8471/open; curl() { command curl -sS -m 20 \"$@\"; echo \" $?\"; }
        curl -w '%{http_version}' $url/told
        curl --http1.1 -w '%{http_version}' $url/told
        curl -X DELETE $url/told
        curl -I $url/small | tr -d '\\r' | grep -i -e HTTP -e length
        curl -r 2-5 -w '%{http_code}' $url/small
        curl -w '%{num_connects}' $url/small $url/small
        curl -o /dev/null -w '%{size_download}' $url/large";
    let said = same(bed, RUNTIME, &[], script);
    assert!(
        said.starts_with("GET /open/told HTTP/2.0\n2 0\nGET /open/told HTTP/1.1\n1.1 0\n"),
        "{said}"
    );
    assert!(said.ends_with("3000000 0\n"), "{said}");
    let denied = bed.run_with(
        RUNTIME,
        &[],
        "curl -sS -m 20 -w '%{http_code} %{http_version}' https://allowed.test:8471/shut",
    );
    let denied = &denied.must_succeed().stdout;
    assert!(
        denied.contains("no rule allows it") && denied.ends_with("403 2"),
        "{denied}"
    );
}

fn many(bed: &Bed) {
    let _server = nginx(bed, 8472);
    let container = bed.start_with(RUNTIME, &PROGRAMS, &["sleep", "600"]);
    let load = "h2load -n 10000 -c 1 -m 50 https://allowed.test:8472/open/small";
    let said = bed.docker_within(120, &["exec", &container.name, "sh", "-c", load]);
    let said = &said.must_succeed().stdout;
    for part in [
        "Application protocol: h2\n",
        "10000 succeeded, 0 failed, 0 errored, 0 timeout\n",
        "status codes: 10000 2xx",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let id = container.id();
    container.remove();
    let all = records(bed, &id);
    let of_it = all.iter().filter(|record| record["path"] == "/open/small");
    let counted: u64 = of_it
        .map(|record| record["count"].as_u64().unwrap_or(1))
        .sum();
    assert_eq!(counted, 10000);
}

fn pinned(bed: &Bed) {
    let _server = nginx(bed, 8474);
    let container = bed.start_with(RUNTIME, &[], &["sleep", "600"]);
    let pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let script = format!("curl -sS -m 20 --pinnedpubkey {pin} https://allowed.test:8474/open/told");
    assert_eq!(container.exec(&script).code, 90);
    let id = container.id();
    container.remove();
    let all = records(bed, &id);
    let told = |record: &serde_json::Value| record["reason"] == PINNED;
    assert!(all.iter().any(told), "{all:#?}");
}

/// A server that answers each message of a stream.
const ECHO: &str = "cat >/tmp/echo.py <<'END'
import grpc, sys
from concurrent import futures
class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.stream_stream_rpc_method_handler(lambda said, context: (b'got ' + one for one in said))
server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Echo()])
files = [open('/tmp/' + name, 'rb').read() for name in ['key.pem', 'certificate.pem']]
server.add_secure_port(sys.argv[1], grpc.ssl_server_credentials([tuple(files)]))
server.start()
server.wait_for_termination()
END";

fn grpc(bed: &Bed) {
    let script = format!(
        "{ECHO}\nexec /usr/bin/python3 /tmp/echo.py {}:8473",
        ALLOWED.v4
    );
    let _server = serve_tls(bed, &[], 8473, &script);
    // Each message is sent when the answer to the one before is there.
    let call = |path: &str| {
        format!(
            "export GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=${{GRPC_DEFAULT_SSL_ROOTS_FILE_PATH:-/etc/ssl/certs/ca-certificates.crt}}
            timeout 40 python3 - <<'END'
import grpc, queue
channel = grpc.secure_channel('allowed.test:8473', grpc.ssl_channel_credentials())
said = queue.Queue()
answers = channel.stream_stream('{path}')(iter(said.get, None), timeout=30)
try:
    for number in range(200):
        said.put(b'%d' % number)
        assert next(answers) == b'got %d' % number
    said.put(None)
    print(number, list(answers), answers.code())
except grpc.RpcError as error:
    print(error.code(), error.details())
END"
        )
    };
    let [ours, runcs] = [RUNTIME, "runc"].map(|runtime| Client::knowing(bed, runtime, &[]));
    for client in [&runcs, &ours] {
        let said = client.exec(&call("/open/Echo"));
        assert_eq!(said.stdout, "199 [] StatusCode.OK\n", "{said:?}");
    }
    let denied = ours.exec(&call("/shut/Echo"));
    let told =
        "StatusCode.PERMISSION_DENIED denied: POST allowed.test/shut/Echo: no rule allows it";
    assert!(denied.stdout.starts_with(told), "{denied:?}");
}
