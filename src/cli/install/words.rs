//! The words of `install` and `uninstall`, and what they mean: an engine, a runtime's name, and
//! how.
//!
//! Owns help and defaults. Must not know what is done with them. To remember: what follows `docker`
//! is the same after both commands, but for `--policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::dockerd;
use crate::integrate::Engine;
use crate::integrate::binary::DEFAULT_POLICY;
use crate::integrate::containerd::{self, Containerd};
use crate::integrate::docker::Docker;
use crate::integrate::drop_in::{self, DropIn, Reader};
use crate::integrate::kubernetes::Image;
use crate::integrate::runtime_name::RuntimeName;
use crate::policy::PolicyName;

/// `install ENGINE`.
#[derive(Debug, Args)]
pub struct InstallArguments {
    #[command(subcommand)]
    pub(super) engine: InstallEngine,
}

#[derive(Debug, Subcommand)]
pub(super) enum InstallEngine {
    /// Add the runtime to dockerd's daemon.json, and tell a running dockerd
    Docker(Words<DockerWords, DockerInstall>),
    /// Add the runtime to containerd's configuration, for Kubernetes
    Containerd(Words<ContainerdWords, Policy>),
    /// Add the runtime to podman's configuration
    Podman(Words<PodmanWords, Policy>),
    /// Add the runtime to CRI-O's configuration, for Kubernetes
    Crio(Words<CrioWords, Policy>),
    /// Print a RuntimeClass, a DaemonSet that does `install containerd` on nodes, and a pod to try
    /// it
    Kubernetes(KubernetesWords),
}

/// `uninstall ENGINE`.
#[derive(Debug, Args)]
pub struct UninstallArguments {
    #[command(subcommand)]
    pub(super) engine: UninstallEngine,
}

#[derive(Debug, Subcommand)]
pub(super) enum UninstallEngine {
    /// Take the runtime out of dockerd's daemon.json, and tell a running dockerd
    Docker(Words<DockerWords>),
    /// Take the runtime out of containerd's configuration
    Containerd(Words<ContainerdWords>),
    /// Take the runtime out of podman's configuration
    Podman(Words<PodmanWords>),
    /// Take the runtime out of CRI-O's configuration
    Crio(Words<CrioWords>),
}

/// What follows an engine: the words that are its own, and those that every engine has; `More` is
/// what one command has more.
#[derive(Debug, Args)]
pub(super) struct Words<Own: Args, More: Args = ()> {
    #[command(flatten)]
    own: Own,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    more: More,
}

#[derive(Debug, Args)]
pub(super) struct Policy {
    /// Policy that the runtime follows: /etc/boundary/policies/NAME.yaml
    #[arg(long, value_name = "NAME", default_value = DEFAULT_POLICY)]
    pub(super) policy: PolicyName,
}

/// What `install docker` has more.
#[derive(Debug, Args)]
pub(super) struct DockerInstall {
    #[command(flatten)]
    pub(super) policy: Policy,
    /// Restart dockerd where it has to read `dns`; refused where that would stop containers
    #[arg(long)]
    restart: bool,
}

impl DockerInstall {
    pub(super) fn applied_to(&self, mut target: Target) -> Target {
        if let Engine::Docker(docker) = &mut target.engine {
            docker.restart = self.restart;
        }
        target
    }
}

#[derive(Debug, Args)]
pub(super) struct DockerWords {
    /// What `docker run --runtime=` takes
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// The file that dockerd reads (its --config-file)
    #[arg(long, value_name = "FILE", default_value = dockerd::DEFAULT_CONFIG)]
    daemon_config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ContainerdWords {
    /// What a RuntimeClass names as its handler
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// The file that containerd reads (its --config)
    #[arg(long, value_name = "FILE", default_value = containerd::DEFAULT_CONFIG)]
    config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct PodmanWords {
    /// What `podman --runtime=` takes
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// The folder of files beside containers.conf
    #[arg(long, value_name = "FOLDER", default_value = drop_in::PODMAN_FOLDER)]
    folder: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CrioWords {
    /// What a RuntimeClass names as its handler
    #[arg(long, default_value = "boundary")]
    name: RuntimeName,
    /// The folder of files beside crio.conf (crio's --config-dir)
    #[arg(long, value_name = "FOLDER", default_value = drop_in::CRIO_FOLDER)]
    folder: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct KubernetesWords {
    /// What pods name as their runtimeClassName
    #[arg(long, default_value = "boundary")]
    pub(super) name: RuntimeName,
    /// Policy that the runtime follows: /etc/boundary/policies/NAME.yaml on the nodes
    #[arg(long, value_name = "NAME", default_value = DEFAULT_POLICY)]
    pub(super) policy: PolicyName,
    /// Image with this program, made as the output says
    #[arg(long, default_value = concat!("boundary-shim:", env!("CARGO_PKG_VERSION")))]
    pub(super) image: Image,
    /// Hand it to `kubectl apply` instead
    #[arg(long)]
    pub(super) apply: bool,
}

/// What an engine's own words mean.
pub(super) struct Target {
    pub(super) engine: Engine,
    pub(super) name: RuntimeName,
    /// How the runtime is used, where that is one command.
    pub(super) example: Option<String>,
}

impl<Own: Args + Into<Target>, More: Args> Words<Own, More> {
    /// What is meant, whether it is a dry run, and the rest.
    pub(super) fn meant(self) -> (Target, bool, More) {
        (self.own.into(), self.dry_run, self.more)
    }
}

impl From<DockerWords> for Target {
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

impl From<ContainerdWords> for Target {
    fn from(words: ContainerdWords) -> Self {
        Self {
            engine: Engine::Containerd(Containerd::reading(words.config)),
            name: words.name,
            example: None,
        }
    }
}

impl From<PodmanWords> for Target {
    fn from(words: PodmanWords) -> Self {
        let example = Some(format!(
            "podman --runtime={} run --rm IMAGE COMMAND",
            words.name
        ));
        let engine = Engine::DropIn(DropIn {
            reader: Reader::Podman,
            folder: words.folder,
        });
        Self {
            engine,
            name: words.name,
            example,
        }
    }
}

impl From<CrioWords> for Target {
    fn from(words: CrioWords) -> Self {
        let engine = Engine::DropIn(DropIn {
            reader: Reader::Crio,
            folder: words.folder,
        });
        Self {
            engine,
            name: words.name,
            example: None,
        }
    }
}
