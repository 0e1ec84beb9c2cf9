//! containerd: the runtime's entry in the configuration of its CRI plugin, which Kubernetes uses.
//!
//! Plans only ([`ChangePlan`]). How containerd behaves (tested with 1.6.20, 1.7.24 and 2.1.9):
//! - in 1.x an imported file's section of a plugin **replaces** the whole section: a drop-in with
//!   nothing but our entry takes away runc's, and the registry's mirrors too. 2.x merges them, key
//!   by key;
//! - 2.x takes the names of plugins from the main file's `version` for all files: a drop-in of the
//!   other version is ignored, or makes it ignore what the main file says;
//! - in 1.x a file that names any runtime takes away the default entry for runc, unless it has one
//!   too: then we add it;
//! - there is no reload: configuration is read only at startup.
//!
//! So a drop-in is written only beside a main file of version 3, which is certainly 2.x. Otherwise
//! the file that takes effect is edited in place.

mod document;
mod entry;
mod file;
mod files;
mod malformed;

use std::path::PathBuf;

use self::files::Files;
use super::change_plan::ChangePlan;
use super::error::IntegrateError;
use super::runtime_name::RuntimeName;

/// What containerd reads unless `--config` names another.
pub const DEFAULT_CONFIG: &str = "/etc/containerd/config.toml";

/// Where containerd's configuration is, and its program, which is asked for its version.
#[derive(Debug)]
pub struct Containerd {
    /// containerd's main configuration file.
    pub config: PathBuf,
    /// containerd's own program: a path, or a name to be found.
    pub program: PathBuf,
}

impl Containerd {
    /// The containerd of this host, where it reads `config`.
    #[must_use]
    pub fn reading(config: PathBuf) -> Self {
        Self {
            config,
            program: "containerd".into(),
        }
    }

    /// Plans that `program` is the runtime `name`.
    pub(super) fn add(
        &self,
        name: &RuntimeName,
        program: &str,
        plan: &mut ChangePlan,
    ) -> Result<(), IntegrateError> {
        let mut files = Files::read_or_new(&self.config, &self.program)?;
        files.add_runtime(name, program)?;
        plan.note_other_runtime(&files)?;
        plan.note_disabled(&files);
        plan.write_all(files);
        Ok(())
    }

    /// Plans that there is no runtime `name`; gives what it ran, where no other runs that.
    pub(super) fn remove(
        &self,
        name: &RuntimeName,
        plan: &mut ChangePlan,
    ) -> Result<Vec<String>, IntegrateError> {
        let Some(mut files) = Files::read(&self.config, &self.program)? else {
            return Ok(Vec::new());
        };
        let mut paths = files.remove_runtime(name)?;
        paths.retain(|path| !files.mention(path));
        plan.write_all(files);
        Ok(paths)
    }
}

impl ChangePlan {
    fn write_all(&mut self, files: Files) {
        let before = self.steps.len();
        for file in files.list {
            file.write(self);
        }
        if self.steps.len() > before {
            self.notes.push(
                "containerd reads its configuration only when it starts: systemctl restart containerd"
                    .to_owned(),
            );
        }
    }

    /// What runs runc's containers is containerd's to say; what runs ours, config.toml's.
    fn note_other_runtime(&mut self, files: &Files) -> Result<(), IntegrateError> {
        let runs = files
            .runc()?
            .and_then(|runc| entry::binary_name(&runc).map(str::to_owned));
        if let Some(runs) = runs.filter(|runs| !runs.is_empty() && !runs.ends_with("runc")) {
            self.notes.push(format!(
                "containerd runs {runs} as runc here: to use it too, put runtime = \"{runs}\" in /etc/boundary/config.toml"
            ));
        }
        Ok(())
    }

    fn note_disabled(&mut self, files: &Files) {
        if let Some(file) = files.list.iter().find(|file| file.document.disables_cri()) {
            let path = file.path.display();
            self.notes.push(format!(
                "{path} disables the CRI plugin (disabled_plugins), so Kubernetes can't use containerd"
            ));
        }
    }
}

#[cfg(test)]
mod test_host;
#[cfg(test)]
mod tests;
