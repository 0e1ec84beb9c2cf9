//! What a container, or who else runs in its network, sends while its gateway is still being made:
//! judged by what comes out at the other ends of its links.
//!
//! A gateway takes some 20 ms for each link, most of which the kernel has it wait: a container with
//! several isn't filtered yet when `create` returns.

use std::fs;
use std::io::Read;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use boundary_shim::container::state::{SavedState, Stage};
use boundary_shim::sys::process::Process;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use crate::groups;
use crate::lives::Test;
use crate::world::{DEADLINE, World, text};

pub(crate) const TESTS: &[Test] = &[
    (
        "what_a_container_sends_at_once_is_filtered_however_many_start",
        at_once,
    ),
    (
        "what_is_added_to_a_container_that_starts_is_filtered",
        added_meanwhile,
    ),
    (
        "what_is_added_to_a_container_that_was_only_created_is_filtered",
        added_before,
    ),
    (
        "what_anothers_hook_sends_from_within_is_filtered",
        others_hook,
    ),
    ("what_a_joining_container_sends_is_filtered", joining),
    (
        "a_container_whose_keeper_is_killed_before_it_is_ready_does_not_start",
        keeper_killed,
    ),
    (
        "a_container_whose_gateway_fails_does_not_start_and_hears_why",
        gateway_fails,
    ),
    (
        "a_container_can_be_deleted_while_its_gateway_is_made",
        deleted_meanwhile,
    ),
    (
        "a_create_killed_before_our_hook_leaves_nothing",
        killed_before_our_hook,
    ),
];

pub(crate) const ONCE: &[(&str, fn())] = &[
    (
        "a_create_killed_at_any_moment_leaves_nothing",
        create_killed,
    ),
    (
        "what_a_killed_keeper_leaves_is_swept_by_the_next_create",
        begun_keeper_killed,
    ),
];

/// Containers of a race: of one runtime, since they all meet the same keeper.
const MANY: usize = 200;
/// Of the others.
const FEW: usize = 8;
/// Those that are made at the same time.
const AT_ONCE: usize = 8;

/// The host, as containers see it: a bridge on which their links end.
const HOST: &str = "10.88.0.1";

/// What is in every frame that shouldn't come out.
const MARK: &str = "getting-out-";

/// The frames that came out of containers' links and have the mark in them.
struct Outside(&'static Mutex<Vec<Vec<u8>>>);

impl Outside {
    /// Listens on every link of this network from the first call on.
    fn listen() -> Self {
        static SEEN: OnceLock<&'static Mutex<Vec<Vec<u8>>>> = OnceLock::new();
        Self(SEEN.get_or_init(|| {
            for line in [
                "link add outside type bridge",
                &format!("address add {HOST}/16 dev outside"),
                "link set outside up",
                // Without any port it would send nothing.
                "link add port type veth peer name port-end",
                "link set port-end up",
                "link set port master outside up",
            ] {
                let mut ip = Command::new("ip");
                assert!(ip.args(line.split(' ')).status().unwrap().success());
            }
            let seen: &'static Mutex<_> = Box::leak(Box::default());
            let every_frame = i32::from(u16::try_from(libc::ETH_P_ALL).unwrap().to_be());
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(every_frame)));
            let socket = socket.unwrap();
            std::thread::spawn(move || Self::take_from(&socket, seen));
            seen
        }))
    }

    fn take_from(mut socket: &Socket, seen: &Mutex<Vec<Vec<u8>>>) {
        let mut frame = [0; 2048];
        loop {
            // Of a link that goes away it says so, once.
            let Ok(length) = socket.read(&mut frame) else {
                continue;
            };
            if holds(&frame[..length], MARK) {
                seen.lock().unwrap().push(frame[..length].to_vec());
            }
        }
    }

    /// How many there are with this secret in them, by now.
    fn count(&self, secret: &str) -> usize {
        // What came before this has been taken when this has.
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let now = format!("{MARK}{}", ASKED.fetch_add(1, Ordering::Relaxed));
        let socket = UdpSocket::bind((HOST, 0)).unwrap();
        socket.set_broadcast(true).unwrap();
        socket
            .send_to(format!("{now};").as_bytes(), "10.88.255.255:9")
            .unwrap();
        let end = Instant::now() + DEADLINE;
        loop {
            let seen = self.0.lock().unwrap();
            let count = |sign: &str| seen.iter().filter(|frame| holds(frame, sign)).count();
            if count(&format!("{now};")) > 0 {
                return count(secret);
            }
            drop(seen);
            assert!(Instant::now() < end, "the capture is blind");
            std::thread::yield_now();
        }
    }
}

fn holds(frame: &[u8], sign: &str) -> bool {
    frame
        .windows(sign.len())
        .any(|part| part == sign.as_bytes())
}

