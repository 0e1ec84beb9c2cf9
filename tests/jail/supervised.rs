//! What a command does whose jail is a supervisor: no namespace, no right.

use test_support::bed::{Bed, unique};
use test_support::hosts::{ALLOWED, DENIED, WILD};

use crate::arrivals::arrived;
use crate::jail::{
    Caller, Jailed, Outside, ROOT, SUPERVISED_ROOT, SUPERVISED_USER, USER, WITHOUT_LANDLOCK,
};

pub(crate) const TESTS: &[test_support::harness::Test] = &[
    ("clients_of_every_kind_work_as_they_are", clients),
    ("nothing_that_is_sent_any_other_way_arrives", attempts),
    ("there_are_no_other_families_of_sockets", families),
    (
        "an_address_that_is_changed_meanwhile_leads_nowhere",
        races_of_addresses,
    ),
    (
        "a_descriptor_that_is_changed_meanwhile_leads_nowhere",
        races_of_descriptors,
    ),
    ("unix_sockets_of_others_are_shut", unix_sockets),
    ("who_is_refused_by_udp_is_told_so", refused_datagrams),
    (
        "a_server_on_localhost_is_reached_by_its_own_alone",
        own_servers,
    ),
    ("sockets_that_were_closed_are_not_kept", sweeping),
    ("without_its_supervisor_a_command_has_no_network", killed),
    ("who_is_supervised_already_is_told_so", twice),
    (
        "a_process_that_hides_what_it_has_is_not_kept_from_its_sockets",
        hidden,
    ),
    ("a_network_of_its_own_leads_nowhere", own_network),
    ("landjail_needs_landlock", landjail),
];

const CALLERS: [Caller; 2] = [SUPERVISED_ROOT, SUPERVISED_USER];
const ALLOW: &[&str] = &["--allow", "domain=allowed.test"];

fn file(bed: &Bed, script: &str) -> String {
    let file = format!("/tmp/{}", unique("script"));
    std::fs::write(bed.inside(&file), script).unwrap();
    file
}

fn clients(bed: &Bed) {
    let python = file(
        bed,
        "
import asyncio, socket, urllib.request
print('urllib', urllib.request.urlopen('http://allowed.test/').read().decode())
async def get():
    reader, writer = await asyncio.open_connection('allowed.test', 80)
    writer.write(b'GET / HTTP/1.0\\r\\nHost: allowed.test\\r\\n\\r\\n')
    print('asyncio', (await reader.read()).decode().splitlines()[-1])
asyncio.run(get())
peer = socket.create_connection(('allowed.test', 80))
print('peer', peer.getpeername()[:2])
query = b'\\x12\\x34\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0\\7allowed\\4test\\0\\0\\1\\0\\1'
for how in ('sendto', 'sendmsg', 'connected'):
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.settimeout(5)
    if how == 'sendto': asker.sendto(query, ('192.0.2.99', 53))
    elif how == 'sendmsg': asker.sendmsg([query[:7], query[7:]], [], 0, ('192.0.2.99', 53))
    else: asker.connect(('192.0.2.99', 53)); asker.send(query)
    if how == 'connected': answer, source = asker.recv(512), asker.getpeername()
    elif how == 'sendmsg': answer, _, _, source = asker.recvmsg(512)
    else: answer, source = asker.recvfrom(512)
    print(how, answer[:2].hex(), source)
patient = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
patient.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, b'\\0' * 8 + (200000).to_bytes(8, 'little'))
try: patient.recvfrom(1)
except OSError as error: print('patience', error.errno)
",
    );
    let script = format!(
        "curl -sS http://allowed.test/; curl -sS --cacert /etc/little-internet.pem https://allowed.test/; \
         python3 {python}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {} 80 | tail -1; \
         getent hosts allowed.test",
        ALLOWED.v4
    );
    for caller in CALLERS {
        let jailed = caller.run(bed, ALLOW, &script);
        let said = &jailed.answer.stdout;
        assert!(
            said.matches("I am allowed.test").count() >= 4,
            "{}: {jailed:?}",
            caller.name
        );
        for line in [
            "peer ",
            "sendto 1234 ('192.0.2.99', 53)",
            "sendmsg 1234 ('192.0.2.99', 53)",
            "connected 1234 ('192.0.2.99', 53)",
            "patience 11",
        ] {
            assert!(said.contains(line), "{}: {line}: {jailed:?}", caller.name);
        }
        assert!(!said.contains("peer ('127"), "{jailed:?}");
        assert_eq!(jailed.answer.stderr, "", "{jailed:?}");
    }
}

