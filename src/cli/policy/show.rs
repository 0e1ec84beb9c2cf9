//! `policy show`: the rules in force for one container.

use std::io::{self, Write};

use anyhow::bail;

use super::change::{Wanted, who};
use super::choice::choose;
use super::pending::time;
use super::reload::own;
use crate::audit::record::MAX_TEXT;
use crate::container::state::{ApprovedRule, SavedState};
use crate::escape::clean;
use crate::policy::text::as_yaml;

/// `policy show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo boundary-shim policy show web")]
pub(super) struct ShowArguments {
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// Does it.
///
/// # Errors
/// There is no such container. Where the reader of standard output is gone, that very error, bare.
pub(super) fn run(arguments: &ShowArguments) -> anyhow::Result<()> {
    let records = choose(std::slice::from_ref(&arguments.container))?;
    let [record] = records.as_slice() else {
        bail!("it has {} gateways", records.len());
    };
    Ok(show(&mut io::stdout().lock(), record, &file(record))?)
}

/// What its file is, beside what is in force.
fn file(record: &SavedState) -> String {
    let own = match own(record) {
        Wanted::AsItIs(_) => "the same",
        Wanted::Policy(..) => "differs: see policy reload",
        Wanted::Mistaken(_) => "has errors: see policy reload",
    };
    let applied = record
        .changed
        .as_ref()
        .and_then(|changed| changed.file.as_ref());
    match applied {
        Some(file) => format!(
            "{own}; in force is {}",
            clean(&file.display().to_string(), MAX_TEXT)
        ),
        None => own.to_owned(),
    }
}

/// A policy file's own form, under comments that say what it is.
fn show(out: &mut impl Write, record: &SavedState, file: &str) -> io::Result<()> {
    let policy = record.policy();
    writeln!(out, "# container: {}", who(record))?;
    writeln!(out, "# policy: {}", clean(&policy.name, MAX_TEXT))?;
    writeln!(out, "# mode: {}", policy.mode)?;
    writeln!(out, "# hash: {}", policy.hash())?;
    writeln!(out, "# generation: {}", record.generation())?;
    if let Some(changed) = &record.changed {
        writeln!(out, "# changed by: user {}", changed.by)?;
    }
    writeln!(out, "# its file: {file}")?;
    let files = policy.places.files.iter().skip(1);
    let included: Vec<_> = files.map(|file| clean(&file.name, MAX_TEXT)).collect();
    if !included.is_empty() {
        writeln!(out, "# with what it includes: {}", included.join(", "))?;
    }
    for ApprovedRule { rule, by, until } in &record.approvals.in_force {
        let until = until.map_or_else(|| "the container's end".to_owned(), time);
        let rule = clean(rule, MAX_TEXT);
        writeln!(out, "# approved by user {by} until {until}: {rule}")?;
    }
    list(out, "allow", &policy.allow)?;
    list(out, "deny", &policy.deny)?;
    let tls = &policy.tls;
    if *tls != Default::default() {
        writeln!(out, "tls:\n  intercept: {}", tls.intercept.name())?;
        if !tls.passthrough.is_empty() {
            writeln!(out, "  passthrough:")?;
            for name in &tls.passthrough {
                writeln!(out, "    - {}", as_yaml(&clean(name, MAX_TEXT)))?;
            }
        }
    }
    for (what, rules) in [
        ("annotation boundary.allow", &policy.annotated),
        ("the ceiling over it", &policy.ceiling),
    ] {
        if !policy.annotated.is_empty() {
            commented(out, what, rules)?;
        }
    }
    for layer in &policy.layers {
        let name = clean(&layer.name, MAX_TEXT);
        if let Some(rules) = &layer.allow {
            commented(out, &format!("nothing beyond the host's {name}"), rules)?;
        }
        if !layer.deny.is_empty() {
            commented(out, &format!("denied by the host's {name}"), &layer.deny)?;
        }
    }
    Ok(())
}

fn commented(out: &mut impl Write, what: &str, rules: &[String]) -> io::Result<()> {
    writeln!(out, "# {what}:")?;
    rules
        .iter()
        .try_for_each(|rule| writeln!(out, "#   - {}", clean(rule, MAX_TEXT)))
}

fn list(out: &mut impl Write, key: &str, rules: &[String]) -> io::Result<()> {
    if rules.is_empty() {
        return writeln!(out, "{key}: []");
    }
    writeln!(out, "{key}:")?;
    rules
        .iter()
        .try_for_each(|rule| writeln!(out, "  - {}", as_yaml(&clean(rule, MAX_TEXT))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::policy::change::tests::record;
    use crate::container::state::ChangedPolicy;
    use crate::policy::PolicySource;
    use crate::policy::text::parse_file;

    #[test]
    fn what_is_shown_is_what_is_in_force_and_reads_as_a_policy_file() {
        let mut record = record("abc");
        let policy = PolicySource {
            name: "npm".to_owned(),
            allow: vec!["domain=a.test path=/it's/*".to_owned()],
            deny: vec!["domain=b.test".to_owned()],
            ..PolicySource::default()
        };
        record.changed = Some(ChangedPolicy {
            policy: policy.clone(),
            generation: 4,
            by: 0,
            file: None,
        });
        let mut out = Vec::new();
        show(&mut out, &record, "the same").unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("# policy: npm\n# mode: enforce\n"), "{text}");
        assert!(text.contains(&format!("# hash: {}\n", policy.hash())));
        assert!(text.contains("# generation: 4\n# changed by: user 0\n"));
        let read = parse_file("shown", &text).unwrap();
        assert_eq!((read.allow(), read.deny()), (policy.allow, policy.deny));
    }
}
