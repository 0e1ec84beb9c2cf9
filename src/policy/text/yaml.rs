//! Walks the YAML events of a policy file.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::mistakes::{List, Mistake, Mistakes, NEEDS_INTERCEPTION};
use crate::escape::{excerpt, quoted};
use crate::policy::domain::DomainPattern;
use crate::policy::name::PolicyName;
use crate::policy::places::{Places, PolicyFile};
use crate::policy::rule::Rule;
use crate::policy::source::{Intercept, LayerSource, PolicySource, TlsSource};

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

/// What one file says, with the files that it includes.
#[derive(Debug, Clone, Default)]
pub struct RuleFile {
    /// Its rules, in order, and behind them those of the files that it includes.
    pub rules: Vec<WrittenRule>,
    /// It, and the files that it includes.
    pub files: Vec<PolicyFile>,
    /// Whether it, or what it includes, has a list of rules that allow, if only an empty one.
    pub says_allow: bool,
    /// Which TLS is intercepted.
    pub tls: TlsSource,
    /// Whether the file says so.
    pub says_tls: bool,
    /// The settings of coder/boundary's that stand in it, which say nothing of rules: none for one that
    /// is no plain value.
    pub foreign: BTreeMap<String, Option<String>>,
}

/// One rule, and where it stands.
#[derive(Debug, Clone)]
pub struct WrittenRule {
    /// The list that it is in.
    pub list: List,
    /// The file, by its place in [`RuleFile::files`].
    pub file: usize,
    /// Its line there, from 1.
    pub line: usize,
    /// What it says.
    pub rule: Rule,
}

impl RuleFile {
    /// The texts of the rules that allow.
    #[must_use]
    pub fn allow(&self) -> Vec<String> {
        self.texts(List::Allow)
    }

    /// The texts of the rules that deny.
    #[must_use]
    pub fn deny(&self) -> Vec<String> {
        self.texts(List::Deny)
    }

    /// What a policy of this name is made from, in which nothing else is.
    #[must_use]
    pub fn source(self, name: String) -> PolicySource {
        PolicySource {
            name,
            allow: self.allow(),
            deny: self.deny(),
            places: self.places(),
            tls: self.tls,
            ..PolicySource::default()
        }
    }

    /// What a layer of this name is made from.
    #[must_use]
    pub fn layer(self, name: String) -> LayerSource {
        LayerSource {
            name,
            allow: self.says_allow.then(|| self.allow()),
            deny: self.deny(),
            places: self.places(),
        }
    }

    /// Where this rule stands, beside a rule in this file: `line 3`, or `line 3 of npm.yaml`.
    #[must_use]
    pub fn line(&self, written: &WrittenRule, beside: usize) -> String {
        let file = self.files.get(written.file);
        match file.filter(|_| written.file != beside) {
            Some(file) => format!("line {} of {}", written.line, file.name),
            None => format!("line {}", written.line),
        }
    }

    /// The file and the line of this rule, for who reads about the file called `origin`.
    pub(in crate::policy) fn place_in(
        &self,
        origin: &str,
        written: &WrittenRule,
    ) -> (String, usize) {
        let included = self.files.get(written.file).filter(|_| written.file > 0);
        let file = included.map_or(origin, |file| &file.name);
        (file.to_owned(), written.line)
    }

    fn places(&self) -> Places {
        let of = |list| {
            let rules = self.rules.iter().filter(|written| written.list == list);
            rules.map(|written| (written.file, written.line)).collect()
        };
        Places {
            files: self.files.clone(),
            allow: of(List::Allow),
            deny: of(List::Deny),
        }
    }

    fn texts(&self, list: List) -> Vec<String> {
        let of_list = self.rules.iter().filter(|written| written.list == list);
        of_list
            .map(|written| written.rule.text().to_string())
            .collect()
    }
}

/// A name that a file includes, and the line there.
pub(super) type Included = (PolicyName, usize);

