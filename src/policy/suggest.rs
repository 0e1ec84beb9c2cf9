//! The least policy that allows what was attempted: what `policy suggest` writes.
//!
//! Pure: attempts in, rules out. Each rule is made by what makes the suggestions of denials, and the whole
//! is tried by the code that enforces it. Invariant: every attempt is allowed by the rules, or stands among
//! what was left out, with the reason; and each rule is needed (a property test checks both).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::attempt::{Attempt, Protocol};
use super::decide::Policy;
use super::domain::DomainPattern;
use super::explain;
use super::host::Hostname;
use super::net;
use super::permit::Verdict;
use super::rule::{MAX_RULE, Rule};
use super::shared::is_shared;
use super::source::PolicySource;
use super::text::as_yaml;
use crate::escape::clean;

/// Different attempts that are told apart, at most; beyond them they are counted.
const MAX_DIFFERENT: usize = 10_000;
/// Longest text of a comment, in bytes.
const MAX_COMMENT: usize = 512;
/// An address on the internet, for all of them: where a name leads that isn't private.
const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Comparisons of an attempt with a rule that are made to find rules that nothing needs.
const MAX_TRIED: usize = 20_000_000;
/// Paths that one rule lists, at most, in bytes: far less than a rule may have.
const MAX_PATHS: usize = MAX_RULE / 4;

/// What was attempted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asked {
    /// The name, where there was one.
    pub name: Option<Hostname>,
    /// Where it led, or was addressed to.
    pub address: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// The method, where it was read.
    pub method: Option<String>,
    /// The path, where it was read.
    pub path: Option<String>,
}

/// How often, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many times.
    pub count: u64,
    /// When it was seen first, as records have it.
    pub first: String,
    /// Whether anything came back, or may yet.
    pub answered: bool,
    /// Why it was denied, if it always was.
    pub denied: Option<String>,
}

/// All that was attempted.
#[derive(Debug, Default)]
pub struct Session {
    asked: HashMap<Asked, Seen>,
    looked_up: BTreeMap<Hostname, Seen>,
    beyond: u64,
}

/// One rule of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuggestedRule {
    /// Its text.
    pub text: String,
    /// How many attempts it was made for.
    pub count: u64,
    /// When the first of them was seen.
    pub first: String,
    /// Whether anybody can store data where it leads.
    pub shared: bool,
}

/// What the policy doesn't allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What it is: the rule that would allow it, or words.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A policy that allows what was attempted, but for what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suggestion {
    /// Its rules, by name.
    pub rules: Vec<SuggestedRule>,
    /// What it leaves out.
    pub left_out: Vec<LeftOut>,
}

impl Session {
    /// Adds attempts of one kind.
    pub fn add(&mut self, mut asked: Asked, seen: Seen) {
        // Of a name on the internet it doesn't matter where it leads.
        if asked.name.is_some() && net::is_public(asked.address.ip()) {
            asked.address.set_ip(Ipv4Addr::UNSPECIFIED.into());
        }
        let is_known = self.asked.contains_key(&asked);
        if is_known || self.asked.len() < MAX_DIFFERENT {
            let denied = seen.denied.clone();
            let all = self.asked.entry(asked).or_insert_with(|| Seen {
                denied,
                ..Seen::default()
            });
            all.join(seen);
        } else {
            self.beyond = self.beyond.saturating_add(seen.count);
        }
    }

    /// Adds lookups of a name.
    pub fn add_lookup(&mut self, name: Hostname, seen: Seen) {
        if self.looked_up.contains_key(&name) || self.looked_up.len() < MAX_DIFFERENT {
            self.looked_up.entry(name).or_default().join(seen);
        } else {
            self.beyond = self.beyond.saturating_add(seen.count);
        }
    }

