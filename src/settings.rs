//! The host's configuration file, `/etc/boundary/config.toml`: what an administrator decides for
//! every container.
//!
//! `values` has the settings and their defaults, `parse` reads the file's text, `load` reads files
//! that must be the administrator's own, `library` finds what policies include, and `select` chooses a
//! container's policy. Knows nothing of containers otherwise.
//!
//! Invariant: nothing here comes from the environment, and an unknown key is an error: a mistyped
//! setting would otherwise leave a host as open as before.

mod library;
mod load;
mod parse;
pub mod select;
mod values;

pub use library::{Shelves, behind};
pub use load::{MOST_LAYERS, load, policy_files, read_trusted};
pub use parse::parse;
pub use values::{
    Annotations, BoundaryMounts, ContainerResolvers, DEFAULT_AUDIT, DEFAULT_FILE, DEFAULT_POLICIES,
    DIRECTORY, HostNetwork, NetDevices, PodCapabilities, PodNesting, PreservedSockets, Privileged,
    RdmaDevices, Reload, Settings, UserNamespace,
};

#[cfg(test)]
mod tests;