/// Reads the text of one policy file. `origin` names it in mistakes. Gives what it says, and what it
/// includes.
///
/// The file is one mapping with `allow` and `deny`, lists of rules; `allowlist` is coder/boundary's
/// name for `allow`, whose other keys are passed over. A missing or empty list has no rules. `tls`
/// is a mapping: `intercept` (`never`, `auto`, `always`) and `passthrough`, a list of names. `include`
/// is a list of policies' names.
///
/// # Errors
/// Every mistake in it; after broken YAML nothing more can be found, and after many mistakes a last
/// one says that there are more.
pub(super) fn parse_one(
    origin: &str,
    content: &str,
) -> Result<(RuleFile, Vec<Included>), Vec<Mistake>> {
    let mut walk = Walk {
        events: Parser::new_from_str(content),
        mistakes: Mistakes::new(origin),
        includes: Vec::new(),
        content,
    };
    if content.len() > MAX_FILE {
        walk.mistakes
            .add(None, "", format!("longer than {MAX_FILE} bytes"));
        return Err(walk.mistakes.found);
    }
    let mut rules = RuleFile::default();
    if let Err(error) = walk.file(&mut rules) {
        walk.broken(&error);
    }
    if rules.tls.intercept == Intercept::Never {
        walk.refuse_reading(&rules.rules);
    }
    let includes = walk.includes;
    walk.mistakes.or((rules, includes))
}

