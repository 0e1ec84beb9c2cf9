//! What clients of a developer's find outside of a jail: programs that are built for them, and servers of
//! every kind at all addresses of the little internet. Made for the first test that asks, gone after the last.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use test_support::bed::Bed;
use test_support::command::shell;
use test_support::hosts::{Host, far};
use test_support::needs::Needs;
use test_support::programs::{REPOSITORY, build_go_program, product};

use crate::jail::{Outside, USER};

/// Where programs and servers have their files, in the bed.
pub(crate) const PROGRAMS: &str = "/tmp/clients";

/// What tests visit by a name that rules allow, [`NAMED`].
const OPEN: Host = far(150);
/// Its name.
pub(crate) const NAMED: &str = "n150.far.test";
/// What else is visited, each by one test alone, by a name that stands in `/etc/hosts`: so that it is known
/// whatever a filter says.
pub(crate) const SHUT: [(&str, Host); 1] = [("shut.test", far(151))];

/// What `scripts/install-prerequisites` installs for them.
const NEEDED: [&str; 20] = [
    "wget",
    "git",
    "npm",
    "node",
    "go",
    "gcc",
    "java",
    "javac",
    "ssh",
    "sshd",
    "ssh-keygen",
    "nc",
    "socat",
    "busybox",
    "apt-get",
    "redis-server",
    "redis-cli",
    "rustc",
    "nft",
    "curl",
];

/// Rules for all that is there.
pub(crate) const RULES: [&str; 4] = [
    "--allow",
    "domain=n150.far.test",
    "--allow",
    "domain=n150.far.test port=9100-9199 proto=tcp",
];

/// Everything that was made; it goes when dropped.
#[derive(Debug)]
pub(crate) struct World {
    _servers: Outside,
}

/// Whether this machine has the programs.
pub(crate) fn needs() -> Needs {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let is_there = |program: &&str| folders.iter().any(|folder| folder.join(program).is_file());
    let mut missing: Vec<&str> = NEEDED.into_iter().filter(|one| !is_there(one)).collect();
    let script = "import aiohttp, grpc, pip, requests";
    let python = test_support::command::run(20, &["/usr/bin/python3", "-c", script]);
    missing.extend((python.code != 0).then_some("Python's aiohttp, grpc, pip and requests"));
    missing.extend((!Path::new("/usr/lib/postgresql").exists()).then_some("postgresql"));
    let musl = is_there(&"musl-gcc") || musl().is_dir();
    missing.extend((!musl).then_some("musl-gcc"));
    let missing = missing.join(", ");
    let there = if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("there is no {missing}"))
    };
    Needs::tried("what scripts/install-prerequisites installs", &there)
}

/// Where Rust has its library for musl, if it has.
fn musl() -> PathBuf {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let question = ["rustc", "--print", "target-libdir", "--target", &target];
    test_support::command::run(20, &question)
        .stdout
        .trim()
        .into()
}

impl World {
    /// The one that there is, or a new one.
    pub(crate) fn shared(bed: &Bed) -> Arc<Self> {
        static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
        // A test that failed leaves nothing half done here.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let world = Arc::new(Self::make(bed));
            *shared = Arc::downgrade(&world);
            world
        })
    }

    fn make(bed: &Bed) -> Self {
        let folder = bed.inside(PROGRAMS);
        if !folder.exists() {
            fs::create_dir(&folder).unwrap();
            build(&folder);
            make_reachable(bed);
        }
        let files = format!("{PROGRAMS}/servers");
        let _ = fs::remove_dir_all(bed.inside(&files));
        let script = format!("mkdir {files} && cp {PROGRAMS}/key.pub {files}/");
        bed.exec(&["sh", "-c", &script]).must_succeed();
        Self {
            _servers: Outside::in_internet(bed, &[&format!("{PROGRAMS}/servers.py"), &files]),
        }
    }

    /// How many packets have arrived at a host so far.
    pub(crate) fn packets(&self, bed: &Bed, host: Host) -> u64 {
        let listed = in_internet(bed, "nft --json list counters table inet arrivals");
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let mine = format!("at-{}", host.v4.octets()[3]);
        let all = listed["nftables"].as_array().unwrap().iter();
        let counter = all
            .map(|one| &one["counter"])
            .find(|one| one["name"] == mine.as_str());
        counter.unwrap()["packets"].as_u64().unwrap()
    }
}

/// Builds the programs that are not the system's own.
fn build(folder: &Path) {
    let sources = Path::new(REPOSITORY).join("tests/jail/programs");
    let get = "tests/support/https/get.go";
    build_go_program(get, &folder.join("go-static"));
    let target = product().ancestors().nth(2).unwrap().join("tmp/go");
    let script = "set -e; from=$1 to=$2 cache=$3 get=$4 musl=$5
        cp \"$from\"/* \"$to\"/
        GO111MODULE=off GOFLAGS= CGO_ENABLED=1 GOCACHE=$cache go build -tags netcgo -o \"$to/go-libc\" \"$get\"
        javac -d \"$to\" \"$from\"/*.java
        cp \"$(rustc --print sysroot)/bin/cargo\" \"$to/\"
        if [ -d \"$musl\" ]; then rustc --target \"$(uname -m)-unknown-linux-musl\" -O -o \"$to/musl\" \"$from/musl.rs\"
        else musl-gcc -static -O2 -o \"$to/musl\" \"$from/musl.c\"; fi
        ssh-keygen -q -t ed25519 -N '' -f \"$to/key\"; chown 1777 \"$to/key\"";
    let get = Path::new(REPOSITORY).join(get);
    shell(script, &[sources, folder.to_owned(), target, get, musl()]);
}

/// Gives the hosts their names and their addresses of the sixth version, the user a name (ssh asks for it), and
/// has packets counted.
fn make_reachable(bed: &Bed) {
    let mut names = String::from("\n");
    let mut rules = String::from("add table inet arrivals\n");
    rules.push_str("add chain inet arrivals input { type filter hook input priority 0; }\n");
    let shut = SHUT.map(|(_, host)| host);
    for (name, host) in SHUT {
        writeln!(names, "{} {name}\n{} {name}", host.v4, host.v6).unwrap();
    }
    for host in shut.into_iter().chain([OPEN]) {
        let counter = format!("at-{}", host.v4.octets()[3]);
        writeln!(rules, "add counter inet arrivals {counter}").unwrap();
        for to in [
            format!("ip daddr {}", host.v4),
            format!("ip6 daddr {}", host.v6),
        ] {
            writeln!(
                rules,
                "add rule inet arrivals input {to} counter name {counter}"
            )
            .unwrap();
        }
    }
    let user = "somebody:x:1777:1777::/tmp:/bin/sh\n";
    for (file, lines) in [("/etc/hosts", names.as_str()), ("/etc/passwd", user)] {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(bed.inside(file))
            .unwrap();
        file.write_all(lines.as_bytes()).unwrap();
    }
    in_internet(
        bed,
        &format!("ip -6 route add local 2001:db8:3::/48 dev lo; nft -f - <<'END'\n{rules}END"),
    );
}

fn in_internet(bed: &Bed, script: &str) -> String {
    let enter = ["nsenter", "--net=/run/netns/internet", "sh", "-c", script];
    bed.exec(&enter).must_succeed().stdout.clone()
}

/// Runs a script of the programs' as a user without rights: in the jails of `callers`, or in none.
pub(crate) fn empty_folder(bed: &Bed) -> String {
    let made = USER.run_unjailed(bed, "mktemp -d");
    made.must_succeed().stdout.trim().to_owned()
}
