//! The table of where a jail works, held against the rows that suites run
//! (`tests/support/src/jail_rows.rs`). With `DOCS_WRITE` set it is written.

#![expect(
    clippy::disallowed_methods,
    reason = "the page is written by nobody else meanwhile"
)]

use std::path::Path;

use test_support::jail_rows;
use test_support::programs::REPOSITORY;

const BEGIN: &str = "<!-- written by DOCS_WRITE=1 cargo test --test docs -->\n";
const END: &str = "<!-- end of what is written -->\n";

#[test]
fn the_page_shows_exactly_the_rows_of_jails() {
    let file = Path::new(REPOSITORY).join("docs/jail.md");
    let there = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = there.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = [before, BEGIN, &jail_rows::table(), END, after].concat();
    if std::env::var_os("DOCS_WRITE").is_some() {
        std::fs::write(&file, &wanted).unwrap();
    }
    let there = std::fs::read_to_string(file).unwrap();
    assert!(
        there == wanted,
        "the table in docs/jail.md is not what the rows say: write it with DOCS_WRITE=1 cargo test --test docs"
    );
}
