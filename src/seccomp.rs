//! Seccomp profiles: what engines' profiles say, what a container needs for a jail of its own
//! inside, and the proof that granting it changed nothing else.
//!
//! All of it is pure but `proof` and `arch`, which ask libseccomp. Two forms are handled, and never
//! mixed up: **Docker's** (a file for `--security-opt seccomp=`, with rules that depend on
//! capabilities, architectures and kernel), and **OCI's** (`linux.seccomp` of a `config.json`, in
//! which nothing depends on anything any more). `docker::resolve` leads from the first to the
//! second.

pub mod arch;
pub mod catalogue;
pub mod docker;
pub mod filter;
pub mod generate;
pub mod patch;
pub mod proof;
#[cfg(test)]
mod real_data;
pub mod tier;

/// What is wrong with a profile: the place in it, and the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct Fault {
    /// As a path of keys and indices: `syscalls[3].args[0].value`.
    pub place: String,
    /// What is wrong there, in words.
    pub cause: String,
}

impl Fault {
    /// A fault at a place.
    pub fn new(place: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            cause: cause.into(),
        }
    }
}
