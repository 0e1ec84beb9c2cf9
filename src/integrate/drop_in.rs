//! podman and CRI-O: the runtime's entry as a file of its own, in the drop-in directory beside the
//! engine's main file.
//!
//! Plans only ([`ChangePlan`]). How the engines behave:
//! - both engines merge their tables of runtimes over all files, by name, so no other runtime is
//!   touched;
//! - podman reads its files at each call, CRI-O when it starts;
//! - CRI-O's `allowed_annotations` are for annotations that CRI-O itself acts on: it refuses its
//!   whole configuration for one that it doesn't know. A pod's others, `boundary.*` among them,
//!   reach the runtime anyway.

use std::path::PathBuf;

use super::change_plan::ChangePlan;
use super::config_file::{self, HEADER};
use super::containerd::RunningConfig;
use super::crio;
use super::error::IntegrateError;
use super::runtime_name::RuntimeName;
use super::step::Step;
use crate::daemon::{self, DaemonKind};

/// Where podman looks for files beside containers.conf (containers.conf(5)).
pub const PODMAN_FOLDER: &str = "/etc/containers/containers.conf.d";

/// Where CRI-O looks for files beside crio.conf (crio(8), `--config-dir`).
pub const CRIO_FOLDER: &str = "/etc/crio/crio.conf.d";

/// How a CRI-O is found.
const CRIO: DaemonKind = DaemonKind {
    program: "crio",
    config_flags: &["--config", "-c"],
    default_config: "/etc/crio/crio.conf",
};

/// An engine's folder for additional files.
#[derive(Debug)]
pub struct DropIn {
    /// Whose it is.
    pub reader: DropInReader,
    /// Where it is.
    pub folder: PathBuf,
}

/// Who reads a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropInReader {
    /// podman: `containers.conf.d`.
    Podman,
    /// CRI-O: `crio.conf.d`.
    Crio,
}

impl DropIn {
    /// Plans that `program` is the runtime `name`.
    pub(super) fn add(
        &self,
        name: &RuntimeName,
        program: &str,
        plan: &mut ChangePlan,
    ) -> Result<(), IntegrateError> {
        let (path, before) = self.read(name)?;
        let after = self.reader.file(name, program);
        if before.as_ref() != Some(&after) {
            plan.write(
                path,
                before,
                after,
                vec![format!("runtime {name}: {program}")],
            );
            plan.notes.extend(self.reader.reminder());
        }
        if let Some(runs) = self.default_runtime() {
            plan.notes.push(format!(
                "CRI-O's default runtime is {runs}: to use it too, put runtime = \"{runs}\" in /etc/boundary/config.toml"
            ));
        }
        Ok(())
    }

    /// The path of the engine's own default runtime, where its configuration names one that isn't
    /// found by its name anyway.
    #[must_use]
    pub fn default_runtime(&self) -> Option<String> {
        match self.reader {
            DropInReader::Podman => None,
            DropInReader::Crio => crio::default_runtime(&self.folder),
        }
    }

    /// What the CRI-O that runs goes by, of the runtime's file; none for podman, which reads it each time.
    #[must_use]
    pub fn runs_with(&self, name: &RuntimeName) -> Option<RunningConfig> {
        let readers: Vec<_> = match self.reader {
            DropInReader::Podman => return None,
            DropInReader::Crio => daemon::all(CRIO).ok()?.collect(),
        };
        Some(RunningConfig::of(&readers, &[self.file_of(name)]))
    }

    /// Plans that there is no runtime `name`; gives what it ran, where no other runs that.
    pub(super) fn remove(
        &self,
        name: &RuntimeName,
        plan: &mut ChangePlan,
    ) -> Result<Vec<String>, IntegrateError> {
        let (path, Some(before)) = self.read(name)? else {
            return Ok(Vec::new());
        };
        let mut ran: Vec<_> = program_of(&before).map(str::to_owned).into_iter().collect();
        ran.retain(|program| !self.mentions(program, name));
        plan.steps.push(Step::Remove {
            path,
            before,
            changes: vec![format!("runtime {name} removed")],
        });
        plan.notes.extend(self.reader.reminder());
        Ok(ran)
    }

    /// The drop-in's path and its text, where there is one. One that is not ours is an error.
    fn read(&self, name: &RuntimeName) -> Result<(PathBuf, Option<String>), IntegrateError> {
        config_file::read_own(&self.file_of(name))
    }

