//! What the author of a policy file should know: rules that decide nothing, and rules that decide more
//! than their author may think. None of it is a mistake: the policy means what it says.
//!
//! Pure. Invariant: a rule that is said to decide nothing can be taken away and nothing changes (a
//! property test of [`crate::policy::Policy`] checks this).

use ipnet::IpNet;

use super::domain::DomainPattern;
use super::net;
use super::rule::Rule;
use super::text::{List, Mistake, RuleFile, WrittenRule};

/// Rules that are compared with each other, at most: it takes the square of their number.
const MAX_COMPARED: usize = 5_000;

/// What is to be said of this file, in the order of its lines. `origin` names it.
#[must_use]
pub fn advice(origin: &str, file: &RuleFile) -> Vec<Mistake> {
    let compared = file.rules.get(..MAX_COMPARED).unwrap_or(&file.rules);
    let passed = passed_through(file);
    let mut found = Vec::new();
    for (place, written) in file.rules.iter().enumerate() {
        let rule = &written.rule;
        let told = match written.list {
            List::Allow => without_effect(file, compared, place, written)
                .or_else(|| never_read(rule, &passed))
                .or_else(|| unbounded(rule)),
            List::Deny => without_effect(file, compared, place, written),
        };
        let closed = match written.list {
            List::Allow => never_open(rule),
            List::Deny => None,
        };
        let all = [told, closed].into_iter().flatten();
        let (origin, line) = file.place_in(origin, written);
        found.extend(all.map(|(key, message)| Mistake {
            origin: origin.clone(),
            line: Some(line),
            key: key.to_owned(),
            message,
        }));
    }
    found
}

/// A key, and what is to be said of it.
type Told = (&'static str, String);

/// Why the rule decides nothing: another does so already. Of two that say the same, it is the later.
fn without_effect(
    file: &RuleFile,
    rules: &[WrittenRule],
    place: usize,
    written: &WrittenRule,
) -> Option<Told> {
    let rule = &written.rule;
    rules.iter().enumerate().find_map(|(other_place, other)| {
        let covers = |one: &Rule, all_of: &Rule| match written.list {
            List::Allow => one.allows_all_of(all_of),
            List::Deny => one.denies_all_of(all_of),
        };
        let line = file.line(other, written.file);
        match (written.list, other.list) {
            (List::Allow, List::Deny) if other.rule.denies_all_allowed_by(rule) => Some((
                "allow",
                format!("never matches: the denial in {line} comes first"),
            )),
            (own, others) if own == others && other_place != place => {
                let is_told = covers(&other.rule, rule)
                    && (other_place < place || !covers(rule, &other.rule));
                let (key, what) = match own {
                    List::Allow => ("allow", "allows"),
                    List::Deny => ("deny", "denies"),
                };
                let message = format!("decides nothing: {line} {what} all of it");
                is_told.then_some((key, message))
            }
            _ => None,
        }
    })
}

/// What a rule allows that allows every name, or every address.
fn unbounded(rule: &Rule) -> Option<Told> {
    let every = if rule.has_every_name() {
        ("domain", "every name")
    } else if rule.ranges().iter().any(|range| range.prefix_len() == 0) {
        ("cidr", "every address on the internet")
    } else {
        return None;
    };
    let (key, what) = every;
    Some((key, format!("allows {what}: what leaves can go anywhere")))
}

/// Ranges of a rule that nothing opens.
fn never_open(rule: &Rule) -> Option<Told> {
    let closed = |range: &&IpNet| net::is_never_open(range);
    let closed: Vec<_> = rule.ranges().iter().filter(closed).collect();
    let (first, more) = closed.split_first()?;
    let others = match more.len() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    Some((
        "cidr",
        format!("{first}{others}: never open, whatever rules say"),
    ))
}

fn passed_through(file: &RuleFile) -> Vec<DomainPattern> {
    let names = file.tls.passthrough.iter();
    names
        .filter_map(|name| DomainPattern::parse(name).ok())
        .collect()
}

/// Why a rule that asks for method or path allows nothing in HTTPS.
fn never_read(rule: &Rule, passed: &[DomainPattern]) -> Option<Told> {
    let message = "its names are in tls.passthrough, so that it allows nothing in HTTPS";
    (rule.reads_tls() && rule.has_names_only_of(passed)).then(|| ("tls", message.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::text::parse_file;

    fn told(content: &str) -> Vec<String> {
        let file = parse_file("p.yaml", content).unwrap();
        let found = advice("p.yaml", &file);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_policy_in_which_every_rule_decides_something_gets_none() {
        let content = concat!(
            "allow:\n- domain=a.test\n- domain=*.a.test\n- domain=a.test port=22 proto=tcp\n- cidr=10.0.0.0/8 port=5432\n",
            "- method=GET domain=b.test path=/x/*\n- method=POST domain=b.test path=/x/y\n",
            "deny:\n- domain=evil.a.test\n- domain=*.corp except=jira.corp\n- domain=*.corp port=22\n",
        );
        assert_eq!(told(content), [""; 0]);
    }

    #[test]
    fn what_decides_nothing_is_told_with_the_line_that_does() {
        for (content, expected) in [
            (
                "allow:\n- domain=*.a.test\n- domain=b.a.test\n",
                "p.yaml:3: allow: decides nothing: line 2 allows all of it",
            ),
            (
                "allow:\n- domain=b.a.test\n- domain=*.a.test\n",
                "p.yaml:2: allow: decides nothing: line 3 allows all of it",
            ),
            (
                "allow:\n- domain=a.test\n- domain=A.test\n",
                "p.yaml:3: allow: decides nothing: line 2 allows all of it",
            ),
            (
                "allow:\n- domain=a.test\n- method=GET domain=a.test path=/x\n",
                "p.yaml:3: allow: decides nothing: line 2 allows all of it",
            ),
            (
                "deny:\n- domain=*.a.test\n- domain=x.a.test port=22\n",
                "p.yaml:3: deny: decides nothing: line 2 denies all of it",
            ),
            (
                "allow:\n- domain=x.a.test\ndeny:\n- domain=*.a.test\n",
                "p.yaml:2: allow: never matches: the denial in line 4 comes first",
            ),
            (
                "allow:\n- method=GET domain=a.test\ntls: {passthrough: ['*.test']}\n",
                "p.yaml:2: tls: its names are in tls.passthrough, so that it allows nothing in HTTPS",
            ),
            (
                "allow:\n- domain=*\n",
                "p.yaml:2: domain: allows every name: what leaves can go anywhere",
            ),
            (
                "allow:\n- cidr=0.0.0.0/0\n",
                "p.yaml:2: cidr: allows every address on the internet: what leaves can go anywhere",
            ),
            (
                "allow:\n- cidr=127.0.0.1\n",
                "p.yaml:2: cidr: 127.0.0.1/32: never open, whatever rules say",
            ),
        ] {
            assert_eq!(told(content), [expected], "{content}");
        }
    }

    #[test]
    fn what_is_excepted_is_not_taken_for_denied() {
        let content = "allow:\n- domain=jira.corp\ndeny:\n- domain=*.corp except=jira.corp\n";
        assert_eq!(told(content), [""; 0]);
        let content = "deny:\n- domain=*.corp except=jira.corp\n- domain=jira.corp\n";
        assert_eq!(told(content), [""; 0]);
    }
}
