//! Other programs' configuration: how an engine comes to offer the runtime, and not any more.
//!
//! Owns the files of engines and nothing of ours at run time. [`install`] and [`uninstall`] are the
//! story, the same for all; how one engine is told is in the file that bears its name (podman and
//! CRI-O: `drop_in`). To remember: nothing is changed here. All is a [`Plan`] first, so that
//! `--dry-run` prints exactly what would happen, and only then [`step::apply`] does it.

pub mod apparmor;
pub mod binary;
mod config_file;
pub mod containerd;
mod dns_probe;
pub mod docker;
pub mod drop_in;
pub mod error;
pub mod kubernetes;
mod ownership;
pub mod plan;
pub mod runtime_name;
pub mod step;

use std::path::{Path, PathBuf};

use self::apparmor::AppArmor;
use self::containerd::Containerd;
use self::docker::Docker;
use self::drop_in::DropIn;
use self::error::IntegrateError;
use self::plan::Plan;
use self::runtime_name::RuntimeName;
use crate::dockerd;
use crate::policy::PolicyName;

/// What of ours is on this host.
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
    /// AppArmor; none where it confines nobody.
    pub apparmor: Option<AppArmor>,
}

/// What [`Installation::configurations`] is where nobody told an engine otherwise.
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

/// Plans that the engine offers the runtime `name`, which follows `policy`.
///
/// # Errors
/// Everything that speaks against it, before anything is touched.
pub fn install(
    engine: &Engine,
    ours: &Installation,
    name: &RuntimeName,
    policy: &PolicyName,
) -> Result<Plan, IntegrateError> {
    let binary = binary::trusted(&ours.binary)?;
    let (path, link) = binary::path_for(&binary, policy)?;
    let program = path
        .to_str()
        .ok_or_else(|| IntegrateError::NotText(path.clone()))?;
    let mut plan = Plan::default();

    plan.make(&ours.policies);
    plan.steps.extend(link);
    if let Some(apparmor) = &ours.apparmor {
        apparmor.add(&mut plan)?;
    }
    match engine {
        Engine::Docker(docker) => docker.add(name, program, &mut plan)?,
        Engine::Containerd(containerd) => containerd.add(name, program, &mut plan)?,
        Engine::DropIn(drop_in) => drop_in.add(name, program, &mut plan)?,
    }
    plan.name_missing_policy(&ours.policies, policy);
    Ok(plan)
}

/// Plans that the engine doesn't offer the runtime `name` any more.
///
/// # Errors
/// Everything that speaks against it, before anything is touched.
pub fn uninstall(
    engine: &Engine,
    ours: &Installation,
    name: &RuntimeName,
) -> Result<Plan, IntegrateError> {
    let mut plan = Plan::default();
    // What the engine ran under that name, and runs under no other.
    let unused = match engine {
        Engine::Docker(docker) => docker.remove(name, &ours.running, &mut plan)?,
        Engine::Containerd(containerd) => containerd.remove(name, &mut plan)?,
        Engine::DropIn(drop_in) => drop_in.remove(name, &mut plan)?,
    };
    for program in unused {
        plan.remove_link(Path::new(&program), &ours.running, &ours.configurations);
    }
    if let Some(apparmor) = &ours.apparmor {
        apparmor.remove(&ours.running, &ours.configurations, &mut plan)?;
    }
    Ok(plan)
}

#[cfg(test)]
mod test_host;
