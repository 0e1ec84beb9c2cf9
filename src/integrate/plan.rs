//! What is to be done for one engine, as a value, and what is the same for all of them.

use std::path::{Path, PathBuf};

use super::step::Step;
use super::{Installation, binary, config_file};
use crate::policy::PolicyName;

/// What is to be done, in order, and what the user should know afterwards.
#[derive(Debug, Default)]
pub struct Plan {
    /// Changes; none where everything is as wanted.
    pub steps: Vec<Step>,
    /// One remark each.
    pub notes: Vec<String>,
    /// What is left to be done by the user before all counts: the very last thing that is said.
    pub last: Option<String>,
}

impl Plan {
    /// Makes a directory and those above it, where they aren't there and no step makes them yet.
    pub(super) fn make(&mut self, directory: &Path) {
        let above = directory.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists());
        let mut missing: Vec<_> = above.map(|above| Step::Directory(above.to_owned())).collect();
        missing.retain(|step| !self.steps.contains(step));
        self.steps.extend(missing.into_iter().rev());
    }

    /// Writes a file, and makes the directory that it is in.
    pub(super) fn write(&mut self, path: PathBuf, before: Option<String>, after: String, changes: Vec<String>) {
        if let Some(directory) = path.parent() {
            self.make(directory);
        }
        self.steps.push(Step::Write { path, before, after, changes });
    }

    pub(super) fn name_missing_policy(&mut self, policies: &Path, policy: &PolicyName) {
        let file = policy.file(policies);
        if !file.exists() {
            let file = file.display();
            self.notes.push(format!(
                "no policy yet, so everything is denied. To begin one: printf 'allow:\\n  - domain=example.com\\n' | sudo tee {file}"
            ));
        }
    }

    /// A running container is stopped and removed through the path it was made with, so the link stays as long; and as long as
    /// another engine may be told to run it.
    pub(super) fn remove_link(&mut self, link: &Path, ours: &Installation) {
        if !binary::is_link(link) {
            return;
        }
        let shown = link.display();
        if std::fs::read_dir(&ours.running).is_ok_and(|mut entries| entries.next().is_some()) {
            self.notes.push(format!("{shown} stays: containers are running that may need it to be stopped"));
        } else if let Some(file) = self.untouched_file_that_names(link, &ours.configurations) {
            self.notes.push(format!("{shown} stays: {} names it", file.display()));
        } else {
            self.steps.push(Step::Unlink(link.to_owned()));
        }
    }

    /// A file in which a program's path stands, of those that this plan leaves as they are.
    fn untouched_file_that_names(&self, program: &Path, configurations: &[PathBuf]) -> Option<PathBuf> {
        let touched = |file: &PathBuf| {
            let writes =
                |step: &Step| matches!(step, Step::Write { path, .. } | Step::Remove { path, .. } if path == file);
            self.steps.iter().any(writes)
        };
        let names_it = |file: &PathBuf| {
            let text = config_file::read(file).ok().and_then(|(_, text)| text);
            // With the quote behind it, of JSON or TOML: another's path may only begin so.
            let ends = ["\"", "'"].map(|quote| format!("{}{quote}", program.display()));
            text.is_some_and(|text| ends.iter().any(|end| text.contains(end)))
        };
        let in_folder =
            |folder: &PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let files = configurations.iter().flat_map(|place| in_folder(place).chain([place.clone()]));
        files.filter_map(|file| file.canonicalize().ok()).find(|file| !touched(file) && names_it(file))
    }
}
