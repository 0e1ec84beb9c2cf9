//! Writes the record: one writer a gateway, in order, bounded in size.
//!
//! Owns what the file begins and ends with, what a flood becomes, and whether lines can be written.
//! An attempt's own lines are made in `entry`.

use std::fmt::{Display, Write};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::denied::{Denied, Pending};
use super::file::{Header, LineFile, ROTATE_AT, Renew};
use super::flows::Flows;
use super::form::Form;
use super::line::{About, Event, Line, RecordedVerdict, SCHEMA, Totals, milliseconds, timestamp};
use super::minute::Minute;
use super::record::{MAX_NAME, MAX_TEXT, Subject};
use super::reporter::Reporter;
use super::scratch::Scratch;
use super::{for_people, last};
use crate::escape::clean;
use crate::policy::{Denial, DeniedAttempt, Policy};
use crate::sys::channel::Channel;

/// The record of one gateway. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    container: String,
    about: Arc<Mutex<About>>,
    form: Form,
    reporter: OnceLock<Reporter>,
    file: Mutex<LineFile>,
    minute: Mutex<Minute>,
    flows: Flows,
    last_denial: Mutex<Option<Box<Line>>>,
    denied: Mutex<Denied>,
    healthy: AtomicBool,
    over: AtomicBool,
}

/// The status of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalStatus {
    /// All of its attempts together, the open ones included.
    pub totals: Totals,
    /// Attempts that are open.
    pub open: u64,
    /// What was denied last, in words.
    pub last_denial: Option<String>,
    /// Whether the last line could be written. Where not, nothing is let out.
    pub healthy: bool,
}

/// What a record says of a policy that took another's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedAbout {
    /// Its name.
    pub policy: String,
    /// Its hash.
    pub policy_hash: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Whether TLS may be intercepted.
    pub intercepts: bool,
    /// Which of the gateway's policies it is.
    pub generation: u64,
}

impl Journal {
    /// Opens (or continues) the file, 0640, never through a symbolic link; a directory that is
    /// missing is made with 0750. What another gateway left without an end gets one; then the
    /// `start` line of this one is written. Where it can't be, nothing else is either, until it
    /// can.
    ///
    /// # Errors
    /// Whatever making the directory, opening or reading gives; `not a regular file` where
    /// something else is in its place.
    pub fn open(path: &Path, container: &str, about: About) -> io::Result<Self> {
        Self::open_bounded(path, container, about, ROTATE_AT)
    }

