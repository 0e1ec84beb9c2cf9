//! containerd: the runtime's entry in the configuration of its CRI plugin, which Kubernetes uses.
//!
//! Plans only ([`ChangePlan`]). How containerd behaves (tested with 1.6.20, 1.7.24, 2.1.9 and 2.3.0):
//! - in 1.x an imported file's section of a plugin **replaces** the whole section: a drop-in with
//!   nothing but our entry takes away runc's, and the registry's mirrors too. 2.x merges them, key
//!   by key;
//! - 2.0 to 2.2 take the names of plugins from the main file's `version` for all files: a drop-in of
//!   the other version is ignored, or makes them ignore what the main file says. From 2.3 on each
//!   file goes by its own;
//! - in version 4 (2.3) runtimes are written as in version 3;
//! - in 1.x a file that names any runtime takes away the default entry for runc, unless it has one
//!   too: then we add it;
//! - there is no reload: configuration is read only at startup. So what is in the files counts only
//!   where it was there when containerd began ([`RunningConfig`]).
//!
//! So a drop-in is written only beside a main file of version 3 or 4, which is certainly 2.x.
//! Otherwise the file that takes effect is edited in place.

mod document;
mod entry;
mod file;
mod files;
mod malformed;
mod running;
mod usual;
mod version;

use std::path::{Path, PathBuf};

use self::files::Files;
pub use self::running::{DEFAULT_CONFIG, RunningConfig};
use self::usual::UsualRuntime;
use super::change_plan::ChangePlan;
use super::error::IntegrateError;
use super::ownership;
use super::runtime_name::RuntimeName;

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
        plan.note_other_runtime(files.usual_runtime(name)?);
        plan.note_disabled(&files);
        self.write(files, plan)
    }

    /// Plans that there is no runtime `name`; gives what it ran, where no other runs that.
    pub(super) fn remove(
        &self,
        name: &RuntimeName,
        plan: &mut ChangePlan,
    ) -> Result<Vec<String>, IntegrateError> {
        let Some(mut files) = Files::read(&self.config, &self.program)? else {
            self.note_restart(false, plan)?;
            return Ok(Vec::new());
        };
        let mut paths = files.remove_runtime(name)?;
        paths.retain(|path| !files.mention(path));
        self.write(files, plan)?;
        Ok(paths)
    }

    /// All that it reads.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, IntegrateError> {
        let files = Files::read(&self.config, &self.program)?;
        let files = files.into_iter().flat_map(|files| files.list);
        Ok(files.map(|file| file.path).collect())
    }

    /// What the containerd that reads these files goes by.
    ///
    /// # Errors
    /// Its files or `/proc` can't be read.
    pub fn runs_with(&self) -> Result<RunningConfig, IntegrateError> {
        let readers = running::readers(&self.config)?;
        Ok(RunningConfig::of(&readers, &self.sources()?))
    }

    /// Whatever changes when what it reads changes: the files, and the directories from which it
    /// takes all files.
    fn sources(&self) -> Result<Vec<PathBuf>, IntegrateError> {
        match Files::read(&self.config, &self.program)? {
            Some(files) => files.sources(),
            None => Ok(self.config.parent().map(Into::into).into_iter().collect()),
        }
    }

    fn write(&self, files: Files, plan: &mut ChangePlan) -> Result<(), IntegrateError> {
        let before = plan.steps.len();
        for file in files.list {
            file.write(plan)?;
        }
        self.note_restart(plan.steps.len() > before, plan)
    }

    /// Also where nothing is to be written, but was written since it began: whoever wrote it may
    /// have been interrupted. The DaemonSet's script (`kubernetes/node.sh`) goes by this note.
    fn note_restart(&self, written: bool, plan: &mut ChangePlan) -> Result<(), IntegrateError> {
        if !written && self.runs_with()? != RunningConfig::Older {
            return Ok(());
        }
        // Who reads another file is another service.
        let usual = self.config == Path::new(DEFAULT_CONFIG);
        let how = if usual {
            "systemctl restart containerd"
        } else {
            "restart the service that runs it"
        };
        plan.notes.push(format!(
            "containerd reads its configuration only when it starts: {how}"
        ));
        Ok(())
    }
}

impl ChangePlan {
    /// What runs the other containers is containerd's to say; what runs ours, config.toml's.
    fn note_other_runtime(&mut self, usual: Option<UsualRuntime>) {
        let Some(UsualRuntime { name, entry }) = usual else {
            return;
        };
        let runs = entry::binary_name(&entry).unwrap_or_default();
        if runs.is_empty() || runs.ends_with("runc") || ownership::is_ours(runs) {
            return;
        }
        let gpu = if runs.contains("nvidia") {
            ", without which no container gets a GPU"
        } else {
            ""
        };
        self.notes.push(format!(
            "containerd runs {runs} as {name} here: to use it too{gpu}, put runtime = \"{runs}\" in /etc/boundary/config.toml"
        ));
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
