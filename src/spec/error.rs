//! Why a spec is refused.

use std::path::Path;

use crate::escape::{MAX_PATH_SHOWN, clean};

/// Why a spec is refused. Whoever reads it started the container: each says what would help. The
/// `String` of those about a user namespace says what needs one, as "CAP_X reaches beyond the
/// container".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A key that Go's reader would match with a known one.
    #[error("the key {found} differs from {known} only in case, and runtimes read both")]
    AmbiguousKey {
        /// The key as written, quoted.
        found: String,
        /// What it would be taken for.
        known: &'static str,
    },
    /// A value has another JSON type than the specification says.
    #[error("{0} must be {1}")]
    Type(&'static str, &'static str),
    /// A namespace type stands twice.
    #[error("the {0} namespace is listed twice")]
    TwiceListed(&'static str),
    /// `host-network = "refuse"`.
    #[error(
        "the host's network is not allowed here (host-network = \"refuse\" in the host's configuration)"
    )]
    HostNetwork,
    /// It would be in the root control group, which every process is in.
    #[error("cgroupsPath names the root control group: name one below it, or leave it out")]
    RootGroup,
    /// It joins a namespace that nobody filters.
    #[error(
        "can't join a network namespace that is in use and has no gateway: start its first container with this runtime"
    )]
    Unfiltered,
    /// Our own marker, set by somebody else.
    #[error("the annotation {0} is reserved for this runtime and can't be set")]
    Marker(&'static str),
    /// A privileged container.
    #[error(
        "privileged containers can bypass the filter: drop --privileged, or set privileged = \"allow\" in the host's configuration"
    )]
    Privileged,
    /// A privileged container of a pod.
    #[error(
        "privileged containers can bypass the filter by the node's devices and files, whatever their capabilities: ask for single capabilities instead of privileged: true (kubectl debug: another --profile than sysadmin), or set privileged = \"allow\" in the node's config.toml, and with it pod-capabilities = \"drop\" or, in the pod, hostUsers: false"
    )]
    PrivilegedPod,
    /// It would share the host's processes.
    #[error(
        "in the host's pid namespace the container can act through the host's processes: drop --pid=host, or set privileged = \"allow\" in the host's configuration"
    )]
    HostProcesses,
    /// It would share the host's mounts.
    #[error(
        "without a mount namespace of its own the container can reach the host's files: give it one, or set privileged = \"allow\" in the host's configuration"
    )]
    HostMounts,
    /// `net-devices = "refuse"`.
    #[error(
        "the network device {0} (linux.netDevices) would lead out of the container past the filter: leave it out, or set net-devices = \"adopt\" in the host's configuration to have it filtered like the container's other interfaces"
    )]
    NetDevice(String),
    /// Nobody would adopt it before programs in that network see it.
    #[error(
        "the network device {0} (linux.netDevices) can only be moved to a network that the container brings itself: give it to the first container of the pod, or a network of its own to this one"
    )]
    NetDeviceElsewhere(String),
    /// `rdma-devices = "refuse"`.
    #[error(
        "{0} gives the container RDMA, whose traffic no packet filter sees: drop it, or set rdma-devices = \"allow\" in the host's configuration"
    )]
    RdmaDevice(String),
    /// It would see this program's files.
    #[error(
        "{given} would show the container {own}, by which it could change how it is filtered: mount something narrower, or set boundary-mounts = \"allow\" in the host's configuration"
    )]
    BoundaryMount {
        /// What the spec gives it.
        given: String,
        /// What it would see.
        own: String,
    },
    /// The capabilities need a user namespace, and there are none.
    #[error(
        "{0}, and the host has user namespaces switched off: set sysctl user.max_user_namespaces, or user-namespace = \"never\" to run without one"
    )]
    NoUserNamespaces(String),
    /// The capabilities need a user namespace, and the network namespace was made by somebody else.
    #[error(
        "{0}, and its network namespace was created outside of a user namespace: drop it, or set user-namespace = \"never\" to run without a user namespace"
    )]
    PremadeNetwork(String),
    /// The capabilities need a user namespace, and the one it joins has none.
    #[error(
        "{0}, and the container whose network it joins has no user namespace to share: give that one the capability too (to a pod, hostUsers: false), or drop it here"
    )]
    OwnerUnbounded(String),
    /// The capabilities need a user namespace, and the pod has none.
    #[error(
        "{0}, and its pod has no user namespace that would bound it: set hostUsers: false in the pod (with containerd: 2 or newer), or pod-capabilities = \"drop\" in the node's config.toml to start its containers without such capabilities"
    )]
    PodUnbounded(String),
    /// The capabilities need a user namespace, and a namespace of this kind comes from outside of
    /// it.
    #[error(
        "{0}, and the user namespace that would bound it can't share the {1} namespace of the host or of another container: drop one or the other"
    )]
    SharedNamespaces(String, &'static str),
    /// The capabilities need a user namespace, and the root is changed without `pivot_root`.
    #[error(
        "{0}, and in the user namespace that would bound it --no-pivot leaves the host's /proc within reach: drop one or the other"
    )]
    NoPivot(String),
    /// The capabilities need a user namespace, and a device isn't available in one.
    #[error(
        "{0}, and the device {1} is not available in the user namespace that would bound it, because the host has no such device at that path: drop one or the other, or use the host's own path for the device"
    )]
    AbsentDevice(String, String),
    /// The capabilities need a user namespace, and it is too late for one.
    #[error(
        "{0}, and a hook can neither drop it nor bound it: drop it, give the container a user namespace of its own, or run it with boundary-shim as its runtime"
    )]
    TooLate(String),
    /// The spec's user namespace is the host's or is shared with strangers.
    #[error(
        "{0}, and its user namespace is the host's or another container's: give it one of its own"
    )]
    SharedUserNamespace(String),
}

impl SpecError {
    /// [`SpecError::BoundaryMount`], for people to read: a path may hold anything.
    pub(crate) fn boundary_mount(given: &Path, own: &Path) -> Self {
        Self::BoundaryMount {
            given: clean(&given.to_string_lossy(), MAX_PATH_SHOWN),
            own: own.display().to_string(),
        }
    }
}