fn attempts(bed: &Bed) {
    let (v4, v6) = (WILD.v4, WILD.v6);
    let targets = ["203.0.113.201:8080", "[2001:db8:2::c9]:8080"].map(str::to_owned);
    let targets = [
        &targets[..],
        &[format!("{v4}:5353"), format!("[{v6}]:5353")],
    ]
    .concat();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let words = targets.join("' '");
    let attempts = format!("attacker jailed attempts SECRET '{words}'");
    for caller in [ROOT, USER] {
        let reached = arrived(bed, &targets, || {
            caller.run(bed, ALLOW, &attempts);
        });
        assert_eq!(reached, 0, "{}", caller.name);
    }
    for caller in CALLERS {
        for prefix in ["", WITHOUT_LANDLOCK] {
            let reached = arrived(bed, &targets, || {
                let jailed = caller.run_by(bed, prefix, ALLOW, &attempts);
                assert!(jailed.answer.stdout.lines().count() > 80, "{jailed:?}");
            });
            assert_eq!(reached, 0, "{} {prefix}", caller.name);
        }
    }
    // The weapons are loaded.
    let reached = arrived(bed, &targets, || {
        SUPERVISED_USER.run_unjailed(bed, &attempts).must_succeed();
    });
    println!("{reached} attempts arrive without a jail");
    assert!(reached >= 10, "{reached}");
}

fn families(bed: &Bed) {
    for caller in CALLERS {
        let jailed = caller.run(bed, &[], "attacker jailed families");
        let mut lines: Vec<&str> = jailed.answer.stdout.lines().collect();
        lines.sort_unstable();
        let expected = [
            "family 1 kind 1 protocol 0",
            "family 1 kind 1 protocol 1",
            "family 1 kind 2 protocol 0",
            "family 1 kind 2 protocol 1",
            "family 1 kind 5 protocol 0",
            "family 1 kind 5 protocol 1",
            "family 10 kind 1 protocol 0",
            "family 10 kind 1 protocol 6",
            "family 10 kind 2 protocol 0",
            "family 10 kind 2 protocol 17",
            "family 16 kind 2 protocol 0",
            "family 16 kind 3 protocol 0",
            "family 2 kind 1 protocol 0",
            "family 2 kind 1 protocol 6",
            "family 2 kind 2 protocol 0",
            "family 2 kind 2 protocol 17",
            "pair 1",
        ];
        assert_eq!(lines, expected, "{}: {jailed:?}", caller.name);
    }
    let bare = ROOT.run_unjailed(bed, "attacker jailed families").stdout;
    // Packets, raw sockets, what lists others' sockets and changes rules.
    for way in [
        "family 17 kind 3 protocol 0",
        "family 2 kind 3 protocol 255",
        "family 16 kind 3 protocol 4",
        "family 16 kind 3 protocol 12",
        "i386",
    ] {
        assert!(bare.contains(way), "{way}: {bare}");
    }
}

const RACES: u32 = 8000;

fn races_of_addresses(bed: &Bed) {
    let denied = "203.0.113.202:8080";
    let race = format!(
        "attacker jailed race-address {}:80 {denied} SECRET {RACES}",
        ALLOWED.v4
    );
    races(bed, "address", denied, &race);
}

