//! The container's network namespace: always one that a gateway filters, never the host's.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Situation, SpecError, namespace, namespace_path, namespaces_mut, object, object_mut};
use crate::container::plan::GatewayOwner;
use crate::policy::Exit;
use crate::settings::HostNetwork;

/// Marks a bundle whose host network was turned into a private one, so that rewriting it again
/// gives the same plan. Users write annotations too: it counts only beside an earlier plan of ours
/// that says the same.
pub const MARKER: &str = "boundary.original-network";

/// Where a network namespace that the spec names by path is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
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

/// The path that the spec gives its network namespace, where it gives one.
///
/// # Errors
/// As [`super::check`].
pub fn path(spec: &Value) -> Result<Option<PathBuf>, SpecError> {
    namespace_path(spec, "network")
}

/// Gives the spec a network namespace that can be filtered, and says whose gateway and which exit
/// that means.
pub(super) fn edit(
    spec: &mut Value,
    situation: &Situation<'_>,
) -> Result<(GatewayOwner, Exit), SpecError> {
    let marked =
        object(spec, "annotations")?.is_some_and(|annotations| annotations.contains_key(MARKER));
    if marked && !situation.was_host {
        return Err(SpecError::Marker);
    }
    let listed = namespace(spec, "network")?.is_some();
    // Whoever calls us looks every path up. One that was not is a stranger's.
    let unseen = situation.place.is_none() && path(spec)?.is_some();
    match (&situation.place, listed) {
        (Some(Place::InUse), _) => Err(SpecError::Unfiltered),
        (None, true) if unseen => Err(SpecError::Unfiltered),
        (Some(Place::Filtered { exit, .. }), _) => Ok((GatewayOwner::Joined, *exit)),
        (Some(Place::Free), _) => Ok((GatewayOwner::Own, Exit::Uplink)),
        (None, true) if marked => Ok((GatewayOwner::Own, Exit::Host)),
        (None, true) => Ok((GatewayOwner::Own, Exit::Uplink)),
        (Some(Place::Host), _) | (None, false) => {
            if situation.host_network == HostNetwork::Refuse {
                return Err(SpecError::HostNetwork);
            }
            make_private(spec)?;
            Ok((GatewayOwner::Own, Exit::Host))
        }
    }
}

/// Turns the host's network, named or left out, into a new namespace.
fn make_private(spec: &mut Value) -> Result<(), SpecError> {
    let namespaces = namespaces_mut(spec)?;
    let listed = namespaces
        .iter_mut()
        .find(|entry| entry.get("type").and_then(Value::as_str) == Some("network"));
    match listed.and_then(Value::as_object_mut) {
        // `shift_remove` keeps the order of what we don't know.
        Some(entry) => drop(entry.shift_remove("path")),
        None => namespaces.push(json!({"type": "network"})),
    }
    object_mut(spec, "annotations")?.insert(MARKER.to_owned(), "host".into());
    Ok(())
}
