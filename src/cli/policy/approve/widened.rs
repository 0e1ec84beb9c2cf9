//! What a rule that is written into a policy file widens: every container that runs and whose policy is
//! read from that file, as its own, as one that it includes, or as the ceiling over its annotations.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::super::apply;
use super::super::change::who;
use super::super::choice::choose;
use super::super::host::settings_of;
use super::super::written::with_rule;
use crate::audit::record::MAX_TEXT;
use crate::container::state::{self, SavedState};
use crate::escape::clean;
use crate::policy::text::{Mistake, all_of};
use crate::policy::{PolicyName, PolicySource};
use crate::settings::{self, Reload, select};
use crate::sys::file;

/// A policy file with one rule more.
#[derive(Debug)]
pub(super) struct Widened {
    file: PathBuf,
    rule: String,
    text: String,
    /// Running containers besides the one that it is for, and since when they are allowed that.
    others: Vec<(When, String)>,
}

impl Widened {
    /// That of this container.
    pub(super) fn by(record: &SavedState, rule: &str) -> anyhow::Result<Self> {
        let file = file_of(record)?;
        let origin = file.display().to_string();
        let text = read(&file)?;
        let text = with_rule(&origin, &text, rule).with_context(|| {
            format!(
                "{origin} can't be changed by this program: add the rule yourself: {}",
                clean(rule, MAX_TEXT)
            )
        })?;
        let all = choose(&[])?;
        let others = all
            .iter()
            .filter(|other| other.plan.state != record.plan.state);
        let others = others.filter_map(|other| Some((When::of(other, &file, &text)?, who(other))));
        let others = others.collect();
        Ok(Self {
            file,
            rule: rule.to_owned(),
            text,
            others,
        })
    }

    /// Says whom it widens, and asks.
    pub(super) fn agreed(self) -> anyhow::Result<Self> {
        let (file, rule) = (self.file.display(), clean(&self.rule, MAX_TEXT));
        let mut out = io::stdout().lock();
        writeln!(out, "{file} gets the rule {rule}")?;
        if self.others.is_empty() {
            writeln!(out, "No other container that runs is filtered by it.")?;
        }
        for (since, said) in When::ALL {
            let named = self.others.iter().filter(|(when, _)| *when == since);
            let named: Vec<&str> = named.map(|(_, name)| name.as_str()).collect();
            if !named.is_empty() {
                writeln!(
                    out,
                    "These containers are filtered by it, too, and are allowed this {said}: {}",
                    named.join(", ")
                )?;
            }
        }
        ensure!(
            io::stdin().is_terminal(),
            "--write asks before it writes, and standard input is no terminal: nothing was approved or written"
        );
        write!(out, "Approve it and write the file? [y/N] ")?;
        out.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        let is_yes = ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
        ensure!(is_yes, "nothing was approved or written");
        Ok(self)
    }

    /// Writes it, unless somebody else has changed it since.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let file = &self.file;
        let origin = file.display();
        // Nor does a sync meanwhile.
        let _swapping = state::swapping_policies(state::LOCK.as_ref()).context(state::LOCK)?;
        let now = read(file)?;
        let wanted = with_rule(&origin.to_string(), &now, &self.rule)?;
        ensure!(
            wanted == self.text,
            "{origin} has changed meanwhile, and was not written: what was approved is in force"
        );
        file::replace(file, wanted.as_bytes(), 0o644)
            .with_context(|| format!("can't write {origin}: what was approved is in force"))?;
        writeln!(io::stdout().lock(), "{origin} is written")?;
        Ok(())
    }
}

/// Since when a container is allowed what a file gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    AtOnce,
    Reload,
    /// It has another file's rules for now.
    Later,
}

type Reader<'a> = &'a dyn Fn(&Path) -> io::Result<Option<String>>;

impl When {
    const ALL: [(Self, &'static str); 3] = [
        (Self::AtOnce, "at once"),
        (Self::Reload, "from their next policy reload or start on"),
        (
            Self::Later,
            "once the file that was applied to them is applied again, or from policy reset or their next start on",
        ),
    ];

    /// Of a container, if the file is one of those that its policy is read from; `text` is what it gets.
    fn of(record: &SavedState, file: &Path, text: &str) -> Option<Self> {
        let changes = |policy: &dyn Fn(Reader<'_>) -> Result<PolicySource, Vec<Mistake>>| {
            let before = policy(&settings::read_trusted);
            let written = |path: &Path| match is_same(path, file) {
                true => Ok(Some(text.to_owned())),
                false => settings::read_trusted(path),
            };
            // A policy with mistakes changes for nobody before they are mended.
            matches!((before, policy(&written)), (Ok(before), Ok(after)) if before.hash() != after.hash())
        };
        let by_own = changes(&|read| {
            let settings = settings_of(record)?;
            select::again(&settings, &record.plan.policy, read)
        });
        let changed = record.changed.as_ref();
        match changed.and_then(|changed| changed.file.as_deref()) {
            Some(applied) => {
                let by_applied = changes(&|read| {
                    let text = read(applied).ok().flatten().unwrap_or_default();
                    apply::wanted(record, applied, &text, read)
                });
                (by_own || by_applied).then_some(Self::Later)
            }
            None if by_own && reloads_by_itself(record) => Some(Self::AtOnce),
            None => by_own.then_some(Self::Reload),
        }
    }
}

/// Whichever links they are named by.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

fn reloads_by_itself(record: &SavedState) -> bool {
    let auto = || settings_of(record).is_ok_and(|settings| settings.reload == Reload::Auto);
    record.plan.reloads && auto()
}

/// The file by whose rules a container is filtered.
fn file_of(record: &SavedState) -> anyhow::Result<PathBuf> {
    let applied = record
        .changed
        .as_ref()
        .and_then(|changed| changed.file.clone());
    match applied {
        Some(file) => Ok(file),
        None => {
            let name = PolicyName::parse(&record.policy().name).map_err(anyhow::Error::msg)?;
            let settings = settings_of(record).map_err(|mistakes| all_of(&mistakes))?;
            Ok(name.file(&settings.policies))
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let origin = || file.display().to_string();
    let text = settings::read_trusted(file).with_context(origin)?;
    text.with_context(|| format!("{}: there is no such file", origin()))
}
