//! What is to be different in `daemon.json`, and whether it may be.
//!
//! Reads the file, checks each change against what is in it and against the flags of the dockerds that read it, and
//! keeps a line about each for the user. Plans only.

use std::path::{Path, PathBuf};

use super::daemon_json::DaemonJson;
use crate::dockerd::Daemon;
use crate::integrate::binary;
use crate::integrate::config_file;
use crate::integrate::error::IntegrateError;
use crate::integrate::plan::Plan;
use crate::integrate::runtime_name::RuntimeName;
use crate::resolv_conf;

/// The configuration file, and what has been changed in it so far.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) before: Option<String>,
    pub(super) json: DaemonJson,
    pub(super) changes: Vec<String>,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self, IntegrateError> {
        let (path, before) = config_file::read(path)?;
        match DaemonJson::parse(before.as_deref().unwrap_or_default()) {
            Ok(json) => Ok(Self { path, before, json, changes: Vec::new() }),
            Err(source) => Err(IntegrateError::Malformed { path, source: source.into() }),
        }
    }

    /// Says whether something had to be changed.
    pub(super) fn add_runtime(&mut self, name: &RuntimeName, program: &str) -> Result<bool, IntegrateError> {
        if self.json.runtime(name.as_str()).as_deref() == Some(program) {
            return Ok(false);
        }
        match self.ours(name)? {
            Some(found) => self.changes.push(format!("runtime {name}: {program} (was {found})")),
            None => self.changes.push(format!("runtime {name}: {program}")),
        }
        self.json.set_runtime(name.as_str(), program);
        Ok(true)
    }

    /// Says whether something had to be changed.
    pub(super) fn add_dns(&mut self, resolv_confs: &[PathBuf], daemons: &[Daemon], notes: &mut Vec<String>) -> bool {
        if !self.json.dns().is_empty() || daemons.iter().any(|daemon| !daemon.flag("--dns").is_empty()) {
            return false;
        }
        let servers = resolv_conf::servers(resolv_confs);
        if servers.is_empty() {
            notes.push(
                "`dns` isn't set: this host names no DNS server that a container could ask. Add `\"dns\": [\"ADDRESS\"]` \
                 yourself, or containers on user-defined networks are refused"
                    .to_owned(),
            );
            return false;
        }
        self.json.set_dns(&servers);
        let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
        self.changes.push(format!(
            "dns {}: this host's servers, named so that Docker's resolver asks them through the container's network, \
             where the filter is, and not from the host's",
            servers.join(", ")
        ));
        if daemons.is_empty() {
            notes.push("should dockerd be started with --dns, remove `dns`: it doesn't start with both".to_owned());
        }
        true
    }

    /// Gives the path that the runtime had; none where there is no such runtime.
    pub(super) fn remove_runtime(
        &mut self,
        name: &RuntimeName,
        daemons: &[Daemon],
    ) -> Result<Option<String>, IntegrateError> {
        let Some(path) = self.ours(name)? else { return Ok(None) };
        let by_flag = |daemon: &Daemon| daemon.flag("--default-runtime").contains(&name.as_str());
        if self.json.default_runtime().is_some_and(|default| default == name.as_str()) || daemons.iter().any(by_flag) {
            let what = "dockerd's default runtime, without which it doesn't start";
            return Err(IntegrateError::IsDefault {
                name: name.clone(),
                what,
                setting: "`default-runtime`".to_owned(),
            });
        }
        self.json.remove_runtime(name.as_str());
        self.changes.push(format!("no runtime {name} (was {path})"));
        Ok(Some(path))
    }

    pub(super) fn keep_dns(&self, notes: &mut Vec<String>) {
        let servers = self.json.dns();
        if !servers.is_empty() {
            notes.push(format!("`dns` stays ({}): whose it is can't be told", servers.join(", ")));
        }
    }

    pub(super) fn write(self, plan: &mut Plan) {
        if !self.changes.is_empty() {
            plan.write(self.path, self.before, self.json.text(), self.changes);
        }
    }

    /// The path of the runtime, if it is there and runs us.
    fn ours(&self, name: &RuntimeName) -> Result<Option<String>, IntegrateError> {
        let runs = self.json.runtime(name.as_str());
        runs.map(|runs| binary::ours(name, &self.path, &runs)).transpose()
    }
}
