//! Puts attempts together from a container's lines: `open`, `update` and `end` of one flow are one
//! attempt.
//!
//! Pure: lines in, attempts and events out, in the order in which they end. Attempts that are open
//! when a gateway ends (`stop`, or the `start` of another) are reported as cut. At most
//! [`MAX_OPEN`] open attempts are remembered; beyond that the oldest is reported as it stands.

use std::collections::{BTreeMap, VecDeque};

use super::super::line::{Event, Line, RecordedVerdict};
use super::entry::FileLine;

/// Attempts that are remembered as under way, at most: about 5 KiB each if somebody makes them as
/// long as can be.
const MAX_OPEN: usize = 16_384;

/// One thing that a container's record tells.
#[derive(Debug)]
pub enum Told {
    /// An attempt.
    Attempt(RecordedAttempt),
    /// A `start`, `notice` or `stop`.
    Event(Box<Line>),
    /// A line that is not a record of this version, cleaned.
    Other(String),
}

/// One attempt, by all that its lines say.
#[derive(Debug, Clone)]
pub struct RecordedAttempt {
    /// Its first line, corrected by the later ones.
    pub line: Box<Line>,
    /// The time of its last line.
    pub last: String,
    /// How far it is.
    pub standing: Standing,
    /// Whether it was told as one that is under way.
    told: bool,
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Under way.
    Open,
    /// The gateway ended before it, and nothing of its end is known.
    Cut,
    /// It is over, in whatever way.
    Over,
}

/// The lines of one container so far.
#[derive(Debug, Default)]
pub struct Fold {
    /// Of the gateway whose lines these are: a later file repeats its `start`.
    began: Option<String>,
    /// By their numbers, and so by their age.
    open: BTreeMap<u64, RecordedAttempt>,
    ready: VecDeque<Told>,
}

impl RecordedAttempt {
    fn new(line: Box<Line>, standing: Standing) -> Self {
        Self {
            last: line.time.clone(),
            line,
            standing,
            told: false,
        }
    }

    /// Whether it was denied. One whose first line is gone was allowed: it has an end of its own
    /// only then.
    #[must_use]
    pub fn denied(&self) -> bool {
        self.line.verdict == Some(RecordedVerdict::Deny)
    }

    /// How many attempts it stands for.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.line.count.unwrap_or(1)
    }

    /// Takes over what a later line says.
    fn learn(&mut self, later: Line) {
        let line = &mut *self.line;
        replace(&mut line.protocol, later.protocol);
        replace(&mut line.name, later.name);
        replace(&mut line.address, later.address);
        replace(&mut line.port, later.port);
        replace(&mut line.method, later.method);
        replace(&mut line.path, later.path);
        replace(&mut line.number, later.number);
        if later.verdict == Some(RecordedVerdict::Deny) {
            // What let it pass so far is not what denies it.
            (line.rule, line.suggestion) = (None, None);
        }
        replace(&mut line.verdict, later.verdict);
        replace(&mut line.rule, later.rule);
        replace(&mut line.reason, later.reason);
        replace(&mut line.suggestion, later.suggestion);
        replace(&mut line.bytes_out, later.bytes_out);
        replace(&mut line.bytes_in, later.bytes_in);
        replace(&mut line.duration_ms, later.duration_ms);
        replace(&mut line.ended, later.ended);
        replace(&mut line.by, later.by);
        self.last = later.time;
    }
}

fn replace<T>(known: &mut Option<T>, later: Option<T>) {
    if later.is_some() {
        *known = later;
    }
}

impl Fold {
    /// Takes the next line.
    pub fn feed(&mut self, entry: FileLine) {
        let Some(line) = entry.line else {
            return self.ready.push_back(Told::Other(entry.text()));
        };
        match line.event {
            Event::Start => self.start(line),
            Event::Notice => self.ready.push_back(Told::Event(line)),
            Event::Open | Event::Update => self.go_on(line),
            Event::End => self.end(line),
            Event::Stop => {
                self.leave(Standing::Cut);
                self.ready.push_back(Told::Event(line));
            }
        }
    }

    /// What the lines so far tell, one after the other.
    pub fn tell(&mut self) -> Option<Told> {
        self.ready.pop_front()
    }

    /// Tells of what is under way, each attempt once.
    pub fn tell_open(&mut self) {
        for attempt in self.open.values_mut().filter(|attempt| !attempt.told) {
            attempt.told = true;
            self.ready.push_back(Told::Attempt(attempt.clone()));
        }
    }

    /// Tells of what is left, and forgets it: as under way, or as cut.
    pub fn leave(&mut self, standing: Standing) {
        let left = std::mem::take(&mut self.open).into_values();
        self.ready.extend(left.map(|attempt| {
            Told::Attempt(RecordedAttempt {
                standing,
                ..attempt
            })
        }));
    }

    fn start(&mut self, line: Box<Line>) {
        let began = line.gateway.as_ref().map(|about| about.began.clone());
        if began.is_none() || began != self.began {
            self.began = began;
            self.leave(Standing::Cut);
            self.ready.push_back(Told::Event(line));
        }
    }

    fn go_on(&mut self, line: Box<Line>) {
        let Some(flow) = line.flow else { return };
        match self.open.get_mut(&flow) {
            Some(attempt) => attempt.learn(*line),
            None => {
                self.open
                    .insert(flow, RecordedAttempt::new(line, Standing::Open));
            }
        }
        if self.open.len() > MAX_OPEN {
            self.ready.extend(
                self.open
                    .pop_first()
                    .map(|(_, attempt)| Told::Attempt(attempt)),
            );
        }
    }

    fn end(&mut self, line: Box<Line>) {
        let begun = line.flow.and_then(|flow| self.open.remove(&flow));
        let attempt = match begun {
            Some(mut attempt) => {
                attempt.learn(*line);
                RecordedAttempt {
                    standing: Standing::Over,
                    ..attempt
                }
            }
            None => RecordedAttempt::new(line, Standing::Over),
        };
        self.ready.push_back(Told::Attempt(attempt));
    }
}
