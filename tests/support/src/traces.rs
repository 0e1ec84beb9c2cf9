//! What a container leaves behind in the bed, or doesn't: processes, network namespaces, links,
//! mounts, control groups, files.
//!
//! Everything is read from outside, through the bed's own `/proc`, so pids are the bed's.
//! Namespaces are looked for where they can be held: processes, their descriptors, and mounts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bed::Bed;
use crate::command::STATE_DEADLINE;

/// What a running container has, by which it can be missed later: its id is in none of these.
#[derive(Debug)]
pub struct Footprint {
    id: String,
    /// The pid of its proxy.
    pub proxy: String,
    /// The network namespaces of the container and of its gateway: `net:[INODE]`.
    namespaces: [String; 2],
    /// The host's end of its uplink.
    uplink: String,
}

impl Footprint {
    /// Of the container that brought a gateway, whose uplink's end on the host is `uplink`.
    pub fn of(bed: &Bed, id: &str, uplink: String) -> Self {
        let record = bed.state_of(id);
        let pid = |role: &str| record[role]["pid"].as_i64().unwrap().to_string();
        let (init, proxy) = (pid("init"), pid("proxy"));
        let namespace = |pid: &str| bed.namespace_of(&bed.inside("/proc").join(pid)).unwrap();
        let namespaces = [namespace(&init), namespace(&proxy)];
        assert_ne!(
            namespaces[0], namespaces[1],
            "the gateway is no namespace of its own"
        );
        Self {
            id: id.to_owned(),
            proxy,
            namespaces,
            uplink,
        }
    }

    /// The pid of its filter, the first process that its proxy keeps.
    pub fn filter(&self, bed: &Bed) -> String {
        self.child(bed, 0)
    }

    /// The pid of its guard, the second one.
    pub fn guard(&self, bed: &Bed) -> String {
        self.child(bed, 1)
    }

    /// Kills its guard: its container outlives its gateway now.
    pub fn lose_guard(&self, bed: &Bed) {
        bed.exec(&["bash", "-c", "kill -KILL $1", "kill", &self.guard(bed)])
            .must_succeed();
    }

    fn child(&self, bed: &Bed, place: usize) -> String {
        let children =
            fs::read_to_string(bed.inside(&format!("/proc/{0}/task/{0}/children", self.proxy)))
                .unwrap();
        children
            .split_whitespace()
            .nth(place)
            .expect("a proxy keeps a filter and a guard")
            .to_owned()
    }

    /// Waits until nothing of it is there any more.
    #[track_caller]
    pub fn vanishes(&self, bed: &Bed) {
        wait_for_none(|| {
            let mut left = bed.traces_of(&self.id);
            left.extend(
                self.namespaces
                    .iter()
                    .flat_map(|namespace| bed.holders_of(namespace)),
            );
            left.extend(bed.links().into_iter().filter(|link| *link == self.uplink));
            left
        });
    }
}

/// All that containers bring into a bed: the same when nothing runs as before anything ran.
#[derive(Debug, PartialEq, Eq)]
pub struct Inventory {
    links: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    pinned: BTreeSet<String>,
    states: Vec<PathBuf>,
    ours: Vec<String>,
    programs: BTreeSet<String>,
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
    groups: Vec<PathBuf>,
    bundles: BTreeSet<PathBuf>,
}

/// Where engines and runtimes keep a folder for each container.
const FOLDERS: [&str; 4] = [
    "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby",
    "/run/docker/runtime-runc/moby",
    "/run/runc",
    "/run/crun",
];

/// Mounts that are no container's: dockerd's handle on the host's network, which it makes once and
/// keeps, and the folder of layers, which every podman mounts on itself and the last one takes away
/// if it sees that it is the last.
const ENGINES_OWN: [&str; 2] = [
    "/run/docker/netns/default",
    "/var/lib/containers/storage/overlay",
];

