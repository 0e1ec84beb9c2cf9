//! Changes to `daemon.json`, and whether they are safe.
//!
//! Reads the file, checks each change against what is in it and against the flags of the dockerds
//! that read it, and keeps a line about each for the user. Plans only.

use std::path::{Path, PathBuf};

use super::daemon_json::DaemonJson;
use super::servers::{HostDns, RESOLVED, Servers};
use crate::dockerd::Daemon;
use crate::integrate::change_plan::ChangePlan;
use crate::integrate::config_file;
use crate::integrate::error::IntegrateError;
use crate::integrate::ownership;
use crate::integrate::runtime_name::RuntimeName;
use crate::integrate::step::Step;
use crate::sys::file::is_empty;

/// dockerd's own word for the default runtime, with which it doesn't start beside that in its file.
const DEFAULT_FLAG: &str = "--default-runtime";
/// What it is where nobody says.
const DOCKERS_DEFAULT: &str = "runc";

/// The configuration file, and what has been changed in it so far.
pub(super) struct DaemonFile {
    pub(super) path: PathBuf,
    pub(super) before: Option<String>,
    pub(super) json: DaemonJson,
    pub(super) changes: Vec<String>,
}

impl DaemonFile {
    pub(super) fn read(path: &Path) -> Result<Self, IntegrateError> {
        let (path, before) = config_file::read(path)?;
        match DaemonJson::parse(before.as_deref().unwrap_or_default()) {
            Ok(json) => Ok(Self {
                path,
                before,
                json,
                changes: Vec::new(),
            }),
            Err(source) => Err(IntegrateError::Malformed {
                path,
                source: source.into(),
            }),
        }
    }

    /// Says whether something had to be changed.
    pub(super) fn add_runtime(
        &mut self,
        name: &RuntimeName,
        program: &str,
    ) -> Result<bool, IntegrateError> {
        if self.json.runtime(name.as_str()).as_deref() == Some(program) {
            return Ok(false);
        }
        match self.ours(name)? {
            Some(found) => self
                .changes
                .push(format!("runtime {name}: {program} (was {found})")),
            None => self.changes.push(format!("runtime {name}: {program}")),
        }
        self.json.set_runtime(name.as_str(), program);
        Ok(true)
    }

    /// Plans that the runtime is the default, and that `uninstall` finds what was it before. Says whether
    /// something had to be changed.
    pub(super) fn set_default(
        &mut self,
        name: &RuntimeName,
        daemons: &[Daemon],
        plan: &mut ChangePlan,
    ) -> Result<bool, IntegrateError> {
        let before = self.json.default_runtime();
        if before.as_deref() == Some(name.as_str()) {
            return Ok(false);
        }
        if let Some(daemon) = daemons
            .iter()
            .find(|daemon| !daemon.flag(DEFAULT_FLAG).is_empty())
        {
            return Err(IntegrateError::DefaultByFlag { pid: daemon.pid() });
        }
        self.json.set_default_runtime(Some(name.as_str()));
        self.changes.push(format!(
            "default-runtime {name} (was {}): for containers for which no runtime is named",
            before.as_deref().unwrap_or(DOCKERS_DEFAULT)
        ));
        let memory = self.default_memory();
        let remembered = std::fs::read_to_string(&memory).ok();
        // Where one runtime of ours follows another, what was there before is known.
        let follows_ours = before
            .as_ref()
            .and_then(|before| self.json.runtime(before))
            .is_some_and(|path| ownership::is_ours(&path));
        if !follows_ours || remembered.is_none() {
            let changes = vec!["remembers the default runtime for uninstall".to_owned()];
            let before = before.map(|before| before + "\n").unwrap_or_default();
            plan.write(memory, remembered, before, changes);
        }
        Ok(true)
    }

    /// Plans what `dns` needs; the file itself is written by [`Self::write`], after that.
    pub(super) fn add_dns(&mut self, host: &HostDns, daemons: &[Daemon], plan: &mut ChangePlan) {
        if !self.json.dns().is_empty()
            || daemons
                .iter()
                .any(|daemon| !daemon.flag("--dns").is_empty())
        {
            return;
        }
        let servers = match host.choose(&self.json, daemons) {
            Ok(Servers::Named(servers)) => servers,
            Ok(Servers::Resolved(address)) => {
                if let Some(directory) = host.drop_in.parent() {
                    plan.make(directory);
                }
                plan.steps.extend(host.listen(address));
                vec![address]
            }
            Err(why) => {
                plan.notes.push(format!(
                    "dns isn't set, as {why}; without it containers are refused: add \"dns\": [\"ADDRESS\"], with a server \
                     that containers can reach, to {}, and restart dockerd",
                    self.path.display()
                ));
                return;
            }
        };
        self.json.set_dns(&servers);
        let servers = self.json.dns().join(", ");
        self.changes.push(format!(
            "dns {servers}: so that Docker's resolver asks through the container's network, where the filter is, and \
             not from the host"
        ));
        let memory = self.memory();
        let changes = vec!["remembers dns for uninstall".to_owned()];
        plan.write(
            memory.clone(),
            std::fs::read_to_string(memory).ok(),
            format!("{servers}\n"),
            changes,
        );
        if daemons.is_empty() {
            plan.notes.push(
                "if dockerd is ever started with --dns, remove dns: it doesn't start with both"
                    .to_owned(),
            );
        }
    }

