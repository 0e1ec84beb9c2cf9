//! `status`: every gateway on this host, with its policy, its totals and its health.
//!
//! Finds the gateways and queries each. `gateway` is about one of them, `table` is the form for
//! people.
//!
//! Invariant: gateways are queried concurrently and with a timeout, so that one that hangs hides no
//! other.

mod gateway;
mod table;

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};
use nix::unistd::geteuid;

use crate::container::plan::GatewayOwner;
use crate::container::state::{self, SavedState};
use crate::prepare::sweep::record_end;
use gateway::{GatewayStatus, HostView};

/// Gateways that are queried at the same time.
const AT_ONCE: usize = 32;

/// `status`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 1 if a gateway is dead, doesn't respond or can't write its record, otherwise 0.\n\
                        A container whose gateway is dead has no network. (changed) after a policy's hash: its file has \
                        changed since; the container keeps the policy until boundary-shim policy reload, or its next start. \
                        (file has errors): what is there now can't be put into force, and the container keeps its policy. \
                        (applied): policy apply put another file's in its place. (older) after a state: its gateway is of an older version, \
                        and keeps its policy until the container's next start.\n\n\
                        Examples:\n  sudo boundary-shim status\n  sudo boundary-shim status --json"
)]
pub struct StatusArguments {
    /// Print one line per gateway, each a JSON object
    #[arg(long)]
    json: bool,
}

/// Shows every gateway.
///
/// # Errors
/// It isn't root who asks; gateways can't be listed; one of them isn't well, after all were shown.
/// Where the reader of standard output is gone, that very error, bare.
pub fn run(arguments: &StatusArguments) -> anyhow::Result<()> {
    ensure!(
        geteuid().is_root(),
        "only root can query gateways: run sudo boundary-shim status"
    );
    let records = state::list().with_context(|| format!("can't list {}", state::DIRECTORY))?;
    let own: Vec<_> = records
        .into_iter()
        .filter(|record| record.plan.gateway == GatewayOwner::Own)
        .collect();
    // Whoever finds a gateway dead says so in its record.
    own.iter()
        .filter(|record| !record.is_kept())
        .for_each(record_end);
    let host = HostView::look();
    let mut shown = at_once(own, |record| host.show(record));
    shown.sort_by(|one, other| one.order().cmp(&other.order()));
    tell(&mut io::stdout().lock(), &shown, arguments.json)?;
    let ill = shown.iter().filter(|one| !one.is_well()).count();
    ensure!(
        ill == 0,
        "{ill} of {} gateways need attention: see their state",
        shown.len()
    );
    Ok(())
}

/// What is to be shown of each, found out by several threads.
fn at_once(
    records: Vec<SavedState>,
    show: impl Fn(&SavedState) -> Option<GatewayStatus> + Sync,
) -> Vec<GatewayStatus> {
    let threads = records.len().min(AT_ONCE);
    let (queue, shown) = (Mutex::new(records.into_iter()), Mutex::new(Vec::new()));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(record) = next() {
            let one = show(&record);
            shown
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(one);
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    shown.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn tell(out: &mut impl Write, shown: &[GatewayStatus], json: bool) -> io::Result<()> {
    match (json, shown) {
        (true, _) => shown
            .iter()
            .try_for_each(|one| writeln!(out, "{}", serde_json::to_string(one)?)),
        (false, []) => writeln!(
            out,
            "No container on this host is filtered by boundary-shim."
        ),
        (false, _) => table::write(out, shown),
    }
}
