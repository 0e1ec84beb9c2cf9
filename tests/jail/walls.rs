//! What a jailed command would do to be out of its jail.

use test_support::bed::{Bed, unique};
use test_support::hosts::DENIED;

use crate::jail::{CALLERS, Caller, Outside, ROOT, SUPERVISED_USER, USER};

pub(crate) const TESTS: &[test_support::harness::Test] = &[
    ("its_rules_links_and_routes_are_not_its_own", configuration),
    ("other_namespaces_are_not_open", namespaces),
    ("families_and_calls_past_the_filter_are_shut", calls),
    (
        "it_has_no_capability_but_its_callers_and_none_over_networks",
        capabilities,
    ),
    ("sockets_of_resolvers_buses_and_engines_are_hidden", sockets),
    ("a_socket_that_is_made_anew_is_not_open", made_anew),
    ("an_ssh_agent_is_open_where_it_was_named", agent),
    ("a_race_to_a_unix_socket_is_not_won", race),
    ("settings_of_the_kernel_are_read_only_to_root", settings),
    ("a_jail_fits_in_a_jail", nested),
];

/// Runs a script in Python in a jail. Gives its words.
fn python(bed: &Bed, caller: Caller, options: &[&str], script: &str) -> String {
    let file = format!("/tmp/{}.py", unique("script"));
    std::fs::write(bed.inside(&file), script).unwrap();
    let jailed = caller.run(bed, options, &format!("python3 {file} 2>&1"));
    jailed.answer.stdout
}

fn configuration(bed: &Bed) {
    for caller in CALLERS {
        for attempt in [
            "nft flush ruleset",
            "ip link set lo down",
            "ip link add dummy0 type dummy",
            "ip route add default dev lo",
            "ip -6 route flush table local",
            "unshare -U --map-root-user ip link set lo down",
            "unshare -U --map-root-user nft flush ruleset",
        ] {
            let script = format!(
                "{attempt} 2>&1 && echo DONE; curl -s -m 5 -o /dev/null -w '%{{http_code}}' http://{}/",
                DENIED.v4
            );
            let jailed = caller.run(bed, &["--allow", "domain=allowed.test"], &script);
            assert!(
                !jailed.answer.stdout.contains("DONE"),
                "{}: {attempt}: {jailed:?}",
                caller.name
            );
            assert!(
                jailed.answer.stdout.ends_with("403"),
                "{}: {attempt}: {jailed:?}",
                caller.name
            );
        }
    }
    // The weapons are loaded: in a network of one's own they work.
    let own = "unshare -n sh -c 'nft flush ruleset && ip link set lo up && ip link set lo down'";
    ROOT.run_unjailed(bed, own).must_succeed();
}

fn namespaces(bed: &Bed) {
    let script = "
import ctypes, glob, os
libc = ctypes.CDLL(None, use_errno=True)
entered = tried = 0
for path in glob.glob('/proc/[0-9]*/ns/net') + glob.glob('/proc/[0-9]*/ns/user') + glob.glob('/run/netns/*'):
    try:
        own = os.stat(path).st_ino in (os.stat('/proc/self/ns/net').st_ino, os.stat('/proc/self/ns/user').st_ino)
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        continue
    tried += not own
    if not own and libc.setns(handle, 0) == 0:
        entered += 1
print('entered', entered, 'tried', tried > 0)
";
    for caller in CALLERS {
        let said = python(bed, caller, &[], script);
        assert!(said.starts_with("entered 0 "), "{}: {said}", caller.name);
    }
    let file = format!("/tmp/{}.py", unique("script"));
    std::fs::write(bed.inside(&file), script).unwrap();
    let unjailed = ROOT.run_unjailed(bed, &format!("python3 {file}")).stdout;
    assert!(!unjailed.starts_with("entered 0 "), "{unjailed}");
}