/// A container of which this many links come before the one that leads outside, and what must not
/// get out.
struct Wired {
    world: World,
    secret: String,
}

impl Wired {
    fn new(runtime: &str, links: usize) -> Self {
        let world = World::new(runtime);
        // The others can't add a process to a container with either.
        let plain = ["youki", "embedded"].contains(&runtime);
        if plain {
            world.configure(&format!("runtime = {runtime:?}\nnesting = \"none\""));
        }
        let secret = format!("{MARK}{};", world.id);
        let hook = world.path("hook");
        fs::write(&hook, engine(links)).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let wired = Self { world, secret };
        wired.edit(|spec| {
            if plain {
                spec["linux"].as_object_mut().unwrap().remove("seccomp");
            }
        });
        wired
    }

    /// Changes what stands there, from its beginning.
    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        self.world.edit_spec(|spec| {
            spec["process"]["args"] = self.sending();
            spec["linux"]["namespaces"]
                .as_array_mut()
                .unwrap()
                .push(json!({"type": "network"}));
            spec["hooks"] = json!({"createRuntime": [{
                "path": self.world.path("hook"),
                "args": ["hook"],
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            }]});
            edit(spec);
        });
    }

    /// Sends the secret from the first instruction on, for some time.
    fn sending(&self) -> Value {
        json!([
            "/usr/bin/bash",
            "-c",
            format!(
                "for ((i = 0; i < 40; i++)); do echo '{}' >/dev/udp/{HOST}/9; done 2>/dev/null",
                self.secret
            )
        ])
    }

    fn create(&self) {
        self.world
            .must("--root DIR/root create --bundle BUNDLE --pid-file DIR/pid ID");
    }

    /// Adds a process that sends the secret, too.
    fn exec(&self) -> std::process::Output {
        let process = json!({
            "user": {"uid": 0, "gid": 0},
            "args": self.sending(),
            "env": ["PATH=/bin:/usr/bin"],
            "cwd": "/",
        });
        fs::write(self.world.path("process.json"), process.to_string()).unwrap();
        self.world
            .call("--root DIR/root exec --process DIR/process.json ID")
    }

    /// Ends it, and panics if its secret got out.
    #[track_caller]
    fn nothing_got_out(&self, outside: &Outside) {
        self.delete();
        assert_eq!(outside.count(&self.secret), 0, "GOT OUT");
    }

    #[track_caller]
    fn delete(&self) {
        self.world.must("--root DIR/root delete --force ID");
        self.world.leaves_nothing();
    }

    fn record(&self) -> SavedState {
        SavedState::read(&self.world.state_directory())
            .unwrap()
            .unwrap()
    }
}

/// What an engine does in its hook: links, of which only the last has an address.
fn engine(links: usize) -> String {
    format!(
        r#"#!/bin/sh
        set -e
        pid=$(tr -d '\n' | sed 's/.*"pid": *\([0-9]*\).*/\1/')
        for link in $(seq {links}); do ip link add "x$link-$pid" type veth peer name "x$link" netns "$pid"; done
        ip link add "h$pid" type veth peer name eth0 netns "$pid"
        ip link set "h$pid" master outside up
        nsenter -t "$pid" -n sh -c "
            ip address add 10.88.$((pid / 250 % 250 + 1)).$((pid % 250 + 2))/16 dev eth0
            ip link set eth0 up
            ip route add default via {HOST}"
        "#
    )
}

