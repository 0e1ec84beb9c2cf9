//! The plan: all that hook and proxy must know about one container's gateway, decided by the shim before anything is
//! touched. Written as `boundary.json` beside the bundle's `config.json`, so that it goes when the bundle goes.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::policy::PolicySource;

/// One container's gateway, as decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The container's id, as the engine gave it.
    pub container: String,
    /// Whether the gateway is this container's own.
    pub gateway: Gateway,
    /// Whether the engine will call `start` when the network is complete (else, with `run`, it is complete at the hook).
    pub starts_by_verb: bool,
    /// Whether the container's capabilities are bounded by a user namespace of its own (or its owner's, when joining).
    pub user_namespace: bool,
    /// Host path of the file mounted over the container's `/etc/resolv.conf`, looked at again at `start`.
    pub resolv_conf: Option<PathBuf>,
    /// Directory of this container's state record (`/run/boundary/…`).
    pub state: PathBuf,
    /// The audit file.
    pub audit: PathBuf,
    /// From where the proxy dials.
    pub exit: Exit,
    /// Resolvers that the proxy asks, in order. Never taken from the container's own files.
    pub resolvers: Vec<SocketAddr>,
    /// The rules.
    pub policy: PolicySource,
}

/// Whose gateway filters this container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gateway {
    /// One of its own, made by the hook.
    Own,
    /// It joins the network namespace of a container that has one (`--network container:X`): nothing to make.
    Joined,
}

/// From which namespace allowed connections leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// Through the uplinks that the engine gave the container and the gateway adopted, with the container's addresses.
    Uplink,
    /// From the host's namespace (`--network host`): the container gets a private link, the proxy dials as the host.
    Host,
}
impl Plan {
    pub fn read(_: &std::path::Path) -> anyhow::Result<Self> {
        todo!()
    }
}
