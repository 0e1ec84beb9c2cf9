//! Policy files: YAML lists of rules. All mistakes are reported at once, each with its line.
//!
//! Owns the file format; reads no file itself. Invariant: the text may be hostile (too big, too
//! deep, an alias bomb), so the parser goes event by event, keeps only rules and mistakes, and
//! follows no alias.

use std::sync::Arc;

use super::rule::Rule;
use super::source::Intercept;

mod include;
mod mistakes;
mod yaml;

pub use include::{Found, Library, parse_file, parse_whole};
pub use mistakes::{List, Mistake, all_of};
use mistakes::{Mistakes, NEEDS_INTERCEPTION};
pub use yaml::{MAX_FILE, RuleFile, WrittenRule};

/// Reads rules from an annotation or an option: one a line, or separated by `;`. Gives their texts.
/// `intercept`: when the policy that they are added to has TLS intercepted.
///
/// # Errors
/// Every mistake in every rule (after many, a last one says that there are more); a text without a
/// rule is one, and so is a rule that needs TLS to be intercepted where it never is.
pub fn parse_list(
    origin: &str,
    text: &str,
    intercept: Intercept,
) -> Result<Vec<String>, Vec<Mistake>> {
    let mut mistakes = Mistakes::new(origin);
    let texts = text
        .split(['\n', ';'])
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let rules: Vec<String> = texts
        .map(str::to_owned)
        .inspect(|text| {
            let rule = mistakes.check(None, text, List::Allow);
            if intercept == Intercept::Never && rule.is_some_and(|rule| rule.reads_tls()) {
                mistakes.add(None, "tls", NEEDS_INTERCEPTION);
            }
        })
        .collect();
    if rules.is_empty() {
        mistakes.add(None, "", "contains no rule");
    }
    mistakes.or(rules)
}

/// Rules of a list from their texts; the mistakes are added to `mistakes`.
pub(super) fn compile(
    origin: &str,
    list: List,
    texts: &[String],
    mistakes: &mut Vec<Mistake>,
) -> Vec<Arc<Rule>> {
    let mut rules = Vec::with_capacity(texts.len());
    for text in texts {
        match list.read(text) {
            Ok(rule) => rules.push(Arc::new(rule)),
            Err(found) => mistakes.extend(found.into_iter().map(|mistake| Mistake {
                origin: origin.to_owned(),
                line: None,
                key: mistake.key,
                message: mistake.message,
            })),
        }
    }
    rules
}

/// A text as it stands in a policy file: as it is, or in quotes where YAML would take it for more than one
/// text.
#[must_use]
pub fn as_yaml(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" =.,/_-*%+~".contains(&byte);
    if text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests;
