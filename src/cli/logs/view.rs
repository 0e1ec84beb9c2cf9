//! Shows the records of one or several containers, now or as they come.
//!
//! A line is shown as soon as it is known to be wanted. Only repeats and the last N attempts are
//! held back, and neither while following, once all existing lines are shown.

use std::io::{self, Write};
use std::time::Duration;

use super::last::Last;
use super::period::Wanted;
use super::repeats::Repeats;
use super::running::Running;
use super::words::{self, Paint};
use super::zone::Zone;
use crate::audit::line::{Event, RecordedVerdict};
use crate::audit::reader::{FileLine, Fold, MergedLines, Standing, Told};
use crate::cli::short::short;

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How long a gateway may take from the first line of its record until it is known to run.
const BEGINNING: Duration = Duration::from_secs(5);

/// What is shown, and how.
#[derive(Debug)]
pub(super) struct ViewOptions {
    pub(super) json: bool,
    pub(super) follow: bool,
    /// Only so many of the last attempts.
    pub(super) last: Option<usize>,
    pub(super) wanted: Wanted,
    pub(super) zone: Zone,
    pub(super) paint: Paint,
}

/// A view of some containers' records.
#[derive(Debug)]
pub(super) struct View<'a, W> {
    form: ViewOptions,
    containers: Vec<ContainerView>,
    repeats: Repeats,
    /// The last so far, until all that was there at the beginning is read, where only so many are
    /// wanted.
    last: Option<Last<(usize, ShownLine)>>,
    out: &'a mut W,
}

/// One of the containers, by what was read of it so far.
#[derive(Debug, Default)]
struct ContainerView {
    id: String,
    fold: Fold,
    /// Whether its last line is a gateway's last.
    stopped: bool,
}

/// Something to show: in words, or a line of JSON.
#[derive(Debug)]
enum ShownLine {
    Told(Told),
    Json(String),
}

impl<'a, W: Write> View<'a, W> {
    pub(super) fn new(form: ViewOptions, ids: Vec<String>, out: &'a mut W) -> Self {
        let containers = ids
            .into_iter()
            .map(|id| ContainerView {
                id,
                ..ContainerView::default()
            })
            .collect();
        Self {
            last: form.last.map(Last::new),
            form,
            containers,
            repeats: Repeats::default(),
            out,
        }
    }

    /// Shows all there is; when following, until every container has ended. `running` looks what
    /// runs.
    pub(super) fn show(
        mut self,
        mut streams: MergedLines,
        running: impl Fn() -> io::Result<Running>,
    ) -> io::Result<()> {
        loop {
            // Before reading: what has ended by now has written all that it ever will.
            let running = running()?;
            while let Some((place, entry)) = streams.next_line()? {
                self.entry(place, entry)?;
            }
            let over = self.over(&streams, &running)?;
            self.tell_open(&over)?;
            self.catch_up()?;
            if !self.form.follow || over.iter().all(|over| *over) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Which of the containers have ended, by all that was read of them.
    fn over(&self, streams: &MergedLines, running: &Running) -> io::Result<Vec<bool>> {
        // Where it can't be said what runs, only a last line tells.
        let gone = |place, id| {
            Ok::<_, io::Error>(
                running.has(id) == Some(false) && streams.is_quiet(place, BEGINNING)?,
            )
        };
        self.containers
            .iter()
            .enumerate()
            .map(|(place, one)| Ok(one.stopped || gone(place, &one.id)?))
            .collect()
    }

    fn entry(&mut self, place: usize, entry: FileLine) -> io::Result<()> {
        let Some(container) = self.containers.get_mut(place) else {
            return Ok(());
        };
        if let Some(line) = &entry.line {
            container.stopped = line.event == Event::Stop;
        }
        if self.form.json {
            return if self.form.wants_line(&entry) {
                self.choose(place, ShownLine::Json(entry.text()))
            } else {
                Ok(())
            };
        }
        container.fold.feed(entry);
        self.tell(place)
    }

    /// What is under way: open, or, of a container that is over, cut.
    fn tell_open(&mut self, over: &[bool]) -> io::Result<()> {
        for (place, over) in over.iter().enumerate() {
            if let Some(container) = self.containers.get_mut(place) {
                if *over {
                    container.fold.leave(Standing::Cut)
                } else {
                    container.fold.tell_open()
                }
            }
            self.tell(place)?;
        }
        Ok(())
    }

    fn tell(&mut self, place: usize) -> io::Result<()> {
        while let Some(told) = self
            .containers
            .get_mut(place)
            .and_then(|container| container.fold.tell())
        {
            if self.form.wants(&told) {
                self.choose(place, ShownLine::Told(told))?;
            }
        }
        Ok(())
    }

    /// Shows it, unless only the last are wanted, which nobody knows yet.
    fn choose(&mut self, place: usize, shown: ShownLine) -> io::Result<()> {
        let Some(last) = &mut self.last else {
            return self.put(place, shown);
        };
        let counts = !matches!(shown, ShownLine::Told(Told::Event(_)));
        last.push((place, shown), counts);
        Ok(())
    }

    fn catch_up(&mut self) -> io::Result<()> {
        for (place, shown) in self.last.take().into_iter().flat_map(Last::into_iter) {
            self.put(place, shown)?;
        }
        if let Some((place, told, count)) = self.repeats.last() {
            self.write(place, &told, count)?;
        }
        self.out.flush()
    }

    fn put(&mut self, place: usize, shown: ShownLine) -> io::Result<()> {
        match shown {
            ShownLine::Json(text) => writeln!(self.out, "{text}"),
            ShownLine::Told(told) if self.form.follow => self.write(place, &told, 1),
            ShownLine::Told(told) => match self.repeats.next(place, told) {
                Some((place, told, count)) => self.write(place, &told, count),
                None => Ok(()),
            },
        }
    }

    fn write(&mut self, place: usize, told: &Told, count: u64) -> io::Result<()> {
        let several = self
            .containers
            .get(place)
            .filter(|_| self.containers.len() > 1);
        let who = several.map(|container| short(&container.id));
        let line = words::line(told, who.as_deref(), count, self.form.zone, self.form.paint);
        writeln!(self.out, "{line}")
    }
}

impl ViewOptions {
    fn wants(&self, told: &Told) -> bool {
        match told {
            Told::Attempt(attempt) => self.wanted.has(attempt),
            Told::Event(line) => {
                !self.wanted.denied && self.wanted.period.has(&line.time, &line.time)
            }
            // What can't be read can't be judged.
            Told::Other(_) => true,
        }
    }

    fn wants_line(&self, entry: &FileLine) -> bool {
        let Some(line) = &entry.line else { return true };
        let denied = line.verdict == Some(RecordedVerdict::Deny);
        (denied || !self.wanted.denied) && self.wanted.period.has(&line.time, &line.time)
    }
}
