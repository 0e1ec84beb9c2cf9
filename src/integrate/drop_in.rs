//! podman and CRI-O: the runtime's entry as a file of its own, in the folder that the engine reads beside its main file.
//!
//! Plans only ([`Plan`]); nothing is changed here. What a maintainer must not forget:
//! - both engines merge their tables of runtimes over all files, by name, so no other runtime is touched;
//! - podman reads its files at each call, CRI-O when it starts;
//! - CRI-O's `allowed_annotations` are for annotations that CRI-O itself acts on: it refuses its whole configuration for
//!   one that it doesn't know. A pod's others, `boundary.*` among them, reach the runtime anyway.

use std::io;
use std::path::{Path, PathBuf};

use super::binary::{self, BinaryError};
use super::config_file;
use super::plan::Plan;
use super::runtime_name::RuntimeName;
use super::step::{Step, missing_directories};
use crate::policy::PolicyName;

/// Whose folder it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// podman: `containers.conf.d`.
    Podman,
    /// CRI-O: `crio.conf.d`.
    Crio,
}

/// Where podman looks for files beside containers.conf (containers.conf(5)).
pub const PODMAN_FOLDER: &str = "/etc/containers/containers.conf.d";

/// Where CRI-O looks for files beside crio.conf (crio(8), `--config-dir`).
pub const CRIO_FOLDER: &str = "/etc/crio/crio.conf.d";

/// By this line a file is known as ours.
const HEADER: &str = "# Made by `boundary-shim install`; `boundary-shim uninstall` takes it away.";

/// Where things are on this host.
#[derive(Debug)]
pub struct Places {
    /// This program's file.
    pub binary: PathBuf,
    /// The engine's folder for additional files.
    pub folder: PathBuf,
    /// The directory of policy files.
    pub policies: PathBuf,
    /// The directory with an entry for each running container of ours.
    pub running: PathBuf,
}

/// Why nothing can be done.
#[derive(Debug, thiserror::Error)]
pub enum DropInError {
    /// Our own file won't do.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// A file can't be read.
    #[error("can't read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file isn't ours.
    #[error("{0} was not made by this program: choose another --name, or move it away")]
    Foreign(PathBuf),
    /// TOML has no word for the path.
    #[error("{0} isn't UTF-8")]
    NotText(PathBuf),
}

/// Plans that the engine offers the runtime `name`, which follows `policy`.
///
/// # Errors
/// Everything that speaks against it, before anything is touched.
pub fn install(engine: Engine, places: &Places, name: &RuntimeName, policy: &PolicyName) -> Result<Plan, DropInError> {
    let binary = binary::trusted(&places.binary)?;
    let (program, link) = binary::path_for(&binary, policy)?;
    let program = program.to_str().ok_or_else(|| DropInError::NotText(program.clone()))?;
    let (path, before) = read(&places.folder, name)?;
    let after = engine.file(name, program);
    let mut plan = Plan::default();

    plan.steps.extend(missing_directories(&places.policies));
    plan.steps.extend(link);
    if before.as_ref() != Some(&after) {
        plan.steps.extend(missing_directories(&places.folder));
        plan.steps.push(Step::Write { path, before, after, changes: vec![format!("runtime {name}: {program}")] });
        plan.notes.extend(engine.reminder());
    }
    plan.name_missing_policy(&places.policies, policy);
    Ok(plan)
}

/// Plans that the engine doesn't offer the runtime `name` any more.
///
/// # Errors
/// Everything that speaks against it, before anything is touched.
pub fn uninstall(engine: Engine, places: &Places, name: &RuntimeName) -> Result<Plan, DropInError> {
    let (path, before) = read(&places.folder, name)?;
    let mut plan = Plan::default();
    let Some(before) = before else { return Ok(plan) };
    let program = program_of(&before).map(str::to_owned);
    plan.steps.push(Step::Remove { path, before, changes: vec![format!("no runtime {name}")] });
    plan.notes.extend(engine.reminder());
    if let Some(program) = program {
        plan.remove_link(Path::new(&program), &places.running);
    }
    Ok(plan)
}

