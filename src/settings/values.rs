//! What the configuration file can say, and the defaults.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::LevelFilter;

use crate::policy::{DeniedNames, Mode, PolicyName};
use crate::seccomp::tier::Tier;

/// Where administrators' files are.
pub const DIRECTORY: &str = "/etc/boundary";
/// Where records are, unless the configuration names another folder.
pub const DEFAULT_AUDIT: &str = "/var/log/boundary";
/// The configuration file where no other is named.
pub const DEFAULT_FILE: &str = "/etc/boundary/config.toml";
/// The directory of the policies that belong to [`DEFAULT_FILE`].
pub const DEFAULT_POLICIES: &str = "/etc/boundary/policies";
/// The directory of the presets that belong to [`DEFAULT_FILE`].
const DEFAULT_PRESETS: &str = "/etc/boundary/presets.d";

/// What the administrator decided, with defaults for the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `runtime`: the real runtime: a name to be found in PATH, an absolute path, or `embedded`.
    /// None: what the host has.
    pub runtime: Option<PathBuf>,
    /// The file that they were read from, whether or not there is one: an absolute path.
    pub file: PathBuf,
    /// `policy`: the policy of containers for which no other was chosen.
    pub policy: PolicyName,
    /// Directory of the policies: `policies` beside the configuration file.
    pub policies: PathBuf,
    /// Directory of the administrator's presets: `presets.d` beside the configuration file.
    pub presets: PathBuf,
    /// The files of the layers that narrow every policy: those in `ceiling.d` beside the configuration
    /// file, in order.
    pub layers: Vec<PathBuf>,
    /// `reload`.
    pub reload: Reload,
    /// `resolvers`: the DNS servers that the proxy asks, in order. Empty: the caller finds them
    /// out.
    pub resolvers: Vec<SocketAddr>,
    /// `extra-ca`: files with roots, besides the host's, that servers are verified with where TLS is
    /// intercepted.
    pub extra_ca: Vec<PathBuf>,
    /// `container-resolvers`: which servers of `docker run --dns` the proxy may ask.
    pub container_resolvers: ContainerResolvers,
    /// `preserved-sockets`.
    pub preserved_sockets: PreservedSockets,
    /// `audit-directory`: where the records are written.
    pub audit_directory: PathBuf,
    /// `record-labels`: which of a container's labels are in its record.
    pub record_labels: Vec<String>,
    /// `audit-keep`: how long the record of a container is kept after its end. None: for ever.
    pub audit_keep: Option<Duration>,
    /// `user-namespace`.
    pub user_namespace: UserNamespace,
    /// `privileged`.
    pub privileged: Privileged,
    /// `boundary-mounts`.
    pub boundary_mounts: BoundaryMounts,
    /// `host-network`.
    pub host_network: HostNetwork,
    /// `net-devices`.
    pub net_devices: NetDevices,
    /// `rdma-devices`.
    pub rdma_devices: RdmaDevices,
    /// `nesting`: what a container may nest inside itself. None: what it could without us.
    pub nesting: Option<Tier>,
    /// `pod-nesting`: in which pods `nesting` applies.
    pub pod_nesting: PodNesting,
    /// `pod-capabilities`.
    pub pod_capabilities: PodCapabilities,
    /// `proxy-memory`: bytes that one container's filter may use, those of its sockets included.
    pub proxy_memory: u64,
    /// `dns-rate-limit`: queries a second that one container's filter answers over a longer time.
    pub dns_rate_limit: NonZeroU32,
    /// `denied-names`: how questions for denied names are answered.
    pub denied_names: DeniedNames,
    /// `denied-note`: a sentence of the administrator's, for whoever is denied something.
    pub denied_note: Option<String>,
    /// `log-level`: less severe messages are not written.
    pub log_level: LevelFilter,
    /// `[annotations]`.
    pub annotations: Annotations,
}

impl Settings {
    /// The file of these settings, where it isn't the usual one.
    #[must_use]
    pub fn other_file(&self) -> Option<PathBuf> {
        (self.file != Path::new(DEFAULT_FILE)).then(|| self.file.clone())
    }

    /// The directory of the layers that narrow every policy: `ceiling.d` beside the configuration file.
    #[must_use]
    pub fn layers_directory(&self) -> PathBuf {
        self.file.with_file_name("ceiling.d")
    }

    /// What a container may nest. `pod`: the Kubernetes namespace of the pod that it belongs to, if
    /// it belongs to one.
    #[must_use]
    pub fn nesting_in(&self, pod: Option<&str>) -> Option<Tier> {
        let open = pod.is_none_or(|namespace| match &self.pod_nesting {
            PodNesting::Off => false,
            PodNesting::All => true,
            PodNesting::Namespaces(open) => open.iter().any(|listed| listed == namespace),
        });
        self.nesting.filter(|_| open)
    }
}

/// When running containers get what has changed in policies' files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reload {
    /// `manual`: by `policy reload`.
    #[default]
    Manual,
    /// `auto`: once a file was changed.
    Auto,
}

