//! Reads records: the one door by which anything reads what a gateway wrote.
//!
//! `directory` lists and opens the files, `tail` reads one file's lines, `stream` a container's,
//! across its files, and those of several containers in the order of time; `entry` is one line,
//! `fold` makes attempts of lines, `overview` looks at a record's two ends, `latest` adds up a
//! container's last gateway, `tally` attempts by where they went. Knows nothing of what runs, or of
//! how anything is shown.
//!
//! Invariant: whoever could write to a file may have written anything, so every text that comes out
//! was passed through [`crate::escape::clean`], and whatever is kept of a file is bounded in number and
//! length.

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
