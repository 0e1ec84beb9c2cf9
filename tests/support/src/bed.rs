//! The test bed as Rust sees it: `scripts/bed` started and stopped, commands in it, captures of its
//! wires.
//!
//! Every command has a deadline, every wait is for a state. It knows no engine: what Docker
//! adds is in `docker.rs`, what the others add is beside their tests.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::command::{Answer, COMMAND_SECONDS, run, shell, wait_for, wait_for_within};
use crate::programs::{REPOSITORY, build_examples, product};
use crate::record;
use crate::traces::Inventory;

/// Makes names unique within a bed.
static COUNTER: AtomicUsize = AtomicUsize::new(0);

/// A name nobody else in this run uses.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A running bed; stopped and removed when dropped.
#[derive(Debug)]
pub struct Bed {
    directory: tempfile::TempDir,
    supervisor: Child,
    first: i32,
    pristine: Option<Inventory>,
}

impl Bed {
    /// Starts a bed with an engine of `scripts/bed`, whose `/etc` gets what a folder of the
    /// repository holds. `add` puts further programs into a folder.
    pub fn up(engine: &str, etc: &str, add: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("bed")
            .tempdir_in("/var/tmp")
            .expect("a directory for the bed");
        let etc = Path::new(REPOSITORY).join(etc);
        install_programs(
            &directory.path().join("bin"),
            &etc.join("boundary/policies"),
        );
        add(&directory.path().join("bin"));
        shell("cp -RT \"$1\" \"$2\"", &[etc, directory.path().join("etc")]);
        let log = fs::File::create(directory.path().join("bed.log")).expect("a log");
        let supervisor = Command::new(Path::new(REPOSITORY).join("scripts/bed"))
            .arg(directory.path())
            .env("BED_ENGINE", engine)
            // The bed ends when this pipe does: not even SIGKILL of the tests leaves it behind.
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second descriptor"))
            .stderr(log)
            .spawn()
            .expect("scripts/bed starts");
        let mut bed = Self {
            directory,
            supervisor,
            first: 0,
            pristine: None,
        };
        bed.wait_until_ready();
        bed
    }

    fn wait_until_ready(&mut self) {
        wait_for_within(Duration::from_secs(90), "the bed", || {
            if let Ok(Some(status)) = self.supervisor.try_wait() {
                panic!("scripts/bed ended with {status}: {}", self.read("bed.log"));
            }
            self.path("ready").exists()
        });
        self.first = self.read("pid").trim().parse().expect("a pid");
    }

    /// Notes what is there before any test.
    pub fn remembered(mut self) -> Self {
        self.pristine = Some(self.inventory());
        self
    }

    /// The name of the control group that holds the bed's containers.
    pub fn cgroup(&self) -> String {
        self.read("cgroup").trim().to_owned()
    }

    /// The bed's first process, for nsenter(1).
    pub fn first(&self) -> i32 {
        self.first
    }

    /// What was there before any test.
    pub fn pristine(&self) -> &Inventory {
        self.pristine.as_ref().expect("a bed that is up")
    }

    /// A file of the bed's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file inside the bed.
    pub fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.first))
    }

    /// The text of one, empty if it isn't there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// What reached the little internet, one line each.
    pub fn internet_log(&self) -> String {
        self.read("internet.log")
    }

    /// Runs a program of the bed's file system in all of its namespaces.
    pub fn exec(&self, arguments: &[&str]) -> Answer {
        self.exec_within(COMMAND_SECONDS, arguments)
    }

    /// The same with another deadline, in seconds.
    pub fn exec_within(&self, seconds: u64, arguments: &[&str]) -> Answer {
        let target = self.first.to_string();
        run(seconds, &[&enter(&target)[..], arguments].concat())
    }

    /// Runs a program of this machine in the bed's network namespace.
    pub fn on_the_wire(&self, arguments: &[&str]) -> Answer {
        let target = self.first.to_string();
        let mut command = vec!["nsenter", "--target", &target, "--net", "--"];
        command.extend(arguments);
        run(COMMAND_SECONDS, &command)
    }

    /// The host's end of a container's uplink: the port on which a bridge learnt the container's
    /// hardware address.
    pub fn port_of(&self, bridge: &str, address: &str, mac: &str) -> String {
        let poke = format!("echo > /dev/udp/{address}/9");
        let mut port = None;
        wait_for("the bridge to learn the container's address", || {
            self.on_the_wire(&["bash", "-c", &poke]);
            let table = self
                .on_the_wire(&["bridge", "fdb", "show", "br", bridge, "dynamic"])
                .stdout;
            port = table
                .lines()
                .find(|line| line.starts_with(mac))
                .and_then(|line| line.split_whitespace().nth(2))
                .map(str::to_owned);
            port.is_some()
        });
        port.expect("waited for it")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let end = Instant::now() + Duration::from_secs(30);
        while matches!(self.supervisor.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.supervisor.kill().ok();
        self.supervisor.wait().ok();
        if std::env::var_os("BED_KEEP_LOGS").is_some() {
            eprintln!(
                "--- engine\n{}\n--- little internet\n{}",
                self.read("engine.log"),
                self.internet_log()
            );
        }
    }
}