    /// Takes out the `dns` that we put there, once no runtime of ours needs it.
    pub(super) fn remove_dns(
        &mut self,
        host: &HostDns,
        daemons: &[Daemon],
        running: &Path,
        plan: &mut ChangePlan,
    ) {
        let servers = self.json.dns().join(", ");
        if servers.is_empty() || self.json.programs().any(|path| ownership::is_ours(&path)) {
            return;
        }
        let memory = self.memory();
        let before = std::fs::read_to_string(&memory).unwrap_or_default();
        if before.trim_end() != servers {
            if !self.changes.is_empty() {
                plan.notes.push(format!(
                    "dns is kept ({servers}): it isn't what install wrote"
                ));
            }
            return;
        }
        if !is_empty(running) {
            let why = "running containers need it; uninstall again once they are removed";
            plan.notes.push(format!("dns is kept ({servers}): {why}"));
            return;
        }
        self.json.remove_dns();
        self.changes.push(format!("dns removed (was {servers})"));
        plan.steps.push(Step::Remove {
            path: memory,
            before,
            changes: Vec::new(),
        });
        let Some(before) = host.own_drop_in() else {
            return;
        };
        if daemons.is_empty() {
            plan.steps.push(Step::Remove {
                path: host.drop_in.clone(),
                before,
                changes: Vec::new(),
            });
            plan.steps.push(Step::Restart(RESOLVED.to_owned()));
        } else {
            plan.notes.push(format!(
                "{0} is kept, as containers use it until dockerd is restarted; after that: sudo rm {0} && sudo \
                 systemctl restart {RESOLVED}",
                host.drop_in.display()
            ));
        }
    }

    /// The file beside it that says which `dns` we wrote.
    fn memory(&self) -> PathBuf {
        self.path.with_file_name("boundary-dns")
    }

    /// The file beside it that says which runtime was the default, empty where none was set.
    fn default_memory(&self) -> PathBuf {
        self.path.with_file_name("boundary-default-runtime")
    }

    /// Gives the path that the runtime had; none where there is no such runtime.
    pub(super) fn remove_runtime(
        &mut self,
        name: &RuntimeName,
        daemons: &[Daemon],
        plan: &mut ChangePlan,
    ) -> Result<Option<String>, IntegrateError> {
        let Some(path) = self.ours(name)? else {
            return Ok(None);
        };
        let by_flag = |daemon: &Daemon| daemon.flag(DEFAULT_FLAG).contains(&name.as_str());
        let is_default = self.json.default_runtime().as_deref() == Some(name.as_str());
        if daemons.iter().any(by_flag) || is_default && !self.restore_default(daemons) {
            let what = "dockerd's default runtime, and dockerd doesn't start without it";
            return Err(IntegrateError::IsDefault {
                name: name.clone(),
                what,
                setting: "default-runtime".to_owned(),
            });
        }
        self.json.remove_runtime(name.as_str());
        self.forget_default(plan);
        self.changes
            .push(format!("runtime {name} removed (was {path})"));
        Ok(Some(path))
    }

    /// The default is what it was before we set it; false where it wasn't we who did.
    ///
    /// Where none was set, a dockerd that runs has to be told its own: a reload without the key leaves it as
    /// it is, and then dockerd crashes, as that runtime is gone (20.10.24).
    fn restore_default(&mut self, daemons: &[Daemon]) -> bool {
        let Ok(remembered) = std::fs::read_to_string(self.default_memory()) else {
            return false;
        };
        let before = Some(remembered.trim_end()).filter(|before| !before.is_empty());
        let told = Some(DOCKERS_DEFAULT).filter(|_| !daemons.is_empty());
        self.json.set_default_runtime(before.or(told));
        self.changes.push(format!(
            "default-runtime {}",
            before.unwrap_or(DOCKERS_DEFAULT)
        ));
        true
    }

    /// Plans that what was the default before is forgotten, once no runtime of ours is left.
    fn forget_default(&self, plan: &mut ChangePlan) {
        let path = self.default_memory();
        if self.json.programs().any(|path| ownership::is_ours(&path)) {
            return;
        }
        if let Ok(before) = std::fs::read_to_string(&path) {
            let changes = Vec::new();
            plan.steps.push(Step::Remove {
                path,
                before,
                changes,
            });
        }
    }

    pub(super) fn write(self, plan: &mut ChangePlan) {
        if !self.changes.is_empty() {
            plan.write(self.path, self.before, self.json.text(), self.changes);
        }
    }

    /// The path of the runtime, if it is there and runs us.
    fn ours(&self, name: &RuntimeName) -> Result<Option<String>, IntegrateError> {
        let runs = self.json.runtime(name.as_str());
        runs.map(|runs| ownership::ours(name, &self.path, &runs))
            .transpose()
    }
}
