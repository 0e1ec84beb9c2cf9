//! Policies that change by themselves (`reload = "auto"`): the gateway looks at the host's files when one of
//! them was changed, and asks for what they say now as `policy reload` would.
//!
//! It reads root's own files alone, as `create` does. Invariant: what is put into force was read whole, from
//! files that nobody was writing meanwhile: it is quiet for a while first, nothing that was written to is
//! still open, and nothing was changed until all was read. Where the host has no watches left, which would
//! tell that, files are looked at now and then, and have to say the same twice. An empty file counts as one that
//! is being written, and one that is missing is not done without (`reload/missing.rs`). A mistake keeps the policy, and is
//! said in the record, once.

mod missing;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::unistd::geteuid;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use self::missing::{missing, with_lost_layers};
use super::control::Desk;
use super::watch::Watch;
use crate::audit::record::MAX_TEXT;
use crate::container::state::{self, SavedState};
use crate::control::NewPolicy;
use crate::escape::clean;
use crate::policy::{PolicySource, text};
use crate::settings::{self, Reload, select};

/// How long nothing may be changed before files are read.
const QUIET: Duration = Duration::from_millis(200);
/// How often they are looked at where the host has no watches left.
const LOOKED: Duration = Duration::from_secs(5);

/// Looks after it for as long as the gateway is there.
///
/// # Errors
/// The keeper has no way any more to ask for a change.
pub(super) async fn tend(record: &RefCell<SavedState>, desk: Desk) -> anyhow::Result<Infallible> {
    if !record.borrow().plan.reloads {
        return Ok(pending().await);
    }
    let file = record.borrow().plan.configuration.clone();
    let file = file.unwrap_or_else(|| settings::DEFAULT_FILE.into());
    let mut news = News::of(&file);
    let mut teller = Teller::at(desk);
    // The policy was read when the container was created: there may be news by now.
    loop {
        let found = found(&file, record).await;
        if !news.holds(&found) {
            news.settle().await;
            continue;
        }
        teller.act(found).await.context("the control socket")?;
        news.arrive().await;
    }
}

async fn found(file: &Path, record: &RefCell<SavedState>) -> Found {
    let (file, before) = {
        let record = record.borrow();
        let applied = record
            .changed
            .as_ref()
            .and_then(|changed| changed.file.clone());
        let before = Before {
            started: record.plan.policy.clone(),
            in_force: record.policy().clone(),
            applied,
        };
        (file.to_owned(), before)
    };
    // On a thread of its own: a disk may take its time.
    let found = spawn_blocking(move || undisturbed(&file, before, state::LOCK.as_ref())).await;
    found.unwrap_or_else(|error| Found::Mistaken(error.to_string()))
}

/// By what a container is filtered.
struct Before {
    started: PolicySource,
    in_force: PolicySource,
    /// The file whose policy that is, where it isn't the container's own: it stays until it is taken back,
    /// or the next start.
    applied: Option<PathBuf>,
}

/// What the host's files say now.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// What is in force.
    Same,
    New(Box<NewPolicy>),
    /// Nobody can say, for this reason.
    Mistaken(String),
}

/// Looks at them while nobody swaps them.
fn undisturbed(file: &Path, before: Before, lock: &Path) -> Found {
    match state::reading_policies(lock) {
        Ok(_reading) => look(file, before),
        Err(error) => Found::Mistaken(format!("{}: {error}", lock.display())),
    }
}

