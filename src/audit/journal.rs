//! Writes records: one writer a container, in order, bounded in size, exactly one line for each attempt begun, or its
//! place in a count.
//!
//! An [`Entry`] is a guard: ending it consumes it, and dropping it (a cancelled task, an early return) records it all the
//! same. Not to be forgotten: while [`Journal::healthy`] is false nothing may be allowed, for it would go unrecorded;
//! denials go on being tried, and the first that is written makes it healthy again.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::file::{LineFile, ROTATE_AT, Renew};
use super::minute::Minute;
use super::record::{MAX_METHOD, MAX_NAME, MAX_PATH, MAX_TEXT, Notice, Record, SCHEMA, Subject, clean, without_query};
use crate::policy::Denial;

/// What the record of an attempt says that nobody ended.
const CUT_SHORT: &str = "cut short";

/// The audit file of one container. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    container: String,
    policy: String,
    file: Mutex<LineFile>,
    minute: Mutex<Minute>,
    healthy: AtomicBool,
}

/// An attempt that is being recorded: once, when finished or dropped.
#[derive(Debug)]
pub struct Entry {
    journal: Journal,
    subject: Subject,
    seen: SystemTime,
    began: Instant,
    allowed: Option<Allowed>,
    written: bool,
}

#[derive(Debug)]
struct Allowed {
    rule: String,
    address: Option<IpAddr>,
}

/// How an attempt ended.
#[derive(Debug, Default)]
struct Ending<'a> {
    denial: Option<&'a Denial>,
    bytes_out: u64,
    bytes_in: u64,
    problem: Option<&'a str>,
    count: Option<u64>,
}

impl Journal {
    /// Opens (or continues) the file: appended to, 0640, never through a symbolic link; a directory that is missing is made
    /// with 0750. `container` and `policy` are written in every line.
    ///
    /// # Errors
    /// Whatever making the directory, opening or reading gives; `not a regular file` where something else is in its place.
    pub fn open(path: &Path, container: &str, policy: &str) -> std::io::Result<Self> {
        Self::open_bounded(path, container, policy, ROTATE_AT)
    }

    fn open_bounded(path: &Path, container: &str, policy: &str, rotate_at: u64) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Inner {
            container: clean(container, MAX_NAME),
            policy: clean(policy, MAX_NAME),
            file: Mutex::new(LineFile::open(path, rotate_at)?),
            minute: Mutex::default(),
            healthy: AtomicBool::new(true),
        })))
    }

    /// Takes its files from another source from now on, which gives one of the same path.
    pub fn come_from(&self, source: Box<dyn Renew>) {
        self.file().come_from(source);
    }

    /// Gives its open file to `use_it`.
    pub fn with_file<T>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        use_it(self.file().file())
    }

    /// Whether the last write succeeded. While false, nothing may be allowed: it would go unrecorded.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.0.healthy.load(Ordering::Acquire)
    }

    /// Begins the record of an attempt seen now.
    #[must_use]
    pub fn begin(&self, subject: Subject) -> Entry {
        Entry {
            journal: self.clone(),
            subject,
            seen: SystemTime::now(),
            began: Instant::now(),
            allowed: None,
            written: false,
        }
    }

    /// Writes a line that is no attempt: something to be known of the container.
    pub fn notice(&self, sentence: &str) {
        let mut notice = Notice {
            v: SCHEMA,
            seq: 0,
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            container: self.0.container.clone(),
            notice: clean(sentence, MAX_TEXT),
        };
        self.append(|seq| {
            notice.seq = seq;
            serde_json::to_vec(&notice)
        });
    }

    /// Writes the lines for what was only counted: to be called once a minute, and at the end.
    pub fn write_counts(&self) {
        self.minute().end(|record| self.write(record));
    }

    /// Records an attempt, with a line of its own or as one of a count.
    fn record(&self, record: Record) {
        // Where lines are lost, each is tried: the first that can be written makes the journal healthy again.
        let line = if self.healthy() { self.minute().admit(record) } else { Some(record) };
        line.map(|record| self.write(record));
    }

    fn file(&self) -> MutexGuard<'_, LineFile> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn minute(&self) -> MutexGuard<'_, Minute> {
        self.0.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut record: Record) -> bool {
        self.append(|seq| {
            record.seq = seq;
            serde_json::to_vec(&record)
        })
    }

    /// Says whether the line was written.
    fn append(&self, render: impl FnOnce(u64) -> serde_json::Result<Vec<u8>>) -> bool {
        let mut file = self.file();
        let outcome = file.append(|seq| render(seq).expect("a line is strings and numbers, which always serialise"));
        // A lost line's number shows that it is; whoever may allow something asks `healthy` first.
        let healthy = self.0.healthy.swap(outcome.is_ok(), Ordering::AcqRel);
        match &outcome {
            Err(error) if healthy => log::error!("nothing is allowed, since the record can't be written: {error}"),
            Ok(()) if !healthy => {
                log::warn!("the record is written again: gaps in its numbers are lines that are lost")
            }
            _ => {}
        }
        outcome.is_ok()
    }
}