fn calls(bed: &Bed) {
    let script = "
import ctypes, errno, fcntl, socket, termios
libc = ctypes.CDLL(None, use_errno=True)
for family in (40, 29, 31, 38, 44, 9, 41):
    try:
        socket.socket(family, socket.SOCK_STREAM if family != 29 else socket.SOCK_RAW, 0)
        print(family, 'open')
    except OSError as error:
        print(family, errno.errorcode[error.errno])
# The kernel looks at 32 bits of a family.
print('long', libc.syscall(41, ctypes.c_long(40 | 1 << 32), 1, 0), errno.errorcode.get(ctypes.get_errno()))
for call in (425, 426, 427):
    libc.syscall(call, 8, 0)
    print(call, errno.errorcode.get(ctypes.get_errno()))
libc.syscall(0x40000000 + 39)
print('x32', errno.errorcode.get(ctypes.get_errno()))
try:
    fcntl.ioctl(0, termios.TIOCSTI, b'x')
    print('sti done')
except OSError as error:
    print('sti', errno.errorcode[error.errno])
for kind in (socket.SOCK_RAW,):
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_PACKET):
        try:
            socket.socket(family, kind, socket.IPPROTO_ICMP)
            print('raw open')
        except OSError as error:
            print('raw', errno.errorcode[error.errno])
";
    for caller in CALLERS {
        let said = python(bed, caller, &[], script);
        let expected = "40 EAFNOSUPPORT\n29 EAFNOSUPPORT\n31 EAFNOSUPPORT\n38 EAFNOSUPPORT\n44 EAFNOSUPPORT\n\
             9 EAFNOSUPPORT\n41 EAFNOSUPPORT\nlong -1 EAFNOSUPPORT\n425 ENOSYS\n426 ENOSYS\n427 ENOSYS\nx32 ENOSYS\n\
             sti EPERM\n";
        let raw = if caller.supervised {
            "raw EPROTONOSUPPORT\nraw EPROTONOSUPPORT\nraw EAFNOSUPPORT\n"
        } else {
            "raw EPERM\nraw EPERM\nraw EPERM\n"
        };
        assert_eq!(said, format!("{expected}{raw}"), "{}", caller.name);
    }
    let file = format!("/tmp/{}.py", unique("script"));
    std::fs::write(bed.inside(&file), script).unwrap();
    let bare = ROOT.run_unjailed(bed, &format!("python3 {file}")).stdout;
    let raw = bare.matches("raw open").count();
    assert!(raw == 3 && !bare.contains("425 ENOSYS"), "{bare}");
}

fn capabilities(bed: &Bed) {
    // NET_ADMIN, NET_RAW, SYS_ADMIN, SYS_PTRACE, SYS_MODULE, SYS_RAWIO, BPF, PERFMON, DAC_READ_SEARCH, MKNOD.
    let forbidden: u64 = [12, 13, 21, 19, 16, 17, 39, 38, 2, 27]
        .into_iter()
        .map(|number: u64| 1 << number)
        .sum();
    for caller in CALLERS {
        let jailed = caller.run(bed, &[], "grep -E '^(Cap|NoNewPrivs)' /proc/self/status");
        let sets: Vec<u64> = jailed
            .answer
            .stdout
            .lines()
            .filter(|line| line.starts_with("Cap"))
            .map(|line| u64::from_str_radix(line.split('\t').nth(1).unwrap(), 16).unwrap())
            .collect();
        assert_eq!(sets.len(), 5, "{jailed:?}");
        // Who may not bound what could be gained can gain nothing without new privileges.
        let bounded = !caller.supervised || caller.name != SUPERVISED_USER.name;
        for (set, _) in sets
            .iter()
            .zip(["Inh", "Prm", "Eff", "Bnd", "Amb"])
            .filter(|(_, name)| bounded || *name != "Bnd")
        {
            assert_eq!(set & forbidden, 0, "{}: {jailed:?}", caller.name);
        }
        if caller.name == USER.name {
            assert_eq!(sets, [0; 5], "{jailed:?}");
        }
        assert!(
            jailed.answer.stdout.contains("NoNewPrivs:\t1"),
            "{jailed:?}"
        );
    }
    // As root, files are still root's.
    let own =
        "touch /tmp/of-nobody && chown 1777:1777 /tmp/of-nobody && su nobody -s /bin/sh -c 'id -u'";
    let jailed = ROOT.run(bed, &[], own);
    assert_eq!(jailed.answer.stdout, "65534\n", "{jailed:?}");
}