/// Looks at them.
fn look(file: &Path, before: Before) -> Found {
    let read = |path: &Path| -> io::Result<Option<String>> {
        match settings::read_trusted(path)? {
            Some(text) if text.trim().is_empty() => Err(io::Error::other(
                "is empty, and an empty file is put into force by policy reload alone",
            )),
            read => Ok(read),
        }
    };
    let mistaken =
        |mistakes: Vec<text::Mistake>| Found::Mistaken(text::all_of(&mistakes).to_string());
    if let Err(error) = read(file) {
        return Found::Mistaken(format!("{}: {error}", file.display()));
    }
    let settings = match settings::load(Some(file)) {
        Ok(settings) if settings.reload == Reload::Manual => return Found::Same,
        Ok(settings) => settings,
        Err(mistakes) => return mistaken(mistakes),
    };
    let in_force = before.in_force;
    let now = match &before.applied {
        Some(_) => select::bounded(&settings, in_force.clone(), read),
        None => select::again(&settings, &before.started, read),
    };
    let now = match now {
        Ok(now) if now.hash() == in_force.hash() => return Found::Same,
        Ok(PolicySource {
            note: Some(note), ..
        }) => return Found::Mistaken(note),
        Ok(now) => now,
        Err(mistakes) => return mistaken(mistakes),
    };
    let (source, lost) = with_lost_layers(&in_force, now);
    let missing = missing(&in_force, &source).map(|file| {
        format!("{file} is missing, and what that leaves is put into force by policy reload alone")
    });
    let bounded =
        lost.map(|layer| format!("{layer} is missing, and bounds it until policy reload is given"));
    match (missing, bounded) {
        (Some(why), _) => Found::Mistaken(why),
        (None, Some(why)) if source.hash() == in_force.hash() => Found::Mistaken(why),
        (None, _) => Found::New(Box::new(NewPolicy {
            source,
            file: before.applied,
        })),
    }
}

/// How it is noticed that files were changed.
enum News {
    Watched(Watch),
    /// By looking at them; with what they said last.
    Polled(Option<Found>),
}

impl News {
    fn of(file: &Path) -> Self {
        let beside = |name: &str| file.with_file_name(name);
        let folder = file.parent().unwrap_or_else(|| Path::new("/")).to_owned();
        let folders: Vec<PathBuf> = [folder]
            .into_iter()
            .chain(["policies", "presets.d", "ceiling.d"].map(beside))
            .collect();
        Watch::of(folders).map_or_else(Self::unwatched, Self::Watched)
    }

    /// Where files can't be watched, which is nothing to end a gateway for.
    fn unwatched(error: io::Error) -> Self {
        let every = LOOKED.as_secs();
        log::warn!(
            "policies are looked at every {every} seconds, since they can't be watched: {error}"
        );
        Self::Polled(None)
    }

    /// Whether what was found is all that there is, read in one piece.
    fn holds(&mut self, found: &Found) -> bool {
        let held = match self {
            Self::Watched(watch) => watch
                .was_changed()
                .map(|changed| !changed && !watch.is_written()),
            Self::Polled(before) => Ok(before.replace(found.clone()).as_ref() == Some(found)),
        };
        held.unwrap_or_else(|error| {
            *self = Self::unwatched(error);
            false
        })
    }

    /// Waits until something was changed, and it is quiet again.
    async fn arrive(&mut self) {
        if let Self::Watched(watch) = self
            && let Err(error) = watch.changed().await
        {
            *self = Self::unwatched(error);
        }
        self.settle().await;
    }

    /// Waits until it is quiet, and nobody is writing.
    async fn settle(&mut self) {
        match self {
            Self::Watched(watch) => {
                if let Err(error) = quiet(watch).await {
                    *self = Self::unwatched(error);
                }
            }
            Self::Polled(_) => sleep(LOOKED).await,
        }
    }
}

async fn quiet(watch: &mut Watch) -> io::Result<()> {
    loop {
        while let Ok(changed) = timeout(QUIET, watch.changed()).await {
            changed?;
        }
        if watch.is_written() {
            watch.changed().await?;
        } else if !watch.renew()? {
            return Ok(());
        }
    }
}

/// Who acts on what was found.
struct Teller {
    desk: Desk,
    /// What the last mistake was, or the policy that was refused: said once.
    told: Option<String>,
}

impl Teller {
    fn at(desk: Desk) -> Self {
        Self { desk, told: None }
    }

    /// None where the gateway ends.
    async fn act(&mut self, found: Found) -> Option<()> {
        let told = match &found {
            Found::Same => None,
            Found::New(wanted) => Some(wanted.source.hash()),
            Found::Mistaken(why) => Some(why.clone()),
        };
        let before = std::mem::replace(&mut self.told, told);
        match found {
            _ if before == self.told => {}
            Found::Same => {}
            // A refusal is said in the record by whoever refuses.
            Found::New(wanted) => drop(self.desk.change(*wanted, geteuid().as_raw()).await?),
            Found::Mistaken(why) => {
                let said = format!("the policy was not changed: {why}");
                self.desk.note(clean(&said, MAX_TEXT)).await?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
