//! Open descriptors that the caller passes to the container's process (`--preserve-fds`,
//! `LISTEN_FDS`, and the standard streams).
//!
//! A socket belongs to the network namespace in which it was created. One of the host's bypasses
//! the filter, even a connected one: it can be disconnected and connected again.

use anyhow::{Context, ensure};

use crate::settings::{PreservedSockets, Settings};
use crate::sys::{process, socket};

/// Refuses a process that would get a network socket of its caller's, unless the host allows it.
/// `preserved`: `--preserve-fds`.
pub(super) fn refuse_network_sockets(settings: &Settings, preserved: u32) -> anyhow::Result<()> {
    if settings.preserved_sockets == PreservedSockets::Allow {
        return Ok(());
    }
    let found =
        socket::network_socket_among(preserved.saturating_add(process::handed_by_systemd()));
    let found = found.context("can't inspect the descriptors passed to the container")?;
    ensure!(
        found.is_none(),
        "descriptor {} passed to the container is a network socket from outside of it, which bypasses the filter: don't pass it on \
         (--preserve-fds, LISTEN_FDS, standard streams), or set preserved-sockets = \"allow\" in the host's configuration",
        found.unwrap_or_default()
    );
    Ok(())
}
