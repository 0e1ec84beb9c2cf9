//! The rewrite of a container's `config.json`: pure edits on the JSON tree, which say what came of
//! them.
//!
//! Nothing here does I/O: what must be looked up on the host comes in as a [`Situation`]. Typed
//! models of the OCI specification lose unknown fields and refuse new words, hence the raw tree.

pub mod capabilities;
pub mod cgroup;
pub mod hooks;
pub mod identity;
pub mod keys;
pub mod mounts;
pub mod nesting;
pub mod network;
pub mod pod;
pub mod podman;
pub mod user_namespace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use nesting::Nesting;
pub use network::Place;

use crate::apparmor::Confinement;
use crate::escape::{MAX_PATH_SHOWN, clean};
use crate::host::Host;
use crate::plan::{Exit, GatewayOwner};
use crate::seccomp::tier::Tier;
use crate::settings::{BoundaryMounts, HostNetwork, Privileged, UserNamespace};
use mounts::HostFiles;

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// What the host and its administrator say about one container.
#[derive(Debug)]
pub struct Situation<'a> {
    /// Where the network namespace that the spec names is found; none where the spec names none by
    /// path.
    pub place: Option<Place>,
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
    pub habits: Habits,
    /// This program, absolute: what the hook runs.
    pub program: &'a str,
}

/// What a real runtime makes of a spec, where that isn't what runc does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
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

impl Habits {
    /// runc's own.
    pub const RUNC: Self = Self {
        adds_user_namespace: false,
        drops_seccomp_arguments: false,
        keeps_missing_capabilities: false,
    };
}

/// What the rewrite decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whose gateway filters the container.
    pub gateway: GatewayOwner,
    /// From where allowed connections leave.
    pub exit: Exit,
    /// Whether a user namespace bounds the container's capabilities.
    pub user_namespace: bool,
    /// What the container may nest.
    pub nesting: Nesting,
}

/// Why a spec is refused. Whoever reads it started the container: each says what would help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A key that Go's reader takes for a known one.
    #[error("the key «{found}» differs from «{known}» only in case, and runtimes read both")]
    AmbiguousKey {
        /// As it stands there.
        found: String,
        /// What it would be taken for.
        known: &'static str,
    },
    /// Something has another JSON type than the specification says.
    #[error("«{0}» is not {1}")]
    Type(&'static str, &'static str),
    /// A namespace type stands twice.
    #[error("the {0} namespace is listed twice")]
    TwiceListed(&'static str),
    /// `host-network = "refuse"`.
    #[error(
        "the host's network is refused here (host-network = \"refuse\" in the host's configuration)"
    )]
    HostNetwork,
    /// It would be in the control group that everybody is in.
    #[error("the control group «cgroupsPath» is the root of all: name one below it, or none")]
    RootGroup,
    /// It joins a namespace that nobody filters.
    #[error(
        "joining a network namespace that is in use and has no gateway: start its first container with this runtime"
    )]
    Unfiltered,
    /// Our own marker, set by somebody else.
    #[error(
        "the annotation {} is this runtime's own and can't be set",
        network::MARKER
    )]
    Marker,
    /// A privileged container.
    #[error(
        "privileged containers reach around every filter: drop --privileged, or set privileged = \"allow\" in the host's configuration"
    )]
    Privileged,
    /// It would share the host's processes.
    #[error(
        "with the host's pid namespace the container can act through the host's processes: drop --pid=host, or set privileged = \"allow\" in the host's configuration"
    )]
    HostProcesses,
    /// It would share the host's mounts.
    #[error(
        "without a mount namespace of its own the container can get at the host's files: give it one, or set privileged = \"allow\" in the host's configuration"
    )]
    HostMounts,
    /// It would see this program's files.
    #[error(
        "{given} would show the container {own}, by which it could be filtered otherwise: mount something narrower, or set boundary-mounts = \"allow\" in the host's configuration"
    )]
    BoundaryMount {
        /// What the spec gives it.
        given: String,
        /// What it would see.
        own: String,
    },
    /// The capabilities need a user namespace, and there are none.
    #[error(
        "{0} reaches beyond the container without a user namespace, and the host has them switched off: set sysctl user.max_user_namespaces, or user-namespace = \"never\" to run without it"
    )]
    NoUserNamespaces(String),
    /// The capabilities need a user namespace, and the network namespace was made by somebody else.
    #[error(
        "{0} reaches beyond the container, and its network namespace was made outside of a user namespace: drop it, or set user-namespace = \"never\" to run without it"
    )]
    PremadeNetwork(String),
    /// The capabilities need a user namespace, and the one it joins has none.
    #[error(
        "{0} reaches beyond the container, and the container whose network it joins has no user namespace to share: give that one the capability too (to a pod, hostUsers: false), or drop it here"
    )]
    OwnerUnbounded(String),
    /// The capabilities need a user namespace, and processes or shared memory come from outside of
    /// it.
    #[error(
        "{0} reaches beyond the container, and the user namespace that would bound it can't share the pid or ipc namespace of the host or of another container: drop the one or the other"
    )]
    SharedNamespaces(String),
    /// The capabilities need a user namespace, and the root is changed without `pivot_root`.
    #[error(
        "{0} reaches beyond the container, and in the user namespace that would bound it --no-pivot leaves the host's /proc within reach: drop the one or the other"
    )]
    NoPivot(String),
    /// The capabilities need a user namespace, and a device can't be had in one.
    #[error(
        "{0} reaches beyond the container, and {1} can't be had in the user namespace that would bound it, as the host has no such device there: drop the one or the other, or give the device the host's own path"
    )]
    AbsentDevice(String, String),
    /// The capabilities need a user namespace, and it is too late for one.
    #[error(
        "{0} reaches beyond the container, and a hook can neither take it away nor bound it: drop it, give the container a user namespace of its own, or run it with boundary-shim as its runtime"
    )]
    TooLate(String),
    /// The spec's user namespace is the host's or is shared with strangers.
    #[error("{0} reaches beyond the container, and its user namespace is not its own")]
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

