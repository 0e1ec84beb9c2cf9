//! Policies' files that are changed while containers run (`reload = "auto"`), and the host's layers over them.

use test_support::bed::{Bed, lines};
use test_support::command::{Answer, wait_for};
use test_support::docker::Container;
use test_support::harness::Test;

use crate::status;

pub(crate) const TESTS: &[Test] = &[
    (
        "a_changed_file_is_put_into_force_by_itself_however_it_was_changed",
        by_itself,
    ),
    (
        "what_is_half_written_empty_broken_or_not_roots_is_not_put_into_force",
        never,
    ),
    (
        "a_ceiling_holds_in_observe_mode_comes_by_itself_and_is_taken_away_by_hand",
        ceiling,
    ),
    (
        "a_container_started_by_another_configuration_keeps_to_the_files_beside_that",
        elsewhere,
    ),
];

fn bash(bed: &Bed, script: &str) -> Answer {
    bed.exec(&["bash", "-ec", script])
}

fn shown(bed: &Bed, container: &Container<'_>) -> String {
    let shown = bed.exec(&["boundary-shim", "policy", "show", &container.name]);
    shown.must_succeed().stdout.clone()
}

fn reaches(container: &Container<'_>, url: &str) -> bool {
    container
        .exec(&format!("curl -4 -sf -m 5 -o /dev/null {url}"))
        .code
        == 0
}

fn notices(bed: &Bed, container: &Container<'_>) -> Vec<String> {
    let lines = lines(bed, &container.id()).into_iter();
    let notices = lines.filter(|line| line["event"] == "notice");
    notices
        .filter_map(|line| line["notice"].as_str().map(str::to_owned))
        .collect()
}

fn by_itself(bed: &Bed) {
    const FILE: &str = "/etc/boundary/auto/policies/ways.yaml";
    let container = bed.start_with("boundary-auto-ways", &[], &["sleep", "600"]);
    let text = |way: usize| {
        format!("printf 'allow:\\n- domain=allowed.test\\n- domain=w{way}.wild.test\\n'")
    };
    let ways = [
        format!("{} > {FILE}", text(0)),
        format!("sed -i s/w0/w1/ {FILE}"),
        format!("{} > /tmp/ways.yaml; cp /tmp/ways.yaml {FILE}", text(2)),
        format!("{} > {FILE}.new; mv {FILE}.new {FILE}", text(3)),
        // As the kubelet keeps a ConfigMap.
        format!(
            "cd /etc/boundary/auto/policies; mkdir ..1 ..2; {} > ..1/ways.yaml; ln -s ..1 ..data; ln -sf ..data/ways.yaml ways.yaml",
            text(4)
        ),
        format!(
            "cd /etc/boundary/auto/policies; {} > ..2/ways.yaml; ln -s ..2 ..tmp; mv -T ..tmp ..data",
            text(5)
        ),
    ];
    for (way, script) in ways.iter().enumerate() {
        bash(bed, script).must_succeed();
        let name = format!("w{way}.wild.test");
        wait_for("the changed file to be in force", || {
            shown(bed, &container).contains(&name)
        });
        assert!(reaches(&container, &format!("http://{name}/")), "{script}");
        assert!(reaches(&container, "http://allowed.test/"), "{script}");
    }
    assert!(
        !reaches(&container, "http://w4.wild.test/"),
        "what is not in it any more"
    );
    let status = status::of(bed, &container);
    assert_eq!(status["policy_generation"], 1 + ways.len(), "{status}");
    let said = notices(bed, &container);
    assert_eq!(said.len(), ways.len(), "{said:#?}");
    assert!(
        said.iter().all(|notice| notice.contains("is in force")),
        "{said:#?}"
    );
}

