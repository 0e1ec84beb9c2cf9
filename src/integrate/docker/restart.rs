//! Restarts a dockerd, if that stops no container. Plans only.
//!
//! dockerd itself is asked whether it keeps containers alive: `live-restore` may be set in its file
//! without being in effect yet.

use std::path::Path;

use crate::dockerd::Daemon;
use crate::integrate::error::IntegrateError;
use crate::integrate::step::Step;

/// The step that restarts it.
pub(super) fn plan(daemon: &Daemon, config: &Path) -> Result<Step, IntegrateError> {
    let Some(unit) = daemon.unit() else {
        return Err(IntegrateError::NotAService { pid: daemon.pid() });
    };
    let (keeps, running) = ask(daemon).map_err(|source| IntegrateError::AskDockerd { source })?;
    may_restart(keeps, running, config)?;
    Ok(Step::Restart(unit))
}

fn may_restart(keeps_containers: bool, running: u64, config: &Path) -> Result<(), IntegrateError> {
    if keeps_containers || running == 0 {
        return Ok(());
    }
    Err(IntegrateError::WouldStop {
        running,
        config: config.to_owned(),
    })
}

/// Whether it keeps containers alive without itself, and how many run.
fn ask(daemon: &Daemon) -> std::io::Result<(bool, u64)> {
    let said = daemon.ask("{{.LiveRestoreEnabled}} {{.ContainersRunning}}")?;
    read(&said).ok_or_else(|| std::io::Error::other(format!("malformed response: {}", said.trim())))
}

fn read(said: &str) -> Option<(bool, u64)> {
    let (keeps, running) = said.trim().split_once(' ')?;
    Some((keeps.parse().ok()?, running.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_containers_are_not_stopped() {
        let config = Path::new("/etc/docker/daemon.json");
        assert!(may_restart(true, 3, config).is_ok() && may_restart(false, 0, config).is_ok());
        let error = may_restart(false, 3, config)
            .expect_err("they would be stopped")
            .to_string();
        assert!(
            error.contains("\"live-restore\": true") && error.contains("3 running containers"),
            "{error}"
        );
    }

    #[test]
    fn what_docker_says_is_read_strictly() {
        assert_eq!(read("true 3\n"), Some((true, 3)));
        for said in ["", "true", "3 true", "true -1", "yes 1"] {
            assert_eq!(read(said), None, "{said}");
        }
    }
}
