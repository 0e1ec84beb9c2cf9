//! The only place that opens connections to the outside. Takes an `UpstreamAddr`, which only the policy makes.

/// How sockets to the outside are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// In this (gateway's) namespace, transparently from the client's own address (`IP_TRANSPARENT`).
    AsClient,
    /// In this (the host's) namespace, from whatever address the kernel chooses.
    AsHost,
}