fn races_of_descriptors(bed: &Bed) {
    let denied = "203.0.113.203:8080";
    let race = format!("attacker jailed race-descriptor {denied} SECRET {RACES}");
    races(bed, "descriptor", denied, &race);
}

/// A race that is never won against ours, and is against a supervisor that is wrong.
fn races(bed: &Bed, what: &str, denied: &str, race: &str) {
    for caller in [ROOT, USER] {
        let lost = arrived(bed, &[denied], || {
            let jailed = caller.run(bed, ALLOW, race);
            assert!(jailed.answer.stdout.contains("attempts"), "{jailed:?}");
        });
        assert_eq!(lost, 0, "{}", caller.name);
    }
    for caller in CALLERS {
        for prefix in ["", WITHOUT_LANDLOCK] {
            let lost = arrived(bed, &[denied], || {
                let jailed = caller.run_by(bed, prefix, ALLOW, race);
                assert!(jailed.answer.stdout.contains("attempts"), "{jailed:?}");
            });
            assert_eq!(lost, 0, "{} {prefix}", caller.name);
        }
    }
    let wrongly = format!("attacker jailed wrongly {what} {}:80 {race}", ALLOWED.v4);
    let lost = arrived(bed, &[denied], || {
        SUPERVISED_USER.run_unjailed(bed, &wrongly).must_succeed();
    });
    println!("{lost} of {RACES} get past a supervisor that is wrong about the {what}");
    assert!(lost > 0, "the race can be won");
}

fn unix_sockets(bed: &Bed) {
    let name = unique("socket");
    let serve = file(
        bed,
        &format!(
            "
import os, socket, sys
one = socket.socket(socket.AF_UNIX); one.bind('/tmp/{name}'); one.listen(); os.chmod('/tmp/{name}', 0o777)
other = socket.socket(socket.AF_UNIX); other.bind('\\0{name}'); other.listen()
print('ready', flush=True)
sys.stdin.read()
"
        ),
    );
    let connect = file(
        bed,
        &format!(
            "
import os, socket, tempfile
def attempt(name, to):
    try:
        socket.socket(socket.AF_UNIX).connect(to)
        print(name, 'open')
    except OSError as error:
        print(name, 'shut', error.errno)
os.chdir(tempfile.mkdtemp())
attempt('path', '/tmp/{name}')
attempt('abstract', '\\0{name}')
os.symlink('/tmp/{name}', 'link')
attempt('link', 'link')
os.symlink('/proc/self/root/tmp/{name}', 'magic')
attempt('magic', 'magic')
own = socket.socket(socket.AF_UNIX); own.bind('own'); own.listen()
attempt('own', 'own')
attempt('own absolute', os.path.abspath('own'))
named = socket.socket(socket.AF_UNIX); named.bind('\\0own{name}' + str(os.getpid())); named.listen()
attempt('own abstract', '\\0own{name}' + str(os.getpid()))
"
        ),
    );
    let server = Outside::serve(bed, &[&serve]);
    for caller in crate::jail::CALLERS {
        let of = |options: &[&str]| -> Jailed {
            caller.run(bed, options, &format!("python3 {connect}"))
        };
        let jailed = of(&[]);
        // Names are of a network: in one of its own there is nobody of that name.
        let by_name = if caller.supervised { 13 } else { 111 };
        let expected = format!(
            "path shut 13\nabstract shut {by_name}\nlink shut 13\nmagic shut 40\nown open\n\
             own absolute open\nown abstract open\n"
        );
        assert_eq!(
            jailed.answer.stdout, expected,
            "{}: {jailed:?}",
            caller.name
        );
        assert!(
            jailed.answer.stderr.contains("--allow-socket"),
            "{jailed:?}"
        );
        let opened = of(&["--allow-socket", &format!("/tmp/{name}")]);
        assert!(
            opened
                .answer
                .stdout
                .starts_with(&format!("path open\nabstract shut {by_name}\nlink open\n")),
            "{opened:?}"
        );
    }
    let unjailed = SUPERVISED_USER.run_unjailed(bed, &format!("python3 {connect}"));
    assert_eq!(unjailed.stdout.matches("open").count(), 7, "{unjailed:?}");
    drop(server);
}

