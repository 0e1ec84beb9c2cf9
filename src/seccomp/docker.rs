//! Docker's form of a profile, as dockerd reads a file for `--security-opt seccomp=`, and the way
//! from there to a filter of the OCI specification.

pub mod conditions;
pub(crate) mod go_json;
pub mod profile;
pub mod resolve;

#[cfg(test)]
mod tests;
