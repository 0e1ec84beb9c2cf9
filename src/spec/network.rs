//! The container's network namespace: always one that a gateway filters, never the host's.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::checked::Spec;
use super::error::SpecError;
use super::input::{NetworkOrigin, RewriteInput};
use super::json::{object, object_mut};
use super::namespaces::{namespace, namespace_path, namespaces_mut};
use crate::container::plan::GatewayOwner;
use crate::policy::Exit;
use crate::settings::HostNetwork;

/// Marks a bundle whose host network was turned into a private one, so that rewriting it again
/// gives the same plan. Users write annotations too: it counts only beside an earlier plan of ours
/// that says the same.
pub const MARKER: &str = "boundary.original-network";

/// The path that the spec gives its network namespace, where it gives one.
///
/// # Errors
/// As [`Spec::check`].
pub fn path(spec: &Spec) -> Result<Option<PathBuf>, SpecError> {
    namespace_path(spec, "network")
}

/// Gives the spec a network namespace that can be filtered, and says whose gateway and which exit
/// that means.
pub(super) fn edit(
    spec: &mut Value,
    input: &RewriteInput,
) -> Result<(GatewayOwner, Exit), SpecError> {
    let marked =
        object(spec, "annotations")?.is_some_and(|annotations| annotations.contains_key(MARKER));
    if marked && !input.was_host {
        return Err(SpecError::Marker(MARKER));
    }
    let listed = namespace(spec, "network")?.is_some();
    // Whoever calls us looks every path up. One that was not is a stranger's.
    let unseen = input.place.is_none() && namespace_path(spec, "network")?.is_some();
    match (&input.place, listed) {
        (Some(NetworkOrigin::InUse), _) => Err(SpecError::Unfiltered),
        (None, true) if unseen => Err(SpecError::Unfiltered),
        (Some(NetworkOrigin::Filtered { exit, .. }), _) => Ok((GatewayOwner::Joined, *exit)),
        (Some(NetworkOrigin::Free), _) => Ok((GatewayOwner::Own, Exit::Uplink)),
        (None, true) if marked => Ok((GatewayOwner::Own, Exit::Host)),
        (None, true) => Ok((GatewayOwner::Own, Exit::Uplink)),
        (Some(NetworkOrigin::Host), _) | (None, false) => {
            if input.host_network == HostNetwork::Refuse {
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
