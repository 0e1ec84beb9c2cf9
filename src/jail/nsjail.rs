//! `nsjail`: the command in a user and a network namespace of its own, in which every address of the
//! world is local and what is sent is captured by the kernel.

use anyhow::bail;

use super::{Jailed, Wanted};

/// Jails the command.
///
/// # Errors
/// Why it can't be had here.
pub(super) fn jail(_wanted: &Wanted<'_>) -> anyhow::Result<Jailed> {
    bail!("nsjail is not there yet")
}
