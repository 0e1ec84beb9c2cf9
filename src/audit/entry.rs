//! The record of one attempt: one line if it is denied, or over before anything goes out; else one
//! when it opens and one when it ends.
//!
//! An [`Entry`] is a guard: ending it consumes it, and dropping it (a cancelled task, an early
//! return) records it all the same. Invariant: whoever lets something out has called
//! [`Entry::open`] before, and heard that it was written.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::flows::Traffic;
use super::journal::Journal;
use super::line::{Ended, Event, Line, RecordedVerdict, Side, milliseconds, timestamp};
use super::record::{Kind, MAX_METHOD, MAX_NAME, MAX_PATH, MAX_TEXT, Subject, without_query};
use crate::escape::{clean, clean_name};
use crate::policy::{Denial, Grounds};

/// An attempt that is being recorded.
#[derive(Debug)]
pub struct Entry {
    journal: Journal,
    subject: Subject,
    seen: SystemTime,
    began: Instant,
    grounds: Option<Grounds>,
    /// The address really used, where it is known.
    address: Option<IpAddr>,
    traffic: Option<Arc<Traffic>>,
    /// Its number, and whether something else is to be said of it than was said with it.
    opened: Option<(u64, bool)>,
    over: bool,
}

/// How an allowed attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    how: Ended,
    by: Side,
    reason: Option<String>,
}

impl End {
    /// Ended in order, by this side first.
    #[must_use]
    pub fn closed(by: Side) -> Self {
        Self {
            how: Ended::Closed,
            by,
            reason: None,
        }
    }

    /// Broken off by this side. `reason`: what else there is to say.
    #[must_use]
    pub fn reset(by: Side, reason: Option<String>) -> Self {
        Self {
            how: Ended::Reset,
            by,
            reason,
        }
    }

    /// The server could not be reached.
    #[must_use]
    pub fn unreachable(reason: impl Into<String>) -> Self {
        Self {
            how: Ended::Unreachable,
            by: Side::Server,
            reason: Some(reason.into()),
        }
    }

    /// Nothing moved for long.
    #[must_use]
    pub fn idle() -> Self {
        Self {
            how: Ended::Idle,
            by: Side::Gateway,
            reason: None,
        }
    }

    /// Its end can't be seen from here.
    #[must_use]
    pub fn untracked() -> Self {
        Self {
            how: Ended::Untracked,
            by: Side::Gateway,
            reason: None,
        }
    }

    /// The same, with something for people to know.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }

    fn cut() -> Self {
        Self {
            how: Ended::Cut,
            by: Side::Gateway,
            reason: None,
        }
    }
}

impl Journal {
    /// Begins the record of an attempt seen now.
    #[must_use]
    pub fn begin(&self, subject: Subject) -> Entry {
        Entry::begin(self.clone(), subject)
    }
}

impl Entry {
    fn begin(journal: Journal, subject: Subject) -> Self {
        Self {
            journal,
            subject,
            seen: SystemTime::now(),
            began: Instant::now(),
            grounds: None,
            address: None,
            traffic: None,
            opened: None,
            over: false,
        }
    }

    /// Its subject, to add what was learnt since it began.
    pub fn subject(&mut self) -> &mut Subject {
        self.say_again();
        &mut self.subject
    }

    /// Notes the grounds on which it is allowed, and the address really used. May be called again
    /// when more is known.
    pub fn allowed(&mut self, grounds: &Grounds, address: Option<IpAddr>) {
        if self.grounds.as_ref() != Some(grounds) {
            self.grounds = Some(grounds.clone());
            self.say_again();
        }
        self.address = address;
        if let Some(traffic) = &self.traffic {
            traffic.goes_to(self.another_address());
        }
    }

    /// What moves for it.
    pub fn traffic(&mut self) -> Arc<Traffic> {
        Arc::clone(
            self.traffic
                .get_or_insert_with(|| Arc::new(Traffic::new(self.began))),
        )
    }

    /// Writes that it is allowed and under way. To be called before anything of it goes out; more
    /// than once is fine.
    ///
    /// # Errors
    /// It can't be written: nothing of it may go out.
    pub fn open(&mut self) -> Result<(), Denial> {
        if self.opened.is_some() {
            return Ok(());
        }
        let mut line = self.line(Event::Open, self.seen);
        self.describe(&mut line, RecordedVerdict::Allow);
        self.journal.tell(&line);
        let Some(number) = self.journal.write(line) else {
            return Err(Denial::because(UNWRITABLE));
        };
        self.opened = Some((number, false));
        let traffic = self.traffic();
        traffic.goes_to(self.another_address());
        let ends_with_client = matches!(self.subject.kind, Kind::Tcp | Kind::Http | Kind::Https);
        self.journal
            .flows()
            .opened(number, traffic, ends_with_client);
        Ok(())
    }

    /// Ends it as denied, even if it had been allowed (none of the name's addresses may be
    /// dialled).
    pub fn deny(self, denial: &Denial) {
        self.deny_many(denial, None);
    }

    /// Ends it because a changed policy denies it: what was under way is cut, anything else denied.
    pub fn revoke(self, denial: &Denial) {
        match self.opened {
            Some(_) => self.finish(End::cut().because(denial.reason.as_str())),
            None => self.deny(denial),
        }
    }

    /// Discards it: the attempt is recorded by another entry.
    pub fn withdraw(mut self) {
        self.over = true;
    }

