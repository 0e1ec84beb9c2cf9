//! A policy file's text: YAML lists of rules, and the mistakes in them, all at once and each with
//! its line.
//!
//! Owns the file's form. Reads no file itself. To remember: the text may be hostile (too big, too
//! deep, an alias bomb); the walk goes event by event, keeps nothing but rules and mistakes, and
//! follows no alias.

use std::fmt;
use std::sync::Arc;

use super::rule::Rule;

mod yaml;

pub use yaml::parse_file;

/// Longest policy or configuration file, in bytes.
pub const MAX_FILE: usize = 1 << 20;
/// Mistakes that are listed before the rest is left out.
const MAX_MISTAKES: usize = 50;

/// The rules of one file, in order, each of them checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleFile {
    /// Rules that allow.
    pub allow: Vec<String>,
    /// Rules that deny.
    pub deny: Vec<String>,
}

/// One mistake, with the place where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// File, annotation or option it stands in.
    pub origin: String,
    /// Line, from 1, where the origin has lines.
    pub line: Option<usize>,
    /// The key concerned (`allow`, `domain`); empty where the whole origin is.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// All mistakes as one error, on one line.
#[must_use]
pub fn all_of(mistakes: &[Mistake]) -> anyhow::Error {
    let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    anyhow::Error::msg(all.join("; "))
}

/// `FILE:LINE: KEY: message`.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Reads rules from an annotation or an option: one a line, or separated by `;`. Gives their texts.
///
/// # Errors
/// Every mistake in every rule (after many, a last one says that there are more); a text without a
/// rule is one.
pub fn parse_list(origin: &str, text: &str) -> Result<Vec<String>, Vec<Mistake>> {
    let mut mistakes = Mistakes::new(origin);
    let texts = text
        .split(['\n', ';'])
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let rules: Vec<String> = texts
        .map(str::to_owned)
        .inspect(|rule| mistakes.check(None, rule))
        .collect();
    if rules.is_empty() {
        mistakes.add(None, "", "holds no rule");
    }
    mistakes.or(rules)
}

/// A piece of foreign text as a message shows it: on one line, escaped, short.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let short: String = text.chars().take(LONGEST).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    format!("{}{rest}", short.escape_debug())
}

/// Rules from their texts; the mistakes are added to `mistakes`.
pub(super) fn compile(
    origin: &str,
    texts: &[String],
    mistakes: &mut Vec<Mistake>,
) -> Vec<Arc<Rule>> {
    let mut rules = Vec::with_capacity(texts.len());
    for text in texts {
        match Rule::parse(text) {
            Ok(rule) => rules.push(Arc::new(rule)),
            Err(found) => mistakes.extend(found.into_iter().map(|mistake| Mistake {
                origin: origin.to_owned(),
                line: None,
                key: mistake.key,
                message: mistake.message,
            })),
        }
    }
    rules
}

/// Gathers the mistakes of one origin, up to a number that somebody could want to read.
struct Mistakes {
    origin: String,
    found: Vec<Mistake>,
}

impl Mistakes {
    fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            found: Vec::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.found.len() > MAX_MISTAKES
    }

    fn add(&mut self, line: Option<usize>, key: &str, message: impl Into<String>) {
        let (line, key, message) = match self.found.len() {
            ..MAX_MISTAKES => (line, key.to_owned(), message.into()),
            MAX_MISTAKES => (
                None,
                String::new(),
                "there are more mistakes, not listed".to_owned(),
            ),
            _ => return,
        };
        self.found.push(Mistake {
            origin: self.origin.clone(),
            line,
            key,
            message,
        });
    }

    /// Notes what is wrong with a rule, if anything is.
    fn check(&mut self, line: Option<usize>, rule: &str) {
        if self.is_full() {
            return;
        }
        for mistake in Rule::parse(rule).err().into_iter().flatten() {
            self.add(line, &mistake.key, mistake.message);
        }
    }

    fn or<T>(self, value: T) -> Result<T, Vec<Mistake>> {
        if self.found.is_empty() {
            Ok(value)
        } else {
            Err(self.found)
        }
    }
}

#[cfg(test)]
mod tests;
