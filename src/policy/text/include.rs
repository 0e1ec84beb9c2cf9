//! A policy file with the files that it includes: read one by one, each once, as one list of rules.
//!
//! Pure: files come from a function that it is given. Invariant: how many files there are, how deep they
//! include each other and how much all of them say is bounded; and where a file that is included can't be
//! had, or has a mistake, there is no policy, since a denial could stand in it.

use std::borrow::Cow;

use super::mistakes::{MAX_MISTAKES, Mistake, NEEDS_INTERCEPTION};
use super::yaml::{Included, MAX_FILE, RuleFile, parse_one};
use crate::policy::name::PolicyName;
use crate::policy::places::PolicyFile;
use crate::policy::source::Intercept;

/// How deep files may include each other.
const MAX_DEPTH: usize = 8;
/// How many files a policy may be made of.
const MAX_FILES: usize = 64;

/// A file that is included.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is, as mistakes say it.
    pub origin: String,
    /// What people are told of it in a word or two: `npm.yaml`, `preset github`.
    pub name: String,
    /// Its text.
    pub content: Cow<'static, str>,
}

/// What gives the files that can be included, by their names: none where there is none of that name, and why
/// one can't be had.
pub type Library<'a> = &'a dyn Fn(&PolicyName) -> Result<Option<Found>, String>;

/// Reads the text of a policy file that includes none. `origin` names it in mistakes.
///
/// # Errors
/// Every mistake in it; after broken YAML nothing more can be found, and after many mistakes a last
/// one says that there are more. That it includes files is one.
pub fn parse_file(origin: &str, content: &str) -> Result<RuleFile, Vec<Mistake>> {
    let (file, includes) = parse_one(origin, content)?;
    match includes.first() {
        None => Ok(RuleFile {
            files: vec![PolicyFile {
                name: short(origin),
                included_by: None,
            }],
            ..file
        }),
        Some((_, line)) => Err(vec![mistake(
            origin,
            Some(*line),
            "no other file can be included here".to_owned(),
        )]),
    }
}

/// Reads the text of a policy file, and what it includes from this library.
///
/// # Errors
/// As [`parse_file`]; and what is wrong with what it includes.
pub fn parse_whole(
    origin: &str,
    content: &str,
    library: Library<'_>,
) -> Result<RuleFile, Vec<Mistake>> {
    let mut reading = Reading {
        library,
        whole: RuleFile::default(),
        stack: Vec::new(),
        origins: Vec::new(),
        bytes: 0,
        mistakes: Vec::new(),
    };
    reading.add(origin, short(origin), content, None);
    if reading.whole.tls.intercept == Intercept::Never {
        reading.refuse_unread();
    }
    if reading.mistakes.is_empty() {
        Ok(reading.whole)
    } else {
        reading.mistakes.truncate(MAX_MISTAKES + 1);
        Err(reading.mistakes)
    }
}

struct Reading<'a> {
    library: Library<'a>,
    whole: RuleFile,
    /// The files that are being read, each included by the one before it, by where they are.
    stack: Vec<String>,
    /// All files by where they are, as in `whole.files`.
    origins: Vec<String>,
    bytes: usize,
    mistakes: Vec<Mistake>,
}

impl Reading<'_> {
    /// Adds what this file says, and what it includes.
    fn add(
        &mut self,
        origin: &str,
        name: String,
        content: &str,
        included_by: Option<(usize, usize)>,
    ) {
        let (file, includes) = match parse_one(origin, content) {
            Ok(read) => read,
            Err(mistakes) => return self.mistakes.extend(mistakes),
        };
        let number = self.whole.files.len();
        self.bytes += content.len();
        self.origins.push(origin.to_owned());
        self.whole.files.push(PolicyFile { name, included_by });
        self.whole.says_allow |= file.says_allow;
        let rules = file.rules.into_iter();
        self.whole
            .rules
            .extend(rules.map(|written| super::WrittenRule {
                file: number,
                ..written
            }));
        match included_by {
            None => {
                self.whole.tls = file.tls;
                self.whole.says_tls = file.says_tls;
                self.whole.foreign = file.foreign;
            }
            Some(_) if file.says_tls => {
                let message =
                    "tls stands in a policy's own file alone, not in one that it includes";
                self.mistakes
                    .push(mistake(origin, None, message.to_owned()));
            }
            Some(_) => {}
        }
        self.stack.push(origin.to_owned());
        for included in includes {
            if self.mistakes.len() > MAX_MISTAKES {
                break;
            }
            self.include(origin, number, included);
        }
        self.stack.pop();
    }

    /// Adds a file that this one includes, unless it was added before.
    fn include(&mut self, by: &str, number: usize, (name, line): Included) {
        let mut wrong = |message| self.mistakes.push(mistake(by, Some(line), message));
        let found = match (self.library)(&name) {
            Ok(Some(found)) => found,
            Ok(None) => {
                return wrong(format!(
                    "there is no policy {name}, no file of that name in presets.d, and no such preset"
                ));
            }
            Err(error) => return wrong(format!("policy {name}: {error}")),
        };
        if let Some(first) = self.stack.iter().position(|one| *one == found.origin) {
            let circle = self.stack.iter().skip(first).map(|one| short(one));
            let circle: Vec<_> = circle.chain([found.name]).collect();
            return wrong(format!(
                "files include each other: {}",
                circle.join(" includes ")
            ));
        }
        if self.origins.contains(&found.origin) {
            return;
        }
        if self.stack.len() >= MAX_DEPTH {
            return wrong(format!(
                "files include each other more than {MAX_DEPTH} deep"
            ));
        }
        if self.origins.len() >= MAX_FILES {
            return wrong(format!("a policy is made of more than {MAX_FILES} files"));
        }
        if self.bytes + found.content.len() > MAX_FILE {
            return wrong(format!(
                "with {name}, all files of the policy are longer than {MAX_FILE} bytes"
            ));
        }
        self.add(
            &found.origin,
            found.name,
            &found.content,
            Some((number, line)),
        );
    }

    /// Of the policy's own rules, that was said when its file was read.
    fn refuse_unread(&mut self) {
        let unread = self.whole.rules.iter();
        let unread = unread.filter(|written| written.file > 0 && written.rule.reads_tls());
        let found = unread.map(|written| Mistake {
            origin: self.origins.get(written.file).cloned().unwrap_or_default(),
            line: Some(written.line),
            key: "tls".to_owned(),
            message: NEEDS_INTERCEPTION.to_owned(),
        });
        self.mistakes.extend(found);
    }
}

fn mistake(origin: &str, line: Option<usize>, message: String) -> Mistake {
    Mistake {
        origin: origin.to_owned(),
        line,
        key: "include".to_owned(),
        message,
    }
}

/// What people are told of a file in a word.
fn short(origin: &str) -> String {
    origin.rsplit('/').next().unwrap_or(origin).to_owned()
}

#[cfg(test)]
mod tests;
