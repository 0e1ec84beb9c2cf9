//! Real clients and TLS that is intercepted: each works as it comes, without a setting of its own,
//! shows what it is denied, and where nothing is intercepted comes to the same as with runc.

use test_support::bed::{Bed, records};
use test_support::harness::Test;
use test_support::programs::build_go_program;

use crate::clients::{Client, JAVA};
use crate::https::RUNTIME;
use crate::servers::PROGRAMS;

pub(crate) const TESTS: &[Test] = &[
    ("of_all_kinds_work_as_they_come", all_kinds),
    ("that_trust_roots_of_their_own_are_told_of", of_their_own),
];

pub(crate) const BROWSER_TESTS: &[Test] = &[("trusts_what_its_own_store_is_given", chromium)];

/// Says who answered.
const ANSWERED: &str = "I am allowed.test at 198.51.100.10";
/// A denial, as JSON.
const DENIED: &str = "no rule allows it";

/// A client: how it gets `$URL` and what it shows where that is answered, and where it is denied.
struct Kind {
    script: String,
    answered: &'static str,
    denied: &'static str,
}

fn kind(script: impl Into<String>, answered: &'static str, denied: &'static str) -> Kind {
    Kind {
        script: script.into(),
        answered,
        denied,
    }
}

fn python(program: &str) -> String {
    format!("python3 -c 'import os; url = os.environ[\"URL\"]\n{program}'")
}

