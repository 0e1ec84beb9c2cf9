//! What ARCHITECTURE.md says: which parts there are, what each may know, and the words.

use std::collections::BTreeSet;

/// One row of «Where things are».
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) parts: Vec<String>,
    pub(crate) may_know: BTreeSet<String>,
}

/// The rows of the table of parts.
pub(crate) fn parts(document: &str) -> Vec<Row> {
    let row = |cells: Vec<&str>| match cells.as_slice() {
        [parts, _, may_know] => Some(Row {
            parts: in_backticks(parts),
            may_know: listed(may_know),
        }),
        _ => None,
    };
    table(document, "## Where things are")
        .filter_map(row)
        .collect()
}

/// The types that the document calls by their name alone.
pub(crate) fn words(document: &str) -> Vec<String> {
    table(document, "## Words")
        .filter_map(|cells| in_backticks(cells.first()?).pop())
        .collect()
}

/// The cells of each row of the table below a heading.
fn table<'a>(document: &'a str, heading: &str) -> impl Iterator<Item = Vec<&'a str>> {
    let mut lines = document.lines();
    let _ = lines.find(|line| *line == heading);
    let section = lines.take_while(|line| !line.starts_with("## "));
    let rows = section.filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    rows.skip(2)
        .map(|row| row.split('|').map(str::trim).collect())
}

/// Names with commas between them, or nothing.
fn listed(cell: &str) -> BTreeSet<String> {
    let names = cell.split(',').map(str::trim);
    names
        .filter(|name| !["", "nothing"].contains(name))
        .map(str::to_owned)
        .collect()
}

/// `policy/` and `plan.rs` are the parts `policy` and `plan`.
fn in_backticks(cell: &str) -> Vec<String> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let name = |word: &str| {
        let word = word.strip_suffix('/').unwrap_or(word);
        word.strip_suffix(".rs").unwrap_or(word).to_owned()
    };
    quoted.map(name).collect()
}
