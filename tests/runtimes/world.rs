//! One test's bundle, configuration, records and roots. All go when it ends.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use boundary_shim::container::state::{self, SavedState, Stage};
use boundary_shim::sys::process::Process;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::host::{ALLOWED, PORT, UNIFIED};

/// How long anything here may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    directory: TempDir,
    /// The container's id, unlike any other test's.
    pub(crate) id: String,
    /// The program that is tested.
    pub(crate) program: PathBuf,
}

impl World {
    /// A bundle without a network of its own (the host's is asked for), and a configuration that
    /// names this runtime.
    pub(crate) fn new(runtime: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let id = format!(
            "rt{}",
            directory
                .path()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .replace('.', "-")
        );
        let world = Self {
            directory,
            id,
            program: env!("CARGO_BIN_EXE_boundary-shim").into(),
        };
        for name in ["lib", "lib64"] {
            fs::create_dir_all(world.path("bundle/rootfs")).unwrap();
            symlink(
                format!("usr/{name}"),
                world.path(&format!("bundle/rootfs/{name}")),
            )
            .unwrap();
        }
        for path in [
            "bundle/rootfs/usr",
            "bundle/rootfs/bin",
            "bundle/rootfs/proc",
            "bundle/rootfs/dev",
            "bundle/rootfs/tmp",
            "policies",
        ] {
            fs::create_dir_all(world.path(path)).unwrap();
        }
        fs::copy("/bin/busybox", world.path("bundle/rootfs/bin/busybox")).unwrap();
        fs::write(
            world.path("policies/default.yaml"),
            format!("allow:\n  - cidr={ALLOWED}/32 port={PORT} proto=tcp\n"),
        )
        .unwrap();
        let line = if runtime.is_empty() {
            String::new()
        } else {
            format!("runtime = {runtime:?}")
        };
        world.configure(&line);
        world.write_spec(&world.spec());
        world
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) fn configure(&self, lines: &str) {
        let audit = self.path("audit");
        fs::write(
            self.path("config.toml"),
            format!("{lines}\naudit-directory = {audit:?}\n"),
        )
        .unwrap();
    }