fn refused_datagrams(bed: &Bed) {
    // By calls of which only the kernel hears.
    let script = file(
        bed,
        &format!(
            "
import select, socket
def refused(how):
    asker.connect(('{}', 9999))
    asker.send(b'x')
    try:
        how()
        print('heard')
    except OSError as error:
        print('refused', error.errno)
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
refused(lambda: asker.recv(9))
poll = select.poll()
poll.register(asker, select.POLLIN)
refused(lambda: (poll.poll(), asker.recv(9, socket.MSG_DONTWAIT)))
asker.connect(('{}', 9999))
asker.send(b'x')
print('answered', len(asker.recv(99)) > 0)
",
            DENIED.v4, ALLOWED.v4
        ),
    );
    let allow = format!("proto=udp cidr={}/32 port=9999", ALLOWED.v4);
    for caller in CALLERS {
        let jailed = caller.run(
            bed,
            &["--allow", &allow],
            &format!("timeout 20 python3 {script}"),
        );
        let said = &jailed.answer.stdout;
        assert_eq!(
            said, "refused 104\nrefused 104\nanswered True\n",
            "{}: {jailed:?}",
            caller.name
        );
    }
}

fn own_servers(bed: &Bed) {
    // A port that somebody outside has, by another address than the command's own server.
    let outside = file(
        bed,
        "
import socket, sys
server = socket.create_server(('127.0.0.1', 7861))
print('ready', flush=True)
sys.stdin.read()
",
    );
    let server = Outside::serve(bed, &[&outside]);
    let script = file(
        bed,
        "
import socket
def attempt(to):
    try:
        socket.create_connection(to, 3)
        print(to[0], to[1], 'open')
    except OSError as error:
        print(to[0], to[1], error.errno)
other = socket.create_server(('127.0.0.5', 7861))
attempt(('127.0.0.5', 7861))
attempt(('127.0.0.1', 7861))
unbound = socket.socket(); unbound.listen()
print('bound to', unbound.getsockopt(socket.SOL_SOCKET, 25, 16).split(b'\\0')[0].decode())
attempt(('127.0.0.1', unbound.getsockname()[1]))
try:
    unbound.setsockopt(socket.SOL_SOCKET, 25, b'\\0')
    print('unbound')
except OSError as error:
    print('stays bound', error.errno)
port = other.getsockname()[1]
other.close()
attempt(('127.0.0.5', port))
again = socket.create_server(('127.0.0.5', port))
attempt(('127.0.0.5', port))
",
    );
    for caller in CALLERS {
        let jailed = caller.run(bed, &[], &format!("python3 {script}"));
        let lines: Vec<&str> = jailed.answer.stdout.lines().collect();
        let [own, others, bound, unbound, stays, closed, again] = lines.as_slice() else {
            panic!("{}: {jailed:?}", caller.name);
        };
        assert_eq!(*own, "127.0.0.5 7861 open");
        assert_eq!(*others, "127.0.0.1 7861 111");
        assert_eq!(*bound, "bound to lo");
        assert!(unbound.ends_with("open"), "{jailed:?}");
        assert_eq!(*stays, "stays bound 1");
        assert_eq!(*closed, "127.0.0.5 7861 111");
        assert_eq!(*again, "127.0.0.5 7861 open");
    }
    drop(server);
}

/// More sockets than there may be at once, one after the other.
fn sweeping(bed: &Bed) {
    let script = file(
        bed,
        "
import resource, socket
kept = [socket.socket() for _ in range(50)]
for n in range(30000):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM if n % 2 else socket.SOCK_STREAM).close()
for one in kept:
    one.bind(('127.0.0.1', 0))
print('done')
",
    );
    let jailed = SUPERVISED_USER.run(bed, &[], &format!("python3 {script}"));
    assert_eq!(jailed.answer.stdout, "done\n", "{jailed:?}");
}