/// How a program is run in all of a bed's namespaces.
pub fn enter(first: &str) -> [&str; 7] {
    [
        "nsenter", "--target", first, "--mount", "--net", "--pid", "--",
    ]
}

/// Puts what the bed offers into its directory. Copies: a rebuild doesn't change a running bed.
fn install_programs(directory: &Path, policies: &Path) {
    fs::create_dir_all(directory).expect("a directory for programs");
    for example in build_examples() {
        fs::copy(
            &example,
            directory.join(example.file_name().expect("a name")),
        )
        .expect("a copy");
    }
    fs::copy(product(), directory.join("boundary-shim")).expect("a copy");
    for policy in fs::read_dir(policies).expect("policies") {
        let name = policy.expect("an entry").path();
        let stem = name
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        symlink("boundary-shim", directory.join(format!("boundary-{stem}"))).expect("a link");
    }
}

/// What the record of a container, which may be gone, tells of attempts that are over, and its
/// notices.
pub fn records(bed: &Bed, id: &str) -> Vec<serde_json::Value> {
    record::records(&record_of(bed, id))
}

/// All lines of its record.
pub fn lines(bed: &Bed, id: &str) -> Vec<serde_json::Value> {
    record::lines(&record_of(bed, id))
}

fn record_of(bed: &Bed, id: &str) -> String {
    fs::read_to_string(bed.inside(&format!("/var/log/boundary/{id}.jsonl"))).unwrap_or_default()
}

/// Packets that a container sends, as they arrive at the host's end of its uplink.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Child,
    /// What it writes, in pcap's format, packet by packet.
    pub file: PathBuf,
}

impl Capture {
    /// Listens on an interface of the bed. `direction` is tcpdump's: `in` is from the container.
    pub fn start(bed: &Bed, interface: &str, direction: &str) -> Self {
        Self::begin(
            bed,
            Path::new(&format!("/proc/{}/ns/net", bed.first)),
            interface,
            direction,
        )
    }

    /// The same in a network namespace by its file.
    pub fn begin(bed: &Bed, namespace: &Path, interface: &str, direction: &str) -> Self {
        let file = bed.path(&format!("{}.pcap", unique("capture")));
        let mut tcpdump = Command::new("nsenter")
            .arg(format!("--net={}", namespace.display()))
            .arg("--")
            .args([
                "timeout",
                "--signal=INT",
                "600",
                "tcpdump",
                "-i",
                interface,
                "-Q",
                direction,
            ])
            .args(["--immediate-mode", "-U", "-Z", "root", "-nn"])
            // Room for hundreds of packets: by default it is for a few of the longest that there could
            // be, and what comes in a burst is lost.
            .args(["-s", "65535", "-B", "32768", "-w"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump starts");
        let mut said = BufReader::new(tcpdump.stderr.take().expect("a pipe"));
        let mut line = String::new();
        // It says so when the socket is bound: from then on nothing is missed.
        while !line.contains("listening on") {
            line.clear();
            assert!(
                said.read_line(&mut line).expect("tcpdump's words") > 0,
                "tcpdump ended on {interface}"
            );
        }
        std::thread::spawn(move || said.lines().map_while(Result::ok).for_each(drop));
        Self { tcpdump, file }
    }

    /// Stops listening and gives the packets, one line each.
    pub fn stop(mut self) -> Vec<String> {
        // Interrupted, it leaves behind what it hasn't read yet.
        wait_for("the capture to read all", || self.waits());
        self.interrupt();
        self.tcpdump.wait().expect("tcpdump ends");
        let file = self.file.to_str().expect("a plain path");
        let text = run(COMMAND_SECONDS, &["tcpdump", "-r", file, "-nn", "-t"])
            .must_succeed()
            .stdout
            .clone();
        text.lines()
            .filter(|line| !line.starts_with(char::is_whitespace))
            .map(str::to_owned)
            .collect()
    }
}

impl Capture {
    /// Whether tcpdump, which timeout(1) runs, sleeps: it does only where nothing is left for it to read.
    fn waits(&self) -> bool {
        let pid = self.tcpdump.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let states = children.unwrap_or_default();
        // None has ended by itself.
        states.split_whitespace().all(|child| {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ");
            state.is_none_or(|(_, rest)| rest.starts_with('S'))
        })
    }

    /// timeout(1) hands this signal on to tcpdump; SIGKILL would orphan it.
    fn interrupt(&self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.tcpdump.id()).expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).ok();
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // For a test that failed before `stop`; after it there is nobody to tell.
        if matches!(self.tcpdump.try_wait(), Ok(None)) {
            self.interrupt();
            self.tcpdump.wait().ok();
        }
    }
}
