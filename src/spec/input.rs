//! What the rewrite must know of host and administrator: looked up by `prepare`, plain values here.

use super::mounts::HostFiles;
use crate::apparmor::Confinement;
use crate::host::Host;
use crate::policy::Exit;
use crate::seccomp::tier::Tier;
use crate::settings::{BoundaryMounts, HostNetwork, Privileged, UserNamespace};

/// What the host and its administrator say about one container.
#[derive(Debug)]
pub struct RewriteInput {
    /// Where the network namespace that the spec names is found; none where the spec names none by
    /// path.
    pub place: Option<NetworkOrigin>,
    /// Whether an earlier rewrite of this very bundle turned the host's network into a private one.
    pub was_host: bool,
    /// Whether the user namespace that the spec names by path is the host's own.
    pub host_user_namespace: bool,
    /// Whether the runtime was told to change the root without `pivot_root`.
    pub no_pivot: bool,
    /// A device that the spec lists and the host hasn't got at that path: it can't be had in a user
    /// namespace.
    pub absent_device: Option<String>,
    /// What the container would be given of the host's files.
    pub host_files: HostFiles,
    /// What to do where this program's own are among them.
    pub boundary_mounts: BoundaryMounts,
    /// What the host's kernel lets a container nest.
    pub host: Host,
    /// What AppArmor makes of a container that is to nest.
    pub confinement: Confinement,
    /// What to do about the host's network.
    pub host_network: HostNetwork,
    /// When a container gets a user namespace.
    pub user_namespace: UserNamespace,
    /// What to do about privileged containers.
    pub privileged: Privileged,
    /// What the container may nest inside of itself.
    pub nesting: Option<Tier>,
    /// What the real runtime makes of a spec.
    pub quirks: RuntimeQuirks,
}

/// What a real runtime makes of a spec, where that isn't what runc does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeQuirks {
    /// It gives every container a user namespace of its own.
    pub adds_user_namespace: bool,
    /// It ignores the conditions on arguments in seccomp profiles, so that there is nothing to
    /// patch.
    pub drops_seccomp_arguments: bool,
    /// It lets a process keep the capability sets that the spec doesn't mention (libcontainer; runc
    /// empties them), and can't load a seccomp filter where `noNewPrivileges` is written out as
    /// false.
    pub keeps_missing_capabilities: bool,
}

impl RuntimeQuirks {
    /// runc's own.
    pub const RUNC: Self = Self {
        adds_user_namespace: false,
        drops_seccomp_arguments: false,
        keeps_missing_capabilities: false,
    };
}

/// Where a network namespace that the spec names by path is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkOrigin {
    /// It is the host's own.
    Host,
    /// It has a live gateway.
    Filtered {
        /// From where that gateway's connections leave.
        exit: Exit,
        /// The user namespace of the container that brought the gateway, where that one has its
        /// own.
        owner: Option<OwnerNamespace>,
    },
    /// It was made beforehand and nobody is in it: the engine's, for this container.
    Free,
    /// Somebody is in it, unfiltered.
    InUse,
}

/// The user namespace of a gateway's first container, as a joiner must write it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerNamespace {
    /// `/proc/PID/ns/user`.
    pub path: String,
    /// Its `uid_map`: container id, host id, size.
    pub uid_map: Vec<[u64; 3]>,
    /// Its `gid_map`.
    pub gid_map: Vec<[u64; 3]>,
}