/// Waits until nothing is found; panics with what still is.
#[track_caller]
pub fn wait_for_none(mut find: impl FnMut() -> Vec<String>) {
    let end = Instant::now() + STATE_DEADLINE;
    loop {
        let left = find();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "left behind: {left:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Bed {
    /// What is there now.
    pub fn inventory(&self) -> Inventory {
        Inventory {
            links: self.links(),
            namespaces: self
                .processes()
                .iter()
                .filter_map(|process| self.namespace_of(process))
                .collect(),
            pinned: self.names_in("/run/netns"),
            states: self.states(),
            ours: self
                .processes()
                .iter()
                .map(|process| command_line(process))
                .filter(|line| is_ours(line))
                .collect(),
            programs: self
                .processes()
                .iter()
                .filter_map(|process| program(process))
                .collect(),
            mounts: self.mounts(),
            cgroups: self.cgroups(),
            groups: self.entries("/run/boundary-groups"),
            bundles: self.bundles(),
        }
    }

    /// Words of command lines, and folders, mounts and control groups, that name a container; but
    /// not containerd's own shim, which 2.1 leaves behind where a pod's first process was killed,
    /// under runc too.
    pub fn traces_of(&self, id: &str) -> Vec<String> {
        let folders = self
            .states()
            .into_iter()
            .chain(self.entries("/run/boundary-groups"))
            .chain(self.bundles());
        let folders = folders.chain(self.cgroups()).chain(groups_of_filters());
        let folders = folders.map(|folder| folder.display().to_string());
        let lines = self
            .processes()
            .into_iter()
            .map(|process| command_line(&process));
        let lines = lines.filter(|line| !line.contains("containerd-shim"));
        folders
            .chain(self.mounts())
            .chain(lines)
            .filter(|trace| trace.contains(id))
            .collect()
    }

    /// Where something is mounted in the bed, but for what engines make once for themselves.
    fn mounts(&self) -> BTreeSet<String> {
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", self.first())).unwrap();
        let points = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .map(str::to_owned);
        points
            .filter(|point| !ENGINES_OWN.contains(&point.as_str()))
            .collect()
    }

    /// The containers' control groups, of every controller. Those that hold others stay until the
    /// bed ends.
    fn cgroups(&self) -> BTreeSet<PathBuf> {
        let folders = |path: &Path| {
            fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
        };
        let groups =
            folders(Path::new("/sys/fs/cgroup")).flat_map(|one| folders(&one.join(self.cgroup())));
        groups
            .filter(|path| path.file_name().is_some_and(|name| name.len() >= 64))
            .collect()
    }

    fn bundles(&self) -> BTreeSet<PathBuf> {
        let entries = FOLDERS
            .iter()
            .flat_map(|folder| fs::read_dir(self.inside(folder)).into_iter().flatten());
        let paths = entries.flatten().map(|entry| entry.path());
        paths
            .filter(|path| path.file_name().is_some_and(|name| name.len() >= 64))
            .collect()
    }

    /// The state directories of one container.
    pub fn states_of(&self, id: &str) -> Vec<PathBuf> {
        let names_it = |state: &PathBuf| {
            state
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(id))
        };
        self.states().into_iter().filter(names_it).collect()
    }

    /// Every link of the bed's own network namespace.
    pub fn links(&self) -> BTreeSet<String> {
        self.names_in("/sys/class/net")
    }

    /// Proxies, by pid, that no state directory tells of: just beginning, or left over. What a proxy that is
    /// told of began, its filter and guard, goes by the same title.
    pub fn unrecorded_proxies(&self) -> BTreeSet<String> {
        let recorded: BTreeSet<String> = self
            .records_of_state()
            .iter()
            .map(|record| record["proxy"]["pid"].to_string())
            .collect();
        let is_recorded = |process: &PathBuf| {
            let told_of = [Some(name_of(process)), parent_of(process)];
            told_of.iter().flatten().any(|pid| recorded.contains(pid))
        };
        self.processes()
            .iter()
            .filter(|process| command_line(process).starts_with("boundary-shim proxy "))
            .filter(|process| !is_recorded(process))
            .map(|process| name_of(process))
            .collect()
    }

    fn names_in(&self, directory: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.inside(directory)).unwrap().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// Who keeps a network namespace alive.
    fn holders_of(&self, namespace: &str) -> Vec<String> {
        let is_it =
            |path: &Path| fs::read_link(path).is_ok_and(|link| link.to_string_lossy() == namespace);
        let mut holders = Vec::new();
        for process in self.processes() {
            let descriptors = fs::read_dir(process.join("fd"))
                .into_iter()
                .flatten()
                .flatten();
            let mounted = || {
                fs::read_to_string(process.join("mountinfo"))
                    .is_ok_and(|mounts| mounts.contains(namespace))
            };
            if is_it(&process.join("ns/net"))
                || descriptors.into_iter().any(|fd| is_it(&fd.path()))
                || mounted()
            {
                holders.push(format!("{namespace} held by {}", command_line(&process)));
            }
        }
        holders
    }

    fn namespace_of(&self, process: &Path) -> Option<String> {
        Some(
            fs::read_link(process.join("ns/net"))
                .ok()?
                .to_string_lossy()
                .into_owned(),
        )
    }

    /// What is remembered of a running container.
    pub fn state_of(&self, id: &str) -> Value {
        self.records_of_state()
            .into_iter()
            .find(|record| record["plan"]["container"] == id)
            .expect("a container's state")
    }

    fn records_of_state(&self) -> Vec<Value> {
        let records = self
            .states()
            .into_iter()
            .filter_map(|state| fs::read_to_string(state.join("record.json")).ok());
        records
            .filter_map(|record| serde_json::from_str(&record).ok())
            .collect()
    }

    fn states(&self) -> Vec<PathBuf> {
        self.entries("/run/boundary")
    }

    /// What is in a folder of the bed, which may be missing.
    fn entries(&self, folder: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.inside(folder))
            .into_iter()
            .flatten()
            .flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// The `/proc` folder of every process in the bed.
    fn processes(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.inside("/proc")).unwrap().flatten();
        let is_pid = |path: &PathBuf| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .bytes()
                .all(|byte| byte.is_ascii_digit())
        };
        entries.map(|entry| entry.path()).filter(is_pid).collect()
    }
}

/// The control groups of filters, wherever an engine had its container's, of other beds, too.
fn groups_of_filters() -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::from("/sys/fs/cgroup")]);
    while let Some(folder) = folders.pop() {
        // Groups come and go meanwhile.
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let within = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(within.map(|entry| entry.path()));
        if is_a_filters(&folder) {
            found.push(folder);
        }
    }
    found
}

fn is_a_filters(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("boundary-filter-"))
}

/// The words of a process, each with a space behind it.
fn command_line(process: &Path) -> String {
    String::from_utf8_lossy(&fs::read(process.join("cmdline")).unwrap_or_default())
        .replace('\0', " ")
}

fn name_of(process: &Path) -> String {
    process.file_name().unwrap().to_string_lossy().into_owned()
}

/// Who began a process; none for one that has ended.
fn parent_of(process: &Path) -> Option<String> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Some(parent.trim().to_owned())
}

/// What a process runs; none for a zombie, and for the bed's own naps.
fn program(process: &Path) -> Option<String> {
    let line = command_line(process);
    let program = line
        .split_whitespace()
        .next()?
        .rsplit('/')
        .next()?
        .to_owned();
    Some(program).filter(|program| program != "sleep")
}

fn is_ours(line: &str) -> bool {
    line.split_whitespace()
        .next()
        .is_some_and(|program| program.rsplit('/').next().unwrap().starts_with("boundary-"))
}
