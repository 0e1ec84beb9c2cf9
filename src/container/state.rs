//! The state of a running container: one directory under `/run/boundary` with one `record.json` in
//! it.
//!
//! Written when the keeper knows the container (or by the hook of a container that joins another's
//! network), removed when the container's init is gone; a pod's, when its network is. How far the
//! gateway is, its [`Stage`] says: whoever is about to let something run has to look at it.
//!
//! Invariant: a record may be stale (a process was killed), so it counts only while its proxy and,
//! but for a pod's, its init are the processes that it names.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

use super::pin::Pin;
use super::plan::record_name;
use crate::policy::{FIRST_GENERATION, PolicySource};
use crate::sys::process::Process;
use crate::sys::{file, process};

/// Where the state lives. Root's, mode 0700.
pub const DIRECTORY: &str = "/run/boundary";

/// Where whoever makes a gateway of several containers is alone, and whoever swaps the host's policies.
/// Root's, mode 0600; no byte of it is ever written.
pub const LOCK: &str = "/run/boundary-lock";

/// The byte for the policies: no namespace has this number.
const POLICIES: u64 = 0;

/// The record's name in a state directory.
const RECORD: &str = "record.json";

/// The most that is read of a record: a plan carries a whole policy.
const RECORD_LIMIT: u64 = 4 << 20;

/// The most that is read of a `/proc/PID/stat`: 52 numbers and a name of 16 bytes, given in one
/// piece.
const STAT_LIMIT: usize = 2048;

/// State directories looked at in one listing: what a host could really run, and a bound on the
/// work of a `create`.
pub(super) const LISTING_LIMIT: usize = 4096;

/// Characters of an id in a directory's name. `sockaddr_un` has 108 bytes: with the directory, the
/// hash and `/control` 103 are used, with `.begun` in its place 101.
const ID_IN_NAME: usize = 64;

/// A process, named so that a reused pid is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its pid, as the host sees it.
    pub pid: i32,
    /// Its start time in clock ticks since boot (proc(5), field 22 of `/proc/PID/stat`).
    pub started: u64,
}

impl ProcessId {
    /// Names a process that is there now.
    ///
    /// # Errors
    /// `NotFound` where it is gone or a zombie; else what reading `/proc` gives.
    pub fn of(pid: i32) -> io::Result<Self> {
        let mut stat = [0; STAT_LIMIT];
        let length = File::open(format!("/proc/{pid}/stat"))?.read(&mut stat)?;
        // The process chooses its name, of any bytes.
        let stat = String::from_utf8_lossy(stat.get(..length).unwrap_or_default());
        let started = start_time(&stat).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid, started })
    }

    /// When it began, by the clock as it goes now.
    #[must_use]
    pub fn began(self) -> Option<SystemTime> {
        let each_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
        let after_boot =
            Duration::from_millis(self.started.checked_mul(1000)?.checked_div(each_second)?);
        SystemTime::now()
            .checked_add(after_boot)?
            .checked_sub(process::up().ok()?)
    }

    /// A handle on that very process; none where it has ended.
    #[must_use]
    pub fn open(self) -> Option<Process> {
        // The handle first: what is alive after it was opened is what it is a handle on.
        let process = Process::open(self.pid).ok()?;
        self.alive().then_some(process)
    }

    /// Whether that very process is still there (a zombie is not).
    #[must_use]
    pub fn alive(self) -> bool {
        Self::of(self.pid).is_ok_and(|now| now == self)
    }
}

/// Field 22 of `/proc/PID/stat`; none for a zombie. The name in field 2 may hold spaces and
/// parentheses: fields are counted from the last one.
fn start_time(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // Field 3 was taken; 22 is the nineteenth from there.
    fields.nth(18)?.parse().ok()
}

