//! Edits of `daemon.json`: what they add, and that every other byte stays.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn parsed(text: &str) -> DaemonJson {
    DaemonJson::parse(text).expect("well-formed")
}

fn with_runtime(text: &str) -> String {
    let mut config = parsed(text);
    config.set_runtime("boundary", "/usr/local/bin/boundary-shim");
    config.text()
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_missing_or_empty_file_becomes_a_pretty_one() {
    let expected = "{\n  \"runtimes\": {\n    \"boundary\": {\n      \"path\": \"/usr/local/bin/boundary-shim\"\n    }\n  }\n}\n";
    for text in ["", " \n", "{}", "{ \n }"] {
        assert_eq!(with_runtime(text), expected, "{text:?}");
    }
}

#[test]
fn everything_else_keeps_its_place_and_its_text() {
    let text = r#"{
	"log-opts": {"max-size": "10m",   "x": [1,
	2]},
	"runtimes": {
		"nvidia": {"path": "nvidia-container-runtime", "runtimeArgs": []}
	},
	"shutdown-timeout": 1e2,
	"a\u00e9\"b": 12345678901234567890123
}
"#;
    let expected = r#"{
	"log-opts": {"max-size": "10m",   "x": [1,
	2]},
	"runtimes": {
		"nvidia": {"path": "nvidia-container-runtime", "runtimeArgs": []},
		"boundary": {
			"path": "/usr/local/bin/boundary-shim"
		}
	},
	"shutdown-timeout": 1e2,
	"aé\"b": 12345678901234567890123
}
"#;
    assert_eq!(with_runtime(text), expected);
}

#[test]
fn a_changed_path_leaves_the_runtimes_other_members() {
    let text = r#"{"runtimes": {"boundary": {"runtimeArgs": ["--boundary-policy=x"], "path": "/old/boundary-shim"}}}"#;
    let expected =
        json!({"runtimeArgs": ["--boundary-policy=x"], "path": "/usr/local/bin/boundary-shim"});
    assert_eq!(value(&with_runtime(text))["runtimes"]["boundary"], expected);
}

