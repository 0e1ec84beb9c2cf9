//! The last line of a gateway that couldn't write it itself: its filter was killed. Written by whoever finds it dead.
//!
//! To be called only when nobody writes to the file any more, but for others who found the same: the first of them writes.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use nix::fcntl::{Flock, FlockArg};

use super::file::{LineFile, ROTATE_AT, set_aside};
use super::journal::{render, timestamp};
use super::line::{About, Event, Line, Totals, Verdict};
use super::reader::Tail;
use super::record::{MAX_TEXT, clean};

/// A record that is longer than this, in bytes, tells of something.
const SHORT: u64 = 64 << 10;

/// Writes the last line of a container's record, with this reason, where it has a first one and no last. Gives whether it did.
///
/// # Errors
/// What opening, reading and writing give; there is nothing to say about a file that isn't there.
pub fn write(path: &Path, container: &str, reason: impl FnOnce() -> String) -> io::Result<bool> {
    let Some(mut tail) = Tail::open(path)? else { return Ok(false) };
    let _alone = Flock::lock(tail.file().try_clone()?, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    if ends_with_a_stop(&mut tail)? {
        return Ok(false);
    }
    let mut run = Run::default();
    if let Some(before) = Tail::open(&set_aside(path))? {
        run.read(before)?;
    }
    tail.begin_again()?;
    run.read(tail)?;
    if !run.goes_on {
        return Ok(false);
    }
    let time = timestamp(SystemTime::now());
    let (totals, reason) = (Some(run.totals), Some(clean(&reason(), MAX_TEXT)));
    let stop = Line { gateway: run.gateway, totals, reason, ..Line::new(Event::Stop, time, container) };
    let mut file = LineFile::open(path, ROTATE_AT, Box::new(|_| Vec::new()))?;
    file.append_last(|seq| render(Line { seq, ..stop }))?;
    Ok(true)
}

/// Most have one: the rest of a file, which may be long, is read only where it has none.
fn ends_with_a_stop(tail: &mut Tail) -> io::Result<bool> {
    let mut last = None;
    tail.skip_to_end()?;
    each_line(tail, |line| last = Some(line.event))?;
    Ok(last == Some(Event::Stop))
}

/// How a gateway's last line says that it ended as it should.
pub const CONTAINER_ENDED: &str = "the container has ended";

/// Whether a container's record tells of more than that it began and ended. Where that can't be told, it does.
#[must_use]
pub fn is_worth_keeping(path: &Path) -> bool {
    let short = std::fs::symlink_metadata(path).is_ok_and(|status| status.len() < SHORT);
    let aside = std::fs::symlink_metadata(set_aside(path)).is_ok();
    let Some(mut tail) = Tail::open(path).ok().flatten().filter(|_| short && !aside) else { return true };
    let mut tells = false;
    let read = each_line(&mut tail, |line| {
        tells |= match line.event {
            Event::Start | Event::Notice => false,
            Event::Stop => line.reason.as_deref() != Some(CONTAINER_ENDED),
            Event::Open | Event::Update | Event::End => true,
        }
    });
    tells || read.is_err()
}

/// What the lines of the last gateway in a file say.
#[derive(Debug, Default)]
struct Run {
    /// Whether there is a first line without a last one.
    goes_on: bool,
    gateway: Option<Box<About>>,
    totals: Totals,
}

impl Run {
    fn read(&mut self, mut tail: Tail) -> io::Result<()> {
        each_line(&mut tail, |line| self.hear(line))
    }

    fn hear(&mut self, line: Line) {
        let opens = line.flow == Some(line.seq) || line.count.is_some();
        let many = line.count.unwrap_or(1);
        match (line.event, line.verdict) {
            (Event::Start, _) => {
                // A later file of the same gateway repeats the line.
                if line.gateway != self.gateway {
                    *self = Self { gateway: line.gateway, ..Self::default() };
                }
                self.goes_on = true;
            }
            (Event::Stop, _) => self.goes_on = false,
            (Event::Open | Event::End, Some(Verdict::Allow)) => self.totals.allowed += many,
            (Event::End, Some(Verdict::Deny)) => {
                self.totals.denied += many;
                self.totals.allowed = self.totals.allowed.saturating_sub(u64::from(!opens));
            }
            _ => {}
        }
        if line.event == Event::End {
            self.totals.bytes_out += line.bytes_out.unwrap_or(0);
            self.totals.bytes_in += line.bytes_in.unwrap_or(0);
        }
    }
}

/// Gives each line that is one of ours to `hear`; what isn't (a torn line, zeroes after a power cut, another form) is passed over.
fn each_line(tail: &mut Tail, mut hear: impl FnMut(Line)) -> io::Result<()> {
    while let Some(line) = tail.line()? {
        if let Ok(line) = serde_json::from_slice(&line) {
            hear(line);
        }
    }
    Ok(())
}
