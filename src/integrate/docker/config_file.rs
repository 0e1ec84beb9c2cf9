//! What is to be different in `daemon.json`, and whether it may be.
//!
//! Reads the file, checks each change against what is in it and against the flags of the dockerds that read it, and
//! keeps a line about each for the user. Writes nothing.

use std::path::{Path, PathBuf};

use super::DockerError;
use super::daemon_json::DaemonJson;
use super::dockerd::Daemon;
use crate::integrate::binary;
use crate::integrate::config_file::read;
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
    pub(super) fn read(path: &Path) -> Result<Self, DockerError> {
        let (path, before) = read(path).map_err(|source| DockerError::Read { path: path.to_owned(), source })?;
        let malformed = |source| DockerError::Malformed { path: path.clone(), source };
        let json = DaemonJson::parse(before.as_deref().unwrap_or_default()).map_err(malformed)?;
        Ok(Self { path, before, json, changes: Vec::new() })
    }

    /// Says whether something had to be changed.
    pub(super) fn add_runtime(&mut self, name: &RuntimeName, path: &Path) -> Result<bool, DockerError> {
        let path = path.to_str().ok_or_else(|| DockerError::NotText(path.to_owned()))?;
        match self.json.runtime(name.as_str()) {
            Some(found) if found == path => return Ok(false),
            Some(found) if !binary::is_ours(&found) => {
                return Err(DockerError::Foreign { name: name.clone(), path: found });
            }
            Some(found) => self.changes.push(format!("runtime {name}: {path} (was {found})")),
            None => self.changes.push(format!("runtime {name}: {path}")),
        }
        self.json.set_runtime(name.as_str(), path);
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
    ) -> Result<Option<String>, DockerError> {
        let Some(path) = self.json.runtime(name.as_str()) else { return Ok(None) };
        if !binary::is_ours(&path) {
            return Err(DockerError::Foreign { name: name.clone(), path });
        }
        let by_flag = |daemon: &Daemon| daemon.flag("--default-runtime").contains(&name.as_str());
        if self.json.default_runtime().is_some_and(|default| default == name.as_str()) || daemons.iter().any(by_flag) {
            return Err(DockerError::IsDefault(name.clone()));
        }
        self.json.remove_runtime(name.as_str());
        self.changes.push(format!("no runtime {name} (was {path})"));
        Ok(Some(path))
    }
}
