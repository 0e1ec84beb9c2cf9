//! Exactly one audit line for every attempt, with the fields that the schema promises.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;
use test_support::bed::{Bed, lines, records};
use test_support::command::wait_for;
use test_support::docker::Container;
use test_support::harness::Test;

pub(crate) const TESTS: &[Test] = &[
    ("an_allowed_request_is_one_record_with_all_fields", allowed),
    ("each_denied_attempt_is_one_record", denied),
    ("what_no_socket_hears_of_is_recorded_too", quiet),
    (
        "fragments_that_never_become_a_packet_are_recorded",
        fragments,
    ),
    (
        "segments_from_outside_that_belong_to_no_connection_are_recorded",
        strays,
    ),
    ("sequence_numbers_have_no_gap", sequence),
    ("logs_reads_the_records_by_a_short_id", logs),
    ("logs_follows_the_records_as_they_come", logs_follow),
];

/// Not beside other tests: packets for which the machine has no time don't reach the gateway, and
/// are missing from its sum.
pub(crate) const FLOOD: &[Test] = &[(
    "a_flood_of_refused_flows_is_a_hundred_records_and_their_count",
    flood,
)];

/// Fields that every record has.
const FIELDS: [&str; 16] = [
    "v",
    "seq",
    "time",
    "container",
    "event",
    "flow",
    "protocol",
    "direction",
    "source",
    "address",
    "port",
    "verdict",
    "bytes_out",
    "bytes_in",
    "duration_ms",
    "by",
];

fn allowed(bed: &Bed) {
    let container = bed.sleeper(&[]);
    container
        .exec("curl -4 -sS -m 5 http://allowed.test/some/path")
        .must_succeed();
    let record = the_one(&container, |record| record["protocol"] == "http");
    for field in FIELDS {
        assert!(!record[field].is_null(), "no {field} in {record}");
    }
    assert_eq!(record["name"], "allowed.test");
    assert_eq!(record["method"], "GET");
    assert_eq!(record["path"], "/some/path");
    assert_eq!(record["verdict"], "allow");
    assert_eq!(record["address"], "198.51.100.10");
    assert_eq!(record["port"], 80);
    assert_eq!(record["container"], container.id().as_str());
    assert!(
        record["rule"]
            .as_str()
            .is_some_and(|rule| rule.contains("domain=allowed.test")),
        "{record}"
    );
    assert!(record["bytes_in"].as_u64() > Some(30), "{record}");
    container
        .exec("curl -4 -sS -m 5 https://allowed.test/")
        .must_succeed();
    let record = the_one(&container, |record| record["protocol"] == "https");
    assert_eq!(
        (record["name"].as_str(), record["verdict"].as_str()),
        (Some("allowed.test"), Some("allow"))
    );
}

fn denied(bed: &Bed) {
    let container = bed.sleeper(&[]);
    container.exec(
        "attacker probe tcp 203.0.113.66:22; attacker probe udp 203.0.113.66:9999; attacker probe icmp 203.0.113.66;
         attacker dns udp 198.51.100.53:53 secret.denied.test; attacker probe tcp [2001:db8:2::66]:8080;
         curl -sS -m 5 http://203.0.113.66/; curl -ksS -m 5 --resolve denied.test:443:198.51.100.20 https://denied.test/",
    );
    let is = |record: &Value, protocol: &str, address: &str, port: u64| {
        record["protocol"] == protocol && record["address"] == address && record["port"] == port
    };
    for (protocol, address, port) in [
        ("tcp", "203.0.113.66", 22),
        ("udp", "203.0.113.66", 9999),
        ("icmp", "203.0.113.66", 0),
        ("tcp", "2001:db8:2::66", 8080),
        ("http", "203.0.113.66", 80),
        ("https", "198.51.100.20", 443),
        ("dns", "198.51.100.53", 53),
    ] {
        let record = the_one(&container, |record| is(record, protocol, address, port));
        assert_eq!(record["verdict"], "deny", "{record}");
        assert!(record["reason"].is_string(), "{record}");
    }
}

