//! `policy explain`: what becomes of one attempt.

use std::io::{self, Write};
use std::process::ExitCode;

use super::named::{self, Named};
use super::question::{self, Host, Question};
use crate::policy::text::all_of;
use crate::policy::{Denial, Policy, PolicySource, Verdict};

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
    let Named { origin, source } = named::find(&arguments.policy)?;
    let policy = Policy::compile(&source).map_err(|mistakes| all_of(&mistakes))?;
    let out = &mut io::stdout().lock();
    writeln!(out, "{origin}, policy {} ({}):", policy.name(), source.mode)?;
    let mut allowed = false;
    for question in &questions {
        let answer = answer(&policy, &source, question);
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
fn answer(policy: &Policy, source: &PolicySource, question: &Question) -> Result<String, String> {
    let permit = match policy.decide(&question.attempt(policy)) {
        Verdict::Allow(permit) => permit,
        Verdict::Deny(denial) => return Err(reason(&denial)),
    };
    let grounds = match &question.host {
        Host::Name(_) => permit.grounds().clone(),
        Host::Address(address) => {
            let reached = permit.upstream(*address, &[]);
            permit.grounds_at(reached.map_err(|denial| reason(&denial))?)
        }
    };
    Ok(match layer(source, &grounds.rule) {
        Some(layer) => format!("by rule \"{}\" of {layer}", grounds.rule),
        // In observe mode it is a sentence.
        None => grounds.rule.to_string(),
    })
}

/// Where the rule that allows stands.
fn layer(source: &PolicySource, rule: &str) -> Option<&'static str> {
    let has = |rules: &[String]| {
        let texts = rules.iter().map(|text| text.split_ascii_whitespace());
        let rule: Vec<_> = rule.split_ascii_whitespace().collect();
        texts.into_iter().any(|text| text.eq(rule.iter().copied()))
    };
    if has(&source.allow) {
        Some("the policy")
    } else {
        has(&source.annotated).then_some("boundary.allow, within the host's ceiling")
    }
}

fn reason(denial: &Denial) -> String {
    match &denial.suggestion {
        Some(rule) => format!("{}; this rule would allow it: {rule}", denial.reason),
        None => denial.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ..PolicySource::default()
        };
        let policy = Policy::compile(&source).unwrap();
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let questions = question::read(&words).unwrap();
        questions
            .iter()
            .map(|one| answer(&policy, &source, one))
            .collect()
    }

    #[test]
    fn the_verdict_comes_with_the_rule_and_its_layer() {
        for (words, expected) in [
            (
                &["GET", "https://a.test/"][..],
                Ok("\"domain=a.test\" of the policy"),
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
            (&["GET", "http://169.254.169.254/"], Err("link-local")),
            (&["10.1.2.3:22/tcp"], Ok("cidr=10.0.0.0/8")),
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
