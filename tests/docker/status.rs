//! `boundary-shim status`: what it shows of a gateway is what is so, whatever has become of the
//! gateway.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::bed::{Bed, lines};
use test_support::command::{Answer, wait_for};
use test_support::docker::Container;
use test_support::harness::Test;

/// Gateways are asked within a second; this is for a machine that is busy with other tests.
const QUICK: Duration = Duration::from_secs(5);

pub(crate) const TESTS: &[Test] = &[
    ("status_says_whom_a_gateway_filters_and_by_what", whom),
    (
        "status_says_that_a_policys_file_says_something_else_by_now",
        changed,
    ),
    (
        "status_counts_what_was_allowed_what_denied_and_what_is_open",
        counts,
    ),
    ("status_shows_a_gateway_that_was_killed_first", killed),
    (
        "status_shows_a_gateway_whose_filter_was_killed",
        without_filter,
    ),
    ("status_waits_for_no_filter_and_no_keeper_that_hangs", hung),
];

fn status(bed: &Bed, flags: &[&str]) -> Answer {
    // Gateways of other tests may be dead: its exit code says that of all.
    let answer = bed.exec(&[&["boundary-shim", "status"], flags].concat());
    assert!(answer.code < 2 && answer.took < QUICK, "{answer:?}");
    answer
}

/// What is shown of all gateways, in order.
fn all(bed: &Bed) -> Vec<Value> {
    status(bed, &["--json"])
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What is shown of a container's gateway.
pub(crate) fn of(bed: &Bed, container: &Container<'_>) -> Value {
    let (all, id) = (all(bed), container.id());
    all.iter()
        .find(|one| one["container"] == id.as_str())
        .unwrap_or_else(|| panic!("not among {all:#?}"))
        .clone()
}

fn line_of(text: &str, container: &Container<'_>) -> String {
    let short: String = container.id().chars().take(12).collect();
    text.lines()
        .find(|line| line.starts_with(&short))
        .unwrap_or_else(|| panic!("{short} is not in\n{text}"))
        .to_owned()
}

fn whom(bed: &Bed) {
    let flags = ["--label", "com.example.team=shop", "--label", "secret=x"];
    let container = bed.start_with("boundary-status", &flags, &["sleep", "600"]);
    let labels = json!({"com.example.team": "shop"});
    let identity =
        json!({"engine": "docker", "name": container.name, "image": "bed", "labels": labels});
    assert_eq!(bed.state_of(&container.id())["plan"]["identity"], identity);
    let shown = of(bed, &container);
    for (field, value) in identity.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field}");
    }
    assert_eq!(
        (&shown["policy"], &shown["mode"], &shown["state"]),
        (&json!("status"), &json!("enforce"), &json!("ok"))
    );
    assert_eq!(
        shown["policy_hash"].as_str().map(str::len),
        Some(64),
        "{shown}"
    );
    assert!(
        shown["memory"]
            .as_u64()
            .is_some_and(|bytes| (1 << 16..64 << 20).contains(&bytes)),
        "{shown}"
    );
    assert_eq!(shown["memory_limit"], 64 << 20);
    let since = humantime::parse_rfc3339(shown["since"].as_str().unwrap()).unwrap();
    assert!(
        since.elapsed().unwrap_or_default() < Duration::from_secs(600),
        "{shown}"
    );
    let keeper = &bed.state_of(&container.id())["proxy"]["pid"];
    let title = bed
        .exec(&["cat", &format!("/proc/{keeper}/cmdline")])
        .stdout;
    let short: String = container.id().chars().take(12).collect();
    let wanted = format!("boundary-shim proxy {} {short}", container.name);
    assert_eq!(title.trim_end_matches('\0'), wanted, "as ps shows it");
    let text = status(bed, &[]).stdout;
    let line = line_of(&text, &container);
    for part in [&container.name, "ok", "status", "enforce", " of 64 MiB"] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert!(
        text.chars()
            .all(|letter| letter == '\n' || !letter.is_control()),
        "{text:?}"
    );
}

