//! What no rule covers is denied, and can be allowed while the container runs: exactly that, for that
//! container alone, by root alone.

use std::io::{BufRead, BufReader};

use serde_json::Value;
use test_support::bed::{Bed, lines, records, unique};
use test_support::command::{Answer, wait_for};
use test_support::docker::{self, Container};
use test_support::harness::Test;

use crate::status;

pub(crate) const TESTS: &[Test] = &[
    ("what_is_approved_passes_and_nothing_else_does", approved),
    ("a_request_is_approved_with_its_method_and_path", request),
    ("what_an_approval_lets_pass_is_cut_at_its_end", expiry),
    (
        "what_is_dismissed_stays_denied_and_is_not_shown_again",
        dismissed,
    ),
    (
        "what_rules_deny_and_what_is_never_open_cant_be_approved",
        never,
    ),
    ("an_id_whose_attempt_has_changed_is_refused", changed),
    (
        "an_approval_outlives_a_change_of_the_policy_whose_denials_win",
        outlives,
    ),
    ("an_approval_ends_with_its_container", restarted),
    ("the_rule_is_written_only_where_somebody_says_yes", written),
    ("what_is_denied_is_shown_to_who_follows", followed),
    (
        "another_user_who_reaches_the_control_socket_is_hung_up_on",
        another_user,
    ),
];

/// With annotations.
pub(crate) const CEILING: &[Test] = &[(
    "what_an_annotation_asks_for_beyond_the_ceiling_cant_be_approved",
    ceiling,
)];

/// With very many attempts.
pub(crate) const FLOOD: &[Test] = &[("a_flood_of_denials_leaves_what_is_pending_bounded", flood)];

const A: &str = "http://a.wild.test/";
const RULE: &str = "domain=a.wild.test";

fn start(bed: &Bed) -> Container<'_> {
    bed.start_with("boundary-approvals", &[], &["sleep", "600"])
}

fn policy(bed: &Bed, words: &[&str]) -> Answer {
    bed.exec(&[&["boundary-shim", "policy"], words].concat())
}

/// What is pending of a container, and how many more were pushed out.
fn pending(bed: &Bed, container: &Container<'_>) -> (Vec<Value>, u64) {
    let answer = policy(bed, &["pending", "--json", &container.name]);
    let lines = answer.must_succeed().stdout.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["container"], container.id());
        line
    });
    let (pending, pushed_out): (Vec<_>, Vec<_>) = lines.partition(|line| line["id"].is_string());
    let pushed_out = pushed_out
        .iter()
        .filter_map(|line| line["pushed_out"].as_u64());
    (pending, pushed_out.sum())
}

fn rules(bed: &Bed, container: &Container<'_>) -> Vec<String> {
    let (pending, _) = pending(bed, container);
    pending
        .iter()
        .map(|one| one["rule"].as_str().unwrap().to_owned())
        .collect()
}