fn kinds() -> Vec<Kind> {
    let java = "cat >/tmp/Get.java <<'END'
import java.net.URI;
import java.net.http.*;
public class Get {
    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(System.getenv(\"URL\"))).build();
        System.out.print(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
END";
    vec![
        kind("curl -sS -m 10 $URL", ANSWERED, DENIED),
        kind("curl -sS -m 10 --http2 $URL", ANSWERED, DENIED),
        kind("curl -sS -m 10 --tls-max 1.2 $URL", ANSWERED, DENIED),
        // Not the one of the shell.
        kind(
            "/bin/wget -q -O - -T 10 -t 1 --content-on-error $URL",
            ANSWERED,
            DENIED,
        ),
        kind(
            "git -c http.lowSpeedTime=10 ls-remote $URL 2>&1",
            "not valid: is this a git repository?",
            "denied: GET allowed.test/shut/a/info/refs: no rule allows it",
        ),
        kind(
            python("import urllib.request as r, urllib.error\ntry: print(r.urlopen(url, timeout=10).read())\nexcept urllib.error.HTTPError as e: print(e.read())"),
            ANSWERED,
            DENIED,
        ),
        kind(
            python("import requests; print(requests.get(url, timeout=10).text)"),
            ANSWERED,
            DENIED,
        ),
        kind(
            python("import httpx; print(httpx.get(url, timeout=10).text)"),
            ANSWERED,
            DENIED,
        ),
        kind(
            python("import httpx; print(httpx.Client(http2=True).get(url, timeout=10).text)"),
            ANSWERED,
            DENIED,
        ),
        kind(
            python("import aiohttp, asyncio\nasync def get():\n  async with aiohttp.ClientSession() as s:\n    async with s.get(url) as a: print(await a.text())\nasyncio.run(get())"),
            ANSWERED,
            DENIED,
        ),
        kind(
            "node -e 'fetch(process.env.URL).then(r => r.text()).then(console.log, e => { console.log(e.cause.code); process.exit(1) })'",
            ANSWERED,
            DENIED,
        ),
        kind("/get $URL", ANSWERED, DENIED),
        kind(format!("{java}\n{JAVA}/java /tmp/Get.java"), ANSWERED, DENIED),
        kind(
            "host=${URL#https://}; path=/${host#*/}; host=${host%%/*}
             printf \"GET $path HTTP/1.1\\r\\nHost: $host\\r\\nConnection: close\\r\\n\\r\\n\" |
                openssl s_client -quiet -ign_eof -connect $host:443 -servername $host -verify_return_error",
            ANSWERED,
            DENIED,
        ),
    ]
}

fn all_kinds(bed: &Bed) {
    build_go_program("tests/support/https/get.go", &bed.path("get"));
    let go = format!("{}:/get:ro", bed.path("get").display());
    let [ours, runcs] =
        [RUNTIME, "runc"].map(|runtime| Client::knowing(bed, runtime, &["-v", &go]));
    for kind in kinds() {
        let get = |client: &Client<'_>, url: &str| {
            client.exec(&format!("export URL=https://{url}\n{}", kind.script))
        };
        let answer = get(&ours, "allowed.test/open/a");
        assert!(
            answer.stdout.contains(kind.answered),
            "{}: {answer:?}",
            kind.script
        );
        let answer = get(&ours, "allowed.test/shut/a");
        assert!(
            answer.stdout.contains(kind.denied),
            "{}: {answer:?}",
            kind.script
        );
        let spliced = "spliced.wild.test/a";
        let (our, runc) = (get(&ours, spliced), get(&runcs, spliced));
        assert_eq!(
            (our.code, &our.stdout),
            (runc.code, &runc.stdout),
            "{}: {our:?} {runc:?}",
            kind.script
        );
    }
}

/// What the record says of a client that doesn't know the authority.
const OF_ITS_OWN: &str = "its requests have to be read, and the client trusts only roots of its own: for such clients, put allowed.test into tls: passthrough";
/// What it says of one that finds so after the handshake.
pub(crate) const PINNED: &str = "it asked for nothing: if it is a client that trusts one certificate alone, put allowed.test into tls: passthrough";

fn of_their_own(bed: &Bed) {
    let own = "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -out /tmp/own.pem -days 9 -subj /CN=own 2>/dev/null;";
    let pin = "--pinnedpubkey sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let curl = |flags: &str| format!("{own} curl -sS -m 10 {flags} https://allowed.test/open/a");
    let webpki = format!("{}:/webpki:ro", bed.path("bin/webpki").display());
    for (script, code, advice) in [
        (curl("--cacert /tmp/own.pem"), 60, OF_ITS_OWN),
        (curl("--tls-max 1.2 --cacert /tmp/own.pem"), 60, OF_ITS_OWN),
        (curl(pin), 90, PINNED),
        ("/webpki allowed.test /open/a".to_owned(), 1, OF_ITS_OWN),
    ] {
        let client = Client::knowing(bed, RUNTIME, &["-v", &webpki]);
        let answer = client.exec(&script);
        assert_eq!(answer.code, code, "{answer:?}");
        let id = client.id();
        drop(client);
        let all = records(bed, &id);
        assert!(
            all.iter().any(|record| record["reason"] == advice),
            "{script}: {all:#?}"
        );
    }
}

/// It reads no list of roots of the system's, and no variable: what `docs/rules.md` says to do about that.
fn chromium(bed: &Bed) {
    let flags = [&PROGRAMS[..], &["--shm-size", "256m"]].concat();
    let container = bed.start_with(RUNTIME, &flags, &["sleep", "600"]);
    let dump = |path: &str| {
        let script = format!(
            "export HOME=/tmp; chromium-headless-shell --no-sandbox --dump-dom --disable-gpu --no-first-run \
                --disable-background-networking --user-data-dir=/tmp/profile --timeout=20000 https://allowed.test{path} 2>/tmp/said"
        );
        container.exec(&script).stdout
    };
    let unknown = dump("/open/a");
    assert!(!unknown.contains("I am allowed.test"), "{unknown}");
    // Chromium has made the store by now.
    let store = "HOME=/tmp; certutil -d sql:$HOME/.local/share/pki/nssdb -A -t C,, -n boundary -i /dev/boundary/authority.pem </dev/null";
    container.exec(store).must_succeed();
    let answered = dump("/open/a");
    assert!(answered.contains("I am allowed.test"), "{answered}");
    let denied = dump("/shut/a");
    let page = "<p>denied: GET allowed.test/shut/a: no rule allows it</p>";
    assert!(denied.contains(page), "{denied}");
}
