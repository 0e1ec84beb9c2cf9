//! The record of a gateway: what its container attempted, what became of it, and how the gateway
//! itself ended (RECORD.md).
//!
//! `line` is a line, `record` what stands in it and how text is cleaned for it, `file` the
//! append-only file it goes to, `minute` what a flood may write, `flows` what is open, `entry` the
//! guard of one attempt, `journal` the writer, `last` the last line of a gateway that could not
//! write it itself, `reader` the way back, and `prune` the end of old files. Nothing in here knows
//! what a policy decided or why: it is told.

mod entry;
mod file;
mod flows;
mod for_people;
pub mod journal;
mod last;
pub mod line;
mod minute;
pub mod prune;
pub mod reader;
pub mod record;
mod scratch;
#[cfg(test)]
pub(crate) mod test_attempts;

pub use entry::{End, Entry};
pub(crate) use file::set_aside;
pub use file::{AtPath, Renew};
pub use flows::{Delivered, Traffic};
pub use journal::{Journal, JournalStatus};
pub use last::{CONTAINER_ENDED, is_worth_keeping, write as write_last};
pub use record::{Direction, Kind, Subject};
