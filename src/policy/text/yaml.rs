//! Walks the YAML events of a policy file.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::mistakes::{Mistake, Mistakes};
use crate::escape::excerpt;

/// Longest policy or configuration file, in bytes.
pub const MAX_FILE: usize = 1 << 20;
/// Settings of coder/boundary's own configuration, which may stand in the same file. They are about
/// its jail and its log, and nothing that a rule decides; ours are in `config.toml`.
const FOREIGN_KEYS: [&str; 11] = [
    "jail_type",
    "log_dir",
    "log_level",
    "proxy_port",
    "pprof_enabled",
    "pprof_port",
    "use_real_dns",
    "no_user_namespace",
    "disable_audit_logs",
    "session_correlation_enabled",
    "session_id_inject_targets",
];

/// Nesting that is followed; deeper files are rejected.
const MAX_DEPTH: i32 = 16;

/// The rules of one file, in order, each of them checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleFile {
    /// Rules that allow.
    pub allow: Vec<String>,
    /// Rules that deny.
    pub deny: Vec<String>,
}

/// Reads a policy file's text. `origin` names it in mistakes.
///
/// The file is one mapping with `allow` and `deny`, lists of rules; `allowlist` is coder/boundary's
/// name for `allow`, whose other keys are passed over. A missing or empty list has no rules.
///
/// # Errors
/// Every mistake in it; after broken YAML nothing more can be found, and after many mistakes a last
/// one says that there are more.
pub fn parse_file(origin: &str, content: &str) -> Result<RuleFile, Vec<Mistake>> {
    let mut walk = Walk {
        events: Parser::new_from_str(content),
        mistakes: Mistakes::new(origin),
    };
    if content.len() > MAX_FILE {
        walk.mistakes
            .add(None, "", format!("longer than {MAX_FILE} bytes"));
        return Err(walk.mistakes.found);
    }
    let mut rules = RuleFile::default();
    if let Err(error) = walk.file(&mut rules) {
        let (line, what) = (error.marker().line(), error.info());
        walk.mistakes
            .add(Some(line), "", format!("not YAML: {what}"));
    }
    walk.mistakes.or(rules)
}

struct Walk<'a> {
    events: Parser<'a, StrInput<'a>>,
    mistakes: Mistakes,
}

/// A key and the line it stands in.
type Key = (String, usize);

impl<'a> Walk<'a> {
    fn file(&mut self, rules: &mut RuleFile) -> Result<(), ScanError> {
        let mut documents = 0;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        self.mistakes.add(
                            line(span),
                            "",
                            "a second YAML document; a policy file has one",
                        );
                        return Ok(());
                    }
                }
                Event::MappingStart(..) => self.policy(rules)?,
                event if is_null(&event) => {}
                Event::Scalar(..) | Event::SequenceStart(..) | Event::Alias(_) => {
                    self.mistakes.add(
                        line(span),
                        "",
                        "a policy is a mapping with the lists allow and deny",
                    );
                    self.skip(&event)?;
                }
                _ => {}
            }
        }
    }

    fn policy(&mut self, rules: &mut RuleFile) -> Result<(), ScanError> {
        let mut seen: Vec<String> = Vec::new();
        while let Some((key, line)) = self.key()? {
            if seen.contains(&key) {
                self.mistakes.add(Some(line), &key, "written twice");
            }
            match key.as_str() {
                "allow" | "allowlist" => self.rules((&key, line), &mut rules.allow)?,
                "deny" => self.rules((&key, line), &mut rules.deny)?,
                foreign if FOREIGN_KEYS.contains(&foreign) => self.value()?,
                _ => {
                    self.mistakes.add(
                        Some(line),
                        &excerpt(&key),
                        "unknown key; a policy has allow and deny",
                    );
                    self.value()?;
                    continue;
                }
            }
            seen.push(key);
        }
        Ok(())
    }

    /// The next key of the mapping, or its end.
    fn key(&mut self) -> Result<Option<Key>, ScanError> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::MappingEnd => return Ok(None),
                Event::Scalar(key, ..) => return Ok(Some((key.into_owned(), span.start.line()))),
                event => {
                    self.mistakes
                        .add(line(span), "", "a key must be a plain string");
                    self.skip(&event)?;
                    self.value()?;
                }
            }
        }
    }

    fn rules(
        &mut self,
        (key, at): (&str, usize),
        rules: &mut Vec<String>,
    ) -> Result<(), ScanError> {
        let (event, _) = self.next()?;
        match event {
            Event::SequenceStart(..) => {}
            event if is_null(&event) => return Ok(()),
            event => {
                self.mistakes
                    .add(Some(at), key, "expected a list of rules, each after a dash");
                return self.skip(&event);
            }
        }
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::SequenceEnd => return Ok(()),
                event if is_null(&event) => self.mistakes.check(line(span), ""),
                Event::Scalar(text, ..) => {
                    self.mistakes.check(line(span), &text);
                    rules.push(text.into_owned());
                }
                event => {
                    self.mistakes.add(
                        line(span),
                        key,
                        "a rule must be a plain string like domain=example.org, not an alias",
                    );
                    self.skip(&event)?;
                }
            }
        }
    }

    /// Passes over a value that is of no interest.
    fn value(&mut self) -> Result<(), ScanError> {
        let (event, _) = self.next()?;
        self.skip(&event)
    }

    /// Passes over the rest of the value that began with this event.
    fn skip(&mut self, begun: &Event<'a>) -> Result<(), ScanError> {
        let mut depth = step(begun);
        while depth > 0 {
            let (event, span) = self.next()?;
            depth += step(&event);
            if depth > MAX_DEPTH {
                return Err(ScanError::new_str(span.start, "nested too deep"));
            }
        }
        Ok(())
    }

    /// The next event. The stream's end ends it even for a caller that waits for something else.
    fn next(&mut self) -> Result<(Event<'a>, Span), ScanError> {
        let end = || ScanError::new_str(Marker::default(), "unexpected end");
        let (event, span) = self.events.next_event().unwrap_or_else(|| Err(end()))?;
        if self.mistakes.is_full() {
            return Err(ScanError::new_str(span.start, "too many mistakes"));
        }
        Ok((event, span))
    }
}

/// How much deeper the walk is after this event.
fn step(event: &Event<'_>) -> i32 {
    match event {
        Event::MappingStart(..) | Event::SequenceStart(..) => 1,
        Event::MappingEnd | Event::SequenceEnd => -1,
        _ => 0,
    }
}

/// A value that isn't there: `allow:` with nothing after it, `~` or `null`.
fn is_null(event: &Event<'_>) -> bool {
    matches!(event, Event::Scalar(text, ScalarStyle::Plain, ..) if matches!(&**text, "" | "~" | "null"))
}

fn line(span: Span) -> Option<usize> {
    Some(span.start.line())
}