    /// The policy. `wildcards`: patterns that stand for all names that they fit.
    ///
    /// # Errors
    /// What is wrong with a pattern.
    pub fn suggest(self, wildcards: &[String]) -> Result<Suggestion, String> {
        let patterns: Result<Vec<_>, String> = wildcards
            .iter()
            .map(|text| Ok((text.as_str(), DomainPattern::parse(text)?)))
            .collect();
        let patterns = patterns?;
        let mut asked: Vec<_> = self.asked.into_iter().collect();
        asked.sort_by(|(one, _), (other, _)| one.cmp(other));
        let opening = taken_out_for_requests(&mut asked);
        let mut made = BTreeMap::new();
        for (asked, seen) in &asked {
            if let Some(text) = asked.rule_for(seen, &patterns) {
                let rule = made.entry(text);
                let (all, _) = rule.or_insert_with(|| (Seen::default(), asked.is_shared()));
                all.join(seen.clone());
            }
        }
        let kept = asked
            .iter()
            .filter(|(asked, seen)| asked.reason_to_leave(seen).is_none());
        let kept: Vec<_> = kept.map(|(asked, _)| asked).collect();
        let rules = used(needed(joined_by_path(made)), &kept);
        let policy = compiled(&rules);
        let left = asked
            .iter()
            .filter_map(|(asked, seen)| asked.left_out(seen, &policy));
        let mut left_out: Vec<_> = left.collect();
        left_out.extend(opening.into_iter().filter_map(|asked| {
            let why = "a rule for it would allow all requests there, whatever they are".to_owned();
            asked.denied_by(&policy).map(|_| LeftOut {
                what: asked.words(),
                why,
            })
        }));
        left_out.extend(self.looked_up.into_iter().filter_map(|(name, seen)| {
            let why = format!("looked up {}, never connected to", times(seen.count));
            let what = name.to_string();
            policy
                .decide_lookup(&name)
                .is_err()
                .then_some(LeftOut { what, why })
        }));
        if self.beyond > 0 {
            left_out.push(LeftOut {
                what: times(self.beyond),
                why: format!("beyond the first {MAX_DIFFERENT} different attempts"),
            });
        }
        Ok(Suggestion { rules, left_out })
    }
}

impl SuggestedRule {
    /// Counts for what the other was made for, too.
    fn take_over(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.clone().min(other.first.clone());
    }
}

impl Seen {
    fn join(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.answered |= other.answered;
        // What was let through once needs no rule against it.
        self.denied = self.denied.take().and(other.denied);
        if self.first.is_empty() || other.first < self.first {
            self.first = other.first;
        }
    }
}

impl Asked {
    /// The rule that is made for it, if one is.
    fn rule_for(&self, seen: &Seen, wildcards: &[(&str, DomainPattern)]) -> Option<String> {
        let text = self
            .narrowest()
            .filter(|_| self.reason_to_leave(seen).is_none())?;
        let Some(name) = &self.name else {
            return Some(text);
        };
        let fitting = wildcards.iter().find(|(_, pattern)| pattern.matches(name));
        Some(match fitting {
            Some((written, _)) => replaced(
                &text,
                &format!("domain={name}"),
                &format!("domain={written}"),
            ),
            None => text,
        })
    }

    /// What is said of it where the policy leaves it out.
    fn left_out(&self, seen: &Seen, policy: &Policy) -> Option<LeftOut> {
        let denied = self.denied_by(policy);
        let Some(why) = self.reason_to_leave(seen) else {
            return denied.map(|why| LeftOut {
                what: self.words(),
                why,
            });
        };
        let what = self.narrowest().unwrap_or_else(|| self.words());
        match (denied, &seen.denied) {
            (Some(_), _) => Some(LeftOut { what, why }),
            (None, Some(_)) => Some(LeftOut {
                what,
                why: format!("{why}; a rule above allows it"),
            }),
            (None, None) => None,
        }
    }

    fn reason_to_leave(&self, seen: &Seen) -> Option<String> {
        match &seen.denied {
            Some(reason) => Some(format!("denied {}: {reason}", times(seen.count))),
            None => (seen.count == 1 && !seen.answered)
                .then(|| "asked once, and never answered".to_owned()),
        }
    }

