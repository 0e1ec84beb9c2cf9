//! The proof that a patched filter allows what its tier promises and nothing else changed: both
//! filters are compiled by libseccomp, both programs are read as functions of a call, and the two
//! functions are compared.

pub mod bdd;
pub mod cbpf;
pub mod compile;
pub mod fingerprint;
pub mod symbolic;
pub mod verify;

#[cfg(test)]
mod interpreter;
#[cfg(test)]
pub(crate) mod same;
