//! containerd: the runtime's entry among those of its CRI plugin, which Kubernetes uses.
//!
//! Plans only ([`Plan`]); nothing is changed here. What a maintainer must not forget, tried with containerd 1.6.20, 1.7.24
//! and 2.1.9:
//! - in 1.x an imported file's section of a plugin **replaces** the whole section: a drop-in with nothing but our entry
//!   takes away runc's, and the registry's mirrors too. 2.x merges them, key by key;
//! - 2.x takes the names of plugins from the main file's `version` for all files: a drop-in of the other version is
//!   ignored, or makes it ignore what the main file says;
//! - in 1.x a file that names any runtime takes away the default entry for runc, unless it has one too: then we add it;
//! - nothing is read again while it runs: there is no reload.
//!
//! So a drop-in is written only beside a main file of version 3, which is 2.x for sure. Everything else is edited in place,
//! in the file whose word counts.

mod document;
mod files;

use std::io;
use std::path::{Path, PathBuf};

pub use self::document::Malformed;
use self::files::{File, Files};
use super::binary::{self, BinaryError};
use super::plan::Plan;
use super::runtime_name::RuntimeName;
use super::step::{Step, missing_directories};
use crate::policy::PolicyName;

/// What containerd reads unless `--config` names another.
pub const DEFAULT_CONFIG: &str = "/etc/containerd/config.toml";

/// Where things are on this host.
#[derive(Debug)]
pub struct Places {
    /// This program's file.
    pub binary: PathBuf,
    /// containerd's main configuration file.
    pub config: PathBuf,
    /// containerd's own program: a path, or a name to be found.
    pub containerd: PathBuf,
    /// The directory of policy files.
    pub policies: PathBuf,
    /// The directory with an entry for each running container of ours.
    pub running: PathBuf,
}

/// Why nothing can be done.
#[derive(Debug, thiserror::Error)]
pub enum ContainerdError {
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
    /// The configuration isn't what containerd could read, or what can be edited safely.
    #[error("{path} is left alone")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
    /// It depends on containerd's version what is right, and that can't be found out.
    #[error("can't ask {program} for its version, on which it depends {what}")]
    Version {
        /// containerd's program.
        program: PathBuf,
        /// What depends on it.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The name belongs to another runtime.
    #[error("the runtime `{name}` in {path} runs {runs} and not this program: choose another --name")]
    Foreign {
        /// The runtime's name.
        name: RuntimeName,
        /// The file.
        path: PathBuf,
        /// What it runs.
        runs: String,
    },
    /// Without the runtime no pod would start.
    #[error("`{name}` is containerd's default runtime: change `default_runtime_name` in {path} first")]
    IsDefault {
        /// The runtime's name.
        name: RuntimeName,
        /// The file.
        path: PathBuf,
    },
    /// TOML has no word for the path.
    #[error("{0} isn't UTF-8")]
    NotText(PathBuf),
}

/// Plans that containerd offers the runtime `name`, which follows `policy`.
///
/// # Errors
/// Everything that speaks against it, before anything is touched.
pub fn install(places: &Places, name: &RuntimeName, policy: &PolicyName) -> Result<Plan, ContainerdError> {
    let binary = binary::trusted(&places.binary)?;
    let (path, link) = binary::path_for(&binary, policy)?;
    let path = path.to_str().ok_or_else(|| ContainerdError::NotText(path.clone()))?;
    let mut files = Files::read_or_new(places)?;
    let mut plan = Plan::default();

    files.add_runtime(name, path)?;
    plan.steps.extend(missing_directories(&places.policies));
    plan.steps.extend(link);
    plan.note_other_runtime(&files)?;
    plan.note_disabled(&files);
    plan.write_all(files);
    plan.name_missing_policy(&places.policies, policy);
    Ok(plan)
}

/// Plans that containerd doesn't offer the runtime `name` any more.
///
/// # Errors
/// Everything that speaks against it, before anything is touched.
pub fn uninstall(places: &Places, name: &RuntimeName) -> Result<Plan, ContainerdError> {
    let mut plan = Plan::default();
    let Some(mut files) = Files::read(places)? else { return Ok(plan) };

    let paths = files.remove_runtime(name)?;
    let unused: Vec<_> = paths.into_iter().filter(|path| !files.mention(path)).collect();
    plan.write_all(files);
    for path in unused {
        plan.remove_link(Path::new(&path), &places.running);
    }
    Ok(plan)
}

impl Plan {
    fn write_all(&mut self, files: Files) {
        let before = self.steps.len();
        for file in files.list {
            self.write_one(file);
        }
        if self.steps.len() > before {
            self.notes.push("containerd reads its files only when it starts: systemctl restart containerd".to_owned());
        }
    }

    fn write_one(&mut self, file: File) {
        if file.changes.is_empty() {
            return;
        }
        let after = file.document.text();
        match file.before {
            Some(before) if file.document.is_left_over() => {
                self.steps.push(Step::Remove { path: file.path, before, changes: file.changes });
            }
            before => {
                let directories = file.path.parent().map(missing_directories).unwrap_or_default();
                for directory in directories {
                    // Another file's may be the same.
                    if !self.steps.contains(&directory) {
                        self.steps.push(directory);
                    }
                }
                self.steps.push(Step::Write { path: file.path, before, after, changes: file.changes });
            }
        }
    }

    /// What runs runc's containers is containerd's to say; what runs ours, config.toml's.
    fn note_other_runtime(&mut self, files: &Files) -> Result<(), ContainerdError> {
        let runs = files.runc()?.and_then(|runc| document::binary_name(&runc).map(str::to_owned));
        if let Some(runs) = runs.filter(|runs| !runs.is_empty() && !runs.ends_with("runc")) {
            self.notes.push(format!(
                "containerd's `runc` is {runs} here: for the same, put `runtime = \"{runs}\"` in /etc/boundary/config.toml"
            ));
        }
        Ok(())
    }

    fn note_disabled(&mut self, files: &Files) {
        if let Some(file) = files.list.iter().find(|file| file.document.disables_cri()) {
            let path = file.path.display();
            self.notes
                .push(format!("{path} disables the CRI plugin in `disabled_plugins`: Kubernetes can't use it so"));
        }
    }
}

#[cfg(test)]
mod tests;
