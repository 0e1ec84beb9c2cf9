//! The policy is changed while flows of every kind are open: what it denies then is cut, of one
//! connection too, and all else goes on.

use test_support::bed::{Bed, records};
use test_support::command::wait_for;
use test_support::harness::Test;

use crate::far_world::{ACCEPTS, FarWorld, SILENT, addresses_of};
use crate::https::RUNTIME;
use crate::https_world::{python, python_in_clear};
use crate::open_flows::{Flows, apply};
use crate::status;

pub(crate) const TESTS: &[Test] = &[
    (
        "in_intercepted_tls_a_download_is_cut_and_another_path_goes_on",
        intercepted,
    ),
    ("a_websocket_is_cut_and_another_goes_on", websockets),
    (
        "who_waits_for_a_far_end_is_refused_when_that_is_denied",
        held,
    ),
    (
        "a_change_for_the_owner_or_for_who_joined_it_is_one_for_both",
        joined,
    ),
];

/// What has to come within the time of one question.
pub(crate) const ALONE: &[Test] = &[(
    "a_question_that_is_denied_before_its_answer_comes_gets_none",
    question,
)];

/// What was open when a change denied it.
fn cut_by_change(bed: &Bed, flows: &Flows<'_>) -> Vec<String> {
    let all = records(bed, &flows.container.id());
    let cut = all.iter().filter(|one| one["ended"] == "cut");
    cut.map(|one| one["path"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn intercepted(bed: &Bed) {
    let flows = Flows::under(
        bed,
        RUNTIME,
        &["domain=allowed.test path=/slow,/shut,/open/*,/bytes/*"],
    );
    flows.begin(
        "gone, whole, quiet = secure(), secure(), secure()
ask(gone, '/slow'); head(gone); exactly(gone, 20)
ask(whole, '/bytes/8000000'); _, length = head(whole); exactly(whole, 20)
ask(quiet, '/shut'); tell('quiet', answer(quiet)[0])
tell('open')
wait('on')
tell('cut', is_cut(gone, 100000))
tell('whole', len(exactly(whole, length - 20)))
ask(whole, '/open/a'); tell('whole', answer(whole)[0])
ask(quiet, '/open/a'); tell('quiet', answer(quiet)[0])
ask(quiet, '/shut'); tell('quiet', answer(quiet)[0])
new = secure()
ask(new, '/slow'); tell('new', answer(new)[0])",
    );
    let said = flows.apply(&["domain=allowed.test path=/open/*,/bytes/*"]);
    assert!(
        said.must_succeed().stdout.contains("1 open flow cut"),
        "{said:?}"
    );
    flows.go_on("on");
    assert_eq!(
        flows.told("over"),
        "quiet 200\nopen\ncut True\nwhole 7999980\nwhole 200\nquiet 200\nquiet 403\nnew 403\nover\n"
    );
    assert_eq!(cut_by_change(bed, &flows), ["/slow"]);
}

fn websockets(bed: &Bed) {
    let _secure = python(bed, 8450, "");
    let _clear = python_in_clear(bed, 8451);
    for (port, connect) in [(8450, "secure"), (8451, "dial")] {
        let rule = |paths: &str| format!("domain=allowed.test port={port} path={paths}");
        let flows = Flows::under(bed, RUNTIME, &[&rule("/open/*")]);
        let program = format!(
            "def begin(path):
    stream = {connect}({port})
    more = 'Connection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n'
    ask(stream, path, more, HOST + ':{port}')
    return stream, head(stream)[0]
def echo(stream):
    stream.sendall(b'\\x82\\x85\\0\\0\\0\\0hello')
    return exactly(stream, 7)[2:].decode()
gone, status = begin('/open/socket'); tell(status, echo(gone))
kept, status = begin('/open/kept/socket'); tell(status, echo(kept))
tell('open')
wait('on')
tell('cut', is_cut(gone))
tell('kept', echo(kept))
new, status = begin('/open/socket'); tell(status)"
        );
        flows.begin(&program);
        let said = flows.apply(&[&rule("/open/kept/*")]);
        assert!(
            said.must_succeed().stdout.contains("1 open flow cut"),
            "{said:?}"
        );
        flows.go_on("on");
        assert_eq!(
            flows.told("over"),
            "101 hello\n101 hello\nopen\ncut True\nkept hello\n403\nover\n",
            "{connect}"
        );
        assert_eq!(cut_by_change(bed, &flows), ["/open/socket"], "{connect}");
    }
}

fn question(bed: &Bed) {
    let flows = Flows::under(bed, "boundary-live", &["domain=*.slow.test"]);
    let name = &flows.container.name;
    let program = format!(
        "server = next(line.split()[1] for line in open('/etc/resolv.conf') if line.startswith('nameserver'))
def asked(name):
    stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stream.settimeout(10)
    labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.'))
    stream.sendto(b'\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0' + labels + b'\\0\\0\\1\\0\\1', (server, 53))
    return stream
def tell_of(stream):
    said = stream.recv(4096)
    tell('code', said[3] & 15, 'address', socket.inet_aton('198.51.100.30') in said)
gone, kept = asked('{name}.slow.test'), asked('{name}.kept.slow.test')
tell('open')
tell_of(gone)
tell_of(kept)"
    );
    let new = crate::open_flows::file(bed, &["domain=*.kept.slow.test"]);
    let apply = ["boundary-shim", "policy", "apply", &new, name];
    std::thread::scope(|scope| {
        scope.spawn(|| flows.begin(&program));
        wait_for("both questions to be asked", || {
            let log = bed.internet_log();
            ["slow", "kept.slow"]
                .iter()
                .all(|one| log.contains(&format!(" A {name}.{one}.test.")))
        });
        let said = bed.exec(&apply);
        assert!(
            said.must_succeed().stdout.contains("1 open flow cut"),
            "{said:?}"
        );
    });
    assert_eq!(
        flows.told("over"),
        "open\ncode 3 address False\ncode 0 address True\nover\n"
    );
}

fn held(bed: &Bed) {
    let world = FarWorld::up(bed);
    let container = world.visitor("boundary-far-ports");
    let target = std::net::SocketAddr::new(addresses_of(SILENT)[0], 5432);
    let script = format!("attacker knock 60 {target} > /tmp/part && mv /tmp/part /tmp/knocked");
    bed.docker(&["exec", "--detach", &container.name, "sh", "-c", &script])
        .must_succeed();
    wait_for("its far end to be asked", || {
        status::of(bed, &container)["open"] == 1
    });
    // The port is captured still: else its next packet would be refused by the kernel.
    let other = format!("cidr={}/32 port=5432", addresses_of(ACCEPTS)[0]);
    let said = apply(bed, &["domain=allowed.test", &other], &container.name);
    assert!(
        said.must_succeed().stdout.contains("1 open flow cut"),
        "{said:?}"
    );
    let mut knocked = String::new();
    wait_for("its client to be told", || {
        knocked = container.exec("cat /tmp/knocked 2>/dev/null").stdout;
        !knocked.is_empty()
    });
    assert!(knocked.contains(" ECONNREFUSED "), "{knocked}");
}

fn joined(bed: &Bed) {
    let owner = bed.start_with("boundary-live", &[], &["sleep", "600"]);
    let network = format!("container:{}", owner.name);
    let joined = bed.start_with("boundary-live", &["--network", &network], &["sleep", "600"]);
    for named in [&owner, &joined] {
        for host in ["a.wild.test", "allowed.test"] {
            let script = format!(
                "rm -f /tmp/{host}.code; curl -4 -sN -o /tmp/{host} http://{host}/slow; echo $? > /tmp/{host}.code"
            );
            bed.docker(&["exec", "--detach", &joined.name, "sh", "-c", &script])
                .must_succeed();
            wait_for("the download to be under way", || {
                joined
                    .exec(&format!(
                        "test -s /tmp/{host} && ! test -e /tmp/{host}.code"
                    ))
                    .code
                    == 0
            });
        }
        let said = apply(bed, &["domain=allowed.test"], &named.name);
        let said = &said.must_succeed().stdout;
        assert!(said.contains("1 open flow cut"), "{said}");
        assert!(
            said.starts_with(&format!("{}: ", owner.name)),
            "whose gateway it is: {said}"
        );
        wait_for("the denied one to be cut", || {
            joined.exec("test -s /tmp/a.wild.test.code").code == 0
        });
        let size = || joined.exec("stat -c %s /tmp/allowed.test").stdout;
        let before = size();
        wait_for("the other to go on", || size() != before);
        for container in [&owner, &joined] {
            let ask = "curl -4 -s -m 5 -o /dev/null -w '%{http_code}' http://a.wild.test/";
            assert_ne!(container.exec(ask).stdout, "200");
        }
        bed.exec(&["boundary-shim", "policy", "reset", &named.name])
            .must_succeed();
        joined
            .exec("pkill curl; rm -f /tmp/a.wild.test")
            .must_succeed();
    }
}
