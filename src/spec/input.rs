//! What the rewrite must know about host, bundle and settings: plain values, looked up beforehand
//! by `runtime/create.rs` (or the hook) through `prepare`.

use super::mounts::HostFiles;
use super::user_namespace::binds::BindSource;
use crate::apparmor::Confinement;
use crate::host::Host;
use crate::policy::Exit;
use crate::seccomp::tier::Tier;
use crate::settings::{
    BoundaryMounts, HostNetwork, NetDevices, PodCapabilities, Privileged, RdmaDevices,
    UserNamespace,
};

/// What the host, the bundle's past and the administrator's settings say about one container.
#[derive(Debug)]
pub struct RewriteInput {
    /// What the network namespace is that the spec names by path; none where it names no path.
    pub place: Option<NetworkOrigin>,
    /// Whether an earlier rewrite of this very bundle turned the host's network into a private one.
    pub was_host: bool,
    /// Whether the user namespace that the spec names by path is the host's own.
    pub host_user_namespace: bool,
    /// Whether the pid namespace that the spec names by path is the host's own.
    pub host_processes: bool,
    /// Whether the runtime was told to change the root without `pivot_root`.
    pub no_pivot: bool,
    /// What the host has where the spec names something of the host's.
    pub host_side: HostSide,
    /// The host's files that the container would see, and this program's own.
    pub host_files: HostFiles,
    /// What to do where the container would see this program's own.
    pub boundary_mounts: BoundaryMounts,
    /// What the host's kernel lets a container nest.
    pub host: Host,
    /// What AppArmor does to a container that is to nest.
    pub confinement: Confinement,
    /// What to do about the host's network.
    pub host_network: HostNetwork,
    /// When a container gets a user namespace.
    pub user_namespace: UserNamespace,
    /// What to do about capabilities that nothing bounds in a pod.
    pub pod_capabilities: PodCapabilities,
    /// What to do about network devices that the runtime is to move in.
    pub net_devices: NetDevices,
    /// What to do about RDMA devices.
    pub rdma_devices: RdmaDevices,
    /// What to do about privileged containers.
    pub privileged: Privileged,
    /// What the container may nest, if anything.
    pub nesting: Option<Tier>,
    /// Where the real runtime treats a spec differently from runc.
    pub quirks: RuntimeQuirks,
}

/// What the host has where a spec names something of the host's: plain values, looked up beforehand
/// by `prepare`.
#[derive(Debug, Clone, Default)]
pub struct HostSide {
    /// Where the bind mounts come from, by their place in the list of mounts; none where the host
    /// has nothing there.
    pub binds: Vec<Option<BindSource>>,
    /// The path of the first listed device that the host doesn't have there.
    pub absent_device: Option<String>,
    /// The path of the first listed device that is the host's but for its mode or owner.
    pub other_device: Option<String>,
    /// A file system of the kernel's, parts of which are covered wherever the host has it mounted:
    /// it can't be mounted anew (`mount_namespaces(7)`).
    pub covered: Option<&'static str>,
}

/// How a real runtime treats a spec, where that differs from runc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeQuirks {
    /// It gives every container a user namespace of its own.
    pub adds_user_namespace: bool,
    /// It lets a process keep the capability sets that the spec doesn't mention (libcontainer; runc
    /// empties them), and can't load a seccomp filter where `noNewPrivileges` is written out as
    /// false.
    pub keeps_missing_capabilities: bool,
    /// In a user namespace, it mounts what is bound as it is on the host, without the options that
    /// ask for more and the mounts below (crun 1.8.1; 1.28 doesn't), and devices with another mode.
    pub binds_as_on_host: bool,
}

impl RuntimeQuirks {
    /// runc's own.
    pub const RUNC: Self = Self {
        adds_user_namespace: false,
        keeps_missing_capabilities: false,
        binds_as_on_host: false,
    };
}

/// What a network namespace that the spec names by path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkOrigin {
    /// The host's own.
    Host,
    /// It has a live gateway.
    Filtered {
        /// From where that gateway's connections leave.
        exit: Exit,
        /// The user namespace of the container that brought the gateway, where that one has its
        /// own.
        owner: Option<OwnerNamespace>,
    },
    /// Made beforehand and empty: the engine made it for this container.
    Free,
    /// Processes run in it, unfiltered.
    InUse,
}

/// The user namespace of a gateway's first container, as a joining container's spec must name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerNamespace {
    /// `/proc/PID/ns/user`.
    pub path: String,
    /// Its `uid_map`: ID in the container, ID on the host, size.
    pub uid_map: Vec<[u64; 3]>,
    /// Its `gid_map`.
    pub gid_map: Vec<[u64; 3]>,
}
