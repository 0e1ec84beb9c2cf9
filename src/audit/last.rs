//! Writes the last line for a gateway that could not do so itself because its filter was killed;
//! called by whoever finds it dead.
//!
//! Invariant: call this only when no gateway writes to the file any more. If several processes find
//! the same dead gateway, the first of them writes.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use nix::fcntl::{Flock, FlockArg};

use super::file::{LineFile, ROTATE_AT, set_aside};
use super::line::{Event, Line, render, timestamp};
use super::reader::{Latest, LineStream, Tail, Told, last_line};
use super::record::MAX_TEXT;
use crate::escape::clean;

/// A record that is longer than this, in bytes, tells of something.
const SHORT: u64 = 64 << 10;

/// Writes the last line of a container's record, with this reason, where it has a first one and no
/// last. Gives whether it did.
///
/// # Errors
/// What opening, reading and writing give; there is nothing to say about a file that isn't there.
pub fn write(path: &Path, container: &str, reason: impl FnOnce() -> String) -> io::Result<bool> {
    let Some(mut tail) = Tail::open(path)? else {
        return Ok(false);
    };
    let _alone = Flock::lock(tail.file().try_clone()?, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)?;
    // Most have one: the rest of a file, which may be long, is read only where it has none.
    if last_line(&mut tail)?.is_some_and(|line| line.event == Event::Stop) {
        return Ok(false);
    }
    let latest = Latest::of(path)?;
    if !latest.goes_on {
        return Ok(false);
    }
    let time = timestamp(SystemTime::now());
    let (totals, reason) = (Some(latest.totals), Some(clean(&reason(), MAX_TEXT)));
    let stop = Line {
        gateway: latest.about,
        totals,
        reason,
        ..Line::new(Event::Stop, time, container)
    };
    let mut file = LineFile::open(path, ROTATE_AT, Box::new(|_| Vec::new()))?;
    file.append_last(|seq| render(Line { seq, ..stop }))?;
    Ok(true)
}

/// How a gateway's last line says that it ended as it should.
pub const CONTAINER_ENDED: &str = "the container has ended";

/// Whether a container's record tells of more than that it began and ended. Where that can't be
/// told, it does.
#[must_use]
pub fn is_worth_keeping(path: &Path) -> bool {
    let short = std::fs::symlink_metadata(path).is_ok_and(|status| status.len() < SHORT);
    let aside = std::fs::symlink_metadata(set_aside(path)).is_ok();
    if !short || aside {
        return true;
    }
    let mut tells = false;
    let read = LineStream::at(path).and_then(|stream| {
        stream.tell_all(|told| {
            tells |= match told {
                Told::Event(line) => {
                    line.event == Event::Stop && line.reason.as_deref() != Some(CONTAINER_ENDED)
                }
                Told::Attempt(_) => true,
                Told::Other(_) => false,
            }
        })
    });
    tells || read.is_err()
}
