//! The rewrite of a container's `config.json`: pure edits of the JSON tree, with a
//! [`RewriteOutcome`] that says what was decided.
//!
//! Nothing here does I/O: what `prepare`, or the hook, found out about host and bundle and what the
//! administrator's settings say comes in as a [`RewriteInput`]. Typed models of the OCI
//! specification lose unknown fields and refuse values that they don't know, hence the raw tree.

pub mod capabilities;
pub mod cgroup;
mod checked;
mod devices;
mod error;
pub mod hooks;
pub mod identity;
mod input;
mod json;
pub mod keys;
pub mod mounts;
mod namespaces;
pub mod nesting;
pub mod network;
pub mod pod;
pub mod podman;
mod privileged;
pub mod trust;
pub mod user_namespace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use checked::Spec;
pub use error::SpecError;
pub use input::{HostSide, NetworkOrigin, OwnerNamespace, RewriteInput, RuntimeQuirks};
pub use nesting::Nesting;

use crate::container::plan::GatewayOwner;
use crate::policy::Exit;

/// What the rewrite decided.
#[derive(Debug, Clone, PartialEq)]
pub struct RewriteOutcome {
    /// Whose gateway filters the container.
    pub gateway: GatewayOwner,
    /// From where allowed connections leave.
    pub exit: Exit,
    /// Whether a user namespace bounds the container's capabilities.
    pub user_namespace: bool,
    /// What the container may nest.
    pub nesting: Nesting,
    /// Capabilities that its pod's container asked for and doesn't get, as nothing would bound them.
    pub withheld: Vec<String>,
    /// What a user namespace that was added costs it, one sentence each.
    pub notices: Vec<String>,
}

/// Rewrites a spec. `program`: the absolute path of this program, for the hook.
///
/// # Errors
/// [`SpecError`]; the tree may then be half edited and must not be written.
pub fn rewrite(
    spec: &mut Spec,
    input: &RewriteInput,
    program: &str,
) -> Result<RewriteOutcome, SpecError> {
    let spec = spec.tree();
    privileged::refuse(spec, input)?;
    mounts::refuse_own(&input.host_files, input.boundary_mounts)?;
    if input.quirks.keeps_missing_capabilities
        && let Some(process) = spec.get_mut("process")
    {
        capabilities::spell_out(process)?;
    }
    devices::refuse_rdma(spec, input.rdma_devices)?;
    let (gateway, exit) = network::edit(spec, input)?;
    let own = gateway == GatewayOwner::Own && exit == Exit::Uplink;
    devices::refuse_network(spec, input.net_devices, own)?;
    let nesting = nesting::edit(spec, input)?;
    let bounded = user_namespace::edit(spec, input)?;
    cgroup::edit(spec)?;
    hooks::add(spec, program)?;
    Ok(RewriteOutcome {
        gateway,
        exit,
        user_namespace: bounded.by_namespace,
        nesting,
        withheld: bounded.withheld,
        notices: bounded.notices,
    })
}

/// Judges a container whose spec can't be changed any more, because its runtime has read it: by the
/// rules of [`rewrite`], but whatever would need an edit is refused. Returns whether a user
/// namespace bounds its capabilities. The caller has to judge its network.
///
/// # Errors
/// [`SpecError`].
pub fn judge(spec: &Spec, input: &RewriteInput) -> Result<bool, SpecError> {
    privileged::refuse(spec, input)?;
    mounts::refuse_own(&input.host_files, input.boundary_mounts)?;
    devices::refuse_rdma(spec, input.rdma_devices)?;
    let joins = matches!(input.place, Some(NetworkOrigin::Filtered { .. }));
    devices::refuse_network(spec, input.net_devices, !joins)?;
    user_namespace::judge(spec, input)
}

/// The path that the spec gives its pid namespace, where it gives one.
///
/// # Errors
/// As [`Spec::check`].
pub fn processes(spec: &Spec) -> Result<Option<PathBuf>, SpecError> {
    namespaces::namespace_path(spec, "pid")
}

/// The annotations, without our own marker.
#[must_use]
pub fn annotations(spec: &Spec) -> BTreeMap<String, String> {
    let found = spec.get("annotations").and_then(Value::as_object);
    let texts = found
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    texts.filter(|(key, _)| key != network::MARKER).collect()
}

/// The host's path of what is mounted on `destination`: that of the last mount there, which covers
/// the others.
#[must_use]
pub fn mounted_on(spec: &Spec, bundle: &Path, destination: &Path) -> Option<PathBuf> {
    let mounts = spec.get("mounts")?.as_array()?;
    let text = |mount: &Value, key: &str| mount.get(key)?.as_str().map(PathBuf::from);
    // Comparing paths instead of strings ignores `//` and `/./`.
    let mount = mounts
        .iter()
        .rev()
        .find(|mount| text(mount, "destination").is_some_and(|path| path == destination))?;
    // A relative source is relative to the bundle (config.md#mounts); joining an absolute one gives
    // just that.
    Some(bundle.join(text(mount, "source")?))
}

#[cfg(test)]
mod tests;
