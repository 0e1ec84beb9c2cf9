//! One test's world: a bundle, a fake runtime, a configuration that names it.

#![expect(
    clippy::disallowed_methods,
    reason = "a test starts the program it tests, and writes files nobody else reads"
)]

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use boundary_shim::audit::line::ContainerIdentity;
use boundary_shim::container::plan::{GatewayOwner, Plan, Recipients};
use boundary_shim::container::state::{self, Approvals, ProcessId, SavedState, Stage};
use boundary_shim::policy::PolicySource;
use boundary_shim::policy::{Exit, GivenNames};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use tempfile::TempDir;

/// A table of tests.
pub(crate) type Tests = &'static [(&'static str, fn())];

/// Names tests by their functions.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: crate::world::Tests = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*];
    };
}
pub(crate) use tests;

/// The exit code of the fake runtime.
pub(crate) const FAKE_EXIT: i32 = 7;

/// The fake runtime: a shell script, which has nothing of its own to hide what it inherited.
const FAKE: &str = r#"#!/bin/sh
readlink /proc/$$/cwd > "$(dirname "$0")/cwd"
cd "$(dirname "$0")" || exit 99
printf '%s\0' "$0" "$@" > argv
tr '\0' '\n' < /proc/$$/environ > env
echo $$ > pid
ls -l /proc/$$/fd > fds
for word; do
    word=${word#*=}
    case $word in /proc/self/fd/*) cat "$word" > process.json;; esac
done
cat > stdin
exit 7
"#;

/// Gives this process an empty `/run` that nobody else sees.
pub(crate) fn hide_run() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none)
}

/// One test's files. All go when it ends.
pub(crate) struct World {
    directory: TempDir,
    /// The container's id, unlike any other test's.
    pub(crate) id: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let id = directory
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace('.', "c");
        let world = Self { directory, id };
        for name in ["bundle", "real"] {
            std::fs::create_dir(world.path(name)).unwrap();
        }
        world.write_program("real/runtime", FAKE);
        world.settings("");
        world.write(
            "bundle/config.json",
            include_str!("../../testdata/specs/plain.json"),
            0o644,
        );
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) {
        std::fs::write(self.path(name), content).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// By another process: a descriptor that is open for writing here would be inherited by
    /// whatever other tests start meanwhile, and the program could not be run as long (ETXTBSY).
    fn write_program(&self, name: &str, text: &str) {
        let mut install = Command::new("install")
            .args(["-m", "755", "/dev/stdin"])
            .arg(self.path(name))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        install
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(install.wait().unwrap().success());
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The host's configuration: the fake runtime, and these lines.
    pub(crate) fn settings(&self, lines: &str) {
        let runtime = self.path("real/runtime");
        self.write(
            "config.toml",
            format!("runtime = {:?}\n{lines}\n", runtime.to_str().unwrap()),
            0o644,
        );
    }

    pub(crate) fn spec(&self) -> Value {
        serde_json::from_str(&self.read("bundle/config.json")).unwrap()
    }

    pub(crate) fn edit_spec(&self, edit: impl FnOnce(&mut Value)) {
        let mut spec = self.spec();
        edit(&mut spec);
        self.write("bundle/config.json", spec.to_string(), 0o644);
    }

    /// The process file that the fake runtime was given in the place of the caller's.
    pub(crate) fn process(&self) -> Value {
        serde_json::from_str(&self.read("real/process.json")).unwrap()
    }

    pub(crate) fn plan(&self) -> Plan {
        serde_json::from_str(&self.read("bundle/boundary.json")).unwrap()
    }

    /// The program, with our configuration before these words.
    pub(crate) fn shim<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boundary-shim"));
        command
            .arg("--boundary-config")
            .arg(self.path("config.toml"))
            .args(words);
        command.stdin(Stdio::null()).env_clear();
        command
    }

    /// Runs the program with words separated by spaces; `ID` and `BUNDLE` stand for the
    /// container's.
    pub(crate) fn call(&self, words: &str) -> Output {
        let bundle = self.path("bundle");
        let word = |word: &str| match word {
            "ID" => self.id.clone(),
            "BUNDLE" => bundle.to_str().unwrap().to_owned(),
            other => other.replace("DIR", self.directory.path().to_str().unwrap()),
        };
        self.shim(words.split_ascii_whitespace().map(word))
            .output()
            .unwrap()
    }

    /// Runs one of the operator's commands, words separated by spaces.
    pub(crate) fn operate(&self, words: &str) -> Output {
        self.operator(words).output().unwrap()
    }

    /// One of the operator's commands, yet to be run.
    pub(crate) fn operator(&self, words: &str) -> Command {
        let directory = self.directory.path().to_str().unwrap();
        let words = words
            .split_ascii_whitespace()
            .map(|word| word.replace("DIR", directory));
        let mut command = Command::new(env!("CARGO_BIN_EXE_boundary-shim"));
        command.args(words).stdin(Stdio::null()).env_clear();
        command
    }

    /// The words that the fake runtime got, if it was called.
    pub(crate) fn handed_off(&self) -> Option<Vec<Vec<u8>>> {
        let bytes = std::fs::read(self.path("real/argv")).ok()?;
        let words = bytes.strip_suffix(b"\0").unwrap().split(|byte| *byte == 0);
        Some(words.skip(1).map(<[u8]>::to_vec).collect())
    }

    #[track_caller]
    pub(crate) fn assert_passed(&self, output: &Output) {
        assert_eq!(output.status.code(), Some(FAKE_EXIT), "{}", stderr(output));
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
        assert!(self.handed_off().is_some());
    }

    /// Asserts that the call was refused, said so on one line, and nothing was started.
    #[track_caller]
    pub(crate) fn assert_refused(&self, output: &Output, why: &str) {
        let stderr = stderr(output);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.starts_with("boundary-shim: ") && stderr.contains(why),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(output.stdout.is_empty());
        assert_eq!(self.handed_off(), None);
    }

    /// Waits until what `create` left behind has swept, and ended: it goes by the words of its caller.
    pub(crate) fn until_swept(&self) {
        let bundle = self.path("bundle");
        let goes_on = || {
            let processes = std::fs::read_dir("/proc").unwrap().flatten();
            let lines = processes.filter_map(|one| std::fs::read(one.path().join("cmdline")).ok());
            let ours =
                |line: &Vec<u8>| String::from_utf8_lossy(line).contains(bundle.to_str().unwrap());
            lines.filter(ours).count() > 0
        };
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while goes_on() {
            assert!(std::time::Instant::now() < end, "it goes on");
        }
    }

    /// The state directory that the program uses for our container.
    pub(crate) fn state(&self) -> PathBuf {
        state::directory(Path::new(""), &self.id)
    }

    /// A record of our container, as the hook would leave it.
    pub(crate) fn record(
        &self,
        gateway: GatewayOwner,
        init: ProcessId,
        proxy: Option<ProcessId>,
    ) -> SavedState {
        let plan = Plan {
            configuration: None,
            reloads: false,
            pod: None,
            apparmor_profile: None,
            container: self.id.clone(),
            identity: ContainerIdentity::default(),
            gateway,
            starts_by_verb: true,
            ready_by_start: true,
            user_namespace: false,
            nesting_capability: Recipients::Nobody,
            notices: Vec::new(),
            own_notices: Vec::new(),
            links_are_looked_for: false,
            cgroups_path: None,
            proxy_memory: boundary_shim::settings::Settings::default().proxy_memory,
            dns_rate_limit: boundary_shim::settings::Settings::default().dns_rate_limit,
            denied_note: None,
            denied_names: boundary_shim::policy::DeniedNames::default(),
            log_level: boundary_shim::settings::Settings::default().log_level,
            state: self.state(),
            audit: self.path("audit.jsonl"),
            exit: Exit::Uplink,
            resolvers: Vec::new(),
            given: GivenNames::default(),
            policy: PolicySource::default(),
            trust: None,
        };
        SavedState {
            plan,
            init,
            proxy,
            network_namespace: 0,
            stage: Stage::Settled,
            changed: None,
            approvals: Approvals::default(),
        }
    }
}

/// Writes a record, its directory made.
pub(crate) fn remember(record: &SavedState) {
    std::fs::create_dir_all(&record.plan.state).unwrap();
    record.write().unwrap();
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// This process: alive as long as the test.
pub(crate) fn alive() -> ProcessId {
    ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap()
}

/// A process that is no more.
pub(crate) fn dead() -> ProcessId {
    ProcessId {
        started: 1,
        ..alive()
    }
}

/// A process in a network namespace of its own; ended with the value.
pub(crate) struct Namespaced(Child);

impl Namespaced {
    pub(crate) fn new() -> Self {
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--net", "sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = unshare.spawn().unwrap();
        // Its first line says that it is there.
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        Self(child)
    }

    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    pub(crate) fn process(&self) -> ProcessId {
        ProcessId::of(self.0.id().cast_signed()).unwrap()
    }
}

impl Drop for Namespaced {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