fn never(bed: &Bed) {
    const FILE: &str = "/etc/boundary/auto/policies/never.yaml";
    let container = bed.start_with("boundary-auto-never", &[], &["sleep", "600"]);
    for (script, said) in [
        (format!(": > {FILE}"), "is empty"),
        (
            format!("printf 'allow:\\n- domian=a.wild.test\\n' > {FILE}"),
            "did you mean domain",
        ),
        (
            format!(
                "printf 'allow:\\n- domain=a.wild.test\\n' > {FILE}.new; chown 1000 {FILE}.new; mv {FILE}.new {FILE}"
            ),
            "owned by user 1000, not by root",
        ),
    ] {
        bash(bed, &script).must_succeed();
        wait_for("the record to say why not", || {
            notices(bed, &container)
                .iter()
                .any(|notice| notice.contains(said))
        });
        let status = status::of(bed, &container);
        assert_eq!(status["policy_generation"], 1, "{script}");
        assert!(reaches(&container, "http://allowed.test/"), "{script}");
        assert!(!reaches(&container, "http://a.wild.test/"), "{script}");
    }
    let said = notices(bed, &container);
    assert_eq!(said.len(), 3, "each once: {said:#?}");
    assert!(
        said.iter()
            .all(|notice| notice.starts_with("the policy was not changed: "))
    );
    // Half of it, for far longer than files are given to be complete, and another file is changed meanwhile.
    let half = format!(
        "rm {FILE}; exec 3> {FILE}; printf 'allow:\\n- domain=*.wild.test\\n' >&3; printf 'allow: []' > /etc/boundary/auto/policies/other.yaml; \
         sleep 1; boundary-shim policy show {}; printf 'deny:\\n- domain=x.wild.test\\n' >&3",
        container.name
    );
    let meanwhile = bash(bed, &half).must_succeed().stdout.clone();
    assert!(!meanwhile.contains("wild.test"), "{meanwhile}");
    wait_for("the whole file to be in force", || {
        shown(bed, &container).contains("x.wild.test")
    });
    assert_eq!(
        status::of(bed, &container)["policy_generation"],
        2,
        "once, whole"
    );
    assert!(
        reaches(&container, "http://a.wild.test/") && !reaches(&container, "http://x.wild.test/")
    );
}

fn ceiling(bed: &Bed) {
    const LAYER: &str = "/etc/boundary/watched/ceiling.d/corp.yaml";
    let container = bed.start_with("boundary-watched", &[], &["sleep", "600"]);
    assert!(
        reaches(&container, "http://allowed.test/"),
        "no rule allows it: observed"
    );
    let download = "curl -4 -s --limit-rate 1M -o /tmp/got http://allowed.test/bytes/40000000; echo $? > /tmp/code";
    bed.docker(&["exec", "--detach", &container.name, "sh", "-c", download])
        .must_succeed();
    wait_for("the download to be under way", || {
        container.exec("test -s /tmp/got").code == 0
    });
    let bound = |rules: &str| {
        let script = format!(
            "mkdir -p $(dirname {LAYER}); printf '{rules}' > {LAYER}.new; mv {LAYER}.new {LAYER}"
        );
        bash(bed, &script).must_succeed();
    };
    let before = status::of(bed, &container)["policy_hash"].clone();
    bound("allow:\\n- domain=*.wild.test\\ndeny:\\n- domain=x.wild.test\\n");
    wait_for("the layer to be in force", || {
        status::of(bed, &container)["policy_hash"] != before
    });
    wait_for("what it denies to be cut", || {
        container.exec("test -s /tmp/code").code == 0
    });
    assert_ne!(container.exec("cat /tmp/code").stdout.trim(), "0");
    assert!(
        reaches(&container, "http://b.wild.test/"),
        "observed, and within the layer"
    );
    for url in [
        "http://allowed.test/",
        "http://x.wild.test/",
        "https://x.wild.test/",
    ] {
        assert!(!reaches(&container, url), "{url}");
    }
    let denied = lines(bed, &container.id())
        .into_iter()
        .filter(|line| line["verdict"] == "deny");
    let reasons: Vec<_> = denied
        .filter_map(|line| line["reason"].as_str().map(str::to_owned))
        .collect();
    assert!(
        !reasons.is_empty()
            && reasons
                .iter()
                .all(|reason| reason.contains("ceiling.d/corp.yaml")),
        "{reasons:#?}"
    );
    let explained = bed.exec(&[
        "boundary-shim",
        "policy",
        "explain",
        &container.name,
        "https://x.wild.test/",
    ]);
    assert!(
        explained
            .stdout
            .contains("in the host's ceiling.d/corp.yaml; it stands in corp.yaml:4"),
        "{explained:?}"
    );
    // One that only denies leaves the rest to be observed, and the name denied however it is said.
    bound("deny:\\n- domain=x.wild.test\\n");
    wait_for("the other layer to be in force", || {
        reaches(&container, "http://allowed.test/")
    });
    let where_to = "curl -4 -s -o /dev/null -w '%{remote_ip}' http://allowed.test/";
    let server = container.exec(where_to).must_succeed().stdout.clone();
    let named = |name: &str| format!("-H 'Host: {name}' http://{server}/");
    assert!(
        reaches(&container, &named("allowed.test")),
        "its address, observed"
    );
    for lie in [
        named("x.wild.test"),
        "-H 'Host: x.wild.test' http://allowed.test/".to_owned(),
        format!("-k --connect-to x.wild.test:443:{server}:443 https://x.wild.test/"),
    ] {
        assert!(!reaches(&container, &lie), "{lie}");
    }
    // It may be about to be written again: it holds until somebody says that it is to go.
    bash(bed, &format!("rm {LAYER}")).must_succeed();
    wait_for("the record to say that it is missing", || {
        let said = notices(bed, &container);
        said.last()
            .is_some_and(|notice| notice.contains("ceiling.d/corp.yaml is missing"))
    });
    assert!(!reaches(&container, "http://x.wild.test/"));
    let reload = ["boundary-shim", "policy", "reload", &container.name];
    bed.exec(&reload).must_succeed();
    assert!(reaches(&container, "http://x.wild.test/"));
}