/// Rewrites a spec.
///
/// # Errors
/// [`SpecError`]; the tree may then be half edited and must not be written.
pub fn rewrite(spec: &mut Value, situation: &Situation<'_>) -> Result<Outcome, SpecError> {
    check(spec)?;
    refuse_privileged(spec, situation.privileged)?;
    mounts::refuse_own(situation)?;
    if situation.habits.keeps_missing_capabilities {
        spec.get_mut("process")
            .map_or(Ok(()), capabilities::spell_out)?;
    }
    let (gateway, exit) = network::edit(spec, situation)?;
    let nesting = nesting::edit(spec, situation)?;
    let user_namespace = user_namespace::edit(spec, situation)?;
    cgroup::edit(spec)?;
    hooks::append(spec, situation.program)?;
    Ok(Outcome {
        gateway,
        exit,
        user_namespace,
        nesting,
    })
}

/// Judges a container whose spec can't be changed any more, because its runtime has read it: as
/// [`rewrite`] would, but what would have to be edited is refused. Says whether a user namespace
/// bounds it. Where its network is, is for the caller to see.
///
/// # Errors
/// [`SpecError`].
pub fn judge(spec: &Value, situation: &Situation<'_>) -> Result<bool, SpecError> {
    check(spec)?;
    refuse_privileged(spec, situation.privileged)?;
    mounts::refuse_own(situation)?;
    user_namespace::judge(spec, situation)
}

/// Checks the keys and types of all that is read here, before anything is believed.
///
/// # Errors
/// [`SpecError::AmbiguousKey`], [`SpecError::Type`].
pub fn check(spec: &Value) -> Result<(), SpecError> {
    let top = spec
        .as_object()
        .ok_or(SpecError::Type("config.json", "an object"))?;
    keys::check(top)?;
    // Annotations are free words; Go reads them into a map, in which case counts.
    object(spec, "annotations")?;
    for section in ["hooks", "linux", "process", "root"] {
        object(spec, section)?.map_or(Ok(()), keys::check)?;
    }
    let linux = spec.get("linux").unwrap_or(&Value::Null);
    let resources = object(linux, "resources")?;
    resources.map_or(Ok(()), keys::check)?;
    for (holder, list) in [
        (Some(top), "mounts"),
        (linux.as_object(), "namespaces"),
        (resources, "devices"),
    ] {
        for entry in holder.map_or(Ok(&[][..]), |holder| array(holder, list))? {
            keys::check(
                entry
                    .as_object()
                    .ok_or(SpecError::Type(list, "a list of objects"))?,
            )?;
        }
    }
    if let Some(seccomp) = object(linux, "seccomp")? {
        keys::check_deep(seccomp)?;
    }
    capabilities::check(spec.get("process").unwrap_or(&Value::Null))
}

/// The annotations, without our own marker.
#[must_use]
pub fn annotations(spec: &Value) -> BTreeMap<String, String> {
    let found = spec.get("annotations").and_then(Value::as_object);
    let texts = found
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    texts.filter(|(key, _)| key != network::MARKER).collect()
}