/// Does it for so many containers, some at a time; first with the runtime alone, which lets the
/// secret out: else the test would show nothing.
fn race(runtime: &str, run: impl Fn(&Wired) + Sync) {
    let outside = Outside::listen();
    if runtime != "embedded" {
        let mut bare = Wired::new(runtime, 0);
        bare.world.program = boundary_shim::sys::process::on_host(runtime).unwrap();
        let root = bare.world.path("root");
        let call = |words: &[&str]| {
            let mut command = Command::new(&bare.world.program);
            command.args(["--root", &root]).args(words);
            assert!(command.status().unwrap().success(), "{words:?}");
        };
        call(&[
            "create",
            "--bundle",
            &bare.world.path("bundle"),
            &bare.world.id,
        ]);
        call(&["start", &bare.world.id]);
        let end = Instant::now() + DEADLINE;
        while outside.count(&bare.secret) == 0 {
            assert!(
                Instant::now() < end,
                "even without a filter nothing got out"
            );
        }
        call(&["delete", "--force", &bare.world.id]);
    }
    let count = if runtime == "runc" { MANY } else { FEW };
    let next = AtomicUsize::new(0);
    let work = || {
        while next.fetch_add(1, Ordering::Relaxed) < count {
            let wired = Wired::new(runtime, 0);
            wired.create();
            run(&wired);
            wired.nothing_got_out(&outside);
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
}

fn at_once(runtime: &str) {
    race(runtime, |wired| {
        wired.world.must("--root DIR/root start ID");
        wired.world.wait_for_end(wired.world.init());
    });
}

fn added_meanwhile(runtime: &str) {
    race(runtime, |wired| {
        std::thread::scope(|scope| {
            // It comes before the start, or after it, when the container may have ended.
            scope.spawn(|| wired.exec());
            wired.world.must("--root DIR/root start ID");
        });
        wired.world.wait_for_end(wired.world.init());
    });
}

fn added_before(runtime: &str) {
    let outside = Outside::listen();
    let wired = Wired::new(runtime, 4);
    wired.create();
    let added = wired.exec();
    // Not every runtime can.
    assert!(added.status.success() || runtime != "runc");
    wired.nothing_got_out(&outside);
}

fn others_hook(runtime: &str) {
    let outside = Outside::listen();
    for stage in ["createContainer", "startContainer"] {
        let wired = Wired::new(runtime, 4);
        wired.edit(|spec| {
            let words = wired.sending();
            let line = words[2].as_str().unwrap().to_owned();
            spec["process"]["args"] = json!(["/bin/busybox", "true"]);
            spec["hooks"][stage] = json!([{"path": "/usr/bin/bash", "args": ["bash", "-c", line]}]);
            spec["linux"].as_object_mut().unwrap().remove("seccomp");
        });
        wired.create();
        wired.world.must("--root DIR/root start ID");
        wired.world.wait_for_end(wired.world.init());
        wired.nothing_got_out(&outside);
    }
}

fn joining(runtime: &str) {
    let outside = Outside::listen();
    let (owner, joiner) = (Wired::new(runtime, 4), Wired::new(runtime, 0));
    for wired in [&owner, &joiner] {
        wired
            .world
            .configure(&format!("runtime = {runtime:?}\nnesting = \"none\""));
    }
    owner.create();
    joiner.edit(|spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        let path = format!("/proc/{}/ns/net", owner.world.init());
        *namespaces.last_mut().unwrap() = json!({"type": "network", "path": path});
        spec.as_object_mut().unwrap().remove("hooks");
    });
    joiner.create();
    joiner.world.must("--root DIR/root start ID");
    joiner.world.wait_for_end(joiner.world.init());
    joiner.nothing_got_out(&outside);
    owner.nothing_got_out(&outside);
}

/// Makes a container whose gateway is not ready yet, and does this to its keeper.
fn while_preparing(runtime: &str, act: impl Fn(&Wired, Process)) {
    const TRIES: usize = 10;
    let hit = (0..TRIES).any(|_| {
        let wired = Wired::new(runtime, 4);
        wired.create();
        let record = wired.record();
        let keeper = record.proxy.unwrap().open().unwrap();
        let preparing = record.stage == Stage::Preparing;
        act(&wired, keeper);
        preparing
    });
    assert!(hit, "each was ready when create returned");
}

fn keeper_killed(runtime: &str) {
    let outside = Outside::listen();
    while_preparing(runtime, |wired, keeper| {
        keeper.kill().unwrap();
        let began = Instant::now();
        let [started, added] = [wired.world.call("--root DIR/root start ID"), wired.exec()];
        for refused in [started, added] {
            assert!(!refused.status.success(), "{}", text(&refused.stderr));
        }
        assert!(began.elapsed() < DEADLINE / 3, "it hangs");
        wired.nothing_got_out(&outside);
    });
}

fn gateway_fails(runtime: &str) {
    let outside = Outside::listen();
    let wired = Wired::new(runtime, 0);
    let (file, config) = (wired.world.path("file"), wired.world.path("config.toml"));
    fs::write(&file, "").unwrap();
    let settings = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        settings.replace(&wired.world.path("audit"), &format!("{file}/audit")),
    )
    .unwrap();
    wired.create();
    for refused in [
        wired.world.call("--root DIR/root start ID"),
        wired.exec(),
        wired.world.call("--root DIR/root start ID"),
    ] {
        let said = text(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains("can't be filtered: open the audit file"),
            "{said}"
        );
    }
    wired.nothing_got_out(&outside);
}

fn deleted_meanwhile(runtime: &str) {
    let outside = Outside::listen();
    while_preparing(runtime, |wired, keeper| {
        wired.nothing_got_out(&outside);
        // By itself: it would be killed only after that.
        ends_by_itself(&keeper);
        assert!(!wired.record_of_attempts().exists());
    });
}

impl Wired {
    fn record_of_attempts(&self) -> PathBuf {
        self.world
            .path(&format!("audit/{}.jsonl", self.world.id))
            .into()
    }
}

