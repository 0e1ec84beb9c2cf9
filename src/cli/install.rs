//! `install` and `uninstall`: make an engine offer the runtime, or not any more.
//!
//! Owns the words; `integrate` knows the engines. A dry run prints the very steps that would be applied.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};

use crate::integrate::binary::DEFAULT_POLICY;
use crate::integrate::containerd;
use crate::integrate::docker::{self, Places, dockerd};
use crate::integrate::drop_in::{self, Engine};
use crate::integrate::kubernetes::{self, Image};
use crate::integrate::plan::Plan;
use crate::integrate::runtime_name::RuntimeName;
use crate::integrate::step::{self, Step};
use crate::policy::PolicyName;
use crate::resolv_conf;
use crate::settings;
use crate::state;

/// `install ENGINE`.
#[derive(Debug, Args)]
pub struct InstallArguments {
    #[command(subcommand)]
    engine: InstallEngine,
}

#[derive(Debug, Subcommand)]
enum InstallEngine {
    /// Add the runtime to dockerd's daemon.json, and tell a running dockerd
    Docker {
        #[command(flatten)]
        common: DockerArguments,
        /// Policy that the runtime follows: /etc/boundary/policies/NAME.yaml
        #[arg(long, value_name = "NAME", default_value = DEFAULT_POLICY)]
        policy: PolicyName,
    },
    /// Add the runtime to containerd's configuration, for Kubernetes
    Containerd {
        #[command(flatten)]
        common: ContainerdArguments,
        /// Policy that the runtime follows: /etc/boundary/policies/NAME.yaml
        #[arg(long, value_name = "NAME", default_value = DEFAULT_POLICY)]
        policy: PolicyName,
    },
    /// Add the runtime to podman's configuration
    Podman {
        #[command(flatten)]
        common: PodmanArguments,
        /// Policy that the runtime follows: /etc/boundary/policies/NAME.yaml
        #[arg(long, value_name = "NAME", default_value = DEFAULT_POLICY)]
        policy: PolicyName,
    },
    /// Add the runtime to CRI-O's configuration, for Kubernetes
    Crio {
        #[command(flatten)]
        common: CrioArguments,
        /// Policy that the runtime follows: /etc/boundary/policies/NAME.yaml
        #[arg(long, value_name = "NAME", default_value = DEFAULT_POLICY)]
        policy: PolicyName,
    },
    /// Print a RuntimeClass, a DaemonSet that does `install containerd` on nodes, and a pod to try it
    Kubernetes(KubernetesArguments),
}

/// `uninstall ENGINE`.
#[derive(Debug, Args)]
pub struct UninstallArguments {
    #[command(subcommand)]
    engine: UninstallEngine,
}

#[derive(Debug, Subcommand)]
enum UninstallEngine {
    /// Take the runtime out of dockerd's daemon.json, and tell a running dockerd
    Docker {
        #[command(flatten)]
        common: DockerArguments,
    },
    /// Take the runtime out of containerd's configuration
    Containerd {
        #[command(flatten)]
        common: ContainerdArguments,
    },
    /// Take the runtime out of podman's configuration
    Podman {
        #[command(flatten)]
        common: PodmanArguments,
    },
    /// Take the runtime out of CRI-O's configuration
    Crio {
        #[command(flatten)]
        common: CrioArguments,
    },
}