    fn spec(&self) -> Value {
        let capabilities = [
            "CAP_CHOWN",
            "CAP_SETUID",
            "CAP_SETGID",
            "CAP_KILL",
            "CAP_NET_RAW",
            "CAP_SETFCAP",
        ];
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": ["/bin/busybox", "true"],
                "env": ["PATH=/bin:/usr/bin"],
                "cwd": "/",
                "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            },
            "root": {"path": "rootfs"},
            "hostname": "little",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            ],
            "linux": {
                "cgroupsPath": format!("/{}", self.id),
                "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
                "seccomp": {
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
                    "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}],
                },
            },
        })
    }

    pub(crate) fn write_spec(&self, spec: &Value) {
        fs::write(self.path("bundle/config.json"), spec.to_string()).unwrap();
    }

    /// Writes the bundle's file anew, so that no earlier rewrite of ours is in it.
    pub(crate) fn edit_spec(&self, edit: impl FnOnce(&mut Value)) {
        let mut spec = self.spec();
        edit(&mut spec);
        self.write_spec(&spec);
    }

    /// What the container runs: a line for its shell.
    pub(crate) fn set_command(&self, line: &str) {
        self.edit_spec(|spec| spec["process"]["args"] = shell(line));
    }

    /// The program, with words separated by spaces; `ID`, `BUNDLE` and `DIR` stand for this test's.
    pub(crate) fn command(&self, words: &str) -> Command {
        let word = |word: &str| match word {
            "ID" => self.id.clone(),
            "BUNDLE" => self.path("bundle"),
            other => other.replace("DIR", self.directory.path().to_str().unwrap()),
        };
        let mut command = Command::new(&self.program);
        command.args(["--boundary-config", &self.path("config.toml")]);
        // `--root` and the like go first; they are harmless to every verb that is tried.
        command
            .args(words.split_ascii_whitespace().map(word))
            .env_clear()
            .stdin(Stdio::null());
        command
    }

    /// Runs it. Its output goes through files: a container that outlives the call keeps them, and a
    /// pipe would never end.
    pub(crate) fn call(&self, words: &str) -> Output {
        // A container may go on writing to the files of an earlier call.
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let path = |stream: &str| self.path(&format!("{stream}-{call}"));
        let file = |stream: &str| fs::File::create(path(stream)).unwrap();
        let status = self
            .command(words)
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .status()
            .unwrap();
        let read = |stream: &str| fs::read(path(stream)).unwrap();
        Output {
            status,
            stdout: read("stdout"),
            stderr: read("stderr"),
        }
    }

    /// Runs it, and expects it to go well; gives its output.
    #[track_caller]
    pub(crate) fn must(&self, words: &str) -> String {
        let output = self.call(words);
        assert!(output.status.success(), "{words}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The container's first process.
    pub(crate) fn init(&self) -> i32 {
        fs::read_to_string(self.path("pid"))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    /// Its state directory, with the root that tests use.
    pub(crate) fn state_directory(&self) -> PathBuf {
        state::directory(Path::new(&self.path("root")), &self.id)
    }

    /// Waits until its gateway is ready: `create` doesn't.
    pub(crate) fn until_ready(&self) {
        let end = Instant::now() + DEADLINE;
        let ready = || {
            let record = SavedState::read(&self.state_directory()).unwrap().unwrap();
            record.stage != Stage::Preparing
        };
        while !ready() {
            assert!(Instant::now() < end, "its gateway is not ready");
            std::thread::yield_now();
        }
    }

    /// The state that the runtime tells.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.must("--root DIR/root state ID")).unwrap()
    }

    /// Waits for the end of a process.
    pub(crate) fn wait_for_end(&self, pid: i32) {
        if let Ok(process) = Process::open(pid) {
            process.end_within(DEADLINE).unwrap();
        }
    }

    /// Asserts that nothing of the container is left, waiting for the proxy to notice. The filter's
    /// control group goes with the first `delete` or `create` after its end, and `run` is not
    /// followed by one.
    #[track_caller]
    pub(crate) fn leaves_nothing(&self) {
        let end = Instant::now() + DEADLINE;
        self.call("--root DIR/root delete ID");
        loop {
            let left = self.traces();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "left: {left:?}");
            std::thread::yield_now();
        }
    }

    /// What is left of the container.
    pub(crate) fn traces(&self) -> Vec<String> {
        let mut left = Vec::new();
        for directory in [
            "/run/boundary",
            "/run/boundary-groups",
            "/run/boundary-embedded",
            &self.path("root"),
        ] {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let named = entries.filter(|entry| {
                entry
                    .file_name()
                    .to_str()
                    .is_some_and(|name| name.starts_with(&self.id))
            });
            left.extend(named.map(|entry| entry.path().display().to_string()));
        }
        for controller in hierarchies() {
            let groups = fs::read_dir(&controller)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path());
            let named = groups.filter(|group| {
                let name = group.file_name().unwrap().to_string_lossy();
                *name == self.id || name.starts_with(&format!("boundary-filter-{}-", self.id))
            });
            left.extend(named.map(|group| group.display().to_string()));
        }
        left.extend(
            Path::new("/sys/fs/cgroup")
                .join(&self.id)
                .exists()
                .then(|| "its cgroup".to_owned()),
        );
        left
    }

    /// The records of what it attempted.
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path(&format!("audit/{}.jsonl", self.id))).unwrap();
        test_support::record::records(&text)
    }
}

/// Where hierarchies of control groups are mounted.
pub(crate) fn hierarchies() -> Vec<PathBuf> {
    let entries = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    entries
        .filter(|path| path.is_dir() && path != Path::new(UNIFIED))
        .collect()
}

/// Words that run a line in the container's shell.
pub(crate) fn shell(line: &str) -> Value {
    json!(["/bin/busybox", "sh", "-c", line])
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
