//! What is to be different in `daemon.json`, and whether it may be.
//!
//! Reads the file, checks each change against what is in it and against the flags of the dockerds that read it, and
//! keeps a line about each for the user. Writes nothing.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::DockerError;
use super::daemon_json::DaemonJson;
use super::dockerd::Daemon;
use crate::integrate::binary;
use crate::resolv_conf;

/// The name that `docker run --runtime=` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeName(String);

/// What is wrong with a runtime's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not `[A-Za-z0-9][A-Za-z0-9_.-]*`, or over 64 bytes.
    #[error("a name is up to 64 letters, digits, `-`, `_` and `.`, and begins with a letter or a digit")]
    Spelling,
    /// It means something else already.
    #[error("`{0}` is taken")]
    Taken(String),
}

/// The configuration file, and what has been changed in it so far.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) before: Option<String>,
    pub(super) json: DaemonJson,
    pub(super) changes: Vec<String>,
}

impl ConfigFile {
    /// Where the path is a link, the file it leads to is meant, so that the link stays one.
    pub(super) fn read(path: &Path) -> Result<Self, DockerError> {
        let unreadable = |source| DockerError::Read { path: path.to_owned(), source };
        let (path, before) = match path.canonicalize() {
            Ok(real) => (real.clone(), Some(read_bounded(&real).map_err(unreadable)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => (path.to_owned(), None),
            Err(error) => return Err(unreadable(error)),
        };
        let malformed = |source| DockerError::Malformed { path: path.clone(), source };
        let json = DaemonJson::parse(before.as_deref().unwrap_or_default()).map_err(malformed)?;
        Ok(Self { path, before, json, changes: Vec::new() })
    }

    /// Says whether something had to be changed.
    pub(super) fn add_runtime(&mut self, name: &RuntimeName, path: &Path) -> Result<bool, DockerError> {
        let path = path.to_str().ok_or_else(|| DockerError::NotText(path.to_owned()))?;
        match self.json.runtime(&name.0) {
            Some(found) if found == path => return Ok(false),
            Some(found) if !binary::is_ours(&found) => {
                return Err(DockerError::Foreign { name: name.clone(), path: found });
            }
            Some(found) => self.changes.push(format!("runtime {name}: {path} (was {found})")),
            None => self.changes.push(format!("runtime {name}: {path}")),
        }
        self.json.set_runtime(&name.0, path);
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
        let Some(path) = self.json.runtime(&name.0) else { return Ok(None) };
        if !binary::is_ours(&path) {
            return Err(DockerError::Foreign { name: name.clone(), path });
        }
        let by_flag = |daemon: &Daemon| daemon.flag("--default-runtime").contains(&name.0.as_str());
        if self.json.default_runtime().is_some_and(|default| default == name.0) || daemons.iter().any(by_flag) {
            return Err(DockerError::IsDefault(name.clone()));
        }
        self.json.remove_runtime(&name.0);
        self.changes.push(format!("no runtime {name} (was {path})"));
        Ok(Some(path))
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    /// Far above any real one; a device or a mistaken path is not read to its end.
    const LARGEST: u64 = 1024 * 1024;
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= LARGEST) {
        Ok(text)
    } else {
        Err(io::ErrorKind::FileTooLarge.into())
    }
}

impl FromStr for RuntimeName {
    type Err = NameError;

    /// dockerd keeps `runc` and its aliases to itself.
    fn from_str(name: &str) -> Result<Self, NameError> {
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.len() > 64 || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(inner) {
            return Err(NameError::Spelling);
        }
        if name == "runc" || name.starts_with("io.containerd.") {
            return Err(NameError::Taken(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
