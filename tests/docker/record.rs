//! What the record says of uploads, however they or their filter end, beside what the server itself
//! counted.

use std::time::Duration;

use serde_json::Value;
use test_support::bed::{Bed, lines, records, unique};
use test_support::command::{wait_for, wait_for_within};
use test_support::docker::Container;
use test_support::harness::Test;

pub(crate) const TESTS: &[Test] = &[
    (
        "an_upload_whose_container_exits_at_once_is_counted",
        |bed| uploads(bed, Ending::Exit),
    ),
    ("an_upload_whose_container_is_killed_is_counted", |bed| {
        uploads(bed, Ending::Docker(&["kill"]))
    }),
    ("an_upload_whose_container_is_removed_is_counted", |bed| {
        uploads(bed, Ending::Docker(&["rm", "--force"]))
    }),
    ("an_upload_whose_container_is_stopped_is_counted", |bed| {
        uploads(bed, Ending::Docker(&["stop", "--time", "0"]))
    }),
    (
        "of_a_killed_filter_there_is_what_the_last_minute_told",
        killed,
    ),
    (
        "whoever_is_told_to_end_says_so_and_the_network_is_shut",
        terminated,
    ),
    (
        "a_record_begins_with_its_container_and_ends_with_the_sum",
        whole,
    ),
    (
        "of_a_container_that_attempts_nothing_there_is_no_record",
        none,
    ),
];

/// Each ending is tried so often: half of them by plain HTTP, half by HTTPS.
const ROUNDS: usize = 20;

/// What ends an upload.
#[derive(Clone, Copy)]
enum Ending {
    /// Its own end, which is the container's.
    Exit,
    /// This command, in the middle of it.
    Docker(&'static [&'static str]),
}

fn uploads(bed: &Bed, ending: Ending) {
    for round in 0..ROUNDS {
        let scheme = if round % 2 == 0 { "http" } else { "https" };
        let path = format!("/sink/{}", unique("upload"));
        let (size, rate) = if matches!(ending, Ending::Exit) {
            ("3000000", "")
        } else {
            ("60M", "--limit-rate 40M")
        };
        let script = format!(
            "truncate -s {size} /tmp/f && exec curl -4 -sS {rate} -T /tmp/f {scheme}://allowed.test{path}"
        );
        let container = bed.start(&[], &["sh", "-c", &script]);
        let id = container.id();
        match ending {
            Ending::Exit => drop(container.docker("wait")),
            Ending::Docker(words) => {
                wait_for("much of the upload", || {
                    bed.internet_log().contains(&format!("8 MiB of {path}\n"))
                });
                let words: Vec<&str> = words
                    .iter()
                    .copied()
                    .chain([container.name.as_str()])
                    .collect();
                bed.docker(&words).must_succeed();
            }
        }
        let counted = server_count(bed, &path);
        wait_for("the gateway's last line", || {
            lines(bed, &id).iter().any(|line| line["event"] == "stop")
        });
        let told: Vec<Value> = records(bed, &id)
            .into_iter()
            .filter(|record| record["protocol"] == scheme)
            .collect();
        assert_eq!(told.len(), 1, "round {round}: {:#?}", lines(bed, &id));
        agree(
            told[0]["bytes_out"].as_u64(),
            counted,
            &format!("round {round} by {scheme}: {:#}", told[0]),
        );
    }
}

/// How many bytes of a body the server took.
fn server_count(bed: &Bed, path: &str) -> u64 {
    let mut counted = None;
    wait_for("the server's count", || {
        let log = bed.internet_log();
        let line = log.lines().find_map(|line| {
            line.split_once("took ")?
                .1
                .strip_suffix(&format!(" of {path}"))
        });
        counted = line.map(|count| count.parse().unwrap());
        counted.is_some()
    });
    counted.unwrap()
}

/// Within one in a hundred.
#[track_caller]
fn agree(told: Option<u64>, counted: u64, what: &str) {
    let told = told.unwrap_or(0);
    assert!(
        told.abs_diff(counted) <= counted / 100,
        "told {told}, the server counted {counted}; {what}"
    );
}