fn sockets(bed: &Bed) {
    let paths = [
        "/run/systemd/resolve/io.systemd.Resolve",
        "/run/dbus/system_bus_socket",
        "/run/systemd/private",
        "/run/docker.sock",
        "/run/user/1777/bus",
    ];
    let serve = format!(
        "
import os, socket, sys
for path in {paths:?}:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path): os.unlink(path)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    os.chmod(path, 0o777)
    server.listen()
    globals()[path] = server
print('ready', flush=True)
sys.stdin.read()
"
    );
    let server = Outside::serve(bed, &["-c", &serve]);
    let script = format!(
        "
import errno, socket
for path in {paths:?}:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print('connected', path)
    except OSError as error:
        print('shut', path)
"
    );
    for caller in CALLERS {
        let said = python(bed, caller, &[], &script);
        assert_eq!(
            said.matches("shut").count(),
            paths.len(),
            "{}: {said}",
            caller.name
        );
        let opened = python(
            bed,
            caller,
            &["--allow-socket", "/run/docker.sock"],
            &script,
        );
        assert!(
            opened.contains("connected /run/docker.sock"),
            "{}: {opened}",
            caller.name
        );
    }
    let file = format!("/tmp/{}.py", unique("script"));
    std::fs::write(bed.inside(&file), &script).unwrap();
    let unjailed = ROOT.run_unjailed(bed, &format!("python3 {file}")).stdout;
    assert_eq!(
        unjailed.matches("connected").count(),
        paths.len(),
        "{unjailed}"
    );
    drop(server);
    for path in paths {
        std::fs::remove_file(bed.inside(path)).unwrap();
    }
}

