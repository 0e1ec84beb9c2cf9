//! From which network what a policy allows leaves.

use serde::{Deserialize, Serialize};

/// From which network namespace allowed connections leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// From the gateway's, through the uplinks that the engine gave the container, with the
    /// container's own addresses (`IP_TRANSPARENT`).
    Uplink,
    /// From the host's (`--network host`), with whatever address the kernel chooses. The container
    /// gets a private link to the proxy.
    Host,
}