    /// Ends it as denied; with a number, as that many attempts.
    pub fn deny_many(mut self, denial: &Denial, count: Option<u64>) {
        let line = self.denial(denial);
        let (journal, many) = (&self.journal, count.unwrap_or(1));
        journal.note_denied(&self.subject, denial, self.seen, many);
        self.over(Line { count, ..line });
    }

    /// Ends it after it was allowed.
    pub fn finish(mut self, end: End) {
        let line = self.ending(end);
        self.over(line);
    }

    /// The address really used, where it isn't the one that was asked for.
    fn another_address(&self) -> Option<IpAddr> {
        self.address
            .filter(|address| *address != self.subject.destination.ip())
    }

    fn say_again(&mut self) {
        if let Some((_, again)) = &mut self.opened {
            *again = true;
        }
    }

    fn over(&mut self, line: Line) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let allowed = line
            .verdict
            .is_none_or(|verdict| verdict == RecordedVerdict::Allow);
        let flows = self.journal.flows();
        flows.count(line.count.unwrap_or(1), allowed, self.opened.is_some());
        flows.moved((line.bytes_out.unwrap_or(0), line.bytes_in.unwrap_or(0)));
        self.journal.tell(&line);
        let number = self.opened.map(|(number, _)| number);
        match number {
            // The end of what has a line has one, always.
            Some(_) => drop(self.journal.write(line)),
            None => self.journal.admit(line),
        }
        number
            .into_iter()
            .for_each(|number| self.journal.flows().closed(number));
    }

    fn denial(&self, denial: &Denial) -> Line {
        let mut line = self.end_line();
        self.describe(&mut line, RecordedVerdict::Deny);
        line.address = Some(self.subject.destination.ip());
        line.rule = denial.rule.as_deref().map(|rule| clean(rule, MAX_TEXT));
        line.reason = Some(clean(&denial.reason, MAX_TEXT));
        line.suggestion = denial
            .suggestion
            .as_deref()
            .map(|suggestion| clean(suggestion, MAX_TEXT));
        self.measure(&mut line, false);
        line
    }

    fn ending(&self, end: End) -> Line {
        // What breaks because we end was not broken off by anybody else.
        let end = if self.journal.is_over() && end.how == Ended::Reset {
            End::cut()
        } else {
            end
        };
        let mut line = self.end_line();
        match self.opened {
            None => self.describe(&mut line, RecordedVerdict::Allow),
            Some((_, again)) => {
                if again {
                    self.describe(&mut line, RecordedVerdict::Allow);
                    // Said with the first line.
                    line.verdict = None;
                }
                line.address = self.another_address();
            }
        }
        line.ended = Some(end.how);
        line.by = Some(end.by);
        line.reason = end.reason.map(|reason| clean(&reason, MAX_TEXT));
        self.measure(&mut line, !matches!(end.how, Ended::Reset | Ended::Cut));
        line
    }

    fn end_line(&self) -> Line {
        let (number, time) = match self.opened {
            Some((number, _)) => (Some(number), SystemTime::now()),
            None => (None, self.seen),
        };
        Line {
            flow: number,
            ..self.line(Event::End, time)
        }
    }

    fn line(&self, event: Event, time: SystemTime) -> Line {
        Line::new(event, timestamp(time), self.journal.container())
    }

    /// Fills in what was asked for, and what was decided.
    fn describe(&self, line: &mut Line, verdict: RecordedVerdict) {
        let subject = &self.subject;
        line.protocol = Some(subject.kind);
        line.direction = Some(subject.direction);
        line.source = Some(subject.source);
        line.name = subject
            .name
            .as_deref()
            .map(|name| clean_name(name, MAX_NAME));
        line.address = Some(self.address.unwrap_or_else(|| subject.destination.ip()));
        line.port = Some(subject.destination.port());
        line.method = subject
            .method
            .as_deref()
            .map(|method| clean(method, MAX_METHOD));
        line.path = subject
            .path
            .as_deref()
            .map(|path| clean(without_query(path), MAX_PATH));
        line.number = subject.number;
        line.verdict = Some(verdict);
        if let Some(grounds) = &self.grounds {
            line.rule = Some(clean(&grounds.rule, MAX_TEXT));
            line.suggestion = grounds
                .suggestion
                .as_deref()
                .map(|suggestion| clean(suggestion, MAX_TEXT));
        }
    }

    fn measure(&self, line: &mut Line, in_order: bool) {
        let bytes = |traffic: &Arc<Traffic>| {
            if in_order {
                traffic.given()
            } else {
                traffic.arrives(true)
            }
        };
        let (out, back) = self.traffic.as_ref().map_or((0, 0), bytes);
        (line.bytes_out, line.bytes_in) = (Some(out), Some(back));
        line.duration_ms = Some(milliseconds(self.began.elapsed()));
    }
}

/// Reason recorded for an attempt that is denied because it can't be recorded.
const UNWRITABLE: &str = "the record can't be written";
/// Reason recorded for an attempt dropped before anything was decided.
pub(super) const UNDECIDED: &str = "it was cut short before it was decided";

impl Drop for Entry {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let line = match self.grounds {
            Some(_) => self.ending(End::cut()),
            None => self.denial(&Denial::because(UNDECIDED)),
        };
        self.over(line);
    }
}
