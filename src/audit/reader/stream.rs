//! A container's lines in order, across its files: the rotated one, the current one, and any that
//! replaces it while we read. Also the lines of several containers, in order of time.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::file::set_aside;
use super::directory::RecordFiles;
use super::entry::FileLine;
use super::fold::{Fold, Standing, Told};
use super::tail::Tail;

/// One container's lines.
#[derive(Debug)]
pub struct LineStream {
    path: PathBuf,
    /// Those that are still to be read, the current one last.
    files: VecDeque<Tail>,
}

impl LineStream {
    /// Begins at the first line that is kept.
    ///
    /// # Errors
    /// What opening gives; `not a regular file`.
    pub fn open(recorded: &RecordFiles) -> io::Result<Self> {
        Self::at(&recorded.path)
    }

    /// The same, by the current file.
    pub(in crate::audit) fn at(path: &Path) -> io::Result<Self> {
        // In this order: a file put aside in between is then found twice, not missed.
        let current = Tail::open(path)?;
        let old = Tail::open(&set_aside(path))?;
        let old = old.filter(|old| current.as_ref().is_none_or(|current| !current.is(old)));
        Ok(Self {
            path: path.to_owned(),
            files: old.into_iter().chain(current).collect(),
        })
    }

    /// Gives all that the lines tell to `hear`, at the end what is open then.
    ///
    /// # Errors
    /// What opening and reading give.
    pub fn tell_all(mut self, mut hear: impl FnMut(Told)) -> io::Result<()> {
        let mut fold = Fold::default();
        while let Some(entry) = self.next_line()? {
            fold.feed(entry);
            std::iter::from_fn(|| fold.tell()).for_each(&mut hear);
        }
        fold.leave(Standing::Open);
        std::iter::from_fn(|| fold.tell()).for_each(hear);
        Ok(())
    }

    /// The next line; none where no more is written yet.
    ///
    /// # Errors
    /// What opening and reading give.
    pub fn next_line(&mut self) -> io::Result<Option<FileLine>> {
        loop {
            if let Some(tail) = self.files.front_mut() {
                while let Some(raw) = tail.line()? {
                    if let Some(entry) = FileLine::read(raw) {
                        return Ok(Some(entry));
                    }
                }
            }
            if !self.go_on()? {
                return Ok(None);
            }
        }
    }

    /// Changes over to the next file, or finds the one that took the current one's place; that
    /// one's last lines come first.
    fn go_on(&mut self) -> io::Result<bool> {
        if self.files.len() > 1 {
            self.files.pop_front();
            return Ok(true);
        }
        let fresh = Tail::open(&self.path)?
            .filter(|fresh| self.files.front().is_none_or(|current| !current.is(fresh)));
        let found = fresh.is_some();
        self.files.extend(fresh);
        Ok(found)
    }

    /// Whether nothing was written for so long.
    ///
    /// # Errors
    /// What looking gives.
    pub fn is_quiet(&self, age: Duration) -> io::Result<bool> {
        let Some(current) = self.files.back() else {
            return Ok(true);
        };
        let modified = current.modified()?;
        Ok(SystemTime::now()
            .duration_since(modified)
            .is_ok_and(|passed| passed >= age))
    }
}

/// The lines of several containers, by their time.
#[derive(Debug)]
pub struct MergedLines(Vec<(LineStream, Option<FileLine>)>);

impl MergedLines {
    /// Of these containers, in this order.
    ///
    /// # Errors
    /// What opening gives.
    pub fn open<'a>(recorded: impl IntoIterator<Item = &'a RecordFiles>) -> io::Result<Self> {
        recorded
            .into_iter()
            .map(|one| Ok((LineStream::open(one)?, None)))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// The earliest of the next lines, and the place of its container; none where no more is
    /// written yet.
    ///
    /// # Errors
    /// What opening and reading give.
    pub fn next_line(&mut self) -> io::Result<Option<(usize, FileLine)>> {
        for (stream, head) in &mut self.0 {
            if head.is_none() {
                *head = stream.next_line()?;
            }
        }
        let heads = self
            .0
            .iter_mut()
            .enumerate()
            .filter(|(_, (_, head))| head.is_some());
        let earliest = heads.min_by(|(_, (_, a)), (_, (_, b))| time(a).cmp(time(b)));
        Ok(earliest.and_then(|(place, (_, head))| Some((place, head.take()?))))
    }

    /// Whether nothing was written to a container's file for so long.
    ///
    /// # Errors
    /// What looking gives.
    pub fn is_quiet(&self, place: usize, age: Duration) -> io::Result<bool> {
        self.0
            .get(place)
            .map_or(Ok(true), |(stream, _)| stream.is_quiet(age))
    }
}

fn time(head: &Option<FileLine>) -> &str {
    head.as_ref().map_or("", FileLine::time)
}