    /// The narrowest rule that allows it.
    fn narrowest(&self) -> Option<String> {
        let Some(name) = &self.name else {
            return explain::narrowest_for_address(self.address.ip(), &self.attempt());
        };
        let attempt = self.attempt();
        let with_request = |attempt| explain::narrowest_for_name(name, &attempt, true);
        let mut text = match self.path {
            // A path that no rule can have leaves the method.
            Some(_) => with_request(attempt).or_else(|| {
                with_request(Attempt {
                    path: None,
                    ..attempt
                })
            }),
            // What can be read in several ways is allowed only where no rule reads it.
            None => explain::narrowest_for_name(name, &attempt, false),
        }?;
        // Rules for both have TLS to the name intercepted.
        if self.protocol == Protocol::Http && text.contains("method=") {
            text.push_str(" proto=http");
        }
        if !net::is_public(self.address.ip()) && !self.address.ip().is_unspecified() {
            let range = ipnet::IpNet::from(self.address.ip());
            if !net::can_be_named(&range) {
                return None;
            }
            text.push_str(&format!(" cidr={range}"));
        }
        Some(text)
    }

    fn attempt(&self) -> Attempt<'_> {
        let address = match self.name {
            Some(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            None => self.address.ip(),
        };
        Attempt {
            protocol: self.protocol,
            name: self.name.as_ref(),
            destination: SocketAddr::new(address, self.address.port()),
            method: self.method.as_deref(),
            path: self.path.as_deref(),
        }
    }

    /// Why the policy denies it, if it does.
    fn denied_by(&self, policy: &Policy) -> Option<String> {
        let denial = match policy.decide(&self.attempt()) {
            Verdict::Deny(denial) => denial,
            Verdict::Allow(permit) => {
                let leads = self.address.ip();
                let leads = if leads.is_unspecified() {
                    SOMEWHERE
                } else {
                    leads
                };
                permit.upstream(leads, &[]).err()?
            }
        };
        Some(denial.reason)
    }

    fn is_shared(&self) -> bool {
        self.name.as_ref().is_some_and(is_shared)
    }

