//! The manifests are YAML that says what it should, with the parser that policies are read with.

use saphyr_parser::{Event, Parser, StrInput};
use serde_json::{Map, Value};

use super::*;

fn layout() -> NodeLayout {
    NodeLayout {
        config: "/var/lib/k3s/config.toml".parse().expect("a path"),
        unit: "k3s-agent".parse().expect("a name"),
        directory: "/opt/bin".parse().expect("a path"),
    }
}

fn text(name: &str) -> String {
    in_mode(name, Mode::Enforce)
}

fn in_mode(name: &str, mode: Mode) -> String {
    let image = "images.test:5000/boundary-shim:1"
        .parse()
        .expect("an image");
    manifests(
        &name.parse().expect("a name"),
        &"npm".parse().expect("a name"),
        mode,
        &image,
        &layout(),
    )
    .expect("made")
}

/// Every document, with all scalars as texts.
fn documents(text: &str) -> Vec<Value> {
    let mut events = Parser::new(StrInput::new(text)).map(|event| event.expect("YAML").0);
    let mut found = Vec::new();
    while let Some(event) = events.next() {
        if let Event::DocumentStart(_) = event {
            let first = events.next().expect("a node");
            found.push(node(first, &mut events));
        }
    }
    found
}

fn node<'a>(event: Event<'a>, events: &mut impl Iterator<Item = Event<'a>>) -> Value {
    match event {
        Event::Scalar(text, ..) => Value::String(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut list = Vec::new();
            loop {
                match events.next().expect("an end") {
                    Event::SequenceEnd => return Value::Array(list),
                    item => list.push(node(item, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            loop {
                match events.next().expect("an end") {
                    Event::MappingEnd => return Value::Object(map),
                    Event::Scalar(key, ..) => {
                        let first = events.next().expect("a value");
                        assert!(
                            map.insert(key.to_string(), node(first, events)).is_none(),
                            "{key} twice"
                        );
                    }
                    other => panic!("no key: {other:?}"),
                }
            }
        }
        other => panic!("unexpected: {other:?}"),
    }
}

fn at<'a>(document: &'a Value, path: &str) -> &'a str {
    document
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no {path} in {document}"))
}

#[test]
fn the_objects_are_of_stable_versions_and_belong_together() {
    let documents = documents(&text("boundary-2"));
    let kinds: Vec<_> = documents
        .iter()
        .map(|one| (at(one, "/apiVersion"), at(one, "/kind")))
        .collect();
    assert_eq!(
        kinds,
        [
            ("node.k8s.io/v1", "RuntimeClass"),
            ("apps/v1", "DaemonSet"),
            ("apps/v1", "DaemonSet"),
            (
                "admissionregistration.k8s.io/v1",
                "ValidatingAdmissionPolicy"
            ),
            (
                "admissionregistration.k8s.io/v1",
                "ValidatingAdmissionPolicyBinding"
            ),
            ("v1", "Pod")
        ]
    );
    let [class, set, uninstaller, admission, binding, pod] = &documents[..] else {
        panic!("six")
    };
    assert_eq!(
        at(binding, "/spec/policyName"),
        at(admission, "/metadata/name")
    );
    assert_eq!(at(class, "/handler"), "boundary-2");
    assert_eq!(
        at(pod, "/spec/runtimeClassName"),
        at(class, "/metadata/name")
    );
    assert_eq!(
        class.pointer("/scheduling/nodeSelector"),
        set.pointer("/spec/template/spec/nodeSelector")
    );
    assert_eq!(
        at(class, "/scheduling/nodeSelector/boundary-shim~1boundary-2"),
        "true"
    );
    for set in [set, uninstaller] {
        assert_eq!(
            set.pointer("/spec/selector/matchLabels"),
            set.pointer("/spec/template/metadata/labels")
        );
    }
    assert_ne!(
        set.pointer("/spec/selector"),
        uninstaller.pointer("/spec/selector"),
        "neither takes the other's pods for its own"
    );
    assert_eq!(
        at(
            uninstaller,
            "/spec/template/spec/nodeSelector/boundary-shim~1boundary-2"
        ),
        "uninstall"
    );
    assert_eq!(
        [set, uninstaller].map(|set| at(set, "/metadata/name")),
        [
            "boundary-shim-boundary-2",
            "boundary-shim-boundary-2-uninstall"
        ]
    );
    for set in [set, uninstaller] {
        // A pod of the new kind takes the place of one of the old: nothing may need both at once.
        assert_eq!(
            at(set, "/spec/updateStrategy/rollingUpdate/maxUnavailable"),
            "10%"
        );
    }
    assert_eq!(
        at(set, "/spec/template/spec/containers/0/image"),
        "images.test:5000/boundary-shim:1"
    );
    assert_eq!(
        at(set, "/spec/template/spec/automountServiceAccountToken"),
        "false"
    );
}

#[test]
fn a_pod_of_the_class_counts_for_what_its_gateway_takes() {
    let documents = documents(&text("boundary"));
    let fixed = documents[0]
        .pointer("/overhead/podFixed")
        .expect("an overhead");
    assert_eq!(fixed, &serde_json::json!({"memory": "8Mi", "cpu": "10m"}));
}

#[test]
fn the_nodes_scripts_are_in_it_whole() {
    let documents = documents(&text("boundary"));
    for (document, set) in documents[1..].iter().zip([INSTALLER, UNINSTALLER]) {
        let script = at(document, "/spec/template/spec/containers/0/command/2");
        assert_eq!(
            script,
            format!("{COMMON}{}", set.script)
                .replace("@NAME@", "boundary")
                .replace("@POLICY@", "npm")
                .replace("@MODE@", "enforce")
                .replace("@CONFIG@", "/var/lib/k3s/config.toml")
                .replace("@UNIT@", "k3s-agent")
                .replace("@DIRECTORY@", "/opt/bin")
        );
    }
}

/// Whoever may choose the class chooses its mode, so the namespace has to be one that may.
#[test]
fn a_class_that_observes_is_installed_so_and_needs_the_namespaces_label() {
    let documents = documents(&in_mode("watch", Mode::Observe));
    let script = at(&documents[1], "/spec/template/spec/containers/0/command/2");
    assert!(
        script.contains("--name watch --policy npm --mode observe)"),
        "{script}"
    );
    assert_eq!(
        documents.len(),
        5,
        "a sample would be refused where nobody gave its namespace a label"
    );
    let mode = documents[3]
        .pointer("/spec/variables/2")
        .expect("a variable");
    assert_eq!(
        (at(mode, "/name"), at(mode, "/expression")),
        (
            "mode",
            "\"boundary.mode\" in variables.asked ? variables.asked[\"boundary.mode\"] : \"observe\""
        )
    );
}

#[test]
fn kubernetes_leaves_the_commands_as_they_are() {
    // It takes `$$` for `$`, and `$(NAME)` for a variable of the container's, of which there is none.
    for set in [INSTALLER, UNINSTALLER] {
        assert!(!COMMON.contains("$$") && !set.script.contains("$$") && !set.ready.contains("$$"));
    }
}

#[test]
fn ready_is_who_is_done_and_the_installer_only_while_doctor_is_content() {
    let documents = documents(&text("boundary"));
    let probe = "/spec/template/spec/containers/0/readinessProbe/exec/command/2";
    let [installer, uninstaller] = [1, 2].map(|index| at(&documents[index], probe));
    assert!(COMMON.contains("done=/done ") && uninstaller == "test -e /done");
    assert_eq!(
        installer,
        "test -e /done && test ! -e /mistaken && exec flock -n /probe timeout -k 5 15 nsenter --target 1 --mount -- \
         /opt/bin/boundary-shim doctor containerd --config /var/lib/k3s/config.toml --name boundary"
    );
}

#[test]
fn what_takes_a_class_off_names_its_objects_and_its_label() {
    let commands = removal(&"npm-2".parse().expect("a name")).expect("made");
    assert!(!commands.contains('@'), "{commands}");
    let manifests = text("npm-2");
    for name in [
        "boundary-shim-npm-2",
        "boundary-shim-npm-2-uninstall",
        "boundary-shim/npm-2",
        "boundary-shim/node",
    ] {
        assert!(
            commands.contains(name) && manifests.contains(name),
            "{name}"
        );
    }
    removal(&"a_b".parse().expect("a runtime's name")).expect_err("no name of Kubernetes'");
}

#[test]
fn the_recipe_is_in_it_and_no_placeholder_is_left() {
    let text = text("boundary");
    assert!(text.contains("#      FROM debian"), "{text}");
    let left = text.match_indices('@').find(|(at, _)| {
        let word = text[at + 1..].split('@').next().unwrap_or_default();
        !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase())
    });
    assert_eq!(left, None, "{text}");
    assert!(
        !text.contains("/usr/local/bin") && !text.contains("systemctl restart containerd"),
        "the words are followed: {text}"
    );
    assert!(
        text.lines()
            .filter(|line| !line.contains("command: ["))
            .all(|line| line.trim_end() == line && line.len() <= 140),
        "{text}"
    );
}

#[test]
fn names_that_kubernetes_refuses_are_refused_here() {
    for name in ["Boundary", "a_b", "a.b", "a-", &"a".repeat(49)] {
        let error = handler(&name.parse().expect("a runtime's name"))
            .expect_err(name)
            .to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn an_images_name_can_hold_nothing_else() {
    for image in [
        "",
        "a b",
        "a\"",
        "a\nb",
        "-a",
        "$(x)",
        "a;b",
        &"a".repeat(256),
    ] {
        assert!(image.parse::<Image>().is_err(), "{image}");
    }
    assert!(
        "images.example.org/x/y:v1@sha256:00"
            .parse::<Image>()
            .is_ok()
    );
}