/// A scan of captured ports, which the kernel answers; protocols and types that nobody speaks; and
/// nothing else: neither what the container's kernel says by itself, nor what comes late on a
/// connection that was recorded.
fn quiet(bed: &Bed) {
    let container = bed.sleeper(&[]);
    container.exec("curl -ksS -m 5 https://203.0.113.66/; curl -4 -sS -m 5 http://allowed.test/");
    container
        .exec("attacker quiet 203.0.113.66:443 && attacker quiet [2001:db8:2::66]:80")
        .must_succeed();
    let mut expected: Vec<(&str, u64)> = (50_001..50_007)
        .flat_map(|port| [("tcp", port), ("tcp", port)])
        .collect();
    expected.extend([13, 17, 130, 131, 132, 133, 134, 137, 143].map(|kind| ("icmp", kind)));
    expected.extend([("other", 2), ("other", 2), ("http", 0), ("https", 0)]);
    expected.sort_unstable();
    let is_quiet = |protocol: &str| ["tcp", "icmp", "other", "http", "https"].contains(&protocol);
    let mut found = Vec::new();
    wait_for("the records", || {
        let records = container.records();
        let told = records
            .iter()
            .filter(|record| is_quiet(record["protocol"].as_str().unwrap_or_default()));
        found = told
            .map(|record| {
                let port = record["source"]
                    .as_str()
                    .and_then(|source| source.rsplit(':').next()?.parse().ok());
                let protocol = record["protocol"].as_str().unwrap_or_default().to_owned();
                let number = if protocol == "tcp" {
                    port
                } else {
                    record["number"].as_u64()
                };
                (protocol, number.unwrap_or(0))
            })
            .collect();
        found.sort_unstable();
        found.len() >= expected.len()
    });
    let found: Vec<(&str, u64)> = found
        .iter()
        .map(|(protocol, number)| (protocol.as_str(), *number))
        .collect();
    assert_eq!(found, expected);
}

/// Those that do are one record, as ever. The time of the others is over at the latest when the
/// container ends.
fn fragments(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let id = container.id();
    let whole = "ping -c 1 -W 1 -s 4000 203.0.113.77";
    container.exec(&format!(
        "{whole}; attacker quiet 203.0.113.66:9999 && attacker quiet [2001:db8:2::66]:9999"
    ));
    wait_for("the others' records", || {
        container
            .records()
            .iter()
            .filter(|record| record["number"] == 2)
            .count()
            == 2
    });
    container.remove();
    let of = |fits: &dyn Fn(&Value) -> bool| {
        records(bed, &id)
            .into_iter()
            .filter(|record| fits(record))
            .count()
    };
    let begun = |record: &Value| {
        record["protocol"] == "udp" && record["port"] == 9999 && record["verdict"] == "deny"
    };
    wait_for("the records", || of(&begun) == 2);
    assert_eq!(
        of(&|record| record["address"] == "203.0.113.77"),
        1,
        "{:#?}",
        records(bed, &id)
    );
}

/// From a neighbour on the bridge.
fn strays(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let neighbour = bed.start_with("runc", &[], &["sleep", "600"]);
    neighbour
        .exec(&format!("attacker quiet {}:8080", container.address()))
        .must_succeed();
    let stray = |record: &Value| {
        record["direction"] == "in" && record["verdict"] == "deny" && record["port"] == 8080
    };
    // All but the one that opens a connection.
    wait_for("the records", || {
        container
            .records()
            .iter()
            .filter(|record| stray(record))
            .count()
            == 5
    });
}

