//! What clients do with HTTP besides asking for pages, over TLS that is intercepted: the same as with
//! runc.

use test_support::bed::{Bed, records};
use test_support::docker::Container;
use test_support::harness::Test;

use crate::clients::{Client, cargo};
use crate::https::RUNTIME;
use crate::https_world::python;
use crate::memory::Gateway;
use crate::side_by_side::same;

pub(crate) const TESTS: &[Test] = &[
    ("as_curl_speaks_it_is_as_with_runc", by_curl),
    ("byte_for_byte_is_as_with_runc", by_hand),
    ("upgrades_to_websockets_alone", upgrades),
    ("events_come_one_by_one", events),
    ("git_fetches_and_a_rule_keeps_it_from_pushing", git),
    ("packages_install_from_registries", registries),
];

/// What needs the machine for itself.
pub(crate) const LARGE: &[Test] = &[("two_gigabytes_pass_in_the_memory_of_few", large)];

fn by_curl(bed: &Bed) {
    let _server = python(bed, 8443, "");
    let script = "url=https://allowed.test:8443/open; curl() { command curl -sS -m 20 \"$@\"; echo \" $?\"; }
        curl -I $url/letters | tr -d '\\r' | grep -i -e HTTP -e length
        curl -r 2-5 -w ' %{http_code}' $url/letters
        curl -w ' %{num_connects}' $url/letters $url/letters $url/letters
        head -c 300000 /dev/zero | curl -T - $url/sink
        head -c 300000 /dev/zero | curl --expect100-timeout 60 -H 'Expect: 100-continue' --data-binary @- $url/sink
        curl --http1.0 $url/letters
        curl --compressed -H 'Connection: close' $url/letters
        curl $url/trailers
        curl -X PUT $url/sink
        curl --tls-max 1.2 $url/letters";
    let said = same(bed, RUNTIME, &[], script);
    for part in [
        "cdef 206 0\n",
        "abcdefghijklmnopqrstuvwxyz 1abcdefghijklmnopqrstuvwxyz 0abcdefghijklmnopqrstuvwxyz 0 0\n",
        "300000 bytes",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

/// A client that sends what it is told, and prints what comes until the server has enough.
const BY_HAND: &str = "cat >/tmp/by_hand.py <<'END'
import socket, ssl, sys
import os
PORT = int(os.environ['PORT'])
def connect():
    plain = socket.create_connection(('allowed.test', PORT), 10)
    return ssl.create_default_context().wrap_socket(plain, server_hostname='allowed.test')
def ask(path, method='GET', headers='', body=''):
    return f'{method} {path} HTTP/1.1\\r\\nHost: allowed.test:{PORT}\\r\\n{headers}\\r\\n{body}'
def say(text):
    with connect() as stream:
        stream.sendall(text.encode())
        while piece := stream.recv(65536):
            sys.stdout.write(piece.decode())
END
cd /tmp; python3 - <<'END'
from by_hand import *
";

/// Runs it with runc and with ours; gives what both printed.
#[track_caller]
fn same_by_hand(bed: &Bed, port: u16, program: &str) -> String {
    let script = format!("export PORT={port}\n{BY_HAND}{program}\nEND");
    let [ours, runcs] =
        [RUNTIME, "runc"].map(|runtime| Client::knowing(bed, runtime, &[]).exec(&script));
    // Each answer tells when it was made. The connection to the server goes on for others, where that
    // to the client is to end: this alone is ours to say.
    let lasting = |said: &str| -> Vec<String> {
        let of_now = |line: &&str| line.starts_with("Date:") || *line == "Connection: close";
        let lines = said.lines().filter(|line| !of_now(line));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(
        (ours.code, lasting(&ours.stdout)),
        (runcs.code, lasting(&runcs.stdout)),
        "{}\n{}",
        ours.stderr,
        runcs.stderr
    );
    ours.must_succeed().stdout.clone()
}

fn by_hand(bed: &Bed) {
    let _server = python(bed, 8444, "");
    let said = same_by_hand(
        bed,
        8444,
        "close = 'Connection: close\\r\\n'
letters = '/open/letters'
# All at once, before any answer.
say(ask(letters) + ask('/open/sink', 'POST', 'Content-Length: 5\\r\\n', '12345') + ask(letters, headers=close))
# Chunks with a trailer, there and back.
chunked = 'Transfer-Encoding: chunked\\r\\nTrailer: X-Sum\\r\\n' + close
say(ask('/open/sink', 'POST', chunked, '3\\r\\nabc\\r\\n4;odd=1\\r\\ndefg\\r\\n0\\r\\nX-Sum: seven\\r\\n\\r\\n'))
say(ask('/open/trailers', headers=close))
say(ask(letters, 'HEAD', close))",
    );
    let letters = said.matches("abcdefghijklmnopqrstuvwxyz").count();
    assert_eq!(letters, 2, "{said}");
    for part in [
        "5 bytes",
        "7 bytes X-Sum: seven",
        "0\r\nX-Sum: five\r\n\r\n",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

fn upgrades(bed: &Bed) {
    let _server = python(bed, 8445, "");
    let said = same_by_hand(
        bed,
        8445,
        "import aiohttp, asyncio
async def echo():
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect('https://allowed.test:8445/open/socket') as socket:
            for length in [5, 500, 100000]:
                await socket.send_bytes(b'x' * length)
                print(len((await socket.receive()).data))
        async with session.get('https://allowed.test:8445/open/letters') as answer: print(await answer.text())
asyncio.run(echo())",
    );
    assert_eq!(said, "5\n500\n100000\nabcdefghijklmnopqrstuvwxyz\n");
    // To another protocol, in which nothing could be read, a rule for requests lets nobody change.
    let script = format!(
        "export PORT=8445\n{BY_HAND}say(ask('/open/upgrade', headers='Connection: Upgrade, close\\r\\nUpgrade: odd\\r\\n'))\nEND"
    );
    let stays = Client::knowing(bed, RUNTIME, &[]).exec(&script);
    let stays = &stays.must_succeed().stdout;
    assert!(stays.ends_with("the same protocol"), "{stays}");
    // A path that isn't allowed is no WebSocket.
    let denied = Client::knowing(bed, RUNTIME, &[]).exec(
        "python3 -c 'import aiohttp, asyncio
async def echo():
    async with aiohttp.ClientSession() as session:
        await session.ws_connect(\"https://allowed.test:8445/shut/socket\")
asyncio.run(echo())'",
    );
    assert!(
        denied
            .stderr
            .contains("403, message='Invalid response status'"),
        "{denied:?}"
    );
}

/// The server sends the second event when the client has shown that it has the first: what held one
/// back would have neither.
fn events(bed: &Bed) {
    let _server = python(bed, 8446, "");
    let script = "curl -sSN -m 30 https://allowed.test:8446/open/events | while read -r line; do
            echo \"$line\"
            [ \"$line\" != 'data: first' ] || curl -sS -m 10 https://allowed.test:8446/open/next
        done";
    let said = same(bed, RUNTIME, &[], script);
    assert_eq!(said, "data: first\n\ndata: second\n\n");
}

fn large(bed: &Bed) {
    const BYTES: u64 = 2 << 30;
    // Two connections with a buffer each way, which the fastest make as large as 8 MiB.
    const MOST: u64 = 4 * (8 << 20);
    let _server = python(bed, 8449, "");
    let container = bed.start_with(RUNTIME, &[], &["sleep", "600"]);
    let gateway = Gateway::of(bed, &container);
    let url = "https://allowed.test:8449/open";
    container
        .exec(&format!("curl -sS -m 10 {url}/letters"))
        .must_succeed();
    let before = gateway.holds();
    let transfer = |script: &str| {
        let whole = format!("{{ {script}; }} >/tmp/said 2>&1; echo $? >/tmp/code");
        let run = ["exec", "--detach", &container.name, "sh", "-c", &whole];
        bed.docker(&run).must_succeed();
        let mut most = 0;
        let mut looked = 0;
        while container.exec("cat /tmp/code 2>/dev/null").code != 0 {
            most = most.max(gateway.holds());
            looked += 1;
        }
        let said = container.exec("cat /tmp/said /tmp/code; rm /tmp/code");
        (said.must_succeed().stdout.clone(), most, looked)
    };
    let down = transfer(&format!(
        "curl -sS -m 300 -o /dev/null -w '%{{size_download}} ' {url}/bytes/{BYTES}"
    ));
    let up = transfer(&format!(
        "head -c {BYTES} /dev/zero | curl -sS -m 300 -T - {url}/sink"
    ));
    assert_eq!(down.0, format!("{BYTES} 0\n"));
    assert_eq!(up.0, format!("{BYTES} bytes \n0\n"));
    for (_, most, looked) in [down, up] {
        assert!(looked > 3, "it was over before it was looked at");
        assert!(most < before + MOST, "{before} became {most}");
    }
    moved(bed, &container, BYTES);
}

/// The record counts them, in one direction each.
fn moved(bed: &Bed, container: &Container<'_>, bytes: u64) {
    let id = container.id();
    container.remove();
    let all = records(bed, &id);
    let of = |path: &str, direction: &str| {
        let whole = all.iter().find(|record| record["path"] == path);
        whole.expect("a record")[direction].as_u64().unwrap()
    };
    // Besides the bodies, heads, and what chunks add.
    let down = of(&format!("/open/bytes/{bytes}"), "bytes_in");
    assert!((bytes..bytes + 1000).contains(&down), "{down}");
    let up = of("/open/sink", "bytes_out");
    assert!((bytes..bytes + bytes / 100).contains(&up), "{up}");
}

const REPOSITORY: &str = "cd /tmp; export HOME=/tmp GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
    git config --global user.name Somebody; git config --global user.email somebody@allowed.test
    git config --global init.defaultBranch main; git config --global safe.directory '*'
    git init -q work; seq 200000 >work/file; git -C work add file; git -C work commit -q -m first
    git clone -q --bare work /srv/repo.git\n";

fn git(bed: &Bed) {
    let server = python(bed, 8447, REPOSITORY);
    let [ours, runcs] = [RUNTIME, "runc"].map(|runtime| Client::knowing(bed, runtime, &[]));
    let clone = "cd /tmp; rm -rf repo; git clone -q --template= https://allowed.test:8447/repo.git 2>&1 && tail -n 1 repo/file";
    let (our, runc) = (ours.exec(clone), runcs.exec(clone));
    assert_eq!(
        (our.code, &our.stdout),
        (runc.code, &runc.stdout),
        "{our:?}"
    );
    assert_eq!(our.stdout, "200000\n");
    let push = "cd /tmp/repo; git config user.name Me; git config user.email me@allowed.test
        echo more >>file; git commit -q -a -m more; git push -q origin HEAD:main 2>&1";
    let denied = ours.exec(push);
    denied.must_fail();
    let told = "remote: denied: POST allowed.test/repo.git/git-receive-pack";
    assert!(denied.stdout.contains(told), "{denied:?}");
    let log = "git -c safe.directory=* -C /srv/repo.git log --oneline | wc -l";
    assert_eq!(server.exec(log).stdout.trim(), "1");
    // What the rule denies can be done.
    runcs.exec(&format!("{push} && echo pushed")).must_succeed();
    assert_eq!(server.exec(log).stdout.trim(), "2");
}

/// A package of each kind, and the lists in which it is found.
const REGISTRIES: &str = "cd /tmp; mkdir -p /srv/simple/small /srv/npm package
    /usr/bin/python3 - <<'END'
import base64, hashlib, json, os, tarfile, zipfile
with zipfile.ZipFile('/srv/simple/small/small-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('small.py', 'print(\"a small package\")')
    wheel.writestr('small-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: small\\nVersion: 1.0\\n')
    wheel.writestr('small-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr('small-1.0.dist-info/RECORD', '')
open('/srv/simple/small/index.html', 'w').write('<!DOCTYPE html><a href=\"small-1.0-py3-none-any.whl\">small-1.0-py3-none-any.whl</a>')
open('package/package.json', 'w').write(json.dumps(dict(name='small', version='1.0.0')))
open('package/index.js', 'w').write('console.log(\"a small package\")')
with tarfile.open('/srv/npm/small-1.0.0.tgz', 'w:gz') as tar: tar.add('package')
hash = hashlib.sha512(open('/srv/npm/small-1.0.0.tgz', 'rb').read()).digest()
dist = dict(tarball='https://allowed.test:8448/open/files/npm/small-1.0.0.tgz', integrity='sha512-' + base64.b64encode(hash).decode())
version = dict(name='small', version='1.0.0', dist=dist)
open('/srv/npm/small', 'w').write(json.dumps({'name': 'small', 'dist-tags': {'latest': '1.0.0'}, 'versions': {'1.0.0': version}}))
manifest, source = '[package]\\nname = \"small\"\\nversion = \"1.0.0\"\\n[workspace]\\n', b'// a small package'
for folder in ['small-1.0.0', 'git']:
    os.makedirs(folder + '/src')
    open(folder + '/Cargo.toml', 'w').write(manifest.replace('small', 'other') if folder == 'git' else manifest)
    open(folder + '/src/lib.rs', 'wb').write(source)
os.makedirs('/srv/cargo/sm/al')
with tarfile.open('/srv/cargo/small.crate', 'w:gz') as tar: tar.add('small-1.0.0')
hash = hashlib.sha256(open('/srv/cargo/small.crate', 'rb').read()).hexdigest()
version = dict(name='small', vers='1.0.0', deps=[], cksum=hash, features={}, yanked=False)
open('/srv/cargo/sm/al/small', 'w').write(json.dumps(version))
open('/srv/cargo/config.json', 'w').write(json.dumps(dict(dl='https://allowed.test:8448/open/files/cargo/{crate}.crate')))
END
    export HOME=/tmp; cd git; git init -q; git add .; git -c user.name=a -c user.email=a@b.dev commit -q -m a; git clone -q --bare . /srv/repo.git
";

fn registries(bed: &Bed) {
    let _server = python(bed, 8448, REGISTRIES);
    let client = Client::knowing(bed, RUNTIME, &["-v", &cargo(bed)]);
    let files = "https://allowed.test:8448/open/files";
    let pip = "export HOME=/tmp; python3 -m pip -q --disable-pip-version-check --no-cache-dir install --target /tmp/p --index-url";
    let npm = "export HOME=/tmp; mkdir -p /tmp/n; cd /tmp/n; node /usr/lib/node_modules/npm/bin/npm-cli.js install --no-audit --no-fund --fetch-retries 0 --registry";
    // cargo asks which rustc there is, and for nothing else of it.
    let cargo = |index: &str| {
        format!(
            "export HOME=/tmp CARGO_HOME=/tmp/h CARGO_NET_RETRY=0 CARGO_REGISTRIES_OWN_INDEX=sparse+https://allowed.test:8448/{index}/
            printf '#!/bin/sh\\nprintf \"rustc 1.90.0\\\\nbinary: rustc\\\\nhost: x86_64-unknown-linux-gnu\\\\nrelease: 1.90.0\\\\n\"' >/tmp/rustc
            chmod +x /tmp/rustc; export RUSTC=/tmp/rustc; rm -rf /tmp/k /tmp/h; mkdir -p /tmp/k/src; cd /tmp/k; : >src/lib.rs; cat >Cargo.toml <<'END'
[package]
name = 'k'
[dependencies]
small = {{ version = '1', registry = 'own' }}
other = {{ git = 'https://allowed.test:8448/repo.git' }}
END
            /cargo vendor 2>&1"
        )
    };
    for script in [
        format!("{pip} {files}/simple/ small 2>&1 && PYTHONPATH=/tmp/p python3 -c 'import small'"),
        format!("{npm} {files}/npm/ small 2>&1 && node -e 'require(\"small\")'"),
        format!(
            "{} && ls vendor/other/Cargo.toml && cat vendor/small/src/lib.rs",
            cargo("open/files/cargo")
        ),
    ] {
        let answer = client.exec(&script);
        assert!(
            answer.must_succeed().stdout.contains("a small package"),
            "{answer:?}"
        );
    }
    for script in [
        // Of an index that it is denied, pip says nothing; of a package it does.
        format!(
            "{pip} {files}/simple/ https://allowed.test:8448/shut/small-1.0-py3-none-any.whl 2>&1"
        ),
        format!("{npm} https://allowed.test:8448/shut/npm/ other 2>&1"),
        cargo("shut/cargo"),
    ] {
        let answer = client.exec(&script);
        assert!(answer.must_fail().stdout.contains("403"), "{answer:?}");
    }
}
