//! The user namespace that bounds capabilities which reach beyond the container (`capabilities`).
//!
//! Held in the host's user namespace, CAP_NET_ADMIN acts through `IFLA_TARGET_NETNSID` on the other
//! end of any veth, and CAP_SYS_ADMIN enters any namespace: no filter withstands that. In a user
//! namespace of the container's own, even one that maps each ID to itself, both act on the
//! container's namespaces alone.
//!
//! Invariant: the container's network namespace belongs to its user namespace, that is, both are
//! created together.

pub mod binds;
pub(super) mod costs;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::capabilities;
use super::checked::Spec;
use super::error::SpecError;
use super::input::{NetworkOrigin, OwnerNamespace, RewriteInput};
use super::json::{array, object_mut};
use super::namespaces::{namespace, namespace_path, namespaces_mut};
use super::pod;
use crate::settings::{PodCapabilities, UserNamespace};

/// All ids there are: 2³² - 1, as the last one means "none" (`user_namespaces(7)`).
const ALL_IDS: u64 = 4_294_967_295;

/// Why a container needs a user namespace where every container does.
const REQUIRED: &str = "user-namespace = \"require\" demands a user namespace";

/// Why a container with a capability needs one.
pub(super) fn reaches_beyond(capability: &str) -> String {
    format!("{capability} reaches beyond the container")
}

/// The path that the spec gives its user namespace, where it gives one.
///
/// # Errors
/// As [`Spec::check`].
pub fn path(spec: &Spec) -> Result<Option<PathBuf>, SpecError> {
    namespace_path(spec, "user")
}

/// What can bound capabilities which reach beyond the container.
#[derive(Debug)]
pub(super) enum Bound<'a> {
    /// The user namespace that the engine chose, or that the runtime adds.
    Given,
    /// That of the container whose network is joined.
    Owners(&'a OwnerNamespace),
    /// A new one.
    Fresh,
}

/// Says what would bound capabilities here, edits nothing. `reason` says what needs bounding, for
/// the error.
///
/// # Errors
/// Why nothing can bound them.
pub(super) fn outlook<'a>(
    spec: &Value,
    input: &'a RewriteInput,
    reason: &str,
) -> Result<Bound<'a>, SpecError> {
    let reason = || reason.to_owned();
    if namespace(spec, "user")?.is_some() {
        return if bounds(spec, input)? {
            Ok(Bound::Given)
        } else {
            Err(SpecError::SharedUserNamespace(reason()))
        };
    }
    if input.quirks.adds_user_namespace {
        return Ok(Bound::Given);
    }
    let bound = match &input.place {
        Some(NetworkOrigin::Filtered {
            owner: Some(owner), ..
        }) => Bound::Owners(owner),
        Some(NetworkOrigin::Filtered { owner: None, .. }) => {
            return Err(SpecError::OwnerUnbounded(reason()));
        }
        Some(NetworkOrigin::Free | NetworkOrigin::InUse) => {
            return Err(SpecError::PremadeNetwork(reason()));
        }
        Some(NetworkOrigin::Host) | None if !input.host.user_namespaces => {
            return Err(SpecError::NoUserNamespaces(reason()));
        }
        Some(NetworkOrigin::Host) | None => Bound::Fresh,
    };
    if let Some(kind) = shares_what_it_changes(spec)? {
        return Err(SpecError::SharedNamespaces(reason(), kind));
    }
    if let Some(device) = &input.host_side.absent_device {
        return Err(SpecError::AbsentDevice(reason(), device.clone()));
    }
    // The host's mounts stay below the container's root then. runc takes the bare /proc away from
    // there, which it can't in a user namespace; the kernel lets whoever has one in sight mount a
    // new one, unmasked, and as its ids are the host's, root may write the host's switches in there
    // (core_pattern).
    if input.no_pivot {
        Err(SpecError::NoPivot(reason()))
    } else {
        Ok(bound)
    }
}

/// How the container's capabilities are bounded.
#[derive(Debug, Default)]
pub(super) struct Bounded {
    /// Whether a user namespace does it.
    pub(super) by_namespace: bool,
    /// Capabilities that it asked for and doesn't get.
    pub(super) withheld: Vec<String>,
    /// What the user namespace costs the container, one sentence each.
    pub(super) notices: Vec<String>,
}

impl Bounded {
    fn by(by_namespace: bool) -> Self {
        Self {
            by_namespace,
            ..Self::default()
        }
    }
}

/// Bounds the container's capabilities.
pub(super) fn edit(spec: &mut Value, input: &RewriteInput) -> Result<Bounded, SpecError> {
    let given = namespace(spec, "user")?.is_some();
    if input.quirks.adds_user_namespace && !given {
        return Ok(Bounded::by(true));
    }
    if input.user_namespace == UserNamespace::Never && !given {
        spec.get_mut("process").map(capabilities::bound);
        return Ok(Bounded::by(false));
    }
    let withheld = withhold(spec, input)?;
    let reason = match spec.get("process").and_then(capabilities::beyond) {
        Some(capability) => reaches_beyond(&capability),
        None if given || input.user_namespace == UserNamespace::Auto => {
            return Ok(Bounded {
                withheld,
                ..Bounded::by(given && bounds(spec, input)?)
            });
        }
        None => REQUIRED.to_owned(),
    };
    let bound = outlook(spec, input, &reason)?;
    let added = !matches!(bound, Bound::Given);
    match bound {
        Bound::Given => {}
        Bound::Owners(owner) => join(spec, owner)?,
        Bound::Fresh => add(spec)?,
    }
    let mut bounded = Bounded::by(true);
    if added {
        bounded.notices = costs::of(spec, input)
            .into_iter()
            .map(|cost| format!("in the user namespace that bounds its capabilities, {cost}"))
            .collect();
        costs::fit_mounts(spec, input);
    }
    Ok(bounded)
}