fn killed(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let path = format!("/hold/{}", unique("upload"));
    let upload =
        format!("truncate -s 3000000 /tmp/f && curl -4 -sS -T /tmp/f http://allowed.test{path}");
    bed.docker(&["exec", "--detach", &container.name, "sh", "-c", &upload])
        .must_succeed();
    let counted = server_count(bed, &path);
    let id = container.id();
    let find = |event: &str| {
        lines(bed, &id)
            .into_iter()
            .find(|line| line["event"] == event)
    };
    wait_for_within(Duration::from_secs(75), "a minute's end", || {
        find("update").is_some()
    });
    agree(
        find("update").unwrap()["bytes_out"].as_u64(),
        counted,
        "the last update",
    );
    let filter = container.footprint().filter(bed);
    bed.exec(&["bash", "-c", "kill -KILL $1", "kill", &filter])
        .must_succeed();
    wait_for("the last line", || find("stop").is_some());
    let stop = find("stop").unwrap();
    assert!(
        stop["reason"].as_str().unwrap().contains("SIGKILL"),
        "{stop}"
    );
    assert!(
        stop["totals"]["allowed"].as_u64() >= Some(2),
        "a lookup and the upload: {stop}"
    );
    let open = lines(bed, &id)
        .into_iter()
        .find(|line| line["event"] == "open" && line["path"] == path.as_str());
    let flow = open.expect("the upload")["flow"].clone();
    assert!(
        !lines(bed, &id)
            .iter()
            .any(|line| line["event"] == "end" && line["flow"] == flow)
    );
}

fn terminated(bed: &Bed) {
    for whom in ["filter", "keeper"] {
        let container = bed.sleeper(&[]);
        container
            .exec("curl -4 -sS -m 5 http://allowed.test/")
            .must_succeed();
        let (footprint, id) = (container.footprint(), container.id());
        let process = if whom == "filter" {
            footprint.filter(bed)
        } else {
            footprint.proxy
        };
        bed.exec(&["bash", "-c", "kill -TERM $1", "kill", &process])
            .must_succeed();
        wait_for("the last line", || {
            lines(bed, &id).iter().any(|line| line["event"] == "stop")
        });
        let last = lines(bed, &id).pop().unwrap();
        assert!(
            last["reason"]
                .as_str()
                .unwrap()
                .contains("told to end (SIGTERM)"),
            "{whom}: {last}"
        );
        assert!(
            last["totals"]["allowed"].as_u64() >= Some(2),
            "{whom}: {last}"
        );
        container
            .exec("curl -4 -sS -m 5 http://allowed.test/")
            .must_fail();
    }
}

fn whole(bed: &Bed) {
    let container = bed.start(
        &["--label", "team=red"],
        &[
            "sh",
            "-c",
            "curl -4 -sS http://allowed.test/; attacker probe tcp 203.0.113.66:22",
        ],
    );
    let id = container.id();
    container.docker("wait");
    wait_for("the last line", || {
        lines(bed, &id)
            .last()
            .is_some_and(|line| line["event"] == "stop")
    });
    let lines = lines(bed, &id);
    let (first, last) = (&lines[0], lines.last().unwrap());
    let about = &first["gateway"];
    assert_eq!(
        (first["event"].as_str(), about["mode"].as_str()),
        (Some("start"), Some("enforce"))
    );
    assert_eq!(about["name"], container.name.as_str());
    assert_eq!(last["reason"], "the container has ended");
    let ended = |verdict: &str| {
        let of: Vec<_> = records(bed, &id)
            .into_iter()
            .filter(|record| record["verdict"] == verdict)
            .collect();
        of.len() as u64
    };
    let totals = &last["totals"];
    assert_eq!(
        (totals["allowed"].as_u64(), totals["denied"].as_u64()),
        (Some(ended("allow")), Some(ended("deny")))
    );
    let bytes: u64 = records(bed, &id)
        .iter()
        .filter_map(|record| record["bytes_in"].as_u64())
        .sum();
    assert_eq!(totals["bytes_in"].as_u64(), Some(bytes));
}

fn none(bed: &Bed) {
    let container = bed.start(&[], &["true"]);
    let id = container.id();
    container.docker("wait");
    let path = bed.inside(&format!("/var/log/boundary/{id}.jsonl"));
    wait_for("the gateway to end", || !path.exists());
    Container::remove(&container);
    assert!(!path.exists());
}
