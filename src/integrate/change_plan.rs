//! The changes for one engine, as a value, with what all engines have in common.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::step::Step;
use super::{config_file, ownership};
use crate::sys::file::is_empty;
use crate::text::listed;

/// What is to be done, in order, and what the user should know afterwards.
#[derive(Debug, Default)]
pub struct ChangePlan {
    /// Changes; none where everything is as wanted.
    pub steps: Vec<Step>,
    /// One remark each.
    pub notes: Vec<String>,
    /// Containers, running or not, that nobody can start without a runtime that goes.
    pub users: BTreeSet<String>,
    /// What is left to be done by the user before all counts: the very last thing that is said.
    pub last: Option<String>,
}

impl ChangePlan {
    /// Makes a directory and those above it, where they aren't there and no step makes them yet.
    pub(super) fn make(&mut self, directory: &Path) {
        let above = directory
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !above.exists());
        let mut missing: Vec<_> = above
            .map(|above| Step::Directory(above.to_owned()))
            .collect();
        missing.retain(|step| !self.steps.contains(step));
        self.steps.extend(missing.into_iter().rev());
    }

    /// Writes a file, and makes the directory that it is in.
    pub(super) fn write(
        &mut self,
        path: PathBuf,
        before: Option<String>,
        after: String,
        changes: Vec<String>,
    ) {
        if let Some(directory) = path.parent() {
            self.make(directory);
        }
        self.steps.push(Step::Write {
            path,
            before,
            after,
            changes,
        });
    }

    pub(super) fn name_users(&mut self) {
        if !self.users.is_empty() {
            self.notes.push(format!(
                "these containers can't be started without the runtime: {}: remove them, or install it again",
                listed(&self.users)
            ));
        }
    }

    /// A running container is stopped and removed through the path it was made with, so the link
    /// stays as long; and as long as another engine may be told to run it.
    pub(super) fn remove_link(&mut self, link: &Path, running: &Path, configurations: &[PathBuf]) {
        if !ownership::is_link(link) {
            return;
        }
        let shown = link.display();
        if !is_empty(running) {
            self.notes.push(format!(
                "{shown} is kept: running containers may need it to be stopped"
            ));
        } else if let Some(file) =
            self.file_that_names(|program| Path::new(program) == link, configurations)
        {
            self.notes
                .push(format!("{shown} is kept: {} refers to it", file.display()));
        } else {
            self.steps.push(Step::Unlink(link.to_owned()));
        }
    }

    /// An engine's file in which a program stands that is one of ours, once all this is done.
    pub(super) fn file_that_names_us(&self, configurations: &[PathBuf]) -> Option<PathBuf> {
        self.file_that_names(ownership::is_ours, configurations)
    }

    /// An engine's file in which a program stands that is `wanted`, once all this is done.
    fn file_that_names(
        &self,
        wanted: impl Fn(&str) -> bool,
        configurations: &[PathBuf],
    ) -> Option<PathBuf> {
        let in_folder = |folder: &PathBuf| {
            std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
        };
        let mut files = configurations
            .iter()
            .flat_map(|place| in_folder(place).chain([place.clone()]));
        // In JSON as in TOML a path stands in quotes.
        files.find(|file| {
            self.text_after(file)
                .is_some_and(|text| text.split(['"', '\'']).any(&wanted))
        })
    }

    /// What will be in a file; none where there will be none.
    fn text_after(&self, file: &Path) -> Option<String> {
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let planned = self.steps.iter().rev().find_map(|step| match step {
            Step::Write { path, after, .. } if *path == file => Some(Some(after.clone())),
            Step::Remove { path, .. } if *path == file => Some(None),
            _ => None,
        });
        planned.unwrap_or_else(|| config_file::read(&file).ok()?.1)
    }
}