fn killed(bed: &Bed) {
    // The jail's own process is the supervisor: what is left of the command for a moment can't connect.
    let script = file(
        bed,
        "
import os, signal, socket, time
jail = os.getpid()
for _ in range(4):
    jail = int(open(f'/proc/{jail}/stat').read().rsplit(')', 1)[1].split()[1])
    if 'jail' in open(f'/proc/{jail}/cmdline').read().split('\\0'):
        break
print('alive', flush=True)
time.sleep(30)
",
    );
    for caller in CALLERS {
        let kill = format!(
            "own=$(mktemp -d); mkfifo $own/said; \
             boundary-shim jail --jail-type notify --log $own/log -- python3 {script} >$own/said & \
             head -n 1 $own/said; kill -KILL $!; sleep 1; pgrep -f '^python3 {script}' >/dev/null && echo left"
        );
        let answer = caller.run_unjailed(bed, &kill);
        assert_eq!(answer.stdout, "alive\n", "{}: {answer:?}", caller.name);
    }
}

fn twice(bed: &Bed) {
    let script =
        "boundary-shim jail --jail-type notify --log /tmp/twice-$(id -u).jsonl -- echo run";
    for caller in CALLERS {
        let jailed = caller.run(bed, &[], script);
        assert_eq!(jailed.answer.stdout, "", "{}: {jailed:?}", caller.name);
        assert!(
            jailed.answer.stderr.contains("another supervisor"),
            "{jailed:?}"
        );
    }
}

fn hidden(bed: &Bed) {
    let script = file(
        bed,
        "
import ctypes, socket
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
one, other = socket.socketpair()
one.sendmsg([b'x'])
print(other.recvmsg(9)[0], one.getsockname())
made = socket.socket()
try:
    made.connect(('198.51.100.20', 80))
    print('connected')
except OSError as error:
    print('not connected')
",
    );
    let jailed = SUPERVISED_USER.run(bed, ALLOW, &format!("python3 {script}"));
    assert_eq!(jailed.answer.stdout, "b'x' \nnot connected\n", "{jailed:?}");
}

/// A sandbox within the jail that asks for no network has none.
fn own_network(bed: &Bed) {
    let ask = format!("curl -sS -m 5 http://{}/", ALLOWED.v4);
    let rule = format!("cidr={}/32", ALLOWED.v4);
    for caller in CALLERS {
        let script = format!(
            "{ask}; unshare -Urn {ask} 2>&1; unshare -Urn curl -sS -m 5 http://allowed.test/ 2>&1"
        );
        let jailed = caller.run(
            bed,
            &["--allow", &rule, "--allow", "domain=allowed.test"],
            &script,
        );
        let said = &jailed.answer.stdout;
        assert_eq!(
            said.matches("I am allowed.test").count(),
            1,
            "{}: {jailed:?}",
            caller.name
        );
        assert_eq!(
            said.matches("curl: ").count(),
            2,
            "{}: {jailed:?}",
            caller.name
        );
    }
}

fn landjail(bed: &Bed) {
    let line = |prefix: &str| {
        format!(
            "{prefix}boundary-shim jail --jail-type landjail --log /tmp/land-$(id -u).jsonl -- echo run"
        )
    };
    for caller in CALLERS {
        let with = caller.run_unjailed(bed, &line(""));
        assert_eq!(with.stdout, "run\n", "{with:?}");
        let without = caller.run_unjailed(bed, &line(WITHOUT_LANDLOCK));
        assert_eq!(
            (without.stdout.as_str(), without.code),
            ("", 1),
            "{without:?}"
        );
        assert!(without.stderr.contains("no Landlock"), "{without:?}");
    }
}