/// The ID of what is pending under this rule.
fn id(bed: &Bed, container: &Container<'_>, rule: &str) -> String {
    let (pending, _) = pending(bed, container);
    let found = pending.iter().find(|one| one["rule"] == rule);
    found.unwrap_or_else(|| panic!("{rule}: {pending:#?}"))["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn approve(bed: &Bed, container: &Container<'_>, rule: &str) -> Answer {
    policy(bed, &["approve", &id(bed, container, rule)])
}

fn reaches(container: &Container<'_>, url: &str) -> bool {
    container
        .exec(&format!("curl -4 -sf -m 5 -o /dev/null {url}"))
        .code
        == 0
}

fn notices(bed: &Bed, container: &Container<'_>) -> Vec<String> {
    let lines = lines(bed, &container.id());
    let notices = lines.iter().filter_map(|line| line["notice"].as_str());
    notices.map(str::to_owned).collect()
}

/// A policy file of these lines.
fn file(bed: &Bed, text: &str) -> String {
    let path = format!("/etc/boundary/{}.yaml", unique("approvals"));
    bed.exec(&[
        "bash",
        "-c",
        "printf %s \"$1\" > \"$2\"",
        "bash",
        text,
        &path,
    ])
    .must_succeed();
    path
}

fn approved(bed: &Bed) {
    let (container, other) = (start(bed), start(bed));
    for one in [&container, &other] {
        assert!(!reaches(one, A) && !reaches(one, A), "denied at once");
    }
    let (shown, pushed_out) = pending(bed, &container);
    assert_eq!(
        (shown.len(), pushed_out),
        (1, 0),
        "repeats are one: {shown:#?}"
    );
    assert_eq!(
        (&shown[0]["rule"], &shown[0]["name"]),
        (&RULE.into(), &"a.wild.test".into())
    );
    assert!(shown[0]["count"].as_u64() >= Some(2), "{shown:#?}");
    let said = approve(bed, &container, RULE);
    let said = &said.must_succeed().stdout;
    assert!(
        said.contains("until the container's end, generation 2: domain=a.wild.test"),
        "{said}"
    );
    assert!(reaches(&container, A));
    container
        .exec("curl -4 -skf -m 5 -o /dev/null https://a.wild.test/")
        .must_succeed();
    assert_eq!(rules(bed, &container), [""; 0], "it is allowed now");
    for denied in [
        "http://b.wild.test/",
        "http://a.wild.test:8080/",
        "http://sub.a.wild.test/",
    ] {
        assert!(!reaches(&container, denied), "{denied}");
    }
    assert!(!reaches(&other, A), "for that container alone");
    let port = "proto=tcp domain=a.wild.test port=8080";
    assert!(rules(bed, &container).contains(&port.to_owned()));
    let said = notices(bed, &container);
    assert_eq!(
        said[0],
        format!("user 0 approved until the container's end: {RULE}")
    );
    assert!(
        said[1].contains("user 0 approved something besides; 0 open flows"),
        "{said:#?}"
    );
    let shown = policy(bed, &["show", &container.name]);
    let line = format!("# approved by user 0 until the container's end: {RULE}\n");
    assert!(shown.must_succeed().stdout.contains(&line), "{shown:?}");
    let shown = status::of(bed, &container);
    assert_eq!(
        (&shown["policy_file"], &shown["policy_generation"]),
        (&"same".into(), &2.into())
    );
}

fn request(bed: &Bed) {
    let container = start(bed);
    let of = |path: &str| format!("http://paths.wild.test/{path}");
    assert!(reaches(&container, &of("ok")) && !reaches(&container, &of("other?secret=1")));
    // What is no request could hold one all the same.
    container.exec("printf '\\001\\002' | curl -4 -s -m 5 telnet://paths.wild.test:80");
    let denied = records(bed, &container.id());
    let opaque: Vec<_> = denied
        .iter()
        .filter(|one| one["protocol"] == "tcp")
        .collect();
    assert!(
        opaque.iter().all(|one| one["name"] == "paths.wild.test"
            && one["suggestion"].is_null()
            && one["reason"].as_str().unwrap().contains("needs a method"))
            && opaque.len() == 1,
        "{denied:#?}"
    );
    assert_eq!(pending(bed, &container).0.len(), 1);
    let rule = "method=GET proto=http domain=paths.wild.test port=80 path=/other";
    approve(bed, &container, rule).must_succeed();
    assert!(reaches(&container, &of("other?secret=1")));
    for denied in [
        of("third"),
        of("other/below"),
        format!("-X POST {}", of("other")),
    ] {
        assert!(!reaches(&container, &denied), "{denied}");
    }
}

fn expiry(bed: &Bed) {
    let container = start(bed);
    assert!(!reaches(&container, A));
    let words = ["approve", &id(bed, &container, RULE), "--for", "8s"];
    let said = policy(bed, &words);
    assert!(
        said.must_succeed().stdout.contains("allowed until 20"),
        "{said:?}"
    );
    // More than it can get in that time.
    let script = "curl -4 -s --limit-rate 1M -o /tmp/a http://a.wild.test/bytes/400000000; echo $? > /tmp/code";
    bed.docker(&["exec", "--detach", &container.name, "sh", "-c", script])
        .must_succeed();
    wait_for("the download to be under way", || {
        container.exec("test -s /tmp/a").code == 0
    });
    wait_for("it to be cut", || {
        container.exec("test -s /tmp/code").code == 0
    });
    assert_ne!(container.exec("cat /tmp/code").stdout.trim(), "0");
    assert!(!reaches(&container, A));
    assert_eq!(rules(bed, &container), [RULE], "it is pending again");
    let records = records(bed, &container.id());
    let cut = records.iter().filter(|one| one["ended"] == "cut");
    assert_eq!(
        cut.map(|one| &one["name"]).collect::<Vec<_>>(),
        ["a.wild.test"]
    );
    let said = notices(bed, &container).join("\n");
    assert!(said.contains("user 0 approved until 20"), "{said}");
    assert!(
        said.contains(&format!(
            "what user 0 approved for a time has ended: {RULE}"
        )),
        "{said}"
    );
    assert!(
        said.contains("what was approved besides has ended; 1 open flow"),
        "{said}"
    );
}

fn dismissed(bed: &Bed) {
    let container = start(bed);
    assert!(!reaches(&container, A) && !reaches(&container, "http://b.wild.test/"));
    let id = id(bed, &container, RULE);
    policy(bed, &["dismiss", &id]).must_succeed();
    assert!(!reaches(&container, A));
    assert_eq!(rules(bed, &container), ["domain=b.wild.test"]);
    let said = policy(bed, &["approve", &id]);
    assert!(
        said.must_fail().stderr.contains("nothing is pending under"),
        "{said:?}"
    );
    assert!(!reaches(&container, A));
}

fn never(bed: &Bed) {
    let container = start(bed);
    for url in [
        "http://forbidden.wild.test/",
        "--resolve forbidden.wild.test:80:198.51.100.30 http://forbidden.wild.test/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.100.100.200/",
        "http://0.0.0.1/",
    ] {
        assert!(!reaches(&container, url), "{url}");
    }
    container.is_shut_out("icmp 198.51.100.20");
    // The host's own, on its way out.
    container.is_shut_out("udp 192.0.2.1:9999");
    container.is_shut_out("tcp 192.0.2.1:9999");
    assert_eq!(rules(bed, &container), [""; 0]);
    let said = policy(bed, &["explain", &container.name, "192.0.2.1:9999/udp"]);
    let said = &said.must_fail().stdout;
    assert!(
        said.contains("denied: UDP to 192.0.2.1:9999: 192.0.2.1 is this container's"),
        "{said}"
    );
    let denied = records(bed, &container.id());
    assert!(
        denied.iter().filter(|one| one["verdict"] == "deny").count() >= 5,
        "{denied:#?}"
    );
    for id in ["0".repeat(32), "0".repeat(31), "*".to_owned()] {
        policy(bed, &["approve", &id]).must_fail();
    }
}

fn changed(bed: &Bed) {
    let (container, other) = (start(bed), start(bed));
    let paths = "http://paths.wild.test/x";
    for one in [&container, &other] {
        assert!(!reaches(one, paths));
    }
    let rule = "method=GET proto=http domain=paths.wild.test port=80 path=/x";
    let before = id(bed, &container, rule);
    assert_ne!(id(bed, &other, rule), before, "an ID is of one container");
    // The same attempt would be approved by another rule now.
    let file = file(bed, "allow:\n- domain=paths.wild.test port=8080\n");
    policy(bed, &["apply", &file, &container.name]).must_succeed();
    let said = policy(bed, &["approve", &before]);
    assert!(
        said.must_fail().stderr.contains("nothing is pending under"),
        "{said:?}"
    );
    assert!(!reaches(&container, paths));
    let now = "proto=http domain=paths.wild.test port=80";
    assert_eq!(rules(bed, &container), [now]);
    assert_ne!(id(bed, &container, now), before);
}

fn outlives(bed: &Bed) {
    let container = start(bed);
    assert!(!reaches(&container, A));
    approve(bed, &container, RULE).must_succeed();
    let other = file(bed, "allow:\n- domain=b.wild.test\n");
    policy(bed, &["apply", &other, &container.name]).must_succeed();
    assert!(reaches(&container, A) && reaches(&container, "http://b.wild.test/"));
    let denying = file(
        bed,
        "allow:\n- domain=b.wild.test\ndeny:\n- domain=a.wild.test\n",
    );
    policy(bed, &["apply", &denying, &container.name]).must_succeed();
    assert!(!reaches(&container, A), "denials win");
    assert_eq!(rules(bed, &container), [""; 0]);
    policy(bed, &["reset", &container.name]).must_succeed();
    assert!(reaches(&container, A), "it goes on");
    assert!(!reaches(&container, "http://b.wild.test/"));
}

fn restarted(bed: &Bed) {
    let container = start(bed);
    assert!(!reaches(&container, A));
    approve(bed, &container, RULE).must_succeed();
    assert!(reaches(&container, A));
    bed.docker(&["restart", "-t", "0", &container.name])
        .must_succeed();
    assert!(!reaches(&container, A));
    assert_eq!(rules(bed, &container), [RULE]);
}

fn written(bed: &Bed) {
    let (container, other) = (start(bed), start(bed));
    let with = |runtime: &str, flags: &[&str]| bed.start_with(runtime, flags, &["sleep", "600"]);
    let applied = start(bed);
    let including = with("boundary-approvals-including", &[]);
    let auto = with("boundary-approvals-auto", &[]);
    // Docker hands annotations on since 24.
    let annotation = ["--annotation", "boundary.allow=domain=within.wild.test"];
    let bounded = (docker::engine_version() >= Some(24))
        .then(|| with("boundary-approvals-bounded", &annotation));
    let unconcerned = with("boundary-approvals-bounded", &[]);
    let file = file(bed, "include: [approvals]\n");
    policy(bed, &["apply", &file, &applied.name]).must_succeed();
    let name = unique("w");
    let url = format!("http://{name}.wild.test/");
    assert!(!reaches(&container, &url));
    let rule = format!("domain={name}.wild.test");
    let id = id(bed, &container, &rule);
    let own = "/etc/boundary/policies/approvals.yaml";
    let content = || bed.exec(&["cat", own]).must_succeed().stdout.clone();
    let before = content();
    let said = policy(bed, &["approve", &id, "--write"]);
    assert!(said.must_fail().stderr.contains("no terminal"), "{said:?}");
    let on_terminal = |answer: &str| {
        let script = format!(
            "echo {answer} | script -qefc 'boundary-shim policy approve {id} --write' /dev/null"
        );
        bed.exec(&["bash", "-c", &script])
    };
    let said = on_terminal("n").must_fail().stdout.clone();
    let widened = |when: &str| {
        let mut lines = said.lines().filter(|line| line.contains(when));
        lines.next().unwrap_or_else(|| panic!("{when}: {said}"))
    };
    let at_once = [Some(&auto), bounded.as_ref()].into_iter().flatten();
    assert!(
        at_once
            .clone()
            .all(|one| widened("at once").contains(&one.name)),
        "{said}"
    );
    let reload = widened("from their next policy reload or start on");
    assert!(
        [&other, &including]
            .iter()
            .all(|one| reload.contains(&one.name)),
        "{said}"
    );
    assert!(widened("applied again").contains(&applied.name), "{said}");
    assert!(!said.contains(&unconcerned.name), "{said}");
    assert!(
        content() == before && !reaches(&container, &url),
        "nothing was done"
    );
    let said = on_terminal("y");
    let after = content();
    wait_for("the rule to count at once", || reaches(&auto, &url));
    assert!(!reaches(&including, &url));
    policy(bed, &["reload", &including.name]).must_succeed();
    assert!(reaches(&including, &url));
    bed.exec(&[
        "bash",
        "-c",
        "printf %s \"$1\" > \"$2\"",
        "bash",
        &before,
        own,
    ])
    .must_succeed();
    said.must_succeed();
    assert!(reaches(&container, &url) && !reaches(&other, &url));
    let last = "proto=http\n";
    assert_eq!(after, before.replace(last, &format!("{last}  - {rule}\n")));
}

fn followed(bed: &Bed) {
    let container = start(bed);
    let words = ["pending", &container.name, "--follow", "--json"];
    let follow = [&["timeout", "60", "boundary-shim", "policy"][..], &words].concat();
    let mut follower = bed.begin(&follow);
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    for name in ["one.wild.test", "two.wild.test"] {
        assert!(!reaches(&container, &format!("http://{name}/")));
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["rule"], format!("domain={name}"));
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
}

/// The folder and the socket are opened to everybody, by root, which nobody does.
fn another_user(bed: &Bed) {
    let container = start(bed);
    assert!(!reaches(&container, A));
    let approve = |user: &str| {
        let script = format!(
            "cd /run/boundary/{}* && chmod 711 . && chmod 666 control && \
             exec setpriv --reuid {user} --regid {user} --clear-groups attacker approve control",
            &container.id()[..12]
        );
        let said = bed.exec(&["bash", "-c", &script]);
        said.must_succeed().stdout.clone()
    };
    let said = approve("1000");
    assert!(!said.contains("approved"), "{said}");
    assert!(!reaches(&container, A) && rules(bed, &container) == [RULE]);
    assert_eq!(approve("0"), "control: approved 1\n", "the words are right");
    assert!(reaches(&container, A));
}

fn ceiling(bed: &Bed) {
    let annotation = "boundary.allow=domain=within.wild.test;domain=beyond.wild.test";
    let flags = ["--annotation", annotation];
    let container = bed.start_with("boundary-approvals", &flags, &["sleep", "600"]);
    assert!(reaches(&container, "http://within.wild.test/"));
    assert!(!reaches(&container, "http://beyond.wild.test/"));
    let at = "--resolve beyond.wild.test:80:198.51.100.30 http://beyond.wild.test/";
    assert!(!reaches(&container, at) && !reaches(&container, A));
    assert_eq!(rules(bed, &container), [RULE]);
}

fn flood(bed: &Bed) {
    const MOST: usize = 256;
    let container = start(bed);
    assert!(!reaches(&container, "http://seen.wild.test/"));
    assert_eq!(rules(bed, &container), ["domain=seen.wild.test"]);
    assert!(!reaches(&container, "http://unseen.wild.test/"));
    // Who looks for one has seen no other.
    policy(bed, &["dismiss", &"0".repeat(32)]).must_fail();
    let flood = |count: usize| {
        let count = count.to_string();
        let attack = ["attacker", "denials", "198.51.100.20:80", &count];
        let said = bed.docker_within(400, &[&["exec", &container.name], &attack[..]].concat());
        assert_eq!(said.must_succeed().stdout, format!("denied {count}\n"));
        status::of(bed, &container)["memory"].as_u64().unwrap()
    };
    // What connections leave behind is there by then, and all that is kept of what was denied. The rest of
    // the names would be some 20 MiB.
    let before = flood(10_000);
    let after = flood(100_000);
    assert!(
        after < before + (4 << 20),
        "{before} bytes before, {after} after"
    );
    let (shown, pushed_out) = pending(bed, &container);
    assert_eq!((shown.len(), pushed_out), (MOST, 110_002 - 256));
    let rules: Vec<_> = shown
        .iter()
        .map(|one| one["rule"].as_str().unwrap())
        .collect();
    assert!(
        rules.contains(&"domain=seen.wild.test") && !rules.contains(&"domain=unseen.wild.test")
    );
    let denied = status::of(bed, &container);
    assert!(
        denied["totals"]["denied"].as_u64().unwrap() >= 110_000,
        "{denied}"
    );
    // All that is said then is short enough to be answered, and one of it is approved as ever.
    approve(bed, &container, "domain=seen.wild.test").must_succeed();
    assert!(reaches(&container, "http://seen.wild.test/"));
}