impl Entry {
    /// What was learnt since `begin`.
    pub fn subject(&mut self) -> &mut Subject {
        &mut self.subject
    }

    /// Notes that it was allowed by this rule, and the address really used. May be called again when more is known.
    pub fn allowed(&mut self, rule: &str, address: Option<IpAddr>) {
        self.allowed = Some(Allowed { rule: rule.to_owned(), address });
    }

    /// Ends it as denied, even if it had been allowed (none of the name's addresses may be dialled).
    pub fn deny(mut self, denial: &Denial) {
        self.end(&Ending { denial: Some(denial), ..Ending::default() });
    }

    /// Takes it back: the attempt has another entry.
    pub fn withdraw(mut self) {
        self.written = true;
    }

    /// Ends as many attempts as denied, of which this is one.
    pub fn deny_many(mut self, denial: &Denial, count: u64) {
        self.end(&Ending { denial: Some(denial), count: Some(count), ..Ending::default() });
    }

    /// Ends it after it was allowed: bytes each way, and what went wrong, if something did.
    pub fn finish(mut self, bytes_out: u64, bytes_in: u64, problem: Option<&str>) {
        self.end(&Ending { bytes_out, bytes_in, problem, ..Ending::default() });
    }

    /// Records it, the first time it is called.
    fn end(&mut self, ending: &Ending<'_>) {
        if !std::mem::replace(&mut self.written, true) {
            self.journal.record(self.record(ending));
        }
    }

    fn record(&self, ending: &Ending<'_>) -> Record {
        let inner = &self.journal.0;
        let subject = &self.subject;
        // Not decided when it was cut short: nothing went out, so it counts as denied.
        let cut_short_undecided = self.allowed.is_none() && ending.problem == Some(CUT_SHORT);
        let denied = ending.denial.is_some() || cut_short_undecided;
        let allowed = self.allowed.as_ref().filter(|_| !denied);
        let rule = match ending.denial {
            Some(denial) => denial.rule.as_deref(),
            None => allowed.map(|allowed| allowed.rule.as_str()),
        };
        let reason = ending.denial.map_or(ending.problem, |denial| Some(denial.reason.as_str()));
        Record {
            v: SCHEMA,
            seq: 0,
            time: humantime::format_rfc3339_millis(self.seen).to_string(),
            container: inner.container.clone(),
            policy: inner.policy.clone(),
            protocol: subject.kind,
            direction: subject.direction,
            source: subject.source,
            name: subject.name.as_deref().map(|name| clean(name, MAX_NAME)),
            address: allowed.and_then(|allowed| allowed.address).unwrap_or_else(|| subject.destination.ip()),
            port: subject.destination.port(),
            method: subject.method.as_deref().map(|method| clean(method, MAX_METHOD)),
            path: subject.path.as_deref().map(|path| clean(without_query(path), MAX_PATH)),
            number: subject.number,
            verdict: if denied { "deny" } else { "allow" }.to_owned(),
            rule: rule.map(|rule| clean(rule, MAX_TEXT)),
            reason: reason.map(|reason| clean(reason, MAX_TEXT)),
            suggestion: ending
                .denial
                .and_then(|denial| denial.suggestion.as_deref())
                .map(|suggestion| clean(suggestion, MAX_TEXT)),
            bytes_out: ending.bytes_out,
            bytes_in: ending.bytes_in,
            duration_ms: milliseconds(self.began.elapsed()),
            count: ending.count,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.end(&Ending { problem: Some(CUT_SHORT), ..Ending::default() });
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