/// Which containers get a user namespace of their own. It bounds the capabilities that reach beyond
/// a container (CAP_NET_ADMIN, CAP_SYS_ADMIN, ...), with which it could otherwise act around the
/// filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UserNamespace {
    /// `auto`: those with such a capability. One that can't get it (the host has user namespaces
    /// switched off, or its network was made outside of one) isn't started.
    #[default]
    Auto,
    /// `require`: every container, whatever its capabilities; or it isn't started.
    Require,
    /// `never`: none. Such capabilities are taken away, and the container starts without them.
    Never,
}

/// Which DNS servers that were named for one container the proxy may ask: a server of somebody
/// else's learns every name that is asked for, and the labels in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ContainerResolvers {
    /// `known`: those that the host's own configuration names too.
    #[default]
    Known,
    /// `any`: all.
    Any,
}

/// What happens to network sockets that are handed to a container (`--preserve-fds`, `LISTEN_FDS`):
/// they are of the network where they were made, past the filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PreservedSockets {
    /// `refuse`: nothing is started.
    #[default]
    Refuse,
    /// `allow`: the container gets them.
    Allow,
}

/// What happens to `--privileged` containers, and to those that share the host's pid namespace:
/// they can act through the host's devices or processes, whatever happens to their packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Privileged {
    /// `refuse`: not started.
    #[default]
    Refuse,
    /// `allow`: started and filtered like others, though the filter holds them only as long as they
    /// respect it.
    Allow,
}

/// What happens to containers that are given files of this program's: its state, with the control
/// sockets of gateways, its settings, the record; or a folder above them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BoundaryMounts {
    /// `refuse`: not started.
    #[default]
    Refuse,
    /// `allow`: they get them.
    Allow,
}

/// What happens to containers that ask for the host's network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HostNetwork {
    /// `filter`: a network of their own, from which the proxy dials as the host.
    #[default]
    Filter,
    /// `refuse`: not started.
    Refuse,
}

/// What happens to containers that are given network devices of the host's (`linux.netDevices`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NetDevices {
    /// `refuse`: not started.
    #[default]
    Refuse,
    /// `adopt`: the devices become the gateway's, like the engine's interfaces.
    Adopt,
}

/// What happens to containers that are given RDMA devices: what they send goes from their memory to
/// the hardware, past the kernel's network and the filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RdmaDevices {
    /// `refuse`: not started.
    #[default]
    Refuse,
    /// `allow`: they get them.
    Allow,
}

/// In which pods a container gets what `nesting` gives. A cluster admits a pod by what stands in
/// it, and this is added after that: the runtime class would be a way around the rules of the
/// cluster, for everybody who may name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PodNesting {
    /// `off`: in none.
    #[default]
    Off,
    /// `all`: in every pod.
    All,
    /// A list: in the pods of these Kubernetes namespaces.
    Namespaces(Vec<String>),
}

/// What happens to a pod's container that asks for capabilities which reach beyond it, where its pod
/// has no user namespace that would bound them (`hostUsers: false`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PodCapabilities {
    /// `refuse`: not started.
    #[default]
    Refuse,
    /// `drop`: started without them; its record says which. A privileged one isn't started: it has
    /// the host's devices and files, too.
    Drop,
}

/// What a container's annotations may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotations {
    /// `policies`: what `boundary.policy` may name.
    pub policies: Vec<PolicyName>,
    /// `modes`: what `boundary.mode` may be.
    pub modes: Vec<Mode>,
    /// `ceiling`: the policy that limits `boundary.allow`; without one, `boundary.allow` isn't
    /// allowed.
    pub ceiling: Option<PolicyName>,
}

/// The default of `proxy-memory`.
const PROXY_MEMORY: u64 = 64 << 20;
/// The default of `dns-rate-limit`: a busy crawler asks some hundreds.
const DNS_RATE_LIMIT: u32 = 2000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            runtime: None,
            file: PathBuf::from(DEFAULT_FILE),
            policy: PolicyName::parse("default").expect("a policy's name by its form"),
            policies: PathBuf::from(DEFAULT_POLICIES),
            presets: PathBuf::from(DEFAULT_PRESETS),
            layers: Vec::new(),
            reload: Reload::default(),
            resolvers: Vec::new(),
            extra_ca: Vec::new(),
            container_resolvers: ContainerResolvers::default(),
            preserved_sockets: PreservedSockets::default(),
            audit_directory: PathBuf::from(DEFAULT_AUDIT),
            record_labels: Vec::new(),
            audit_keep: None,
            user_namespace: UserNamespace::default(),
            privileged: Privileged::default(),
            boundary_mounts: BoundaryMounts::default(),
            host_network: HostNetwork::default(),
            net_devices: NetDevices::default(),
            rdma_devices: RdmaDevices::default(),
            nesting: Some(Tier::Nsjail),
            pod_nesting: PodNesting::default(),
            pod_capabilities: PodCapabilities::default(),
            proxy_memory: PROXY_MEMORY,
            dns_rate_limit: NonZeroU32::new(DNS_RATE_LIMIT).expect("not zero"),
            denied_names: DeniedNames::default(),
            denied_note: None,
            log_level: LevelFilter::Info,
            annotations: Annotations {
                policies: Vec::new(),
                modes: vec![Mode::Enforce],
                ceiling: None,
            },
        }
    }
}