/// The host's path of what is mounted on `destination`; the last mount there counts, as it covers
/// the others.
#[must_use]
pub fn mounted_on(spec: &Value, bundle: &Path, destination: &Path) -> Option<PathBuf> {
    let mounts = spec.get("mounts")?.as_array()?;
    let text = |mount: &Value, key: &str| mount.get(key)?.as_str().map(PathBuf::from);
    // Comparing paths, not texts, sees through `//` and `/./`.
    let mount = mounts
        .iter()
        .rev()
        .find(|mount| text(mount, "destination").is_some_and(|path| path == destination))?;
    // A relative source is relative to the bundle (config.md#mounts); joining an absolute one gives
    // just that.
    Some(bundle.join(text(mount, "source")?))
}

/// Containers that see the host's devices, processes or mounts can act through them, whatever
/// happens to their packets.
fn refuse_privileged(spec: &Value, setting: Privileged) -> Result<(), SpecError> {
    if setting == Privileged::Allow {
        return Ok(());
    }
    if namespace(spec, "pid")?.is_none() {
        return Err(SpecError::HostProcesses);
    }
    if namespace(spec, "mount")?.is_none() {
        return Err(SpecError::HostMounts);
    }
    let linux = object(spec, "linux")?;
    let unset = |key: &str| {
        linux
            .and_then(|linux| linux.get(key))
            .is_none_or(Value::is_null)
    };
    let everything = spec
        .get("process")
        .is_some_and(capabilities::holds_everything);
    if everything
        && unset("seccomp")
        && (unset("maskedPaths") || linux.is_some_and(allows_every_device))
    {
        return Err(SpecError::Privileged);
    }
    Ok(())
}

/// Whether a rule of the device cgroup opens all devices.
fn allows_every_device(linux: &Object) -> bool {
    let rules = linux
        .get("resources")
        .and_then(|resources| resources.get("devices"))
        .and_then(Value::as_array);
    rules.into_iter().flatten().any(|rule| {
        let any = |key: &str, wild: &Value| {
            rule.get(key)
                .is_none_or(|value| value.is_null() || value == wild)
        };
        rule.get("allow") == Some(&Value::Bool(true))
            && any("type", &"a".into())
            && any("major", &(-1).into())
            && any("minor", &(-1).into())
    })
}

/// The one entry of a namespace type.
fn namespace<'a>(spec: &'a Value, kind: &'static str) -> Result<Option<&'a Object>, SpecError> {
    let Some(linux) = object(spec, "linux")? else {
        return Ok(None);
    };
    let of_kind = |entry: &&Value| entry.get("type").and_then(Value::as_str) == Some(kind);
    let mut found = array(linux, "namespaces")?.iter().filter(of_kind);
    let first = found.next().and_then(Value::as_object);
    if found.next().is_some() {
        Err(SpecError::TwiceListed(kind))
    } else {
        Ok(first)
    }
}

/// The path that a namespace entry names. An empty one means a new namespace, as none does.
fn namespace_path(spec: &Value, kind: &'static str) -> Result<Option<PathBuf>, SpecError> {
    match namespace(spec, kind)?.and_then(|entry| entry.get("path")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(path)) if path.is_empty() => Ok(None),
        Some(Value::String(path)) => Ok(Some(PathBuf::from(path))),
        Some(_) => Err(SpecError::Type("path", "a text")),
    }
}

/// The list of namespaces, to be edited.
fn namespaces_mut(spec: &mut Value) -> Result<&mut Vec<Value>, SpecError> {
    let list = object_mut(spec, "linux")?
        .entry("namespaces")
        .or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut()
        .ok_or(SpecError::Type("namespaces", "a list"))
}

/// A sub-object; null and missing are the same, as for Go.
fn object<'a>(parent: &'a Value, key: &'static str) -> Result<Option<&'a Object>, SpecError> {
    match parent.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(found)) => Ok(Some(found)),
        Some(_) => Err(SpecError::Type(key, "an object")),
    }
}

/// A sub-object to be edited, made where it is missing.
fn object_mut<'a>(parent: &'a mut Value, key: &'static str) -> Result<&'a mut Object, SpecError> {
    let parent = parent
        .as_object_mut()
        .ok_or(SpecError::Type("config.json", "an object"))?;
    let found = parent.entry(key).or_insert(Value::Null);
    if found.is_null() {
        *found = Value::Object(Object::new());
    }
    found
        .as_object_mut()
        .ok_or(SpecError::Type(key, "an object"))
}

/// A list; null and missing are empty.
fn array<'a>(parent: &'a Object, key: &'static str) -> Result<&'a [Value], SpecError> {
    match parent.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(found)) => Ok(found),
        Some(_) => Err(SpecError::Type(key, "a list")),
    }
}

#[cfg(test)]
mod tests;
