//! README's table of where a jail works, held against the rows that suites run
//! (`tests/support/src/jail_rows.rs`). With `README_WRITE` set it is written.

#![expect(
    clippy::disallowed_methods,
    reason = "README is written by nobody else meanwhile"
)]

use std::path::Path;

use test_support::jail_rows;
use test_support::programs::REPOSITORY;

const BEGIN: &str = "<!-- written by README_WRITE=1 cargo test --test readme -->\n";
const END: &str = "<!-- end of what is written -->\n";

#[test]
fn readme_shows_exactly_the_rows_of_jails() {
    let file = Path::new(REPOSITORY).join("README.md");
    let there = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = there.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = [before, BEGIN, &jail_rows::table(), END, after].concat();
    if std::env::var_os("README_WRITE").is_some() {
        std::fs::write(&file, &wanted).unwrap();
    }
    let there = std::fs::read_to_string(file).unwrap();
    assert!(
        there == wanted,
        "README's table of jails is not what the rows say: write it with README_WRITE=1 cargo test --test readme"
    );
}