/// The drop-in's path and its text, where there is one. One that is not ours is an error.
fn read(folder: &Path, name: &RuntimeName) -> Result<(PathBuf, Option<String>), DropInError> {
    let path = folder.join(format!("{name}.conf"));
    let (path, text) = config_file::read(&path).map_err(|source| DropInError::Read { path: path.clone(), source })?;
    match text {
        Some(text) if !text.starts_with(HEADER) => Err(DropInError::Foreign(path)),
        text => Ok((path, text)),
    }
}

/// What a file of ours runs: the only text in quotes that is a path.
fn program_of(text: &str) -> Option<&str> {
    text.split('"').find(|word| word.starts_with('/'))
}

impl Engine {
    /// The whole file. A runtime's name needs no escape; a path's does.
    fn file(self, name: &RuntimeName, program: &str) -> String {
        let program = toml_edit::Value::from(program);
        match self {
            Self::Podman => format!("{HEADER}\n[engine.runtimes]\n\"{name}\" = [{program}]\n"),
            Self::Crio => format!(
                "{HEADER}\n[crio.runtime.runtimes.\"{name}\"]\nruntime_path = {program}\nruntime_type = \"oci\"\n"
            ),
        }
    }

    fn reminder(self) -> Option<String> {
        let crio = "CRI-O reads its files only when it starts: systemctl restart crio";
        (self == Self::Crio).then(|| crio.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::integrate::step::apply;

    /// The binary is the system's shell: it lies where only root writes.
    fn places(directory: &tempfile::TempDir) -> Places {
        let at = |name: &str| directory.path().canonicalize().expect("a path").join(name);
        Places { binary: "/bin/sh".into(), folder: at("conf.d"), policies: at("policies"), running: at("running") }
    }

    fn boundary() -> (RuntimeName, PolicyName) {
        ("boundary".parse().expect("a name"), "default".parse().expect("a name"))
    }

    #[test]
    fn what_is_installed_is_read_by_the_engine_and_gone_after_uninstall() {
        for (engine, text) in [
            (Engine::Podman, "[engine.runtimes]\n\"boundary\" = [\"SHELL\"]\n"),
            (Engine::Crio, "[crio.runtime.runtimes.\"boundary\"]\nruntime_path = \"SHELL\"\nruntime_type = \"oci\"\n"),
        ] {
            let directory = tempfile::tempdir().expect("a directory");
            let (places, (name, policy)) = (places(&directory), boundary());
            let plan = install(engine, &places, &name, &policy).expect("a plan");
            apply(&plan.steps, |_| Ok(())).expect("applied");
            let shell = Path::new("/bin/sh").canonicalize().expect("a path");
            let text = format!("{HEADER}\n{}", text.replace("SHELL", shell.to_str().expect("text")));
            let file = places.folder.join("boundary.conf");
            assert_eq!(std::fs::read_to_string(&file).expect("a file"), text);
            assert!(text.parse::<toml_edit::DocumentMut>().is_ok());
            assert!(install(engine, &places, &name, &policy).expect("a plan").steps.is_empty());
            let plan = uninstall(engine, &places, &name).expect("a plan");
            apply(&plan.steps, |_| Ok(())).expect("applied");
            assert!(!file.exists());
            assert!(uninstall(engine, &places, &name).expect("a plan").steps.is_empty());
        }
    }

    #[test]
    fn a_file_that_somebody_else_made_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let (places, (name, policy)) = (places(&directory), boundary());
        std::fs::create_dir(&places.folder).expect("a directory");
        let file = places.folder.join("boundary.conf");
        crate::sys::file::replace(&file, b"[engine]\n", 0o644).expect("written");
        for plan in [install(Engine::Podman, &places, &name, &policy), uninstall(Engine::Podman, &places, &name)] {
            assert!(matches!(plan, Err(DropInError::Foreign(_))));
        }
        std::fs::remove_file(&file).expect("removed");
        symlink("/nowhere", &file).expect("a link");
        assert!(matches!(install(Engine::Podman, &places, &name, &policy), Err(DropInError::Read { .. })));
    }
}
