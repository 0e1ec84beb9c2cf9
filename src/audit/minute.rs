//! Limits how many lines a flood can write: of attempts that cost their sender nothing, the first
//! hundred of each class are written one by one in each minute, and the rest are counted.
//!
//! A class is direction, verdict, protocol and port (or number). This decides and counts, but
//! writes nothing. Invariant: every attempt is either written or counted; the number of lines per
//! minute is bounded whatever is sent; and one protocol can't be hidden in a flood of another,
//! because beyond [`PORTS`] ports those of one protocol share a class.

use super::line::{Line, RecordedVerdict};
use super::record::{Direction, Kind};

/// Lines that one class may write in a minute.
pub(super) const LINES: u64 = 100;
/// Ports that are classes of their own, of all protocols together.
const PORTS: usize = 16;

/// What is alike among attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Class {
    direction: Option<Direction>,
    verdict: Option<RecordedVerdict>,
    protocol: Option<Kind>,
    /// Or the number, where there are no ports. None: all that have no class of their own.
    port: Option<u16>,
}

/// What came of one class in this minute.
#[derive(Debug)]
struct Tally {
    class: Class,
    written: u64,
    counted: Option<Counted>,
}

/// What wasn't written one by one.
#[derive(Debug)]
struct Counted {
    first: Line,
    /// When the last of them was seen.
    last: String,
    count: u64,
}

/// The running minute.
#[derive(Debug, Default)]
pub(super) struct Minute(Vec<Tally>);

impl Minute {
    /// Gives back what is to be written at once; counts the rest.
    pub(super) fn admit(&mut self, line: Line) -> Option<Line> {
        // What the container was allowed has its line, always: bytes may have gone out with it.
        if line.direction == Some(Direction::Out) && line.verdict == Some(RecordedVerdict::Allow) {
            return Some(line);
        }
        let tally = self.tally(&line);
        if tally.written < LINES {
            tally.written += 1;
            return Some(line);
        }
        let (last, count) = (line.time.clone(), line.count.unwrap_or(1));
        let counted = tally.counted.get_or_insert_with(|| Counted {
            first: line,
            last: String::new(),
            count: 0,
        });
        counted.last = last;
        counted.count += count;
        None
    }

    /// Ends the minute: `write` gets a line for each class of which some weren't written, and says
    /// whether it stands. What could not be written is kept for the next minute's end.
    pub(super) fn end(&mut self, mut write: impl FnMut(Line) -> bool) {
        self.0
            .retain(|tally| tally.line().is_some_and(|line| !write(line)));
    }

    fn tally(&mut self, line: &Line) -> &mut Tally {
        let own = Class {
            direction: line.direction,
            verdict: line.verdict,
            protocol: line.protocol,
            port: line.number.map(u16::from).or(line.port),
        };
        let shared = Class { port: None, ..own };
        let place =
            |tallies: &[Tally], class| tallies.iter().position(|tally| tally.class == class);
        let with_port = self
            .0
            .iter()
            .filter(|tally| tally.class.port.is_some())
            .count();
        let class = if place(&self.0, own).is_some() || with_port < PORTS {
            own
        } else {
            shared
        };
        let place = place(&self.0, class).unwrap_or_else(|| {
            self.0.push(Tally {
                class,
                written: 0,
                counted: None,
            });
            self.0.len() - 1
        });
        self.0
            .get_mut(place)
            .expect("a place that was just found or made")
    }
}

impl Tally {
    /// The line that stands for what was counted.
    fn line(&self) -> Option<Line> {
        let Counted { first, last, count } = self.counted.as_ref()?;
        let several = self.class.port.is_none();
        let (port, number) = if several {
            (Some(0), None)
        } else {
            (first.port, first.number)
        };
        let (began, last) = (Some(first.time.clone()), Some(last.clone()));
        Some(Line {
            port,
            number,
            count: Some(*count),
            first: began,
            last,
            ..first.clone()
        })
    }
}

#[cfg(test)]
mod tests;
