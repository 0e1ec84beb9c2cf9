//! A record at a glance: its first and last line, and the totals if the last line has none.

use std::io;

use super::super::file::set_aside;
use super::super::line::{About, Event, Line, Totals, timestamp};
use super::directory::RecordFiles;
use super::entry::FileLine;
use super::latest::Latest;
use super::tail::Tail;

/// What the two ends of a record say. Where a container had several gateways, it is of the last
/// one, as far as those lines tell.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Which container.
    pub recorded: RecordFiles,
    /// Who it is, and by what it was judged; none in a record of an older version.
    pub about: Option<Box<About>>,
    /// How it ended.
    pub end: RecordEnd,
    totals: Option<Totals>,
}

/// How a record ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordEnd {
    /// By the gateway's last line, of this time.
    Stopped(String),
    /// By another: the gateway is there, or couldn't say its last. The time is of the last line
    /// that is readable, or else of the file's last change.
    Unknown(String),
}

impl Overview {
    /// Looks at both ends. None where the files are gone meanwhile.
    ///
    /// # Errors
    /// What opening and reading give.
    pub fn of(recorded: &RecordFiles) -> io::Result<Option<Self>> {
        let current = match Tail::open(&recorded.path)? {
            Some(current) => Some(current),
            None => Tail::open(&set_aside(&recorded.path))?,
        };
        let Some(mut tail) = current else {
            return Ok(None);
        };
        let first = next(&mut tail)?.and_then(|entry| entry.line);
        let last = last_line(&mut tail)?;
        let (event, totals) = last
            .as_ref()
            .map_or((None, None), |last| (Some(last.event), last.totals));
        let time = match &last {
            Some(last) => last.time.clone(),
            None => timestamp(tail.modified()?),
        };
        let end = if event == Some(Event::Stop) {
            RecordEnd::Stopped(time)
        } else {
            RecordEnd::Unknown(time)
        };
        let about = last
            .and_then(|line| line.gateway)
            .or_else(|| first.and_then(|line| line.gateway));
        Ok(Some(Self {
            recorded: recorded.clone(),
            about,
            end,
            totals,
        }))
    }

    /// When it began; of a record that doesn't say, when it ended.
    #[must_use]
    pub fn began(&self) -> &str {
        let (RecordEnd::Stopped(ended) | RecordEnd::Unknown(ended)) = &self.end;
        self.about.as_ref().map_or(ended, |about| &about.began)
    }

    /// The sums: of the last line, or by counting all of the gateway's attempts that are kept.
    ///
    /// # Errors
    /// What opening and reading give.
    pub fn totals(&self) -> io::Result<Totals> {
        if let Some(totals) = self.totals {
            return Ok(totals);
        }
        Ok(Latest::of(&self.recorded.path)?.totals)
    }
}

/// The last line of a file that is readable.
pub(in crate::audit) fn last_line(tail: &mut Tail) -> io::Result<Option<Box<Line>>> {
    tail.skip_to_end()?;
    let end: Vec<_> = std::iter::from_fn(|| tail.line().transpose()).collect::<io::Result<_>>()?;
    // From the back: most of these lines are never looked into.
    Ok(end
        .into_iter()
        .rev()
        .filter_map(FileLine::read)
        .find_map(|entry| entry.line))
}

fn next(tail: &mut Tail) -> io::Result<Option<FileLine>> {
    while let Some(raw) = tail.line()? {
        if let Some(entry) = FileLine::read(raw) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}
