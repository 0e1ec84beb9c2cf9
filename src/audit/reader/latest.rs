//! Adds up a container's last gateway from all of its lines that are kept.

use std::io;
use std::path::Path;

use super::super::line::{About, Event, Totals};
use super::fold::{RecordedAttempt, Standing, Told};
use super::stream::LineStream;

/// What they say together.
#[derive(Debug, Default)]
pub(in crate::audit) struct Latest {
    /// What its first line says; none where that is not kept.
    pub(in crate::audit) about: Option<Box<About>>,
    /// Whether it has a first line and no last one.
    pub(in crate::audit) goes_on: bool,
    /// The sums over its attempts; the bytes of those that are over.
    pub(in crate::audit) totals: Totals,
}

impl Latest {
    /// By the container's current file.
    pub(in crate::audit) fn of(path: &Path) -> io::Result<Self> {
        let mut latest = Self::default();
        LineStream::at(path)?.tell_all(|told| latest.hear(told))?;
        Ok(latest)
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Attempt(attempt) => self.count(&attempt),
            Told::Event(line) if line.event == Event::Start => {
                *self = Self {
                    about: line.gateway,
                    goes_on: true,
                    totals: Totals::default(),
                };
            }
            Told::Event(line) if line.event == Event::Stop => self.goes_on = false,
            Told::Event(_) | Told::Other(_) => {}
        }
    }

    fn count(&mut self, attempt: &RecordedAttempt) {
        let Totals {
            allowed,
            denied,
            bytes_out,
            bytes_in,
        } = &mut self.totals;
        let sum = if attempt.denied() { denied } else { allowed };
        *sum = sum.saturating_add(attempt.count());
        if attempt.standing == Standing::Over {
            *bytes_out = bytes_out.saturating_add(attempt.line.bytes_out.unwrap_or(0));
            *bytes_in = bytes_in.saturating_add(attempt.line.bytes_in.unwrap_or(0));
        }
    }
}
