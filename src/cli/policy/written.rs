//! A policy file's text with one rule more, all else as its author wrote it.
//!
//! Pure. Invariant: what is given reads as the file before with that rule at the end of `allow`, and as
//! nothing else; where no text is found that does, there is none.

use anyhow::Context;

use crate::policy::text::{List, RuleFile, all_of, as_yaml, parse_file};

/// The text. `origin` names the file.
///
/// # Errors
/// It has mistakes; or it is written in a way in which a rule can't be added.
pub(super) fn with_rule(origin: &str, text: &str, rule: &str) -> anyhow::Result<String> {
    let before = parse_file(origin, text).map_err(|mistakes| all_of(&mistakes))?;
    let candidates = [behind_the_last(text, &before, rule), in_no_list(text, rule)];
    let is_it = |text: &String| {
        parse_file(origin, text).is_ok_and(|after| {
            let allow = [before.allow(), vec![rule.to_owned()]].concat();
            after.allow() == allow && after.deny() == before.deny() && after.tls == before.tls
        })
    };
    let found = candidates.into_iter().flatten().find(is_it);
    found.context("its list of rules isn't one rule a line")
}

/// In a line of its own, behind that of the last rule that allows.
fn behind_the_last(text: &str, file: &RuleFile, rule: &str) -> Option<String> {
    let allow = file.rules.iter().filter(|one| one.list == List::Allow);
    let last = allow.map(|one| one.line).max()?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let written = lines.get(last.checked_sub(1)?)?;
    let indent = written.split_once('-')?.0;
    let line = format!("{indent}- {}", as_yaml(rule));
    lines.insert(last, line);
    Some(joined(&lines))
}

/// In a list of its own, where there is none, or an empty one.
fn in_no_list(text: &str, rule: &str) -> Option<String> {
    let is_empty_list =
        |line: &String| line.trim_end() == "allow: []" || line.trim_end() == "allow:";
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let list = format!("allow:\n  - {}", as_yaml(rule));
    match lines.iter_mut().find(|line| is_empty_list(line)) {
        Some(line) => *line = list,
        None => lines.push(list),
    }
    Some(joined(&lines))
}

fn joined(lines: &[String]) -> String {
    format!("{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "proto=https domain=new.test port=443 path=/it's";

    #[test]
    fn the_rule_is_added_and_all_else_stays_as_it_is_written() {
        let line = "- 'proto=https domain=new.test port=443 path=/it''s'\n";
        for (before, after) in [
            (
                "# mine\nallow:\n  - domain=a.test # the first\n\n  - domain=b.test\ndeny:\n  - domain=c.test\n",
                format!(
                    "# mine\nallow:\n  - domain=a.test # the first\n\n  - domain=b.test\n  {line}deny:\n  - domain=c.test\n"
                ),
            ),
            (
                "allow:\n- domain=a.test",
                format!("allow:\n- domain=a.test\n{line}"),
            ),
            (
                "deny:\n- domain=c.test\nallow: []\n",
                format!("deny:\n- domain=c.test\nallow:\n  {line}"),
            ),
            (
                "deny:\n- domain=c.test\n",
                format!("deny:\n- domain=c.test\nallow:\n  {line}"),
            ),
            ("", format!("allow:\n  {line}")),
            (
                "allowlist:\n  - domain=a-b.test\n",
                format!("allowlist:\n  - domain=a-b.test\n  {line}"),
            ),
        ] {
            assert_eq!(with_rule("p.yaml", before, RULE).unwrap(), after);
        }
    }

    #[test]
    fn what_cant_be_added_to_line_by_line_stays() {
        for text in [
            "allow: [domain=a.test]\n",
            "allow:\n  - >\n    domain=a.test\n    port=22\n",
            "allow: &x\n  - domain=a.test\n---\n",
            "allow:\n  - domian=a.test\n",
        ] {
            assert!(with_rule("p.yaml", text, RULE).is_err(), "{text}");
        }
    }
}
