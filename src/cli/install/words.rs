//! The arguments of `install` and `uninstall`, and what they mean: an engine and the name of a
//! runtime.
//!
//! Owns help and defaults. Must not know what is done with them. Both commands take the same
//! arguments for an engine, except those in `More`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::dockerd;
use crate::integrate::Engine;
use crate::integrate::binary::DEFAULT_POLICY;
use crate::integrate::containerd::{self, Containerd};
use crate::integrate::docker::Docker;
use crate::integrate::drop_in::{self, DropIn, DropInReader};
use crate::integrate::kubernetes::{Image, NodeLayout, NodePath, NodeUnit};
use crate::integrate::runtime_name::RuntimeName;
use crate::policy::{Mode, PolicyName};

/// `install ENGINE`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo boundary-shim install docker
  sudo boundary-shim install containerd --dry-run
  boundary-shim install kubernetes --image images.example.org/boundary-shim:0.1.0")]
pub struct InstallArguments {
    #[command(subcommand)]
    pub(super) engine: InstallEngine,
}

#[derive(Debug, Subcommand)]
pub(super) enum InstallEngine {
    /// Add the runtime to dockerd's daemon.json, and reload a running dockerd
    #[command(after_help = "\
Examples:
  sudo boundary-shim install docker
  sudo boundary-shim install docker --name boundary-npm --policy npm
  sudo boundary-shim install docker --name boundary-watch --mode observe
  sudo boundary-shim install docker --set-as-default --restart")]
    Docker(EngineArguments<DockerWords, DockerInstall>),
    /// Add the runtime to containerd's configuration, for Kubernetes
    #[command(after_help = "\
Examples:
  sudo boundary-shim install containerd
  sudo boundary-shim install containerd --dry-run")]
    Containerd(EngineArguments<ContainerdWords, PolicyArgument>),
    /// Add the runtime to podman's configuration
    #[command(after_help = "\
Examples:
  sudo boundary-shim install podman")]
    Podman(EngineArguments<PodmanWords, PolicyArgument>),
    /// Add the runtime to CRI-O's configuration, for Kubernetes
    #[command(after_help = "\
Examples:
  sudo boundary-shim install crio")]
    Crio(EngineArguments<CrioWords, PolicyArgument>),
    /// Print a RuntimeClass, DaemonSets that install on nodes and uninstall, and a sample pod
    #[command(after_help = "\
Examples:
  boundary-shim install kubernetes --image images.example.org/boundary-shim:0.1.0 > boundary.yaml
  boundary-shim install kubernetes --name boundary-watch --mode observe > watch.yaml")]
    Kubernetes(KubernetesWords),
}

/// `uninstall ENGINE`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo boundary-shim uninstall docker
  sudo boundary-shim uninstall docker --purge --dry-run
  boundary-shim uninstall kubernetes")]
pub struct UninstallArguments {
    #[command(subcommand)]
    pub(super) engine: UninstallEngine,
}

#[derive(Debug, Subcommand)]
pub(super) enum UninstallEngine {
    /// Remove the runtime from dockerd's daemon.json, and reload a running dockerd
    #[command(after_help = "\
Examples:
  sudo boundary-shim uninstall docker
  sudo boundary-shim uninstall docker --purge")]
    Docker(EngineArguments<DockerWords, PurgeArgument>),
    /// Remove the runtime from containerd's configuration
    #[command(after_help = "\
Examples:
  sudo boundary-shim uninstall containerd")]
    Containerd(EngineArguments<ContainerdWords, ContainerdUninstall>),
    /// Remove the runtime from podman's configuration
    #[command(after_help = "\
Examples:
  sudo boundary-shim uninstall podman")]
    Podman(EngineArguments<PodmanWords, PurgeArgument>),
    /// Remove the runtime from CRI-O's configuration
    #[command(after_help = "\
Examples:
  sudo boundary-shim uninstall crio")]
    Crio(EngineArguments<CrioWords, PurgeArgument>),
    /// Print the commands that take a RuntimeClass, and what belongs to it, off a cluster's nodes
    #[command(after_help = "\
Examples:
  boundary-shim uninstall kubernetes > uninstall.sh")]
    Kubernetes(KubernetesRemoval),
}

/// The arguments after an engine's name: the engine's own, those that every engine has, and `More`,
/// which only one of the commands has.
#[derive(Debug, Args)]
pub(super) struct EngineArguments<Own: Args, More: Args> {
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    telling: Telling,
    #[command(flatten)]
    more: More,
}

