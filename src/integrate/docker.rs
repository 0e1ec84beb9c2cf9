//! Docker: the runtime's entry in `daemon.json`, and the word to a running dockerd.
//!
//! Plans only ([`Plan`]); nothing is changed here. What a maintainer must not forget, tried with dockerd 20.10.24:
//! - a reload (SIGHUP) **replaces** all runtimes but `runc` by the file's, so those of `--add-runtime` are lost (and its
//!   alias `io.containerd.runc.v2` until the next start); without the key `runtimes` it replaces nothing;
//! - `dns` is read at start only, and dockerd doesn't start at all where `--dns` is given too;
//! - nor does it start where `default-runtime` names a runtime that isn't there.
//!
//! Why `dns`: containers on user-defined networks ask Docker's embedded resolver, which asks the servers of the host's
//! resolv.conf from the *host's* network (28 and later: always; before: where they are on loopback), past every filter.
//! Servers named in `dns` are asked through the container's network, in every version. So it is set wherever it is
//! absent: which version will read the file is unknown while none runs, and where it isn't needed it says what dockerd
//! would use anyway.

mod config_file;
pub mod daemon_json;
pub mod dockerd;

use std::io;
use std::path::{Path, PathBuf};

use self::config_file::ConfigFile;
use self::daemon_json::{DaemonJson, Malformed};
use self::dockerd::Daemon;
use super::binary::{self, BinaryError};
use super::plan::Plan;
use super::runtime_name::RuntimeName;
use super::step::{Step, missing_directories};
use crate::policy::PolicyName;

/// Where things are on this host.
#[derive(Debug)]
pub struct Places {
    /// This program's file.
    pub binary: PathBuf,
    /// dockerd's configuration file.
    pub daemon_config: PathBuf,
    /// The directory of policy files.
    pub policies: PathBuf,
    /// The directory with an entry for each running container of ours.
    pub running: PathBuf,
    /// Where the host's DNS servers are written, the best first.
    pub resolv_confs: Vec<PathBuf>,
}

/// Why nothing can be done.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Our own file won't do.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// A file or `/proc` can't be read.
    #[error("can't read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The configuration isn't what dockerd could read.
    #[error("{path} is left alone")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
    /// The name belongs to another runtime.
    #[error("the runtime `{name}` is {path} and not ours: choose another --name")]
    Foreign {
        /// The runtime's name.
        name: RuntimeName,
        /// Its path.
        path: String,
    },
    /// Without the runtime dockerd would not start.
    #[error("`{0}` is dockerd's default runtime, without which it doesn't start: change `default-runtime` first")]
    IsDefault(RuntimeName),
    /// JSON has no word for the path.
    #[error("{0} isn't UTF-8")]
    NotText(PathBuf),
}

/// Plans that dockerd offers the runtime `name`, which follows `policy`.
///
/// # Errors
/// Everything that speaks against it, before anything is touched.
pub fn install(places: &Places, name: &RuntimeName, policy: &PolicyName) -> Result<Plan, DockerError> {
    let binary = binary::trusted(&places.binary)?;
    let (path, link) = binary::path_for(&binary, policy)?;
    let mut file = ConfigFile::read(&places.daemon_config)?;
    let daemons = running(&file.path)?;
    let mut plan = Plan::default();

    plan.steps.extend(missing_directories(&places.policies));
    plan.steps.extend(link);
    let runtime = file.add_runtime(name, &path)?;
    let dns = file.add_dns(&places.resolv_confs, &daemons, &mut plan.notes);
    plan.write(file);
    if runtime {
        plan.reload(&daemons);
    }
    if dns && !daemons.is_empty() {
        plan.notes.push(format!("`dns` counts once dockerd is started anew: {RESTART}"));
    }
    plan.name_missing_policy(&places.policies, policy);
    Ok(plan)
}

/// Plans that dockerd doesn't offer the runtime `name` any more.
///
/// # Errors
/// Everything that speaks against it, before anything is touched.
pub fn uninstall(places: &Places, name: &RuntimeName) -> Result<Plan, DockerError> {
    let mut file = ConfigFile::read(&places.daemon_config)?;
    let daemons = running(&file.path)?;
    let mut plan = Plan::default();

    let Some(path) = file.remove_runtime(name, &daemons)? else { return Ok(plan) };
    let unused = !file.json.mentions(&path);
    plan.keep_dns(&file.json);
    plan.write(file);
    plan.reload(&daemons);
    if unused {
        plan.remove_link(Path::new(&path), &places.running);
    }
    Ok(plan)
}

const RESTART: &str = "systemctl restart docker";

fn running(config: &Path) -> Result<Vec<Daemon>, DockerError> {
    dockerd::reading(config).map_err(|source| DockerError::Read { path: "/proc".into(), source })
}

impl Plan {
    fn write(&mut self, file: ConfigFile) {
        let ConfigFile { path, before, json, changes } = file;
        if changes.is_empty() {
            return;
        }
        self.steps.extend(path.parent().map(missing_directories).unwrap_or_default());
        self.steps.push(Step::Write { path, before, after: json.text(), changes });
    }

    /// Where a reload would take runtimes away that aren't ours, the user is told to restart instead.
    fn reload(&mut self, daemons: &[Daemon]) {
        for daemon in daemons {
            if daemon.flag("--add-runtime").is_empty() {
                self.steps.push(Step::Reload(daemon.clone()));
            } else {
                self.notes.push(format!(
                    "dockerd (pid {}) was not told: a reload would drop the runtimes of its --add-runtime. Instead: {RESTART}",
                    daemon.pid()
                ));
            }
        }
        if daemons.is_empty() {
            self.notes.push("no dockerd that reads this file is running: it counts from its next start".to_owned());
        }
    }

    fn keep_dns(&mut self, json: &DaemonJson) {
        let servers = json.dns();
        if !servers.is_empty() {
            self.notes.push(format!("`dns` stays ({}): whose it is can't be told", servers.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests;
