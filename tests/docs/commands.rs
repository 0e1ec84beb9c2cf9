//! Whatever README and `docs/` show to be typed, written or seen is in the catalogue of `tests/commands`, and
//! whatever that leaves to others is there.

use std::path::Path;

use test_support::programs::REPOSITORY;

use crate::catalogue::{By, SHOWN};
use crate::page::Page;

#[test]
fn everything_that_is_shown_is_in_the_catalogue_and_nothing_else() {
    for page in Page::all() {
        if page.name != "README.md" && !page.name.starts_with("docs/") {
            continue;
        }
        let blocks = page.blocks();
        let shown: Vec<&str> = blocks.iter().flat_map(|block| block.items()).collect();
        let known = SHOWN.iter().filter(|known| known.page == page.name);
        let known: Vec<&str> = known.map(|known| known.what).collect();
        let unknown: Vec<_> = shown.iter().filter(|one| !known.contains(one)).collect();
        assert!(
            unknown.is_empty(),
            "{} shows what no test types: {unknown:#?}; tests/commands/catalogue.rs is where to say how it is tested",
            page.name
        );
        assert_eq!(
            shown, known,
            "{}: the order, or what is left over",
            page.name
        );
    }
}

#[test]
fn what_is_left_to_others_is_there() {
    let mut wrong = Vec::new();
    for shown in SHOWN {
        match shown.by {
            By::Elsewhere(file, words) => {
                let text =
                    std::fs::read_to_string(Path::new(REPOSITORY).join(file)).unwrap_or_default();
                let missing = words.iter().filter(|word| !text.contains(*word));
                wrong.extend(missing.map(|word| format!("{}: no {word} in {file}", shown.what)));
            }
            By::Nothing(why) => assert!(!why.is_empty()),
            By::Typed(_) => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