#[track_caller]
fn ends_by_itself(process: &Process) {
    let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(DEADLINE).unwrap();
    assert_eq!(poll(&mut ended, timeout).unwrap(), 1, "it goes on");
}

/// A `create` that is under way, and the keeper that it began.
struct Begun<'a> {
    world: &'a World,
    create: Child,
}

impl<'a> Begun<'a> {
    fn new(world: &'a World) -> Self {
        let create = world
            .command("--root DIR/root create --bundle BUNDLE ID")
            .stdout(fs::File::create(world.path("out")).unwrap())
            .stderr(fs::File::create(world.path("err")).unwrap())
            .spawn()
            .unwrap();
        Self { world, create }
    }

    fn socket(&self) -> PathBuf {
        let mut socket = self.world.state_directory().into_os_string();
        socket.push(".begun");
        socket.into()
    }

    /// Waits until this is so.
    #[track_caller]
    fn until<T>(&self, what: impl Fn() -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = what() {
                return found;
            }
            assert!(
                Instant::now() < end,
                "{}",
                fs::read_to_string(self.world.path("err")).unwrap()
            );
            std::thread::yield_now();
        }
    }

    /// The keeper, by the socket on which it waits.
    fn keeper(&self) -> Process {
        // As it was called when it was bound.
        let socket = format!("/{}.beginning", self.create.id());
        let holder = || {
            let sockets = fs::read_to_string("/proc/net/unix").unwrap();
            let line = sockets.lines().find(|line| line.ends_with(&socket))?;
            let target = format!("socket:[{}]", line.split_whitespace().nth(6)?);
            let keeps = |pid: &i32| {
                let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let held = fs::read_dir(format!("/proc/{pid}/fd"))
                    .into_iter()
                    .flatten()
                    .flatten();
                title.starts_with(b"boundary-shim proxy ")
                    && held
                        .filter_map(|one| fs::read_link(one.path()).ok())
                        .any(|one| one == Path::new(&target))
            };
            let processes = fs::read_dir("/proc").unwrap().flatten();
            let mut pids = processes.filter_map(|one| one.file_name().to_str()?.parse().ok());
            pids.find(keeps)
        };
        Process::open(self.until(holder)).unwrap()
    }

    fn kill(&mut self) {
        self.create.kill().unwrap();
        self.create.wait().unwrap();
    }
}

/// A runtime that does nothing for a long time.
fn hanging() -> World {
    let world = World::new("");
    let runtime = world.path("hanging");
    fs::write(&runtime, "#!/bin/sh\nexec sleep 600\n").unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755)).unwrap();
    world.configure(&format!("runtime = {runtime:?}"));
    world
}

fn create_killed() {
    let moments: [fn(&Begun<'_>) -> bool; 4] = [
        |_| true,
        |begun| Path::new(&begun.world.path("bundle/boundary.json")).exists(),
        |begun| begun.socket().exists(),
        |begun| {
            begun.keeper();
            true
        },
    ];
    for moment in moments {
        for _ in 0..AT_ONCE {
            let world = hanging();
            let mut begun = Begun::new(&world);
            begun.until(|| moment(&begun).then_some(()));
            let keeper = begun.socket().exists().then(|| begun.keeper());
            begun.kill();
            if let Some(keeper) = keeper {
                ends_by_itself(&keeper);
            }
            begun.until(|| world.traces().is_empty().then_some(()));
        }
    }
}

fn begun_keeper_killed() {
    let world = hanging();
    let mut begun = Begun::new(&world);
    begun.keeper().kill().unwrap();
    begun.kill();
    let other = hanging();
    let mut next = Begun::new(&other);
    next.until(|| (!begun.socket().exists()).then_some(()));
    next.kill();
    next.until(|| other.traces().is_empty().then_some(()));
}

/// While the engine's own hook runs, which comes before ours.
fn killed_before_our_hook(runtime: &str) {
    let wired = Wired::new(runtime, 0);
    let (hook, pid) = (wired.world.path("hook"), wired.world.path("hook-pid"));
    fs::write(
        &hook,
        format!("#!/bin/sh\necho $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 600\n"),
    )
    .unwrap();
    let mut begun = Begun::new(&wired.world);
    let keeper = begun.keeper();
    let hooked: i32 = begun.until(|| fs::read_to_string(&pid).ok()?.trim().parse().ok());
    begun.kill();
    ends_by_itself(&keeper);
    let ours = wired.world.traces();
    let ours = ours.iter().filter(|trace| trace.contains("boundary"));
    assert_eq!(ours.count(), 0);
    // What a runtime leaves when it is killed is its own business.
    Process::open(hooked).unwrap().kill().unwrap();
    wired.world.call("--root DIR/root delete --force ID");
    begun.until(|| {
        groups::remove(&wired.world.id);
        wired.world.traces().is_empty().then_some(())
    });
}
