//! What is to be done for one engine, as a value, and what is the same for all of them.

use std::path::{Path, PathBuf};

use super::binary;
use super::step::Step;
use crate::policy::PolicyName;

/// What is to be done, in order, and what the user should know afterwards.
#[derive(Debug, Default)]
pub struct Plan {
    /// Changes; none where everything is as wanted.
    pub steps: Vec<Step>,
    /// One remark each.
    pub notes: Vec<String>,
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

    /// A running container is stopped and removed through the path it was made with, so the link stays as long.
    pub(super) fn remove_link(&mut self, link: &Path, running: &Path) {
        if !binary::is_link(link) {
            return;
        }
        if std::fs::read_dir(running).is_ok_and(|mut entries| entries.next().is_some()) {
            let link = link.display();
            self.notes.push(format!("{link} stays: containers are running that may need it to be stopped"));
        } else {
            self.steps.push(Step::Unlink(link.to_owned()));
        }
    }
}