fn elsewhere(bed: &Bed) {
    const FOLDER: &str = "/etc/boundary/elsewhere";
    let container = bed.start_with("boundary-elsewhere", &[], &["sleep", "600"]);
    let policy = |words: &[&str]| {
        let answer = bed.exec(&[&["boundary-shim", "policy"], words].concat());
        answer.must_succeed().stdout.clone()
    };
    let bounded = || {
        reaches(&container, "http://a.wild.test/") && !reaches(&container, "http://x.wild.test/")
    };
    assert_eq!(status::of(bed, &container)["policy_file"], "same");
    assert!(shown(bed, &container).contains("# its file: the same\n"));
    let said = policy(&["reload", &container.name]);
    assert!(said.contains("unchanged"), "{said}");
    // Another file's rules: what it includes is there, too, and the layer goes on bounding.
    bash(bed, "printf 'include: [wild]' > /tmp/elsewhere.yaml").must_succeed();
    policy(&["apply", "/tmp/elsewhere.yaml", &container.name]);
    assert!(bounded() && !reaches(&container, "http://allowed.test/"));
    let said = policy(&["reload", &container.name]);
    assert!(said.contains("unchanged: it has the policy of"), "{said}");
    assert!(bounded());
    policy(&["reset", &container.name]);
    assert!(reaches(&container, "http://allowed.test/") && !bounded());
    // Its own, changed.
    let add = format!("echo '  - domain=*.wild.test' >> {FOLDER}/policies/default.yaml");
    bash(bed, &add).must_succeed();
    assert_eq!(status::of(bed, &container)["policy_file"], "changed");
    policy(&["reload", &container.name]);
    assert!(bounded() && reaches(&container, "http://allowed.test/"));
    assert_eq!(status::of(bed, &container)["policy_file"], "same");
    // What is approved would be written there.
    assert!(!reaches(&container, "http://denied.test/"));
    let pending = policy(&["pending", "--json", &container.name]);
    let pending: serde_json::Value = serde_json::from_str(pending.trim()).unwrap();
    let id = pending["id"].as_str().unwrap();
    let refused = bed.exec(&["boundary-shim", "policy", "approve", id, "--write"]);
    let asked = format!("{FOLDER}/policies/default.yaml gets the rule domain=denied.test\n");
    assert!(
        refused.must_fail().stdout.starts_with(&asked),
        "{refused:?}"
    );
    // Without its configuration nobody knows what bounds it.
    bash(bed, &format!("mv {FOLDER}/config.toml {FOLDER}/gone")).must_succeed();
    let refused = bed.exec(&["boundary-shim", "policy", "reload", &container.name]);
    let state = status::of(bed, &container)["policy_file"].clone();
    bash(bed, &format!("mv {FOLDER}/gone {FOLDER}/config.toml")).must_succeed();
    assert!(
        refused.must_fail().stderr.contains("does not exist"),
        "{refused:?}"
    );
    assert_eq!(state, "broken");
    assert!(bounded());
}