/// As engines do when they are started anew, while the command runs: what hid its socket is gone with it. One that
/// was named stays open where nobody but others can have made it: not in a folder that all, the command's group
/// or the command can write to, nor in one below.
fn made_anew(bed: &Bed) {
    let folder = format!("/run/{}", unique("anew"));
    let paths = [
        "/run/cri-dockerd.sock".to_owned(),
        format!("{folder}/of-all/s"),
        format!("{folder}/of-its-group/s"),
        format!("{folder}/its-own/s"),
        format!("{folder}/its-own/of-root/s"),
    ];
    let serve = format!(
        "
import os, socket, sys, threading
os.chmod('/run', 0o755) # a bed's is open to all, a host's isn't
for name, owner, group, mode in (
        ('', 0, 0, 0o755), ('of-all', 0, 0, 0o1777), ('of-its-group', 0, 1777, 0o775),
        ('its-own', 1777, 1777, 0o555), ('its-own/of-root', 0, 0, 0o755)):
    path = os.path.join('{folder}', name)
    os.mkdir(path)
    os.chown(path, owner, group)
    os.chmod(path, mode)
def make(path):
    if os.path.exists(path): os.unlink(path)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    os.chmod(path, 0o777)
    server.listen()
    return server
made = list(map(make, {paths:?}))
for mark in ('{folder}/asked', '{folder}/done'):
    os.mkfifo(mark)
    os.chmod(mark, 0o777)
def anew():
    while open('{folder}/asked').read():
        made[:] = map(make, {paths:?})
        open('{folder}/done', 'w').write('x')
threading.Thread(target=anew, daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
"
    );
    let server = Outside::serve(bed, &["-c", &serve]);
    let script = format!(
        "
import socket
def attempt(path):
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        return 'open'
    except OSError as error:
        return 'shut'
print(*map(attempt, {paths:?}))
open('{folder}/asked', 'w').write('x')
open('{folder}/done').read()
print(*map(attempt, {paths:?}))
"
    );
    let all = |word: &str| format!("{}\n", [word; 5].join(" "));
    let (all_open, all_shut) = (all("open"), all("shut"));
    let named: Vec<&str> = paths
        .iter()
        .flat_map(|path| ["--allow-socket", path])
        .collect();
    for caller in CALLERS {
        let said = python(bed, caller, &[], &script);
        assert_eq!(said, all_shut.repeat(2), "{}", caller.name);
        let opened = python(bed, caller, &named, &script);
        let anew = match caller.name.starts_with("user") {
            true => "open shut shut shut shut\n",
            false => &all_shut,
        };
        assert_eq!(opened, format!("{all_open}{anew}"), "{}", caller.name);
    }
    let file = format!("/tmp/{}.py", unique("script"));
    std::fs::write(bed.inside(&file), &script).unwrap();
    let unjailed = ROOT.run_unjailed(bed, &format!("python3 {file}")).stdout;
    assert_eq!(unjailed, all_open.repeat(2));
    drop(server);
    std::fs::remove_file(bed.inside("/run/cri-dockerd.sock")).unwrap();
    std::fs::remove_dir_all(bed.inside(&folder)).unwrap();
}

fn agent(bed: &Bed) {
    for caller in CALLERS {
        let socket = format!("/tmp/{}", unique("agent"));
        let prefix = format!("ssh-agent -a {socket} ");
        let denied = caller.run_by(bed, &prefix, &[], "ssh-add -l");
        assert!(
            denied.answer.stderr.contains("Permission denied"),
            "{}: {denied:?}",
            caller.name
        );
        let socket = format!("/tmp/{}", unique("agent"));
        let prefix = format!("ssh-agent -a {socket} ");
        let named = caller.run_by(bed, &prefix, &["--allow-socket", &socket], "ssh-add -l");
        let said = &named.answer.stdout;
        assert!(said.contains("no identities"), "{}: {named:?}", caller.name);
    }
}

/// While its connection is judged, the command makes a Unix socket of one of TCP's.
fn race(bed: &Bed) {
    const RACES: u32 = 8000;
    let path = format!("/tmp/{}", unique("raced"));
    let serve = format!(
        "
import os, socket, sys, threading
server = socket.socket(socket.AF_UNIX)
server.bind('{path}')
os.chmod('{path}', 0o777)
server.listen(4000)
def take():
    while True: server.accept()[0].close()
threading.Thread(target=take, daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
"
    );
    let server = Outside::serve(bed, &["-c", &serve]);
    let race = format!("attacker jailed race-unix {path} 127.0.0.1:9 {RACES}");
    for caller in [ROOT, USER] {
        let jailed = caller.run(bed, &[], &race);
        let lost = format!("{RACES} attempts, 0 sent\n");
        assert_eq!(jailed.answer.stdout, lost, "{}: {jailed:?}", caller.name);
    }
    // Who judges by what is said, and lets the kernel look again, loses.
    let wrongly = format!("attacker jailed wrongly address 127.0.0.1:9 {race}");
    let lost = USER.run_unjailed(bed, &wrongly);
    let said = lost.stdout.trim();
    println!("against a supervisor that is wrong: {said}");
    assert!(
        said.starts_with(&format!("{RACES} attempts, ")) && !said.ends_with(" 0 sent"),
        "{lost:?}"
    );
    drop(server);
}

fn settings(bed: &Bed) {
    // What is there already, so that nothing changes where it can be written.
    let script = "for file in /proc/sys/kernel/core_pattern /proc/sys/net/core/somaxconn /proc/sysrq-trigger /sys/kernel/uevent_helper; do \
         ( [ ! -e $file ] || ! true >> $file ) 2>/dev/null && echo shut; done";
    for caller in CALLERS {
        let jailed = caller.run(bed, &[], script);
        assert_eq!(
            jailed.answer.stdout,
            "shut\n".repeat(4),
            "{}: {jailed:?}",
            caller.name
        );
    }
    // Not by mounts of its own either, in namespaces in which it has every capability.
    let anew = "unshare -Urmpf sh -c 'umount /proc/sys; mount -o remount,rw,bind /proc/sys; mount -t proc proc /mnt; \
         for file in /proc/sys/kernel/core_pattern /mnt/sys/kernel/core_pattern; do \
         [ -e $file ] && true >> $file && echo OPEN; done; umount /run/dbus && echo OPEN' 2>/dev/null; echo done";
    for caller in CALLERS {
        let jailed = caller.run(bed, &[], anew);
        assert_eq!(
            jailed.answer.stdout, "done\n",
            "{}: {jailed:?}",
            caller.name
        );
    }
    let own = "unshare -Urmpf sh -c 'mount -t proc proc /mnt && true >> /mnt/sys/kernel/core_pattern && echo OPEN'";
    assert_eq!(ROOT.run_unjailed(bed, own).stdout, "OPEN\n");
    let unjailed = ROOT.run_unjailed(bed, ": >> /proc/sys/kernel/core_pattern && echo open");
    assert_eq!(unjailed.stdout, "open\n", "{unjailed:?}");
}

fn nested(bed: &Bed) {
    let script = "boundary-shim jail --jail-type nsjail --log /tmp/nested-$(id -u).jsonl --allow domain=allowed.test --allow domain=denied.test -- \
         curl -s -m 5 -o /dev/null -w '%{http_code} ' http://allowed.test/ --next -s -m 5 -o /dev/null -w '%{http_code}' \
         --resolve denied.test:80:198.51.100.20 http://denied.test/";
    for caller in [ROOT, USER] {
        let jailed = caller.run(bed, &["--allow", "domain=allowed.test"], script);
        assert_eq!(
            jailed.answer.stdout, "200 502",
            "{}: {jailed:?}",
            caller.name
        );
    }
}
