//! A host of files in a directory of its own, for the tests of every engine. No engine runs there;
//! `tests/install` has tests with real ones.

use std::path::{Path, PathBuf};

use super::change_plan::ChangePlan;
use super::error::IntegrateError;
use super::{Engine, Installation, step};

/// The program is the system's shell: it lies where only root writes.
pub(super) struct TestHost {
    directory: tempfile::TempDir,
    pub(super) ours: Installation,
    pub(super) engine: Engine,
}

impl TestHost {
    /// The engine is told its files' paths by their names here.
    pub(super) fn new(engine: impl FnOnce(&dyn Fn(&str) -> PathBuf) -> Engine) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().canonicalize().expect("a path").join(name);
        let ours = Installation {
            binary: "/bin/sh".into(),
            policies: at("policies"),
            running: at("running"),
            configurations: vec![at("elsewhere.json"), at("elsewhere.d")],
            apparmor: None,
            belongings: Vec::new(),
        };
        let engine = engine(&at);
        Self {
            directory,
            ours,
            engine,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        crate::sys::file::replace(&path, text.as_bytes(), 0o644).expect("written");
    }

    pub(super) fn get(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    pub(super) fn install(&self) -> Result<ChangePlan, IntegrateError> {
        let (name, policy) = (
            "boundary".parse().expect("a name"),
            "default".parse().expect("a name"),
        );
        super::install(&self.engine, &self.ours, &name, &policy)
    }

    pub(super) fn uninstall(&self) -> Result<ChangePlan, IntegrateError> {
        super::uninstall(
            &self.engine,
            &self.ours,
            &"boundary".parse().expect("a name"),
        )
    }

    pub(super) fn install_now(&self) -> ChangePlan {
        carried_out(self.install())
    }

    pub(super) fn uninstall_now(&self) -> ChangePlan {
        carried_out(self.uninstall())
    }
}

fn carried_out(plan: Result<ChangePlan, IntegrateError>) -> ChangePlan {
    let plan = plan.expect("planned");
    step::apply(&plan.steps, |_| Ok(())).expect("applied");
    plan
}

pub(super) fn has_note(plan: &ChangePlan, part: &str) -> bool {
    plan.notes.iter().any(|note| note.contains(part))
}

/// What the program's path is in an engine's file.
pub(super) fn shell() -> String {
    Path::new("/bin/sh")
        .canonicalize()
        .expect("a path")
        .display()
        .to_string()
}