fn changed(bed: &Bed) {
    let container = bed.start_with("boundary-status", &[], &["sleep", "600"]);
    let add = |text: &str| {
        let script = "printf '%s\\n' \"$1\" >> /etc/boundary/policies/status.yaml";
        bed.exec(&["bash", "-c", script, "bash", text])
            .must_succeed();
        of(bed, &container)
    };
    let before = of(bed, &container);
    assert_eq!(before["policy_file"], "same");
    assert_eq!(add("# Another line.")["policy_file"], "same");
    let after = add("  - domain=*.wild.test");
    assert_eq!(
        (&after["policy_file"], &after["policy_hash"]),
        (&json!("changed"), &before["policy_hash"])
    );
    assert_eq!(add("no: list")["policy_file"], "broken");
    // As it was.
    bed.exec(&[
        "sed",
        "-i",
        "/^# Another\\|wild\\|^no:/d",
        "/etc/boundary/policies/status.yaml",
    ])
    .must_succeed();
    assert_eq!(of(bed, &container)["policy_file"], "same");
}

fn counts(bed: &Bed) {
    let container = bed.sleeper(&[]);
    container
        .exec("curl -4 -sS -m 5 http://allowed.test/")
        .must_succeed();
    container.is_shut_out("tcp 203.0.113.66:22");
    wait_for("what was denied to be counted", || {
        of(bed, &container)["totals"]["denied"].as_u64() >= Some(1)
    });
    let shown = of(bed, &container);
    assert!(shown["totals"]["allowed"].as_u64() >= Some(1), "{shown}");
    assert!(
        shown["last_denial"]
            .as_str()
            .is_some_and(|last| last.contains("203.0.113.66")),
        "{shown}"
    );
    let slow = [
        "curl",
        "-4",
        "-sS",
        "-m",
        "8",
        "-o",
        "/dev/null",
        "http://allowed.test/slow",
    ];
    bed.docker(&[&["exec", "--detach", &container.name], &slow[..]].concat())
        .must_succeed();
    wait_for("the connection to be open", || {
        of(bed, &container)["open"] == 1
    });
    wait_for("the connection to be over", || {
        of(bed, &container)["open"] == 0
    });
}

fn killed(bed: &Bed) {
    let (well, container) = (bed.sleeper(&[]), bed.sleeper(&[]));
    let footprint = container.footprint();
    footprint.lose_guard(bed);
    signal(bed, &footprint.proxy, "KILL");
    wait_for("it to be gone", || of(bed, &container)["state"] == "dead");
    // The filter, where it saw that before it was killed for it; else whoever found it dead.
    let last = lines(bed, &container.id()).pop().unwrap();
    let reason = last["reason"].as_str().unwrap_or_default();
    assert_eq!(last["event"], "stop");
    assert!(
        reason == "the gateway was killed" || reason.ends_with("the keeper is gone"),
        "{last}"
    );
    let all = all(bed);
    let place = |container: &Container<'_>| {
        all.iter()
            .position(|one| one["container"] == container.id().as_str())
    };
    assert!(place(&container) < place(&well), "{all:#?}");
    let answer = status(bed, &[]);
    assert!(
        line_of(&answer.stdout, &container).contains("DEAD"),
        "{}",
        answer.stdout
    );
    assert!(
        answer
            .must_fail()
            .stderr
            .contains("gateways need attention: see their state"),
        "{}",
        answer.stderr
    );
    container.remove();
    assert!(
        !status(bed, &["--json"]).stdout.contains(&container.name),
        "what is removed is not shown"
    );
}

fn without_filter(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let footprint = container.footprint();
    footprint.lose_guard(bed);
    signal(bed, &footprint.filter(bed), "KILL");
    wait_for("its keeper to end", || {
        of(bed, &container)["state"] == "dead"
    });
    container.remove();
    footprint.vanishes(bed);
}

fn hung(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let footprint = container.footprint();
    let filter = footprint.filter(bed);
    signal(bed, &filter, "STOP");
    // It is asked once, however often somebody wants to know.
    for _ in 0..3 {
        assert_eq!(of(bed, &container)["state"], "filter-silent");
    }
    signal(bed, &footprint.proxy, "STOP");
    assert_eq!(of(bed, &container)["state"], "silent");
    signal(bed, &footprint.proxy, "CONT");
    signal(bed, &filter, "CONT");
    wait_for("it to answer again", || {
        of(bed, &container)["state"] == "ok"
    });
    container
        .exec("curl -4 -sS -m 5 http://allowed.test/")
        .must_succeed();
}

fn signal(bed: &Bed, pid: &str, name: &str) {
    bed.exec(&["bash", "-c", "kill -$1 $2", "kill", name, pid])
        .must_succeed();
}
