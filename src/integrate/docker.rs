//! Docker: the runtime's entry in `daemon.json`, and the reload of a running dockerd.
//!
//! Plans only ([`ChangePlan`]). How dockerd behaves (tested with 20.10.24):
//! - a reload (SIGHUP) **replaces** all runtimes but `runc` by the file's, so those of
//!   `--add-runtime` are lost (and its alias `io.containerd.runc.v2` until the next start); without
//!   the key `runtimes` it replaces nothing;
//! - `dns` is read at start only, and dockerd doesn't start at all where `--dns` is given too;
//! - nor does it start where `default-runtime` names a runtime that isn't there.
//!
//! Why `dns`: containers on user-defined networks ask Docker's embedded resolver, which asks the
//! servers of the host's resolv.conf from the *host's* network (28 and later: always; before: where
//! they are on loopback), past every filter. Servers named in `dns` are asked through the
//! container's network, in every version. So it is set wherever it is absent: which version will
//! read the file is unknown while none runs, and where it isn't needed it says what dockerd would
//! use anyway.

mod daemon_file;
pub mod daemon_json;
mod object;
mod restart;
pub mod servers;
mod users;

use std::path::{Path, PathBuf};

use self::daemon_file::DaemonFile;
use self::servers::HostDns;
use super::change_plan::ChangePlan;
use super::error::IntegrateError;
use super::runtime_name::RuntimeName;
use super::step::Step;
use crate::dockerd::{self, Daemon};

const RESTART: &str = "systemctl restart docker";

/// Where dockerd's configuration is, and the host's DNS servers.
#[derive(Debug)]
pub struct Docker {
    /// dockerd's configuration file.
    pub daemon_config: PathBuf,
    /// The host's DNS servers.
    pub dns: HostDns,
    /// Whether a dockerd that doesn't go by `dns` yet is restarted.
    pub restart: bool,
    /// Whether containers get the runtime for which none is named.
    pub as_default: bool,
}

impl Docker {
    /// The dockerd of this host that reads `daemon_config`.
    #[must_use]
    pub fn reading(daemon_config: PathBuf) -> Self {
        Self {
            daemon_config,
            dns: HostDns::of_this_host(),
            restart: false,
            as_default: false,
        }
    }

    /// Plans that `program` is the runtime `name`.
    pub(super) fn add(
        &self,
        name: &RuntimeName,
        program: &str,
        plan: &mut ChangePlan,
    ) -> Result<(), IntegrateError> {
        let mut file = DaemonFile::read(&self.daemon_config)?;
        let daemons = running(&file.path)?;

        // Before the file is written: a dockerd that goes by `dns` already is known from then on.
        let all_go_by_dns = daemons.iter().all(Daemon::goes_by_dns);
        let mut changed = file.add_runtime(name, program)?;
        if self.as_default {
            changed |= file.set_default(name, &daemons, plan)?;
        }
        file.add_dns(&self.dns, &daemons, plan);
        let must_restart = !file.json.dns().is_empty() && !all_go_by_dns;
        let config = file.path.clone();
        file.write(plan);
        if must_restart && self.restart {
            for daemon in &daemons {
                plan.steps.push(restart::plan(daemon, &config)?);
            }
            return Ok(());
        }
        if changed {
            plan.reload(&daemons);
        }
        if must_restart {
            plan.last = Some(format!(
                "dockerd must be restarted, as it reads dns only when it starts; until then containers are refused: sudo {RESTART}"
            ));
        }
        Ok(())
    }

    /// Plans that there is no runtime `name`; gives what it ran, where no other runs that.
    pub(super) fn remove(
        &self,
        name: &RuntimeName,
        containers: &Path,
        plan: &mut ChangePlan,
    ) -> Result<Vec<String>, IntegrateError> {
        let mut file = DaemonFile::read(&self.daemon_config)?;
        let daemons = running(&file.path)?;

        let path = file.remove_runtime(name, &daemons, plan)?;
        if path.is_some() {
            let data = dockerd::data(&daemons, file.json.text_of("data-root").as_deref());
            plan.users = data.iter().flat_map(|data| users::of(data, name)).collect();
        }
        let unused = path.filter(|path| !file.json.mentions(path));
        file.remove_dns(&self.dns, &daemons, containers, plan);
        if !file.changes.is_empty() {
            file.write(plan);
            plan.reload(&daemons);
        }
        Ok(unused.into_iter().collect())
    }
}

fn running(config: &Path) -> Result<Vec<Daemon>, IntegrateError> {
    dockerd::reading(config).map_err(|source| IntegrateError::Read {
        path: "/proc".into(),
        source,
    })
}

impl ChangePlan {
    /// Where a reload would take runtimes away that aren't ours, the user is told to restart
    /// instead.
    fn reload(&mut self, daemons: &[Daemon]) {
        for daemon in daemons {
            if daemon.flag("--add-runtime").is_empty() {
                self.steps.push(Step::Reload(daemon.clone()));
            } else {
                self.notes.push(format!(
                    "dockerd (pid {}) was not reloaded, which would drop its --add-runtime runtimes; restart it instead: {RESTART}",
                    daemon.pid()
                ));
            }
        }
        if daemons.is_empty() {
            self.notes.push(
                "no running dockerd uses this file: it takes effect when dockerd starts".to_owned(),
            );
        }
    }
}

#[cfg(test)]
mod tests;
