//! The record: exactly one line for every attempt, allowed or denied, or its place in a count; and now and then a notice.
//!
//! `record` is the line and its cleaning, `file` the append-only file it goes to, `minute` what a flood may write to it,
//! `journal` the guard that makes sure of "exactly one", `reader` the way back, `prune` the end of old files. Nothing in here knows what a policy decided or why: it is told.

mod file;
pub mod journal;
pub mod line;
mod minute;
pub mod prune;
pub mod reader;
pub mod record;

pub(crate) use file::set_aside;
pub use file::{AtPath, Renew};
pub use journal::{Entry, Journal};
pub use record::{Direction, Kind, Notice, Record, Subject, clean};