    /// Whether a file of ours for another name runs the program. What can't be read isn't ours.
    fn mentions(&self, program: &str, name: &RuntimeName) -> bool {
        let files = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()));
        let others = files.filter(|file| *file != self.file_of(name));
        let mut texts = others.filter_map(|file| config_file::read(&file).ok()?.1);
        texts.any(|text| text.starts_with(HEADER) && program_of(&text) == Some(program))
    }

    fn file_of(&self, name: &RuntimeName) -> PathBuf {
        self.folder.join(format!("{name}.conf"))
    }
}

/// What a file of ours runs: the only text in quotes that is a path.
fn program_of(text: &str) -> Option<&str> {
    text.split('"').find(|word| word.starts_with('/'))
}

impl DropInReader {
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
        let crio = "CRI-O reads its configuration only when it starts: systemctl restart crio";
        (self == Self::Crio).then(|| crio.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::integrate::Engine;
    use crate::integrate::test_host::{TestHost, shell};

    const FILE: &str = "conf.d/boundary.conf";

    fn host(reader: DropInReader) -> TestHost {
        TestHost::new(|at| {
            Engine::DropIn(DropIn {
                reader,
                folder: at("conf.d"),
            })
        })
    }

    #[test]
    fn what_is_installed_is_read_by_the_engine_and_gone_after_uninstall() {
        for (reader, text) in [
            (
                DropInReader::Podman,
                "[engine.runtimes]\n\"boundary\" = [\"SHELL\"]\n",
            ),
            (
                DropInReader::Crio,
                "[crio.runtime.runtimes.\"boundary\"]\nruntime_path = \"SHELL\"\nruntime_type = \"oci\"\n",
            ),
        ] {
            let host = host(reader);
            host.install_now();
            let text = format!("{HEADER}\n{}", text.replace("SHELL", &shell()));
            assert_eq!(host.get(FILE), text);
            assert!(text.parse::<toml_edit::DocumentMut>().is_ok());
            assert_eq!(host.install().expect("planned").steps, []);
            host.uninstall_now();
            assert!(!host.path(FILE).exists());
            assert_eq!(host.uninstall().expect("planned").steps, []);
        }
    }

    #[test]
    fn which_runtime_cri_o_runs_is_said() {
        let host = host(DropInReader::Crio);
        let said = || host.install().expect("planned").notes.join("\n");
        assert!(!said().contains("default runtime"));
        host.put(
            "crio.conf",
            "[crio.runtime]\ndefault_runtime = \"crun\"\n[crio.runtime.runtimes.crun]\nruntime_path = \"/usr/libexec/crio/crun\"\n",
        );
        let line = "runtime = \"/usr/libexec/crio/crun\" in /etc/boundary/config.toml";
        assert!(said().contains(line), "{}", said());
        host.install_now();
        assert!(said().contains(line), "installed, too: {}", said());
    }

    #[test]
    fn a_policys_link_goes_with_its_last_runtime() {
        let host = host(DropInReader::Podman);
        let link = host.path("boundary-npm");
        symlink("boundary-shim", &link).expect("a link");
        let text = format!(
            "{HEADER}\n[engine.runtimes]\n\"x\" = [\"{}\"]\n",
            link.display()
        );
        let other = "conf.d/other.conf";
        [FILE, other]
            .into_iter()
            .for_each(|file| host.put(file, &text));
        host.put("conf.d/foreign.conf", &text.replace(HEADER, "# mine"));
        let goes = || {
            host.uninstall()
                .expect("planned")
                .steps
                .contains(&Step::Unlink(link.clone()))
        };
        for needs_it in [other, "conf.d/foreign.conf"] {
            assert!(!goes(), "{needs_it}");
            std::fs::remove_file(host.path(needs_it)).expect("removed");
        }
        assert!(goes());
    }

    #[test]
    fn a_file_that_somebody_else_made_is_left_alone() {
        let host = host(DropInReader::Podman);
        host.put(FILE, "[engine]\n");
        for plan in [host.install(), host.uninstall()] {
            assert!(matches!(plan, Err(IntegrateError::ForeignFile(_))));
        }
        std::fs::remove_file(host.path(FILE)).expect("removed");
        symlink("/nowhere", host.path(FILE)).expect("a link");
        assert!(matches!(host.install(), Err(IntegrateError::Read { .. })));
    }
}
