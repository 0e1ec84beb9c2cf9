//! What is remembered of a running container: one directory under `/run/boundary`, one `record.json` in it.
//!
//! Written by the hook's side when the gateway is ready, removed when the container's init is gone. Everything in here
//! may be stale (a process was killed): a record counts only while its init and its proxy are the processes it names.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where the state lives. Root's, mode 0700.
pub const DIRECTORY: &str = "/run/boundary";

/// A process, named so that a reused pid is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its pid, as the host sees it.
    pub pid: i32,
    /// Its start time in clock ticks since boot (proc(5), field 22 of `/proc/PID/stat`).
    pub started: u64,
}

/// One container's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The plan it was made from.
    pub plan: crate::plan::Plan,
    /// The container's first process.
    pub init: ProcessId,
    /// The proxy; none where the gateway is another container's.
    pub proxy: Option<ProcessId>,
    /// Inode of the container's network namespace: how joiners find the gateway.
    pub network_namespace: u64,
}

/// The state directory of one container: by the runtime's root and the id, since ids are unique only within a root.
#[must_use]
pub fn directory(root: &Path, id: &str) -> PathBuf {
    let _ = (root, id);
    todo!("helper B: DIRECTORY/<id>-<16 hex digits of a hash of root>")
}