#[test]
fn a_removed_runtime_leaves_the_key_so_that_a_reload_removes_it() {
    let mut config = parsed(r#"{"runtimes": {"boundary": {"path": "/x"}}}"#);
    config.remove_runtime("boundary");
    assert_eq!(value(&config.text()), json!({"runtimes": {}}));
    assert!(!config.mentions("/x"));
}

#[test]
fn names_are_told_apart_by_case_as_dockerd_does() {
    let config = parsed(
        r#"{"runtimes": {"Boundary": {"path": "/a"}, "boundary": {"path": "/b"}, "v2": {"runtimeType": "x"}}}"#,
    );
    assert_eq!(config.runtime("boundary").as_deref(), Some("/b"));
    assert_eq!(config.runtime("v2").as_deref(), Some(""));
    assert_eq!(config.runtime("BOUNDARY"), None);
    assert!(config.mentions("/a") && !config.mentions("/c"));
}

#[test]
fn an_empty_list_of_servers_is_none() {
    let mut config = parsed(r#"{"dns": []}"#);
    assert!(config.dns().is_empty());
    config.set_dns(&[
        "192.0.2.1".parse().expect("v4"),
        "2001:db8::1".parse().expect("v6"),
    ]);
    assert_eq!(config.dns(), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(
        value(&config.text()),
        json!({"dns": ["192.0.2.1", "2001:db8::1"]})
    );
}

#[test]
fn what_dockerd_would_refuse_is_refused_with_the_reason() {
    for (text, reason) in [
        ("{", "not a valid JSON object"),
        ("[]", "not a valid JSON object"),
        ("null", "not a valid JSON object"),
        ("{} x", "not a valid JSON object"),
        ("{\"a\": 1,}", "not a valid JSON object"),
        ("// no\n{}", "not a valid JSON object"),
        (r#"{"runtimes": []}"#, "runtimes is not an object"),
        (r#"{"runtimes": null}"#, "runtimes is not an object"),
        (
            r#"{"runtimes": {"x": "/bin/x"}}"#,
            "runtimes.x is not an object",
        ),
        (r#"{"dns": "1.1.1.1"}"#, "dns is not a list of strings"),
        (
            r#"{"default-runtime": 1}"#,
            "default-runtime is not a string",
        ),
        (
            r#"{"Runtimes": {}}"#,
            "unknown key Runtimes: dockerd knows it only as runtimes",
        ),
        (
            r#"{"runtimes": {}, "RUNTIMES": {}}"#,
            "unknown key RUNTIMES: dockerd knows it only as runtimes",
        ),
        (
            "{\"dn\u{17f}\": []}",
            "unknown key dn\u{17f}: dockerd knows it only as dns",
        ),
        (
            r#"{"DNS": []}"#,
            "unknown key DNS: dockerd knows it only as dns",
        ),
        (r#"{"a": 1, "a": 2}"#, "duplicate key a"),
        (r#"{"runtimes": {"x": {}, "x": {}}}"#, "duplicate key x"),
        (
            r#"{"runtimes": {"x": {"path": "/a", "path": "/b"}}}"#,
            "duplicate key path",
        ),
        (r#"{"a": 1, "\u0061": 2}"#, "duplicate key a"),
    ] {
        assert_eq!(
            DaemonJson::parse(text).expect_err(text).to_string(),
            reason,
            "{text}"
        );
    }
}

#[test]
fn deep_nesting_elsewhere_is_kept_without_filling_the_stack() {
    let text = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(with_runtime(&text).starts_with(&text.replace("{\"a\"", "{\n  \"a\"")[..100_000]));
}

/// Any JSON value, small.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..4)
                .prop_map(|members| Map::from_iter(members).into()),
        ]
    })
}

/// Any configuration that dockerd could read in the parts that we read.
fn any_config() -> impl Strategy<Value = Value> {
    let runtime = prop::collection::vec(("[a-z]{1,4}", any_value()), 0..3);
    let runtimes = prop::collection::vec(
        (
            "[a-z]{1,3}",
            runtime.prop_map(|all| Value::from(Map::from_iter(all))),
        ),
        0..3,
    );
    let others = prop::collection::vec(("[a-z-]{4}|.{0,2}", any_value()), 0..5);
    (
        others,
        prop::option::of(runtimes),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(others, runtimes, place)| {
            let mut members: Vec<_> = others;
            if let Some(runtimes) = runtimes {
                let place = place.index(members.len() + 1);
                members.insert(
                    place,
                    ("runtimes".to_owned(), Map::from_iter(runtimes).into()),
                );
            }
            Map::from_iter(members).into()
        })
}

proptest! {
    #[test]
    fn uninstall_after_install_gives_everything_back_but_an_empty_runtimes(config in any_config(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&config) } else { serde_json::to_string(&config) };
        let installed = with_runtime(&text.expect("JSON"));
        let mut uninstalled = parsed(&installed);
        let path = uninstalled.runtime("boundary");
        prop_assert_eq!(path.as_deref(), Some("/usr/local/bin/boundary-shim"));
        uninstalled.remove_runtime("boundary");
        let mut expected = config;
        expected.as_object_mut().expect("an object").entry("runtimes").or_insert_with(|| json!({}));
        // As text too, so that the order counts.
        prop_assert_eq!(value(&uninstalled.text()).to_string(), expected.to_string());
    }

    #[test]
    fn installing_twice_is_installing_once(config in any_config()) {
        let once = with_runtime(&config.to_string());
        prop_assert_eq!(with_runtime(&once), once);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,64}|[\\[\\]{}:,\" \\\\a1]{0,64}") {
        if let Ok(mut config) = DaemonJson::parse(&text) {
            config.set_runtime("a", "b");
            config.remove_runtime("a");
            prop_assert!(DaemonJson::parse(&config.text()).is_ok());
        }
    }
}
