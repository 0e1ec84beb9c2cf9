//! The record of a gateway: what its container attempted, what came of it, and how the gateway
//! itself ended (RECORD.md).
//!
//! `line` is the format of one line, `record` what an attempt's lines say, `file` the append-only
//! file, `minute` the limit on lines during a flood, `flows` the attempts that are open, `entry`
//! the guard of one attempt, `denied` what of it may be approved, `journal` the writer, `last` writes the last line for a gateway that
//! could not, `reader` reads files back, `members` keeps who else a record is about, `prune` removes
//! old ones, `asked` is what a suggestion makes of one. `form` is how lines are written, `requested` what they say of a request to those who know
//! only HTTP, `reporter` hands that on as `boundary_log` has it. Nothing in here decides
//! anything: it is told what was decided and why.

pub mod asked;
pub mod boundary_log;
pub mod denied;
mod entry;
mod file;
mod flows;
mod for_people;
mod form;
pub mod journal;
mod last;
pub mod line;
pub mod members;
mod minute;
pub mod prune;
pub mod reader;
pub mod record;
pub mod reporter;
mod requested;
mod scratch;
#[cfg(test)]
pub(crate) mod test_attempts;

pub use entry::{End, Entry};
pub(crate) use file::set_aside;
pub use file::{AtPath, Renew, Stream};
pub use flows::{Delivered, Traffic};
pub use form::Form;
pub use journal::{Journal, JournalStatus};
pub use last::{CONTAINER_ENDED, is_worth_keeping, write as write_last};
pub use record::{Direction, Kind, Subject};