/// One container's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedState {
    /// The plan it was made from.
    pub plan: crate::container::plan::Plan,
    /// The container's first process; of a pod's gateway, that of the container which brought it.
    pub init: ProcessId,
    /// The proxy; none where the gateway is another container's.
    pub proxy: Option<ProcessId>,
    /// Inode of the container's network namespace: how joiners find the gateway.
    pub network_namespace: u64,
    /// How far a gateway of its own is. Records of an earlier version were written when it was
    /// ready.
    #[serde(default)]
    pub stage: Stage,
    /// The policy that took the place of the plan's while it ran. Records of an earlier version don't
    /// say.
    #[serde(default)]
    pub changed: Option<ChangedPolicy>,
    /// What was approved while it ran. Records of an earlier version don't say.
    #[serde(default)]
    pub approvals: Approvals,
}

/// What was approved for one container while it ran: rules besides its policy's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// Which of the gateway's policies they came or went with last; 0 where none did.
    pub generation: u64,
    /// Those in force.
    pub in_force: Vec<ApprovedRule>,
}

/// A rule that somebody approved, until its end, or the container's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovedRule {
    /// It.
    pub rule: String,
    /// The user who approved it.
    pub by: u32,
    /// Its end, in seconds since 1970; none: the container's.
    pub until: Option<u64>,
}

/// A policy that took the place of the plan's, until the container's next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedPolicy {
    /// It.
    pub policy: PolicySource,
    /// Which of the gateway's policies it is: the plan's is the first.
    pub generation: u64,
    /// The user who asked for it.
    pub by: u32,
    /// The file that it was read from, where that isn't the plan's own.
    pub file: Option<PathBuf>,
}

/// How far a gateway is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It is being made: the container's network may still be as its engine made it.
    Preparing,
    /// It could not be made, for this reason.
    Failed(String),
    /// It filters what there was when the container was created. Before anything runs in its
    /// network, it has to settle (`control::Request::Settle`).
    Ready,
    /// It has settled: what runs in its network is filtered.
    #[default]
    Settled,
}

impl SavedState {
    /// Reads the record in a state directory. None where there is no directory, or none in it yet.
    ///
    /// # Errors
    /// What reading gives, and `InvalidData` for what is not a record.
    pub fn read(directory: &Path) -> io::Result<Option<Self>> {
        match file::read_regular(&directory.join(RECORD), RECORD_LIMIT) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it into its plan's state directory, which must be there.
    ///
    /// # Errors
    /// What [`file::replace`] gives.
    pub fn write(&self) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        file::replace(&self.plan.state.join(RECORD), &text, 0o600)
    }

    /// Has others find that the gateway has come so far.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn reach(&mut self, stage: Stage) -> io::Result<()> {
        self.stage = stage;
        self.write()
    }

    /// The rules in force: the policy's, with what was approved. Denials of either policy beat both.
    #[must_use]
    pub fn rules(&self) -> PolicySource {
        Self::rules_with(self.policy(), &self.approvals.in_force)
    }

    /// The same with another policy, and with other approvals.
    #[must_use]
    pub fn rules_with(policy: &PolicySource, approved: &[ApprovedRule]) -> PolicySource {
        let approved = approved.iter().map(|one| one.rule.clone());
        let allow = policy.allow.iter().cloned().chain(approved).collect();
        PolicySource {
            allow,
            ..policy.clone()
        }
    }

    /// The policy in force, without what was approved besides.
    #[must_use]
    pub fn policy(&self) -> &PolicySource {
        self.changed
            .as_ref()
            .map_or(&self.plan.policy, |changed| &changed.policy)
    }

    /// Which of the gateway's policies that is.
    #[must_use]
    pub fn generation(&self) -> u64 {
        let changed = self
            .changed
            .as_ref()
            .map_or(FIRST_GENERATION, |changed| changed.generation);
        changed.max(self.approvals.generation)
    }

    /// Whether it has a live proxy of its own, which filters, or is about to. It outlives the
    /// container's init where others joined, so the init is not asked.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.proxy.is_some_and(ProcessId::alive)
    }

    /// Whether a live proxy of its own filters this record's network namespace.
    #[must_use]
    pub fn filters(&self) -> bool {
        matches!(self.stage, Stage::Ready | Stage::Settled) && self.is_kept()
    }

    /// Whether what it is for is still there: the container's first process, or what holds a pod's
    /// network namespace.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.plan
            .pin()
            .map_or_else(|| self.init.alive(), Pin::stands)
    }

    /// Whether a gateway of its own is gone that it still needs.
    #[must_use]
    pub fn has_lost_its_gateway(&self) -> bool {
        self.proxy.is_some_and(|proxy| !proxy.alive()) && self.goes_on()
    }

    /// Whether nothing of it runs any more.
    #[must_use]
    pub fn over(&self) -> bool {
        !self.is_kept() && !self.goes_on()
    }
}

