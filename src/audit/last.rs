//! The last line of a gateway that couldn't write it itself: its filter was killed. Written by whoever finds it dead.
//!
//! To be called only when nobody writes to the file any more, but for others who found the same: the first of them writes.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::time::SystemTime;

use nix::fcntl::{Flock, FlockArg};

use super::file::{LineFile, ROTATE_AT, open_plain, set_aside};
use super::journal::{render, timestamp};
use super::line::{Event, Line, Totals, Verdict};
use super::record::{MAX_TEXT, clean};

/// The longest line that is read, in bytes; ours are under 16 KiB.
const LONGEST: usize = 64 << 10;

/// Writes the last line of a container's record, with this reason, where it has a first one and no last. Gives whether it did.
///
/// # Errors
/// What opening, reading and writing give; there is nothing to say about a file that isn't there.
pub fn write(path: &Path, container: &str, reason: impl FnOnce() -> String) -> io::Result<bool> {
    let Some(file) = plain(path)? else { return Ok(false) };
    let _alone = Flock::lock(file.try_clone()?, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    let mut run = Run::default();
    if let Some(before) = plain(&set_aside(path))? {
        run.read(before)?;
    }
    run.read(file)?;
    if !run.goes_on {
        return Ok(false);
    }
    let time = timestamp(SystemTime::now());
    let (totals, reason) = (Some(run.totals), Some(clean(&reason(), MAX_TEXT)));
    let stop = Line { totals, reason, ..Line::new(Event::Stop, time, container) };
    let mut file = LineFile::open(path, ROTATE_AT, Box::new(|_| Vec::new()))?;
    file.append_last(|seq| render(Line { seq, ..stop }))?;
    Ok(true)
}

/// How a gateway's last line says that it ended as it should.
pub const CONTAINER_ENDED: &str = "the container has ended";

/// Whether a container's record tells of more than that it began and ended. Where that can't be told, it does.
#[must_use]
pub fn is_worth_keeping(path: &Path) -> bool {
    let short = std::fs::symlink_metadata(path).is_ok_and(|status| status.len() < LONGEST as u64);
    let aside = std::fs::symlink_metadata(set_aside(path)).is_ok();
    let Some(file) = plain(path).ok().flatten().filter(|_| short && !aside) else { return true };
    let mut tells = false;
    let read = each_line(file, |line| {
        tells |= match line.event {
            Event::Start | Event::Notice => false,
            Event::Stop => line.reason.as_deref() != Some(CONTAINER_ENDED),
            Event::Open | Event::Update | Event::End => true,
        }
    });
    tells || read.is_err()
}

/// A regular file, to be read. None where there is nothing.
fn plain(path: &Path) -> io::Result<Option<File>> {
    match open_plain(std::fs::OpenOptions::new().read(true), path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the lines of the last gateway in a file say.
#[derive(Debug, Default)]
struct Run {
    /// Whether there is a first line without a last one.
    goes_on: bool,
    began: Option<String>,
    totals: Totals,
}

impl Run {
    fn read(&mut self, file: File) -> io::Result<()> {
        each_line(file, |line| self.hear(line))
    }

    fn hear(&mut self, line: Line) {
        let opens = line.flow == Some(line.seq) || line.count.is_some();
        let many = line.count.unwrap_or(1);
        match (line.event, line.verdict) {
            (Event::Start, _) => {
                let began = line.gateway.map(|about| about.began);
                // A later file of the same gateway repeats the line.
                if began != self.began {
                    *self = Self { began, ..Self::default() };
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
fn each_line(file: File, mut hear: impl FnMut(Line)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(LONGEST, file);
    let mut line = Vec::new();
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(());
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(chunk.len(), |end| end + 1);
        line.extend(chunk.iter().take(used.min(LONGEST.saturating_sub(line.len()))));
        reader.consume(used);
        if end.is_some() {
            if let Ok(line) = serde_json::from_slice(&line) {
                hear(line);
            }
            line.clear();
        }
    }
}
