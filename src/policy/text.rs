//! Policy files: YAML lists of rules. All mistakes are reported at once, each with its line.
//!
//! Owns the file format; reads no file itself. Invariant: the text may be hostile (too big, too
//! deep, an alias bomb), so the parser goes event by event, keeps only rules and mistakes, and
//! follows no alias.

use std::sync::Arc;

use super::rule::Rule;

mod mistakes;
mod yaml;

use mistakes::Mistakes;
pub use mistakes::{Mistake, all_of};
pub use yaml::{MAX_FILE, RuleFile, parse_file};

/// Reads rules from an annotation or an option: one a line, or separated by `;`. Gives their texts.
///
/// # Errors
/// Every mistake in every rule (after many, a last one says that there are more); a text without a
/// rule is one.
pub fn parse_list(origin: &str, text: &str) -> Result<Vec<String>, Vec<Mistake>> {
    let mut mistakes = Mistakes::new(origin);
    let texts = text
        .split(['\n', ';'])
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let rules: Vec<String> = texts
        .map(str::to_owned)
        .inspect(|rule| mistakes.check(None, rule))
        .collect();
    if rules.is_empty() {
        mistakes.add(None, "", "contains no rule");
    }
    mistakes.or(rules)
}

/// Rules from their texts; the mistakes are added to `mistakes`.
pub(super) fn compile(
    origin: &str,
    texts: &[String],
    mistakes: &mut Vec<Mistake>,
) -> Vec<Arc<Rule>> {
    let mut rules = Vec::with_capacity(texts.len());
    for text in texts {
        match Rule::parse(text) {
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

#[cfg(test)]
mod tests;