/// What was before the flood stands, what was of another kind during it, too, and no flow of it is
/// missing from the sum.
fn flood(bed: &Bed) {
    const FLOWS: u64 = 20_000;
    let container = bed.sleeper(&[]);
    let id = container.id();
    container
        .exec(&format!(
            "attacker probe tcp 203.0.113.66:22; attacker scatter 203.0.113.66:9999 {FLOWS}"
        ))
        .must_succeed();
    let of = |fits: &dyn Fn(&Value) -> bool| {
        records(bed, &id)
            .into_iter()
            .filter(|record| fits(record))
            .collect::<Vec<_>>()
    };
    let to = |port: u64| of(&|record| record["port"] == port && record["count"].is_null()).len();
    // Reports that are lost have numbers: the next one that comes tells how many.
    let mut later = 0;
    wait_for("an attempt after the flood", || {
        container.exec("attacker probe tcp 203.0.113.66:23");
        later += 1;
        to(23) > 0
    });
    container.remove();
    // Those of which the kernel's report was lost under way are a count without addresses.
    let counted = |record: &Value| {
        ["udp", "tcp", "other"]
            .iter()
            .any(|protocol| record["protocol"] == *protocol)
    };
    let sum = || {
        of(&counted)
            .iter()
            .map(|record| record["count"].as_u64().unwrap_or(1))
            .sum::<u64>()
    };
    wait_for("the counts", || sum() == 1 + FLOWS + later);
    assert_eq!(to(9999), 100);
    assert!(of(&|_| true).len() < 300);
    assert_eq!(to(22), 1);
}

fn sequence(bed: &Bed) {
    let container = bed.sleeper(&[]);
    container.exec(
        "for i in 1 2 3 4 5; do curl -sS -m 5 http://allowed.test/ & done; wait; attacker probe tcp 203.0.113.66:22",
    );
    wait_for("the records", || {
        container
            .records()
            .iter()
            .filter(|record| record["protocol"] == "http")
            .count()
            == 5
    });
    let numbers: Vec<u64> = lines(bed, &container.id())
        .iter()
        .filter_map(|line| line["seq"].as_u64())
        .collect();
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
}

fn logs(bed: &Bed) {
    let container = bed.sleeper(&[]);
    container.exec("curl -sS -m 5 http://allowed.test/; attacker probe tcp 203.0.113.66:22");
    wait_for("the records", || container.records().len() >= 2);
    let id: String = container.id().chars().take(12).collect();
    let text = bed
        .exec(&["boundary-shim", "logs", &id])
        .must_succeed()
        .stdout
        .clone();
    assert!(
        text.contains("allowed.test") && text.contains("203.0.113.66"),
        "{text}"
    );
    let listed = bed
        .exec(&["boundary-shim", "logs"])
        .must_succeed()
        .stdout
        .clone();
    assert!(
        listed
            .lines()
            .any(|line| line.contains(&id) && line.contains(" running ")),
        "{listed}"
    );
    let json = bed
        .exec(&["boundary-shim", "logs", "--json", &id])
        .must_succeed()
        .stdout
        .clone();
    assert!(
        json.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{json}"
    );
}

fn logs_follow(bed: &Bed) {
    let container = bed.sleeper(&[]);
    container
        .exec("curl -4 -sS -m 5 http://allowed.test/before")
        .must_succeed();
    let mut follow = bed.begin(&[
        "timeout",
        "60",
        "boundary-shim",
        "logs",
        "--follow",
        &container.id(),
    ]);
    let mut lines = BufReader::new(follow.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(
        lines.any(|line| line.contains("allowed.test/before")),
        "what was there is not shown"
    );
    container
        .exec("curl -4 -sS -m 5 http://allowed.test/after")
        .must_succeed();
    assert!(
        lines.any(|line| line.contains("allowed.test/after")),
        "what came is not shown"
    );
    // Nobody listens any more: it notices when it next has something to say.
    drop(lines);
    let ended = || {
        container.exec("attacker probe tcp 203.0.113.66:22");
        follow.try_wait().unwrap().is_some()
    };
    wait_for("it to end", ended);
    assert_eq!(follow.wait().unwrap().code(), Some(0));
}

/// The only record that fits, once it is there.
#[track_caller]
fn the_one(container: &Container<'_>, fits: impl Fn(&Value) -> bool) -> Value {
    let mut found = Vec::new();
    wait_for("the record", || {
        found = container.records().into_iter().filter(&fits).collect();
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}
