//! Where the rules of a policy stand: in which of the files that it is made of, and in which line.

use std::fmt::Write;

use super::text::List;

/// Files, and the lines of rules in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Places {
    /// The files, in the order in which they were read: first the policy's own.
    pub files: Vec<PolicyFile>,
    /// File and line of each rule that allows, in their order. Rules behind these come from no file.
    pub allow: Vec<(usize, usize)>,
    /// The same of rules that deny.
    pub deny: Vec<(usize, usize)>,
}

/// One of the files.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PolicyFile {
    /// Its name, as people are told it (`npm.yaml`, `preset github`).
    pub name: String,
    /// The file that includes it, and the line there; none of the first.
    pub included_by: Option<(usize, usize)>,
}

impl Places {
    /// Where the rule with this number stands, in words: `npm.yaml:3, included by default.yaml:2`. None
    /// where that isn't known.
    #[must_use]
    pub fn of(&self, list: List, rule: usize) -> Option<String> {
        let lines = match list {
            List::Allow => &self.allow,
            List::Deny => &self.deny,
        };
        let (file, line) = *lines.get(rule)?;
        Some(self.words(file, line))
    }

    /// A line of one of the files, in words, and what includes that.
    #[must_use]
    pub fn words(&self, file: usize, line: usize) -> String {
        let mut words = String::new();
        let mut at = Some((file, line));
        // A file is included by one that was read before it, if these are of our own making.
        for _ in 0..=self.files.len() {
            let Some((file, line)) = at else { break };
            let Some(PolicyFile { name, included_by }) = self.files.get(file) else {
                break;
            };
            let before = if words.is_empty() {
                ""
            } else {
                ", included by "
            };
            // Writing to a string can't fail.
            let _ = write!(words, "{before}{name}:{line}");
            at = *included_by;
        }
        words
    }
}
