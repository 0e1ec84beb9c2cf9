//! Reads records. Everything in this program that reads what a gateway wrote does so through this
//! module.
//!
//! `directory` lists and opens the files; `tail` reads the lines of one file; `stream` reads a
//! container's lines across its files, and those of several containers in order of time; `entry`
//! parses one line; `fold` puts attempts together from lines; `overview` reads the two ends of a
//! record; `latest` adds up a container's last gateway; `tally` adds up attempts by destination.
//! Knows nothing of what runs, or of how anything is shown.
//!
//! Invariant: a file may hold anything, because whoever could write to it may have done so. Every
//! text that comes out has passed through [`crate::escape::clean`], and whatever is kept of a file
//! is bounded in number and length.

mod directory;
mod entry;
mod fold;
mod latest;
mod overview;
mod stream;
mod tail;
mod tally;

pub use directory::{Directory, RecordFiles};
pub use entry::{FileLine, MAX_LINE};
pub use fold::{Fold, RecordedAttempt, Standing, Told};
pub(super) use latest::Latest;
pub(super) use overview::last_line;
pub use overview::{Overview, RecordEnd};
pub use stream::{LineStream, MergedLines};
pub(super) use tail::Tail;
pub use tally::{Destination, Row, Tally};

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
