//! Engines' configuration: adds the runtime to it, and removes it again.
//!
//! [`install`] and [`uninstall`] are the same for all engines; what differs is in the file of that
//! name (podman and CRI-O: `drop_in`). Knows nothing about running containers.
//!
//! Invariant: nothing is changed while planning. Everything is a [`ChangePlan`] first, so that
//! `--dry-run` prints exactly what would happen; [`step::apply`] then does it.

pub mod apparmor;
pub mod binary;
pub mod change_plan;
mod config_file;
pub mod containerd;
mod crio;
mod dns_probe;
pub mod docker;
pub mod drop_in;
pub mod error;
mod first_policy;
pub mod kubernetes;
mod ownership;
mod purge;
pub mod runtime_name;
pub mod step;

use std::path::{Path, PathBuf};

use self::apparmor::AppArmor;
use self::change_plan::ChangePlan;
use self::containerd::Containerd;
use self::docker::Docker;
use self::drop_in::DropIn;
use self::error::IntegrateError;
pub use self::purge::purge;
use self::runtime_name::RuntimeName;
use crate::dockerd;
use crate::policy::{Mode, PolicyName};
use crate::sys::file;

/// What belongs to this program on this host.
#[derive(Debug)]
pub struct Installation {
    /// This program's file.
    pub binary: PathBuf,
    /// The directory of policy files.
    pub policies: PathBuf,
    /// The directory with an entry for each running container of ours.
    pub running: PathBuf,
    /// Where engines, whichever the host has, read their configuration: files, and folders of
    /// files.
    pub configurations: Vec<PathBuf>,
    /// AppArmor, if it is in use.
    pub apparmor: Option<AppArmor>,
    /// Everything that a purge takes away: folders.
    pub belongings: Vec<PathBuf>,
}

/// Said of a runtime that only watches.
const OBSERVES: &str = "in observe mode what no rule allows is let pass and recorded, for everybody who may choose this runtime; shut stay \
                        the host's own public addresses, those that no rule can open, and what ceiling.d bounds";

/// The usual [`Installation::configurations`].
pub const USUAL_CONFIGURATIONS: [&str; 5] = [
    dockerd::DEFAULT_CONFIG,
    containerd::DEFAULT_CONFIG,
    "/etc/containerd/conf.d",
    drop_in::PODMAN_FOLDER,
    drop_in::CRIO_FOLDER,
];

/// An engine, and where it reads its configuration.
#[derive(Debug)]
pub enum Engine {
    /// Its `daemon.json`.
    Docker(Docker),
    /// Its main file and those that it imports.
    Containerd(Containerd),
    /// A folder of podman's or CRI-O's.
    DropIn(DropIn),
}

impl Engine {
    /// Where it reads its configuration, which may be another place than the usual ones.
    fn configurations(&self) -> Result<Vec<PathBuf>, IntegrateError> {
        match self {
            Self::Docker(docker) => Ok(vec![docker.daemon_config.clone()]),
            Self::Containerd(containerd) => containerd.files(),
            Self::DropIn(drop_in) => Ok(vec![drop_in.folder.clone()]),
        }
    }
}

/// Plans to add the runtime `name` with `policy`, in this mode, to the engine's configuration.
///
/// # Errors
/// Whatever prevents it; nothing has been changed then.
pub fn install(
    engine: &Engine,
    ours: &Installation,
    name: &RuntimeName,
    policy: &PolicyName,
    mode: Mode,
) -> Result<ChangePlan, IntegrateError> {
    let binary = binary::trusted(&ours.binary)?;
    let (path, link) = binary::path_for(&binary, policy, mode)?;
    let program = path
        .to_str()
        .ok_or_else(|| IntegrateError::NotText(path.clone()))?;
    let mut plan = ChangePlan::default();

    plan.steps.extend(link);
    if let Some(apparmor) = &ours.apparmor {
        apparmor.add(&mut plan)?;
    }
    match engine {
        Engine::Docker(docker) => docker.add(name, program, &mut plan)?,
        Engine::Containerd(containerd) => containerd.add(name, program, &mut plan)?,
        Engine::DropIn(drop_in) => drop_in.add(name, program, &mut plan)?,
    }
    plan.add_first_policy(&ours.policies, policy);
    if mode == Mode::Observe {
        plan.notes.push(OBSERVES.to_owned());
    }
    Ok(plan)
}

/// Plans to remove the runtime `name` from the engine's configuration.
///
/// # Errors
/// Whatever prevents it; nothing has been changed then.
pub fn uninstall(
    engine: &Engine,
    ours: &Installation,
    name: &RuntimeName,
) -> Result<ChangePlan, IntegrateError> {
    let mut plan = ChangePlan::default();
    let mut configurations = ours.configurations.clone();
    configurations.extend(engine.configurations()?);
    // The programs that the engine ran under that name and no other.
    let unused = match engine {
        Engine::Docker(docker) => docker.remove(name, &ours.running, &mut plan)?,
        Engine::Containerd(containerd) => containerd.remove(name, &mut plan)?,
        Engine::DropIn(drop_in) => drop_in.remove(name, &mut plan)?,
    };
    for program in unused {
        plan.remove_link(Path::new(&program), &ours.running, &configurations);
    }
    if let Some(apparmor) = &ours.apparmor {
        apparmor.remove(&ours.running, &configurations, &mut plan)?;
    }
    let last = !plan.steps.is_empty() && plan.file_that_names_us(&configurations).is_none();
    if last && file::is_empty(&ours.running) {
        plan.remove_first_policies(&ours.policies);
    }
    plan.name_users();
    Ok(plan)
}

#[cfg(test)]
mod test_host;
