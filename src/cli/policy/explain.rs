//! `policy explain`: what becomes of one attempt.

use std::io::{self, Write};
use std::net::IpAddr;
use std::process::ExitCode;

use super::named::{self, Named};
use super::question::{self, Host, Question};
use crate::policy::text::{List, all_of};
use crate::policy::{Denial, Places, Policy, PolicySource, Verdict, own_denial};

/// `policy explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The code that enforces the policy answers. Where a name leads isn't looked up: an address that it leads to has to be allowed, too
(never the host's own, and private ones only where a rule names them).

Exit status: 0 where it is allowed, 1 where it is denied; of a place without a scheme, 0 where one way is.

Examples:
  boundary-shim policy explain default GET https://example.org/path
  boundary-shim policy explain ./policy.yaml example.org:22
  boundary-shim policy explain web ntp.example.org:123/udp")]
pub(super) struct ExplainArguments {
    /// A policy's file or name, or a running container (its name or ID)
    policy: String,
    /// What is attempted: a method and a URL, or HOST:PORT, HOST:PORT/udp
    #[arg(required = true, num_args = 1..=2, value_names = ["METHOD", "URL"])]
    attempt: Vec<String>,
}

/// Explains.
///
/// # Errors
/// There is no such policy, or what is asked can't be understood.
pub(super) fn run(arguments: &ExplainArguments) -> anyhow::Result<ExitCode> {
    let questions = question::read(&arguments.attempt).map_err(anyhow::Error::msg)?;
    let Named {
        origin,
        source,
        own,
    } = named::find(&arguments.policy)?;
    let policy = Policy::compile(&source).map_err(|mistakes| all_of(&mistakes))?;
    let out = &mut io::stdout().lock();
    writeln!(out, "{origin}, policy {} ({}):", policy.name(), source.mode)?;
    let mut allowed = false;
    for question in &questions {
        let answer = answer(&policy, &source, &own, question);
        allowed |= answer.is_ok();
        let (verdict, why) = match &answer {
            Ok(why) => ("allowed", why),
            Err(why) => ("denied", why),
        };
        writeln!(out, "{verdict}: {}: {why}", question.words())?;
    }
    Ok(if allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Why it is allowed or, as an error, denied.
fn answer(
    policy: &Policy,
    source: &PolicySource,
    own: &[IpAddr],
    question: &Question,
) -> Result<String, String> {
    if let Host::Address(address) = &question.host
        && let Some(denial) = own_denial(*address, own)
    {
        return Err(reason(source, &denial));
    }
    let permit = match policy.decide(&question.attempt(policy)) {
        Verdict::Allow(permit) => permit,
        Verdict::Deny(denial) => return Err(reason(source, &denial)),
    };
    let grounds = match &question.host {
        Host::Name(_) => permit.grounds().clone(),
        Host::Address(address) => {
            let reached = permit.upstream(*address, &[]);
            permit.grounds_at(reached.map_err(|denial| reason(source, &denial))?)
        }
    };
    Ok(match layer(source, &grounds.rule) {
        Some(layer) => format!("by rule \"{}\" of {layer}{}", grounds.rule, within(source)),
        // In observe mode it is a sentence.
        None => grounds.rule.to_string(),
    })
}

/// Where the rule that allows stands.
fn layer(source: &PolicySource, rule: &str) -> Option<String> {
    if let Some(number) = number(&source.allow, rule) {
        let place = source.places.of(List::Allow, number);
        return Some(place.unwrap_or_else(|| "the policy".to_owned()));
    }
    let annotated = number(&source.annotated, rule);
    annotated.map(|_| "boundary.allow, within the host's ceiling".to_owned())
}

/// The host's layers, which allow it, too.
fn within(source: &PolicySource) -> String {
    let layers: Vec<_> = source.layers.iter().map(|layer| &*layer.name).collect();
    match layers.as_slice() {
        [] => String::new(),
        layers => format!(", within the host's {}", layers.join(", ")),
    }
}

/// Where the rule that denies stands.
fn denied_in(source: &PolicySource, rule: &str) -> Option<String> {
    let place = |deny: &[String], places: &Places| {
        number(deny, rule).and_then(|number| places.of(List::Deny, number))
    };
    let own = place(&source.deny, &source.places);
    let mut layers = source.layers.iter();
    own.or_else(|| layers.find_map(|layer| place(&layer.deny, &layer.places)))
}

/// The place of a rule in a list.
fn number(rules: &[String], rule: &str) -> Option<usize> {
    let words = |text: &str| -> Vec<String> {
        let words = text.split_ascii_whitespace();
        words.map(str::to_owned).collect()
    };
    let rule = words(rule);
    rules.iter().position(|text| words(text) == rule)
}

fn reason(source: &PolicySource, denial: &Denial) -> String {
    let rule = denial.rule.as_deref();
    let place = rule.and_then(|rule| denied_in(source, rule));
    let place = place.map_or_else(String::new, |place| format!("; it stands in {place}"));
    let reason = &denial.reason;
    match &denial.suggestion {
        Some(rule) => format!("{reason}{place}; this rule would allow it: {rule}"),
        None => format!("{reason}{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{LayerSource, PolicyFile};

    fn asked(words: &[&str]) -> Vec<Result<String, String>> {
        let rules = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let source = PolicySource {
            allow: rules(&[
                "domain=a.test",
                "method=GET domain=b.test path=/x/*",
                "cidr=10.0.0.0/8 port=22",
            ]),
            deny: rules(&["domain=*.corp except=jira.corp"]),
            annotated: rules(&["domain=c.test"]),
            ceiling: rules(&["domain=*.test"]),
            layers: vec![LayerSource {
                name: "ceiling.d/corp.yaml".to_owned(),
                deny: rules(&["domain=no.a.test", "proto=udp port=9"]),
                places: Places {
                    files: vec![PolicyFile {
                        name: "corp.yaml".to_owned(),
                        included_by: None,
                    }],
                    deny: vec![(0, 7), (0, 8)],
                    ..Places::default()
                },
                ..LayerSource::default()
            }],
            ..PolicySource::default()
        };
        let policy = Policy::compile(&source).unwrap();
        let own = ["10.1.2.9".parse().unwrap()];
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let questions = question::read(&words).unwrap();
        questions
            .iter()
            .map(|one| answer(&policy, &source, &own, one))
            .collect()
    }

    #[test]
    fn the_verdict_comes_with_the_rule_and_its_layer() {
        for (words, expected) in [
            (
                &["GET", "https://a.test/"][..],
                Ok("\"domain=a.test\" of the policy, within the host's ceiling.d/corp.yaml"),
            ),
            (&["GET", "https://c.test/"], Ok("boundary.allow")),
            (
                &["GET", "https://b.test/x/y"],
                Ok("method=GET domain=b.test"),
            ),
            (
                &["PUT", "https://b.test/x/y"],
                Err("method=PUT domain=b.test path=/x/y"),
            ),
            (
                &["GET", "https://x.corp/"],
                Err("rule \"deny domain=*.corp except=jira.corp\" forbids it"),
            ),
            (&["GET", "https://jira.corp/"], Err("no rule allows it")),
            (
                &["GET", "https://no.a.test/"],
                Err("forbids it, in the host's ceiling.d/corp.yaml; it stands in corp.yaml:7"),
            ),
            (&["GET", "http://169.254.169.254/"], Err("link-local")),
            (&["10.1.2.3:22/tcp"], Ok("cidr=10.0.0.0/8")),
            (&["10.1.2.9:22/tcp"], Err("its host's own")),
            (&["[::ffff:10.1.2.9]:22/udp"], Err("its host's own")),
            (
                &["10.1.2.3:22/udp"],
                Err("proto=udp cidr=10.1.2.3/32 port=22"),
            ),
        ] {
            let told = asked(words).remove(0);
            match (&told, expected) {
                (Ok(told), Ok(part)) | (Err(told), Err(part)) => {
                    assert!(told.contains(part), "{words:?}: {told}");
                }
                _ => panic!("{words:?}: {told:?}"),
            }
        }
    }
}