struct Walk<'a> {
    events: Parser<'a, StrInput<'a>>,
    mistakes: Mistakes,
    includes: Vec<Included>,
    content: &'a str,
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
                        "a policy is a mapping with the lists allow, deny and include, and tls",
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
                "allow" | "allowlist" => {
                    self.rules((&key, line), List::Allow, &mut rules.rules)?;
                    rules.says_allow = true;
                }
                "deny" => self.rules((&key, line), List::Deny, &mut rules.rules)?,
                "tls" => {
                    self.tls(line, &mut rules.tls)?;
                    rules.says_tls = true;
                }
                "include" => {
                    self.list(
                        (&key, line),
                        &INCLUDE,
                        |walk, line, name| match PolicyName::parse(&name) {
                            Ok(name) => walk.includes.push((name, line)),
                            Err(why) => walk.mistakes.add(Some(line), "include", why),
                        },
                    )?
                }
                foreign if FOREIGN_KEYS.contains(&foreign) => {
                    let value = self.plain_value()?;
                    rules.foreign.insert(key.clone(), value);
                }
                _ => {
                    self.mistakes.add(
                        Some(line),
                        &excerpt(&key),
                        "unknown key; a policy has allow, deny, include and tls",
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

    /// `tls: {intercept: auto, passthrough: [bank.example.org]}`.
    fn tls(&mut self, at: usize, tls: &mut TlsSource) -> Result<(), ScanError> {
        let (event, _) = self.next()?;
        match event {
            Event::MappingStart(..) => {}
            event if is_null(&event) => return Ok(()),
            event => {
                self.mistakes
                    .add(Some(at), "tls", "expected intercept and passthrough");
                return self.skip(&event);
            }
        }
        let mut seen: Vec<String> = Vec::new();
        while let Some((key, line)) = self.key()? {
            if seen.contains(&key) {
                self.mistakes
                    .add(Some(line), &excerpt(&key), "written twice");
            }
            match key.as_str() {
                "intercept" => self.intercept(&mut tls.intercept)?,
                "passthrough" => self.list((&key, line), &PASSTHROUGH, |walk, line, name| {
                    if let Err(hint) = DomainPattern::parse(&name) {
                        let message = format!("{}: {hint}", quoted(&name));
                        walk.mistakes.add(Some(line), "passthrough", message);
                    }
                    tls.passthrough.push(name);
                })?,
                _ => {
                    let message = "unknown key; tls has intercept and passthrough";
                    self.mistakes.add(Some(line), &excerpt(&key), message);
                    self.value()?;
                }
            }
            seen.push(key);
        }
        Ok(())
    }

    fn intercept(&mut self, intercept: &mut Intercept) -> Result<(), ScanError> {
        let (event, span) = self.next()?;
        let read = match &event {
            Event::Scalar(text, ..) => Intercept::parse(text),
            _ => None,
        };
        match read {
            Some(read) => *intercept = read,
            None => {
                let message = "expected never, auto or always";
                self.mistakes.add(line(span), "intercept", message);
            }
        }
        self.skip(&event)
    }

    fn rules(
        &mut self,
        key: (&str, usize),
        list: List,
        rules: &mut Vec<WrittenRule>,
    ) -> Result<(), ScanError> {
        self.list(key, &RULES, |walk, line, text| {
            let rule = walk.mistakes.check(Some(line), &text, list);
            rules.extend(rule.map(|rule| WrittenRule {
                list,
                file: 0,
                line,
                rule,
            }));
        })
    }

    /// Walks over a list: each of its texts is given to `item`, with its line.
    fn list(
        &mut self,
        (key, at): (&str, usize),
        of: &ListWords,
        mut item: impl FnMut(&mut Self, usize, String),
    ) -> Result<(), ScanError> {
        let (event, _) = self.next()?;
        match event {
            Event::SequenceStart(..) => {}
            event if is_null(&event) => return Ok(()),
            event => {
                self.mistakes.add(Some(at), key, of.expected);
                return self.skip(&event);
            }
        }
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::SequenceEnd => return Ok(()),
                event if is_null(&event) => item(self, span.start.line(), String::new()),
                Event::Scalar(text, ..) => item(self, span.start.line(), text.into_owned()),
                event => {
                    self.mistakes.add(line(span), key, of.one);
                    self.skip(&event)?;
                }
            }
        }
    }

    fn refuse_reading(&mut self, rules: &[WrittenRule]) {
        for written in rules.iter().filter(|written| written.rule.reads_tls()) {
            self.mistakes
                .add(Some(written.line), "tls", NEEDS_INTERCEPTION);
        }
    }

    /// Notes why the text is no YAML. A star at a value's beginning is an alias to YAML, and to
    /// whoever writes one the beginning of a name.
    fn broken(&mut self, error: &ScanError) {
        let (line, what) = (error.marker().line(), error.info());
        let text = self.content.lines().nth(line.saturating_sub(1));
        let item = text.and_then(|text| text.trim_start().strip_prefix('-'));
        let message = match item.map(str::trim) {
            Some(item) if item.starts_with('*') => {
                format!("not a rule; did you mean domain={}?", excerpt(item))
            }
            _ => format!("not YAML: {what}"),
        };
        self.mistakes.add(Some(line), "", message);
    }

    /// A value as it is written, where it is a plain one.
    fn plain_value(&mut self) -> Result<Option<String>, ScanError> {
        let (event, _) = self.next()?;
        self.skip(&event)?;
        Ok(match event {
            event if is_null(&event) => Some(String::new()),
            Event::Scalar(text, ..) => Some(text.into_owned()),
            _ => None,
        })
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

/// What is said of a list that isn't one, and of an item that isn't of it.
struct ListWords {
    expected: &'static str,
    one: &'static str,
}

const RULES: ListWords = ListWords {
    expected: "expected a list of rules, each after a dash",
    one: "a rule must be a plain string like domain=example.org, with = and no colon, and not an alias",
};
const INCLUDE: ListWords = ListWords {
    expected: "expected a list of policies' names, each after a dash",
    one: "a policy's name must be a plain string like npm, not an alias",
};
const PASSTHROUGH: ListWords = ListWords {
    expected: "expected a list of names, each after a dash",
    one: "a name must be a plain string like bank.example.org, not an alias",
};

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
