//! The page that goes through coder/boundary's documentation: every row says what shows it, and that is there.

use std::path::{Path, PathBuf};

use test_support::programs::REPOSITORY;

use crate::page::Page;

const PAGE: &str = "docs/matrix.md";

#[test]
fn each_row_names_tests_that_exist() {
    let page = Page::read(PAGE);
    let rows: Vec<&str> = page
        .lines()
        .map(|(_, line)| line)
        .filter(|line| line.starts_with("| ") && !line.starts_with("| its page says"))
        .collect();
    assert!(rows.len() > 30, "the rows were not found");
    let wrong: Vec<String> = rows.iter().flat_map(|row| problems(row)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// `suite` `group::name`, `group::other`; `another suite` …; or nothing, of what was not tried.
fn problems(row: &str) -> Vec<String> {
    let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
    let [_, _, comes, shown] = cells[..] else {
        return vec![format!("not four cells: {row}")];
    };
    if shown == "–" {
        let admitted = comes.contains("*not tried*");
        return (!admitted)
            .then(|| format!("nothing shows: {row}"))
            .into_iter()
            .collect();
    }
    let suites = shown.split(';').flat_map(|suite| {
        let mut words = suite.split('`').skip(1).step_by(2);
        let suite = words.next().unwrap_or_default();
        words.map(move |test| (suite, test)).collect::<Vec<_>>()
    });
    let missing: Vec<_> = suites
        .clone()
        .filter(|(suite, test)| !exists(suite, test))
        .collect();
    assert!(suites.count() > 0, "no test: {row}");
    missing
        .iter()
        .map(|(suite, test)| format!("{suite} has no {test}, which is to show: {row}"))
        .collect()
}

/// A test is a function, or is named beside one, in a file of its suite: that of its group, where it has one.
fn exists(suite: &str, test: &str) -> bool {
    let root = Path::new(REPOSITORY);
    let folder = match suite {
        "lib" => root.join("src"),
        _ => root.join("tests").join(suite),
    };
    let mut words = test.rsplit("::");
    let name = words.next().unwrap();
    let ways = [
        format!("\"{name}\""),
        format!("fn {name}("),
        format!("    {name},"),
    ];
    let group = words.next();
    let main = std::fs::read_to_string(folder.join("main.rs")).unwrap_or_default();
    // Either the file is called so, or the suite takes it for one, or it has both names itself.
    let is_of = |group: &str, file: &Path, text: &str| {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        stem == group
            || main.contains(&format!("\"{group}\", {stem}::"))
            || text.contains(&format!("\"{group}\""))
    };
    sources(&folder).iter().any(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        ways.iter().any(|way| text.contains(way))
            && group.is_none_or(|group| is_of(group, file, &text))
    })
}

/// A test of that name in another group is another test.
#[test]
fn a_test_is_looked_for_in_its_group() {
    let name = "each_type_works_where_the_page_says";
    assert!(exists("docker", &format!("jail::{name}")));
    assert!(!exists("docker", &format!("nesting::{name}")));
    assert!(!exists("docker", &format!("no_such_group::{name}")));
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|kind| kind == "rs"))
        .collect()
}
