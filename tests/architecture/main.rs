//! ARCHITECTURE.md and the rules of the house that no compiler checks, held against the sources.
//!
//! It reads the syntax of `src` and of the fuzz targets, without what is for tests alone. Each
//! message says the reason. `cargo test --test architecture -- --ignored --nocapture` prints the
//! circles, figures about functions, and the names that several types share.

#![expect(
    clippy::panic,
    reason = "a test that can't read the sources says where"
)]

mod document;
mod graph;
mod metrics;
mod planted;
mod rules;
mod tokens;
mod tree;

use std::sync::LazyLock;

use graph::Graph;
use tree::Tree;

static SOURCES: LazyLock<Tree> = LazyLock::new(Tree::of_the_repository);

fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_part_names_only_the_parts_below_it() {
    none(rules::parts(&SOURCES));
}

#[test]
fn no_circle_between_parts() {
    none(Graph::of_parts(&SOURCES).circles());
}

#[test]
fn no_circle_between_files() {
    none(Graph::of_files(&SOURCES).circles());
}

#[test]
fn a_word_of_the_document_names_one_type() {
    none(rules::words(&SOURCES));
}

#[test]
fn decisions_and_edits_are_pure() {
    none(rules::purity(&SOURCES));
}

#[test]
fn tokio_stays_in_keeper_and_filter() {
    none(rules::tokio(&SOURCES));
}

#[test]
fn only_the_dialler_and_its_like_open_sockets_to_the_outside() {
    none(rules::outside(&SOURCES));
}

#[test]
fn only_one_module_starts_programs() {
    none(rules::programs(&SOURCES));
}

#[test]
fn unsafe_code_is_only_in_sys() {
    none(rules::unsafe_code(&SOURCES));
}

#[test]
fn every_file_says_what_it_owns_and_fits_a_reader() {
    none(rules::files(&SOURCES));
}

#[test]
fn every_field_of_a_record_gets_a_value_somewhere() {
    none(rules::record_fields(&SOURCES));
}

#[test]
#[ignore = "a report"]
fn report() {
    println!("{}", metrics::report(&SOURCES));
}
