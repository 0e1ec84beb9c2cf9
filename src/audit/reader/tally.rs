//! Adds up attempts by destination. Bounded: beyond [`MAX_ROWS`] destinations, the others are added
//! up together.

use std::collections::HashMap;
use std::net::IpAddr;

use super::super::record::{Direction, Kind};
use super::fold::RecordedAttempt;

/// Places that have rows of their own.
const MAX_ROWS: usize = 10_000;

/// Where attempts went. Ordered, so that equal sums give equal tables.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// From or to the container.
    pub inward: bool,
    /// By what protocol; none where the line that says it is gone.
    pub protocol: Option<&'static str>,
    /// To what name.
    pub name: Option<String>,
    /// To what address, where there is no name.
    pub address: Option<IpAddr>,
    /// To what port; 0 where there is none.
    pub port: u16,
}

/// The attempts of one place together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// How many were allowed.
    pub allowed: u64,
    /// How many were denied.
    pub denied: u64,
    /// Bytes from the container.
    pub bytes_out: u64,
    /// Bytes to the container.
    pub bytes_in: u64,
    /// When the first was seen.
    pub first: String,
    /// When the last was.
    pub last: String,
    /// The rule that would allow those that were, or would have been, denied.
    pub suggestion: Option<String>,
}

/// The sums so far.
#[derive(Debug, Default)]
pub struct Tally {
    rows: HashMap<Destination, Row>,
    /// Attempts that have no row of their own.
    pub others: Row,
    /// All attempts.
    pub total: Row,
}

impl Tally {
    /// Adds an attempt.
    pub fn add(&mut self, attempt: RecordedAttempt) {
        let (count, denied) = (attempt.count(), attempt.denied());
        let line = *attempt.line;
        let one = Row {
            allowed: if denied { 0 } else { count },
            denied: if denied { count } else { 0 },
            bytes_out: line.bytes_out.unwrap_or_default(),
            bytes_in: line.bytes_in.unwrap_or_default(),
            last: line.last.unwrap_or_else(|| line.time.clone()),
            first: line.first.unwrap_or(line.time),
            suggestion: line.suggestion,
        };
        let address = if line.name.is_some() {
            None
        } else {
            line.address
        };
        let destination = Destination {
            inward: line.direction == Some(Direction::In),
            protocol: line.protocol.map(Kind::word),
            name: line.name,
            address,
            port: line.port.unwrap_or_default(),
        };
        self.total.take_in(&one);
        if self.rows.len() < MAX_ROWS {
            self.rows.entry(destination).or_default().take_in(&one);
        } else {
            self.rows
                .get_mut(&destination)
                .unwrap_or(&mut self.others)
                .take_in(&one);
        }
    }

    /// The places, the busiest first.
    #[must_use]
    pub fn rows(self) -> Vec<(Destination, Row)> {
        let mut rows: Vec<_> = self.rows.into_iter().collect();
        rows.sort_by(|(a, one), (b, other)| other.count().cmp(&one.count()).then_with(|| a.cmp(b)));
        rows
    }
}

impl Row {
    /// How many attempts.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.allowed.saturating_add(self.denied)
    }

    fn take_in(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.allowed, other.allowed),
            (&mut self.denied, other.denied),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.bytes_in, other.bytes_in),
        ] {
            *sum = sum.saturating_add(more);
        }
        // Times of one form and one zone: in their letters' order.
        if self.first.is_empty() || other.first < self.first {
            self.first.clone_from(&other.first);
        }
        if other.last > self.last {
            self.last.clone_from(&other.last);
        }
        if self.suggestion.is_none() {
            self.suggestion.clone_from(&other.suggestion);
        }
    }
}