/// The state directory of one container: by the runtime's root and the id, since ids are unique
/// only within a root. Short enough for a socket's path in it (unix(7): 108 bytes).
#[must_use]
pub fn directory(root: &Path, id: &str) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let shown: String = id.chars().take(ID_IN_NAME).collect();
    let hash = fnv1a(&[root.as_os_str().as_bytes(), b"\0", id.as_bytes()]);
    Path::new(DIRECTORY).join(format!("{shown}-{hash:016x}"))
}

/// FNV-1a, 64 bits: the same in every build of this program, which the standard library's hashes
/// don't promise.
fn fnv1a(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// All records that can be read, at most as many as a host can run. Half-made and broken ones are
/// passed over.
///
/// # Errors
/// What listing the directory gives; a missing one is empty.
pub fn list() -> io::Result<Vec<SavedState>> {
    read_all(|_| true)
}

/// The same, of those alone whose container is in this network namespace: the plans of the others,
/// which may be hundreds, are not made out.
///
/// # Errors
/// What [`list`] gives.
pub fn in_network(network_namespace: u64) -> io::Result<Vec<SavedState>> {
    /// Of a record.
    #[derive(Deserialize)]
    struct Network {
        network_namespace: u64,
    }
    read_all(|text| {
        serde_json::from_slice(text)
            .is_ok_and(|record: Network| record.network_namespace == network_namespace)
    })
}

/// The records whose text is `wanted`.
fn read_all(wanted: impl Fn(&[u8]) -> bool) -> io::Result<Vec<SavedState>> {
    let entries = match std::fs::read_dir(DIRECTORY) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let directories = entries
        .filter_map(Result::ok)
        .take(LISTING_LIMIT)
        .map(|entry| entry.path());
    // A record may name only the directory it stands in: `remove` follows that name.
    let own = |path: PathBuf| {
        let text = file::read_regular(&path.join(RECORD), RECORD_LIMIT).ok()?;
        let record = wanted(&text).then(|| serde_json::from_slice::<SavedState>(&text).ok())?;
        record.filter(|record| record.plan.state == path)
    };
    Ok(directories.filter_map(own).collect())
}

/// The names by which the records of those containers go that are `wanted`: [`SavedState::filters`] for those whose
/// gateway runs, not [`SavedState::over`] for those of which anything runs.
///
/// # Errors
/// What [`list`] gives.
pub fn containers(wanted: impl Fn(&SavedState) -> bool) -> io::Result<HashSet<String>> {
    let wanted = list()?.into_iter().filter(|record| wanted(record));
    Ok(wanted
        .map(|record| record_name(&record.plan.container))
        .collect())
}

/// The record whose live proxy filters this network namespace, or is about to.
///
/// # Errors
/// What [`list`] gives.
pub fn kept(network_namespace: u64) -> io::Result<Option<SavedState>> {
    Ok(in_network(network_namespace)?
        .into_iter()
        .find(SavedState::is_kept))
}

/// Waits until nobody else is about to make a gateway for this network namespace, and keeps others
/// from it for as long as the file is open.
///
/// # Errors
/// What opening the file and locking it give.
pub fn alone(network_namespace: u64) -> io::Result<File> {
    lock(Path::new(LOCK), libc::F_WRLCK, network_namespace)
}

/// Waits until nobody swaps the host's policies, and has whoever wants to wait for as long as the file is
/// open: what is read meanwhile belongs together. Any number may read.
///
/// # Errors
/// What opening the file and locking it give.
pub fn reading_policies(file: &Path) -> io::Result<File> {
    lock(file, libc::F_RDLCK, POLICIES)
}

/// Waits until nobody reads them so, and has whoever wants to wait.
///
/// # Errors
/// What opening the file and locking it give.
pub fn swapping_policies(file: &Path) -> io::Result<File> {
    lock(file, libc::F_WRLCK, POLICIES)
}

/// Locks one byte: one for each namespace, so that the file never grows and none waits for another's.
fn lock(file: &Path, kind: libc::c_int, byte: u64) -> io::Result<File> {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)?;
    let byte = libc::flock {
        l_type: libc::c_short::try_from(kind).map_err(io::Error::other)?,
        l_whence: libc::c_short::try_from(libc::SEEK_SET).map_err(io::Error::other)?,
        l_start: libc::off_t::try_from(byte).map_err(io::Error::other)?,
        l_len: 1,
        l_pid: 0,
    };
    loop {
        match fcntl(&file, FcntlArg::F_OFD_SETLKW(&byte)) {
            Err(nix::errno::Errno::EINTR) => {}
            locked => return locked.map(|_| file).map_err(io::Error::from),
        }
    }
}

