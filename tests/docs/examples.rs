//! The examples in packages: each can be read by what it is for, and every command in them is one of ours.

use std::path::Path;

use saphyr_parser::Parser;
use test_support::programs::REPOSITORY;

/// A file of `packaging/examples`.
fn read(file: &str) -> String {
    let path = Path::new(REPOSITORY).join("packaging/examples").join(file);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn policies_have_no_mistakes() {
    for policy in ["policies/agent.yaml", "policies/npm.yaml"] {
        let text = read(policy);
        let library = |name: &boundary_shim::policy::PolicyName| panic!("{policy} includes {name}");
        let rules = boundary_shim::policy::text::parse_whole(policy, &text, &library).unwrap();
        assert!(!rules.allow().is_empty(), "{policy}");
    }
}

#[test]
fn what_runs_containers_gives_them_the_runtime() {
    let compose = read("compose/compose.yaml");
    assert_is_yaml(&compose);
    assert!(compose.contains("\n    runtime: boundary\n"), "{compose}");
    let text = read("devcontainer/devcontainer.json");
    let lines = text.lines().filter(|line| !line.starts_with("//"));
    let json: String = lines.collect();
    let container: serde_json::Value = serde_json::from_str(&json).unwrap();
    let flags = serde_json::json!(["--runtime=boundary"]);
    assert_eq!(container["runArgs"], flags, "as install docker names it");
}

#[test]
fn runners_jail_by_words_that_we_understand() {
    for file in ["ci/github.yaml", "ci/gitlab.yaml"] {
        let text = read(file);
        assert_is_yaml(&text);
        let tarball = format!(
            "boundary-shim-{}-linux-x86_64.tar.gz",
            env!("CARGO_PKG_VERSION")
        );
        assert!(text.contains(&tarball), "{file} unpacks another release");
        let joined = text.replace("\\\n", " ").replace('"', "");
        let mut jails = joined
            .lines()
            .filter(|line| line.contains("boundary-shim jail "));
        let line = jails
            .next()
            .unwrap_or_else(|| panic!("{file} jails nothing"));
        let words = line
            .split_whitespace()
            .skip_while(|word| !word.ends_with("boundary-shim"));
        let words: Vec<&str> = words.collect();
        let understood = boundary_shim::cli::command().try_get_matches_from(&words);
        assert!(
            understood.is_ok(),
            "{file}: {words:?}: {}",
            understood.unwrap_err()
        );
    }
}

fn assert_is_yaml(text: &str) {
    let wrong = Parser::new_from_str(text).find_map(Result::err);
    assert!(wrong.is_none(), "{wrong:?}: {text}");
}
