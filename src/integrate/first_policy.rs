//! A policy's file where there is none yet: it allows nothing, and shows how rules are written. Plans
//! only.
//!
//! Invariant: a file that somebody has changed, be it by a letter, is theirs.

use std::path::{Path, PathBuf};

use super::change_plan::ChangePlan;
use super::step::Step;
use crate::policy::PolicyName;

const TEXT: &str = include_str!("first_policy.yaml");

impl ChangePlan {
    /// Plans that the policy has a file, and says that it allows nothing where that is so.
    pub(super) fn add_first_policy(&mut self, policies: &Path, policy: &PolicyName) {
        let file = policy.file(policies);
        let shown = file.display().to_string();
        if !file.exists() {
            let changes = vec!["a first policy, which allows nothing".to_owned()];
            self.write(file, None, TEXT.to_owned(), changes);
        } else if !is_unchanged(&file) {
            return;
        }
        self.notes.push(format!(
            "everything is denied so far: write rules into {shown}"
        ));
    }

    /// Plans that no such file is left that nobody has changed, nor a folder that is empty without them.
    pub(super) fn remove_first_policies(&mut self, policies: &Path) {
        let files = std::fs::read_dir(policies).into_iter().flatten().flatten();
        let mut unchanged: Vec<PathBuf> = files
            .map(|file| file.path())
            .filter(|file| is_unchanged(file))
            .collect();
        unchanged.sort();
        let mut going = unchanged.clone();
        self.steps
            .extend(unchanged.into_iter().map(|path| Step::Remove {
                path,
                before: TEXT.to_owned(),
                changes: Vec::new(),
            }));
        for folder in policies.ancestors().take(2) {
            if !is_all_of(folder, &going) {
                return;
            }
            self.steps.push(Step::RemoveFolder(folder.to_owned()));
            going.push(folder.to_owned());
        }
    }
}

fn is_unchanged(file: &Path) -> bool {
    std::fs::read(file).is_ok_and(|text| text == TEXT.as_bytes())
}

/// Whether the folder is there, with nothing in it but these.
fn is_all_of(folder: &Path, paths: &[PathBuf]) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| paths.contains(&entry.path())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::advice;
    use crate::policy::text::{List, WrittenRule, parse_file};

    #[test]
    fn it_allows_nothing_and_its_examples_are_rules() {
        let rules = parse_file("first", TEXT).expect("a policy");
        assert!(rules.rules.is_empty());
        let examples = parse_file("first", &TEXT.replace("  # - ", "  - ")).expect("a policy");
        let allowing = |rule: &&WrittenRule| rule.list == List::Allow;
        assert_eq!(
            (
                examples.rules.iter().filter(allowing).count(),
                examples.rules.len()
            ),
            (5, 6)
        );
        assert_eq!(advice("first", &examples), []);
    }
}
