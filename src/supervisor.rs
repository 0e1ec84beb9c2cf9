//! The keeper: the life of one gateway. It makes the gateway, starts the filter, looks after links,
//! files and the control socket, and ends with the container, or with the pod where it is the pod's
//! (`life`), or when gateway or filter fails.
//!
//! It reads no byte that the container sends; the filter (`crate::proxy`), a process of its own
//! without privileges, does. Invariant: whatever ends this process ends the filter, and with both
//! the gateway; the `guard` then ends the container.

mod approvals;
pub mod begun;
pub(crate) mod control;
mod engagement;
pub(crate) mod filter;
mod guard;
mod heard;
mod hotplug;
mod interfaces;
mod keeper;
mod life;
mod order;
mod pending;
mod policies;
mod record_file;
mod reload;
mod trust;
mod watch;
mod wishes;

use std::process::ExitCode;

use crate::logging::{self, System};
use crate::sys::process;
use keeper::Ground;
use order::Hook;
pub use order::{Order, heed};

/// The keeper personality. Its exit code is for whoever looks at processes; the hook listens to its
/// words.
#[must_use]
pub fn run() -> ExitCode {
    let kept = process::new_session()
        .map_err(anyhow::Error::from)
        .and_then(|()| order::read())
        .and_then(|order| {
            logging::to(System::about(&order.plan.container), order.plan.log_level);
            logging::tell_of_panics();
            keeper::keep(order, Hook::Started, Ground::ToBeLaid)
        });
    kept.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