    /// The same in another form.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_in(form: Form, path: &Path, container: &str, about: About) -> io::Result<Self> {
        if form == Form::Json {
            return Self::open(path, container, about);
        }
        let open = |header| LineFile::open(path, ROTATE_AT, header);
        Self::begun(form, clean(container, MAX_NAME), about, open)
    }

    fn open_bounded(
        path: &Path,
        container: &str,
        about: About,
        rotate_at: u64,
    ) -> io::Result<Self> {
        let container = clean(container, MAX_NAME);
        last::write(path, &container, || UNSEEN.to_owned())?;
        let open = |header| LineFile::open(path, rotate_at, header);
        Self::begun(Form::Json, container, about, open)
    }

    /// Writes to a stream, such as standard error, that somebody else reads: it is never full, and
    /// nothing in it is continued.
    ///
    /// # Errors
    /// What `fcntl(2)` gives.
    pub fn to_stream(form: Form, stream: File, container: &str, about: About) -> io::Result<Self> {
        let open = |header| Ok(LineFile::stream(stream, header));
        Self::begun(form, clean(container, MAX_NAME), about, open)
    }

    fn begun(
        form: Form,
        container: String,
        about: About,
        open: impl FnOnce(Header) -> io::Result<LineFile>,
    ) -> io::Result<Self> {
        let about = About {
            began: timestamp(SystemTime::now()),
            ..about
        };
        let about = Arc::new(Mutex::new(about));
        let header = Line::new(Event::Start, String::new(), &container);
        let now = Arc::clone(&about);
        let header = move |seq| {
            form.render(Line {
                seq,
                time: timestamp(SystemTime::now()),
                gateway: Some(Box::new(locked(&now).clone())),
                ..header.clone()
            })
        };
        let mut file = open(Box::new(header))?;
        let healthy = file.begin().is_ok();
        Ok(Self(Arc::new(Inner {
            container,
            about,
            form,
            reporter: OnceLock::new(),
            file: Mutex::new(file),
            minute: Mutex::default(),
            flows: Flows::default(),
            last_denial: Mutex::default(),
            denied: Mutex::default(),
            healthy: AtomicBool::new(healthy),
            over: AtomicBool::new(false),
        })))
    }

    /// From now on takes new files from another source, which opens the same path.
    pub fn come_from(&self, source: Box<dyn Renew>) {
        self.file().come_from(source);
    }

    /// From now on tells whoever has the other end of each judged request, too.
    pub fn report_to(&self, other: Channel) {
        // It is told once, by whoever made it.
        let _ = self.0.reporter.set(Reporter::to(other));
    }

    /// Continues in another file, because somebody renamed this one.
    pub fn go_on_elsewhere(&self) {
        self.file().leave();
    }

    /// Gives its open descriptors to `use_it`.
    pub fn with_descriptors<T>(&self, use_it: impl FnOnce(&[BorrowedFd<'_>]) -> T) -> T {
        let file = self.file();
        let reporter = self.0.reporter.get().map(AsFd::as_fd);
        use_it(
            &[file.file()]
                .into_iter()
                .chain(reporter)
                .collect::<Vec<_>>(),
        )
    }

    /// Writes a notice: something to know about the container that is not an attempt.
    pub fn notice(&self, sentence: &str) {
        self.write(Line {
            notice: Some(clean(sentence, MAX_TEXT)),
            ..self.line(Event::Notice)
        });
    }

    /// Writes that another policy is in force, for this cause, and that it cut so many open attempts. Files that begin from now on say which it is, too.
    pub fn policy_changed(&self, changed: ChangedAbout, cause: &str, cut: u64) {
        let about = {
            let mut about = locked(&self.0.about);
            about.policy = changed.policy;
            about.policy_hash = changed.policy_hash;
            about.mode = changed.mode;
            about.intercepts = changed.intercepts;
            about.generation = Some(changed.generation);
            about.clone()
        };
        let flows = if cut == 1 { "flow" } else { "flows" };
        let sentence = format!(
            "policy {} ({}) is in force, the container's policy number {}: {cause}; {cut} open {flows} that it denies cut",
            about.policy, about.policy_hash, changed.generation
        );
        self.write(Line {
            notice: Some(clean(&sentence, MAX_TEXT)),
            gateway: Some(Box::new(about)),
            ..self.line(Event::Notice)
        });
    }

    /// Writes what came of open attempts, and what was only counted: to be called once a minute,
    /// and at the end.
    pub fn write_minute(&self) {
        for (number, traffic) in self.0.flows.each() {
            let Some(((out, back), address)) = traffic.news() else {
                continue;
            };
            self.write(Line {
                flow: Some(number),
                bytes_out: Some(out),
                bytes_in: Some(back),
                duration_ms: Some(milliseconds(traffic.lasted())),
                address,
                ..self.line(Event::Update)
            });
        }
        self.minute().end(|line| self.write(line).is_some());
    }

    /// How many attempts are open that end by themselves when their clients have.
    #[must_use]
    pub fn ending(&self) -> usize {
        self.0.flows.ending()
    }

    /// Connections that break from now on are recorded as cut by the gateway.
    pub fn cut_the_rest(&self) {
        self.0.over.store(true, Ordering::Release);
    }

    /// Writes the last line: all that was open is recorded as ended.
    pub fn stop(&self, reason: &str) {
        self.write_minute();
        self.write(Line {
            gateway: Some(Box::new(locked(&self.0.about).clone())),
            totals: Some(self.0.flows.totals()),
            reason: Some(clean(reason, MAX_TEXT)),
            ..self.line(Event::Stop)
        });
        if let Some(reporter) = self.0.reporter.get() {
            reporter.end();
        }
    }

    /// Writes the last line when this process can't go on: without memory from the heap, which may
    /// be what failed. Where a line was being written, this one is left to whoever finds the
    /// gateway dead.
    pub fn stop_at_panic(&self, panic: &dyn Display) {
        let Ok(mut file) = self.0.file.try_lock() else {
            return;
        };
        let mut line = Scratch::new();
        let Totals {
            allowed,
            denied,
            bytes_out,
            bytes_in,
        } = self.0.flows.sums();
        let (time, container) = (
            humantime::format_rfc3339_millis(SystemTime::now()),
            &self.0.container,
        );
        let (seq, begin) = file.next_at_panic();
        // Never fails: what doesn't fit is cut.
        let _ = write!(
            line,
            "{begin}{{\"v\":{SCHEMA},\"seq\":{seq},\"time\":\"{time}\",\"container\":\""
        );
        line.quoted(format_args!("{container}"));
        let _ = write!(
            line,
            "\",\"event\":\"stop\",\"totals\":{{\"allowed\":{allowed},\"denied\":{denied},"
        );
        let _ = write!(
            line,
            "\"bytes_out\":{bytes_out},\"bytes_in\":{bytes_in}}},\"reason\":\""
        );
        line.quoted(format_args!("the filter panicked: {panic}"));
        line.end("\"}\n");
        // There is nobody left to tell.
        let _ = file.write_at_panic(line.bytes());
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> JournalStatus {
        JournalStatus {
            totals: self.0.flows.totals(),
            open: self.0.flows.how_many(),
            last_denial: self.last_denial().as_deref().map(for_people::denial),
            healthy: self.is_healthy(),
        }
    }

    /// Whether the last line could be written.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.0.healthy.load(Ordering::Acquire)
    }

    /// What was denied and may be approved, and how many that differ from these there were.
    #[must_use]
    pub fn pending(&self, seen: bool) -> (Vec<Pending>, u64) {
        locked(&self.0.denied).list(seen)
    }

    /// This attempt isn't pending any more, however often it is made.
    pub fn dismiss(&self, attempt: DeniedAttempt) {
        locked(&self.0.denied).dismiss(attempt);
    }

    /// Of what is pending, keeps what this policy denies, which is in force from now on.
    pub fn judge_pending(&self, policy: &Policy) {
        locked(&self.0.denied).judge_again(policy);
    }

    /// Notes what was denied, for whoever may approve it.
    pub(super) fn note_denied(
        &self,
        subject: &Subject,
        denial: &Denial,
        seen: SystemTime,
        count: u64,
    ) {
        locked(&self.0.denied).note(subject, denial, seen, count);
    }

    pub(super) fn container(&self) -> &str {
        &self.0.container
    }

    pub(super) fn flows(&self) -> &Flows {
        &self.0.flows
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }

    /// Tells of what was judged, where somebody is to be told.
    pub(super) fn tell(&self, line: &Line) {
        if let Some(reporter) = self.0.reporter.get() {
            reporter.tell(line);
        }
    }

    /// Writes the only line of an attempt, or counts it.
    pub(super) fn admit(&self, line: Line) {
        // Where lines are lost, each is tried: the first that can be written makes the record
        // healthy again.
        let healthy = self.0.healthy.load(Ordering::Acquire);
        let line = if healthy {
            self.minute().admit(line)
        } else {
            Some(line)
        };
        line.map(|line| self.write(line));
    }

    /// Appends a line. Gives its number; none where it could not be written, whose number then
    /// shows that a line is lost.
    pub(super) fn write(&self, line: Line) -> Option<u64> {
        if line.verdict == Some(RecordedVerdict::Deny) {
            *self.last_denial() = Some(Box::new(line.clone()));
        }
        let form = self.0.form;
        let outcome = self.file().append(|seq| form.render(numbered(line, seq)));
        let healthy = self.0.healthy.swap(outcome.is_ok(), Ordering::AcqRel);
        match &outcome {
            Err(error) if healthy => {
                log::error!("nothing is allowed, because the record can't be written: {error}")
            }
            Ok(_) if !healthy => {
                log::warn!("the record is written again: gaps in its numbers are lost lines")
            }
            _ => {}
        }
        outcome.ok()
    }

    fn line(&self, event: Event) -> Line {
        Line::new(event, timestamp(SystemTime::now()), &self.0.container)
    }

    fn file(&self) -> MutexGuard<'_, LineFile> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn minute(&self) -> MutexGuard<'_, Minute> {
        self.0.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_denial(&self) -> MutexGuard<'_, Option<Box<Line>>> {
        self.0
            .last_denial
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reason recorded for a gateway whose end nobody saw.
const UNSEEN: &str =
    "nobody saw the gateway's end: the host went down, or all of its processes were killed";

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line with its number, which is an attempt's own with its first line.
fn numbered(line: Line, seq: u64) -> Line {
    let first = line.verdict.is_some() && line.flow.is_none() && line.count.is_none();
    Line {
        seq,
        flow: if first { Some(seq) } else { line.flow },
        ..line
    }
}

#[cfg(test)]
mod tests;