/// Takes from a pod's container the capabilities that nothing would bound, where the host wants it
/// started without; says which.
///
/// # Errors
/// [`SpecError::PodUnbounded`] where the host wants it refused.
fn withhold(spec: &mut Value, input: &RewriteInput) -> Result<Vec<String>, SpecError> {
    let withheld = spec
        .get("process")
        .map(capabilities::all_beyond)
        .unwrap_or_default();
    // What is required of every container is no question of capabilities: `edit` asks that.
    if pod::namespace(spec).is_none() || input.user_namespace == UserNamespace::Require {
        return Ok(Vec::new());
    }
    let Some(reason) = withheld.first().map(|first| reaches_beyond(first)) else {
        return Ok(Vec::new());
    };
    if outlook(spec, input, &reason).is_ok() {
        return Ok(Vec::new());
    }
    match input.pod_capabilities {
        PodCapabilities::Refuse => Err(SpecError::PodUnbounded(reason)),
        PodCapabilities::Drop => {
            spec.get_mut("process").map(capabilities::bound);
            Ok(withheld)
        }
    }
}

/// Whether a user namespace bounds the container's capabilities, which it must where one of them
/// reaches beyond: nothing can be added here any more, nor taken away.
pub(super) fn judge(spec: &Value, input: &RewriteInput) -> Result<bool, SpecError> {
    if namespace(spec, "user")?.is_some() && bounds(spec, input)? {
        return Ok(true);
    }
    match spec.get("process").and_then(capabilities::beyond) {
        Some(capability) => Err(SpecError::TooLate(reaches_beyond(&capability))),
        None if input.user_namespace == UserNamespace::Require => {
            Err(SpecError::TooLate(REQUIRED.to_owned()))
        }
        None => Ok(false),
    }
}

/// Whether the user namespace that the engine chose bounds anything.
fn bounds(spec: &Value, input: &RewriteInput) -> Result<bool, SpecError> {
    let new = namespace_path(spec, "user")?.is_none();
    // A pod's containers share one, and the network that belongs to it. Sharing one while having a
    // network of one's own means that strangers' namespaces belong to it too, and capabilities held
    // in it reach those.
    let pod = matches!(
        input.place,
        Some(NetworkOrigin::Filtered { .. } | NetworkOrigin::Free)
    ) && !input.host_user_namespace;
    Ok(new || pod)
}

/// The kind of a namespace that comes from elsewhere and is to be mounted or changed: a user
/// namespace that doesn't own it allows neither.
fn shares_what_it_changes(spec: &Value) -> Result<Option<&'static str>, SpecError> {
    let mounts = spec
        .as_object()
        .map_or(Ok(&[][..]), |spec| array(spec, "mounts"))?;
    let mounts = |wanted: &str| {
        mounts
            .iter()
            .any(|mount| mount.get("type").and_then(Value::as_str) == Some(wanted))
    };
    let named = ["hostname", "domainname"].iter().any(|key| {
        spec.get(key)
            .is_some_and(|name| !name.is_null() && name != "")
    });
    for (kind, changed, by_path_alone) in [
        ("pid", mounts("proc"), false),
        ("ipc", mounts("mqueue"), false),
        ("mount", true, false),
        ("uts", named, true),
        ("cgroup", mounts("cgroup"), true),
    ] {
        let shared = namespace_path(spec, kind)?.is_some()
            || !by_path_alone && namespace(spec, kind)?.is_none();
        if shared && changed {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

/// A new user namespace in which every id stands for itself: files, `chown` and volumes stay as
/// they are.
fn add(spec: &mut Value) -> Result<(), SpecError> {
    namespaces_mut(spec)?.push(json!({"type": "user"}));
    let identity = [[0, 0, ALL_IDS]];
    map(spec, &identity, &identity)
}

/// The user namespace of the container whose network is joined. runc 1.1 wants the mappings beside
/// the path; newer ones take them where they equal the namespace's own.
fn join(spec: &mut Value, owner: &OwnerNamespace) -> Result<(), SpecError> {
    namespaces_mut(spec)?.push(json!({"type": "user", "path": owner.path}));
    map(spec, &owner.uid_map, &owner.gid_map)
}

fn map(spec: &mut Value, uids: &[[u64; 3]], gids: &[[u64; 3]]) -> Result<(), SpecError> {
    let linux = object_mut(spec, "linux")?;
    for (key, ranges) in [("uidMappings", uids), ("gidMappings", gids)] {
        let range = |[inside, outside, size]: &[u64; 3]| json!({"containerID": inside, "hostID": outside, "size": size});
        linux.insert(key.to_owned(), ranges.iter().map(range).collect());
    }
    Ok(())
}

/// Reads `/proc/PID/uid_map` or `gid_map`.
#[must_use]
pub fn parse_map(text: &str) -> Option<Vec<[u64; 3]>> {
    text.lines()
        .map(|line| {
            let mut words = line.split_ascii_whitespace().map(|word| word.parse().ok());
            Some([words.next()??, words.next()??, words.next()??])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_id_maps_are_read_and_nothing_else() {
        let map = "         0     100000      65536\n     65536          0          1\n";
        assert_eq!(
            parse_map(map),
            Some(vec![[0, 100_000, 65_536], [65_536, 0, 1]])
        );
        for text in ["0 0\n", "0 0 x\n", "-1 0 1\n", "\n"] {
            assert_eq!(parse_map(text), None, "{text:?}");
        }
    }
}
