//! What the test suites share: private hosts (`bed`) with an engine in them, commands with
//! deadlines, records, what containers leave behind.
//!
//! It never names the product's own types, so that unit tests can use it, too.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]
#![expect(
    clippy::print_stderr,
    reason = "what a failed run needs is told on standard error"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a private host is made of other programs"
)]

pub mod bed;
pub mod cbpf;
pub mod command;
pub mod composed;
pub mod docker;
pub mod harness;
pub mod hosts;
pub mod jail_attacks;
pub mod jail_doctor;
pub mod jail_rows;
pub mod loaded_filter;
pub mod lock;
pub mod needs;
pub mod programs;
pub mod record;
pub mod traces;
pub mod wire;