#[derive(Debug, Args)]
struct PodmanArguments {
    /// What `podman --runtime=` takes
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// The folder of files beside containers.conf
    #[arg(long, value_name = "FOLDER", default_value = drop_in::PODMAN_FOLDER)]
    folder: PathBuf,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct CrioArguments {
    /// What a RuntimeClass names as its handler
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// The folder of files beside crio.conf (crio's --config-dir)
    #[arg(long, value_name = "FOLDER", default_value = drop_in::CRIO_FOLDER)]
    folder: PathBuf,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct ContainerdArguments {
    /// What a RuntimeClass names as its handler
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// The file that containerd reads (its --config)
    #[arg(long, value_name = "FILE", default_value = containerd::DEFAULT_CONFIG)]
    config: PathBuf,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct KubernetesArguments {
    /// What pods name as their runtimeClassName
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// Policy that the runtime follows: /etc/boundary/policies/NAME.yaml on the nodes
    #[arg(long, value_name = "NAME", default_value = DEFAULT_POLICY)]
    policy: PolicyName,
    /// Image with this program, made as the output says
    #[arg(long, default_value = concat!("boundary-shim:", env!("CARGO_PKG_VERSION")))]
    image: Image,
    /// Hand it to `kubectl apply` instead
    #[arg(long)]
    apply: bool,
}

#[derive(Debug, Args)]
struct DockerArguments {
    /// What `docker run --runtime=` takes
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// The file that dockerd reads (its --config-file)
    #[arg(long, value_name = "FILE", default_value = dockerd::DEFAULT_CONFIG)]
    daemon_config: PathBuf,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs `install`.
///
/// # Errors
/// Not root, or why the engine's configuration was left alone.
pub fn install(arguments: &InstallArguments) -> anyhow::Result<()> {
    match &arguments.engine {
        InstallEngine::Docker { common, policy } => {
            require_root()?;
            let plan = docker::install(&common.places()?, &common.name, policy)?;
            carry_out(&plan, common.dry_run, "already installed")?;
            writeln!(io::stdout(), "try: docker run --rm --runtime={} IMAGE COMMAND", common.name)?;
        }
        InstallEngine::Containerd { common, policy } => {
            require_root()?;
            let plan = containerd::install(&common.places()?, &common.name, policy)?;
            carry_out(&plan, common.dry_run, "already installed")?;
        }
        InstallEngine::Podman { common, policy } => {
            require_root()?;
            let plan = drop_in::install(Engine::Podman, &drop_in_places(&common.folder)?, &common.name, policy)?;
            carry_out(&plan, common.dry_run, "already installed")?;
            writeln!(io::stdout(), "try: podman --runtime={} run --rm IMAGE COMMAND", common.name)?;
        }
        InstallEngine::Crio { common, policy } => {
            require_root()?;
            let plan = drop_in::install(Engine::Crio, &drop_in_places(&common.folder)?, &common.name, policy)?;
            carry_out(&plan, common.dry_run, "already installed")?;
        }
        InstallEngine::Kubernetes(arguments) => {
            let manifests = kubernetes::manifests(&arguments.name, &arguments.policy, &arguments.image)?;
            if arguments.apply {
                kubernetes::apply(&manifests).context("kubectl apply")?;
            } else {
                io::stdout().write_all(manifests.as_bytes())?;
            }
        }
    }
    Ok(())
}

/// Runs `uninstall`.
///
/// # Errors
/// Not root, or why the engine's configuration was left alone.
pub fn uninstall(arguments: &UninstallArguments) -> anyhow::Result<()> {
    require_root()?;
    let (plan, dry_run) = match &arguments.engine {
        UninstallEngine::Docker { common } => (docker::uninstall(&common.places()?, &common.name)?, common.dry_run),
        UninstallEngine::Containerd { common } => {
            (containerd::uninstall(&common.places()?, &common.name)?, common.dry_run)
        }
        UninstallEngine::Podman { common } => {
            (drop_in::uninstall(Engine::Podman, &drop_in_places(&common.folder)?, &common.name)?, common.dry_run)
        }
        UninstallEngine::Crio { common } => {
            (drop_in::uninstall(Engine::Crio, &drop_in_places(&common.folder)?, &common.name)?, common.dry_run)
        }
    };
    carry_out(&plan, dry_run, "not installed")
}

impl ContainerdArguments {
    fn places(&self) -> anyhow::Result<containerd::Places> {
        Ok(containerd::Places {
            binary: own_file()?,
            config: self.config.clone(),
            containerd: "containerd".into(),
            policies: settings::DEFAULT_POLICIES.into(),
            running: state::DIRECTORY.into(),
        })
    }
}

impl DockerArguments {
    fn places(&self) -> anyhow::Result<Places> {
        Ok(Places {
            binary: own_file()?,
            daemon_config: self.daemon_config.clone(),
            policies: settings::DEFAULT_POLICIES.into(),
            running: state::DIRECTORY.into(),
            resolv_confs: resolv_conf::HOST.map(PathBuf::from).to_vec(),
        })
    }
}

fn drop_in_places(folder: &Path) -> anyhow::Result<drop_in::Places> {
    Ok(drop_in::Places {
        binary: own_file()?,
        folder: folder.to_owned(),
        policies: settings::DEFAULT_POLICIES.into(),
        running: state::DIRECTORY.into(),
    })
}

fn own_file() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("can't find this program's own file")
}

/// A dry run too: other users' processes can't be looked at, so what it said could be wrong.
fn require_root() -> anyhow::Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "only root may change an engine's configuration: use sudo");
    Ok(())
}

fn carry_out(plan: &Plan, dry_run: bool, nothing_to_do: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if plan.steps.is_empty() {
        writeln!(out, "{nothing_to_do}")?;
    } else if dry_run {
        writeln!(out, "this would be done:")?;
        plan.steps.iter().try_for_each(|step| preview(&mut out, step))?;
    } else {
        step::apply(&plan.steps, |step| tell(&mut out, step))?;
    }
    plan.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    Ok(())
}

fn tell(out: &mut impl Write, step: &Step) -> io::Result<()> {
    writeln!(out, "{step}")?;
    step.changes().iter().try_for_each(|change| writeln!(out, "  {change}"))
}

fn preview(out: &mut impl Write, step: &Step) -> io::Result<()> {
    tell(out, step)?;
    match step {
        Step::Write { before, after, .. } => {
            writeln!(out, "--- before\n{}+++ after\n{after}", before.as_deref().unwrap_or("(no file)\n"))
        }
        _ => Ok(()),
    }
}