/// Whether it is done, and how that is told.
#[derive(Debug, Args)]
pub(super) struct Telling {
    /// Show what would be done, without changing anything
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print it as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PolicyArgument {
    /// Policy for the runtime's containers: /etc/boundary/policies/NAME.yaml
    #[arg(long, value_name = "NAME", default_value = DEFAULT_POLICY)]
    pub(super) policy: PolicyName,
    /// enforce, or observe: let what no rule allows pass, and record what would have allowed it
    #[arg(long, value_name = "MODE", default_value = "enforce", value_parser = mode)]
    pub(super) mode: Mode,
}

fn mode(word: &str) -> Result<Mode, String> {
    Mode::parse(word).ok_or_else(|| "expected enforce or observe".to_owned())
}

#[derive(Debug, Args)]
pub(super) struct PurgeArgument {
    /// Remove policies, settings and records, too; refused while containers need them
    #[arg(long)]
    pub(super) purge: bool,
}

/// What only `uninstall containerd` takes.
#[derive(Debug, Args)]
pub(super) struct ContainerdUninstall {
    #[command(flatten)]
    pub(super) purge: PurgeArgument,
    /// Also while containers run, which can be neither restarted nor entered then
    #[arg(long)]
    pub(super) force: bool,
}

/// What only `install docker` takes.
#[derive(Debug, Args)]
pub(super) struct DockerInstall {
    #[command(flatten)]
    pub(super) policy: PolicyArgument,
    /// Restart dockerd if it has to reread `dns`; refused if that would stop containers
    #[arg(long)]
    restart: bool,
    /// Make it Docker's default: the runtime of all containers for which none is named
    #[arg(long)]
    set_as_default: bool,
}

impl DockerInstall {
    pub(super) fn applied_to(&self, mut target: InstallTarget) -> InstallTarget {
        if let Engine::Docker(docker) = &mut target.engine {
            docker.restart = self.restart;
            docker.as_default = self.set_as_default;
        }
        target
    }
}

#[derive(Debug, Args)]
pub(super) struct DockerWords {
    /// Name of the runtime, as in `docker run --runtime=NAME`
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// dockerd's configuration file (its --config-file)
    #[arg(long, value_name = "FILE", default_value = dockerd::DEFAULT_CONFIG)]
    daemon_config: PathBuf,
}

/// Which runtime of which containerd.
#[derive(Debug, Args)]
pub(in crate::cli) struct ContainerdWords {
    /// Name of the runtime, as in a RuntimeClass's handler
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// containerd's configuration file (its --config)
    #[arg(long, value_name = "FILE", default_value = containerd::DEFAULT_CONFIG)]
    config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct PodmanWords {
    /// Name of the runtime, as in `podman --runtime=NAME`
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// podman's drop-in directory, beside containers.conf
    #[arg(long, value_name = "FOLDER", default_value = drop_in::PODMAN_FOLDER)]
    folder: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CrioWords {
    /// Name of the runtime, as in a RuntimeClass's handler
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// CRI-O's drop-in directory, beside crio.conf (its --config-dir)
    #[arg(long, value_name = "FOLDER", default_value = drop_in::CRIO_FOLDER)]
    folder: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct KubernetesWords {
    /// Name of the RuntimeClass, as in a pod's runtimeClassName
    #[arg(long, default_value = "boundary")]
    pub(super) name: RuntimeName,
    #[command(flatten)]
    pub(super) policy: PolicyArgument,
    /// Image that contains this program; the output says how to build it
    #[arg(long, default_value = concat!("boundary-shim:", env!("CARGO_PKG_VERSION")))]
    pub(super) image: Image,
    /// containerd's configuration file on the nodes (its --config)
    #[arg(long, value_name = "FILE", default_value = containerd::DEFAULT_CONFIG)]
    config: NodePath,
    /// systemd unit on the nodes that starts containerd
    #[arg(long, value_name = "UNIT", default_value = "containerd")]
    restart_unit: NodeUnit,
    /// Directory for this program on the nodes: writable, and for root alone
    #[arg(long, value_name = "DIR", default_value = "/usr/local/bin")]
    directory: NodePath,
    /// Pass it to `kubectl apply` instead of printing it
    #[arg(long)]
    pub(super) apply: bool,
}

#[derive(Debug, Args)]
pub(super) struct KubernetesRemoval {
    /// Name of the RuntimeClass
    #[arg(long, default_value = "boundary")]
    pub(super) name: RuntimeName,
}

impl KubernetesWords {
    pub(super) fn layout(&self) -> NodeLayout {
        NodeLayout {
            config: self.config.clone(),
            unit: self.restart_unit.clone(),
            directory: self.directory.clone(),
        }
    }
}

/// What an engine's own arguments mean.
pub(in crate::cli) struct InstallTarget {
    pub(in crate::cli) engine: Engine,
    pub(in crate::cli) name: RuntimeName,
    /// A command that uses the runtime, where there is one.
    pub(super) example: Option<String>,
}

impl<Own: Args + Into<InstallTarget>, More: Args> EngineArguments<Own, More> {
    /// The target, how it is told, and the rest.
    pub(super) fn meant(self) -> (InstallTarget, Telling, More) {
        (self.own.into(), self.telling, self.more)
    }
}

impl From<DockerWords> for InstallTarget {
    fn from(words: DockerWords) -> Self {
        let example = Some(format!(
            "docker run --rm --runtime={} IMAGE COMMAND",
            words.name
        ));
        Self {
            engine: Engine::Docker(Docker::reading(words.daemon_config)),
            name: words.name,
            example,
        }
    }
}

impl From<ContainerdWords> for InstallTarget {
    fn from(words: ContainerdWords) -> Self {
        Self {
            engine: Engine::Containerd(Containerd::reading(words.config)),
            name: words.name,
            example: None,
        }
    }
}

impl From<PodmanWords> for InstallTarget {
    fn from(words: PodmanWords) -> Self {
        let example = Some(format!(
            "podman --runtime={} run --rm IMAGE COMMAND",
            words.name
        ));
        let engine = Engine::DropIn(DropIn {
            reader: DropInReader::Podman,
            folder: words.folder,
        });
        Self {
            engine,
            name: words.name,
            example,
        }
    }
}

impl From<CrioWords> for InstallTarget {
    fn from(words: CrioWords) -> Self {
        let engine = Engine::DropIn(DropIn {
            reader: DropInReader::Crio,
            folder: words.folder,
        });
        Self {
            engine,
            name: words.name,
            example: None,
        }
    }
}
