//! Mistakes in rules: where each one is, and how many of them are reported.

use std::fmt;

use crate::policy::rule::{Rule, WordMistake};

/// Mistakes that are listed before the rest is left out.
pub(super) const MAX_MISTAKES: usize = 50;

/// Said of a rule that asks for what only the requests within TLS say, where none is intercepted.
pub(super) const NEEDS_INTERCEPTION: &str = "the rule needs TLS to be intercepted, which tls says never is: write proto=http in the rule, or \
                                            intercept: auto";

/// Which list a rule stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Of those that allow.
    Allow,
    /// Of those that deny.
    Deny,
}

impl List {
    /// Reads a rule as it has to be in this list.
    ///
    /// # Errors
    /// Every mistake in it.
    pub(in crate::policy) fn read(self, text: &str) -> Result<Rule, Vec<WordMistake>> {
        let rule = Rule::parse(text)?;
        if self == Self::Allow && rule.has_exceptions() {
            let message = "ends a denial and allows nothing: it stands in deny alone; here name \
                           what is allowed";
            return Err(vec![WordMistake {
                key: "except".to_owned(),
                message: message.to_owned(),
            }]);
        }
        Ok(rule)
    }
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

/// Gathers the mistakes of one origin, up to a number that somebody could want to read.
pub(super) struct Mistakes {
    origin: String,
    pub(super) found: Vec<Mistake>,
}

impl Mistakes {
    pub(super) fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            found: Vec::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.found.len() > MAX_MISTAKES
    }

    pub(super) fn add(&mut self, line: Option<usize>, key: &str, message: impl Into<String>) {
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

    /// Reads a rule of this list, or notes what is wrong with it.
    pub(super) fn check(&mut self, line: Option<usize>, rule: &str, list: List) -> Option<Rule> {
        if self.is_full() {
            return None;
        }
        match list.read(rule) {
            Ok(rule) => Some(rule),
            Err(found) => {
                for mistake in found {
                    self.add(line, &mistake.key, mistake.message);
                }
                None
            }
        }
    }

    pub(super) fn or<T>(self, value: T) -> Result<T, Vec<Mistake>> {
        if self.found.is_empty() {
            Ok(value)
        } else {
            Err(self.found)
        }
    }
}