    fn words(&self) -> String {
        let host = match &self.name {
            Some(name) if self.address.ip().is_unspecified() => {
                format!("{name}:{}", self.address.port())
            }
            Some(name) => format!("{name} at {}", self.address),
            None => self.address.to_string(),
        };
        let protocol = match self.protocol {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let method = self.method.as_deref().unwrap_or_default();
        let path = self.path.as_deref().unwrap_or_default();
        format!("{protocol} {host} {method} {path}")
            .trim_end()
            .to_owned()
    }
}

/// Takes out what was no request to where requests were read: a rule for it would make needless what theirs
/// say of methods and paths.
fn taken_out_for_requests(all: &mut Vec<(Asked, Seen)>) -> Vec<Asked> {
    let place = |asked: &Asked| Some((asked.name.clone()?, asked.address.port()));
    let read = all
        .iter()
        .filter(|(asked, seen)| asked.method.is_some() && asked.reason_to_leave(seen).is_none());
    let read: HashSet<_> = read
        .filter_map(|(asked, _)| Some((asked.protocol, place(asked)?)))
        .collect();
    let opens = |(asked, seen): &mut (Asked, Seen)| {
        let mut requests = asked.protocol.unread_requests().iter();
        let is_read = |one: &Protocol| place(asked).is_some_and(|at| read.contains(&(*one, at)));
        seen.denied.is_none() && requests.any(is_read)
    };
    all.extract_if(.., opens).map(|(asked, _)| asked).collect()
}

/// Rules that say the same but for their paths, as one: its paths in a list, or several where that
/// becomes long.
fn joined_by_path(made: BTreeMap<String, (Seen, bool)>) -> Vec<SuggestedRule> {
    let mut rules: Vec<SuggestedRule> = Vec::new();
    for (text, (seen, shared)) in made {
        let rule = SuggestedRule {
            text,
            count: seen.count,
            first: seen.first,
            shared,
        };
        let mut known = rules.iter_mut().rev();
        match known.find_map(|known| Some((with_paths_of(&known.text, &rule.text)?, known))) {
            Some((text, known)) => {
                known.take_over(&rule);
                known.text = text;
            }
            None => rules.push(rule),
        }
    }
    rules
}

/// The first rule with the paths of the other, if they say the same otherwise and it doesn't become
/// long.
fn with_paths_of(rule: &str, other: &str) -> Option<String> {
    let is_path = |word: &&str| word.starts_with("path=");
    let without = |text: &'_ str| {
        let words = text.split(' ').filter(|word| !is_path(word));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let path = other.split(' ').find(is_path)?.strip_prefix("path=")?;
    let own = rule.split(' ').find(is_path)?;
    (own.len() < MAX_PATHS && without(rule) == without(other))
        .then(|| replaced(rule, own, &format!("{own},{path}")))
}

/// The rules without those that others make needless; their counts go to these.
fn needed(rules: Vec<SuggestedRule>) -> Vec<SuggestedRule> {
    let mut kept: Vec<(SuggestedRule, Rule)> = Vec::new();
    for mut rule in rules {
        let parsed = Rule::parse(&rule.text).expect("made of checked words");
        if let Some((by, _)) = kept.iter_mut().find(|(_, own)| own.allows_all_of(&parsed)) {
            by.take_over(&rule);
            continue;
        }
        kept.retain(|(other, own)| {
            let is_needless = parsed.allows_all_of(own);
            if is_needless {
                rule.take_over(other);
            }
            !is_needless
        });
        kept.push((rule, parsed));
    }
    kept.into_iter().map(|(rule, _)| rule).collect()
}

/// The rules without those that these attempts don't need, because several others together allow the same;
/// where there are very many, as they are.
fn used(mut rules: Vec<SuggestedRule>, attempts: &[&Asked]) -> Vec<SuggestedRule> {
    if rules.len().saturating_pow(2).saturating_mul(attempts.len()) > MAX_TRIED {
        return rules;
    }
    let denied = |rules: &[SuggestedRule]| {
        let policy = compiled(rules);
        let denied = attempts
            .iter()
            .filter(|asked| asked.denied_by(&policy).is_some());
        denied.count()
    };
    let least = denied(&rules);
    for place in (0..rules.len()).rev() {
        let mut fewer = rules.clone();
        fewer.remove(place);
        if denied(&fewer) == least {
            rules = fewer;
        }
    }
    rules
}

fn compiled(rules: &[SuggestedRule]) -> Policy {
    let source = PolicySource {
        allow: rules.iter().map(|rule| rule.text.clone()).collect(),
        ..PolicySource::default()
    };
    Policy::compile(&source).expect("every rule was parsed")
}

/// The text with this word in that one's place.
fn replaced(text: &str, word: &str, by: &str) -> String {
    let words = text
        .split(' ')
        .map(|one| if one == word { by } else { one });
    words.collect::<Vec<_>>().join(" ")
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        _ => format!("{count} times"),
    }
}

/// The policy file, with what was left out as comments at its end.
impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# What was done, as records have it. Read it before you use it."
        )?;
        f.write_str(if self.rules.is_empty() {
            "allow: []\n"
        } else {
            "allow:\n"
        })?;
        for rule in &self.rules {
            let SuggestedRule {
                text,
                count,
                first,
                shared,
            } = rule;
            let first = clean(first, MAX_COMMENT);
            let shared = if *shared {
                "; shared: anybody can store data there"
            } else {
                ""
            };
            writeln!(
                f,
                "  - {}   # {}, first {first}{shared}",
                as_yaml(text),
                times(*count)
            )?;
        }
        if !self.left_out.is_empty() {
            writeln!(f, "# Left out:")?;
        }
        self.left_out.iter().try_for_each(|LeftOut { what, why }| {
            writeln!(
                f,
                "#   {}   ({})",
                clean(what, MAX_COMMENT),
                clean(why, MAX_COMMENT)
            )
        })
    }
}

#[cfg(test)]
mod tests;