/// Makes a state directory, empty and root's alone; what stood there is a dead container's and
/// goes.
///
/// # Errors
/// What removing and making give, and `InvalidInput` for a path that is not a state directory.
pub fn create(directory: &Path) -> io::Result<()> {
    remove(directory)?;
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).recursive(true).create(DIRECTORY)?;
    builder.recursive(false).create(directory)
}

/// Removes a state directory and all in it; one that is not there is fine.
///
/// # Errors
/// What removing gives, and `InvalidInput` for a path that is not a state directory.
pub fn remove(directory: &Path) -> io::Result<()> {
    if directory.parent() != Some(Path::new(DIRECTORY)) || directory.file_name().is_none() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_a_reused_pid_is_not_it() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let me = ProcessId::of(pid).unwrap();
        assert!(me.alive());
        assert!(
            !ProcessId {
                started: me.started + 1,
                ..me
            }
            .alive()
        );
    }

    #[test]
    fn a_process_is_alive_whatever_it_calls_itself() {
        let myself = std::fs::read_link("/proc/thread-self").unwrap();
        let pid = myself
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let before = ProcessId::of(pid).unwrap();
        let mut name = File::options()
            .write(true)
            .open("/proc/thread-self/comm")
            .unwrap();
        io::Write::write_all(&mut name, b"\xff) Z").unwrap();
        assert_eq!(ProcessId::of(pid).unwrap(), before);
    }

    #[test]
    fn a_name_full_of_parentheses_hides_no_field() {
        let rest = "1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        assert_eq!(start_time(&format!("7 (a) Z (b)) S {rest}")), Some(777));
        assert_eq!(start_time(&format!("7 (sh) Z {rest}")), None);
        assert_eq!(start_time("7 (sh"), None);
    }

    #[test]
    fn the_same_id_under_another_root_is_another_container() {
        assert_ne!(
            directory(Path::new("/a"), "x"),
            directory(Path::new("/b"), "x")
        );
        assert_eq!(
            directory(Path::new("/a"), "x"),
            directory(Path::new("/a"), "x")
        );
    }

    #[test]
    fn a_long_id_keeps_the_socket_path_within_its_limit_and_stays_unique() {
        let (one, two) = (
            format!("{}1", "i".repeat(199)),
            format!("{}2", "i".repeat(199)),
        );
        let path = directory(Path::new("/run"), &one);
        assert!(path.join("control").as_os_str().len() < 108);
        assert_ne!(path, directory(Path::new("/run"), &two));
    }

    #[test]
    fn only_a_state_directory_can_be_removed() {
        for path in [
            "/",
            "/run",
            DIRECTORY,
            "/run/boundary/..",
            "/run/boundary/a/b",
        ] {
            assert!(remove(Path::new(path)).is_err(), "{path}");
        }
    }
}
