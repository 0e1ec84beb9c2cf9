//! Our program in a directory of its own, and what is installed from there.
//!
//! Invariant: only root may be able to write on the way to it, so it isn't below `/tmp`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use boundary_shim::integrate::{self, Engine, Installation, step};
use boundary_shim::policy::Mode;

/// What is done where there is no policy.
pub(crate) const FIRST_POLICY: &str = "create /etc/boundary\ncreate /etc/boundary/policies\nwrite /etc/boundary/policies/default.yaml\n  \
                                       a first policy, which allows nothing\n";

/// What is said as long as nobody has changed it.
pub(crate) const DENIED: &str =
    "note: everything is denied so far: write rules into /etc/boundary/policies/default.yaml\n";

/// What becomes of it with the last runtime.
pub(crate) const NONE_LEFT: &str = "remove /etc/boundary/policies/default.yaml\nremove /etc/boundary/policies\nremove /etc/boundary\n";

/// The directory, gone when dropped.
pub(crate) struct Here {
    directory: tempfile::TempDir,
    /// As the command has it, but for the directories that it would make for the whole machine.
    pub(crate) ours: Installation,
}

impl Here {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir_in("/run").expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let ours = Installation {
            binary: at("boundary-shim"),
            policies: at("policies"),
            running: at("running"),
            configurations: Vec::new(),
            apparmor: None,
            belongings: Vec::new(),
        };
        // By another process: a descriptor that is open for writing here would be inherited by
        // whatever other tests start meanwhile, and the copy could not be run as long (ETXTBSY).
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_boundary-shim"))
            .arg(&ours.binary)
            .status();
        assert!(copied.expect("cp").success());
        Self { directory, ours }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        boundary_shim::sys::file::replace(&path, text.as_bytes(), 0o640).expect("written");
    }

    pub(crate) fn put_program(&self, name: &str, text: &str) {
        self.put(name, text);
        std::fs::set_permissions(self.at(name), PermissionsExt::from_mode(0o755)).expect("a mode");
    }

    pub(crate) fn get(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).expect("a file")
    }

    /// Gives the notes.
    pub(crate) fn install(&self, engine: &Engine, name: &str, policy: &str) -> Vec<String> {
        let (name, policy) = (
            name.parse().expect("a name"),
            policy.parse().expect("a name"),
        );
        let plan =
            integrate::install(engine, &self.ours, &name, &policy, Mode::Enforce).expect("planned");
        step::apply(&plan.steps, |_| Ok(())).expect("applied");
        let again =
            integrate::install(engine, &self.ours, &name, &policy, Mode::Enforce).expect("planned");
        assert_eq!(again.steps, [], "installed already");
        plan.notes
    }

    pub(crate) fn uninstall(&self, engine: &Engine, name: &str) {
        let plan = integrate::uninstall(engine, &self.ours, &name.parse().expect("a name"))
            .expect("planned");
        step::apply(&plan.steps, |_| Ok(())).expect("applied");
    }

    /// The program with these words, prepared to run.
    pub(crate) fn prepared(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.ours.binary);
        command.env_clear().args(words);
        command
    }
}

/// Runs a shell script where `/etc` may be changed: under a layer of its own, and without
/// `/etc/boundary`. No container of ours is seen to run, and in `/mnt` there is room.
pub(crate) fn in_an_etc_of_its_own(unshare: &[&str], script: &str, arguments: &[&Path]) -> Output {
    const LAYER: &str = "set -e; mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work
        mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc; rm -rf /etc/boundary
        mkdir -p /run/boundary; mount -t tmpfs none /run/boundary";
    let script = format!("{LAYER}\n{script}");
    let mut command = Command::new("timeout");
    command
        .args(["300", "unshare", "--mount"])
        .args(unshare)
        .args(["sh", "-c", &script])
        .args(arguments)
        .output()
        .expect("unshare runs")
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}
