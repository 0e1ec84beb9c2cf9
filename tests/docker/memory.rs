//! What a container can make its gateway keep: however it tries, the process and the kernel's
//! memory for its sockets stay within one budget, what is open goes on, the record says why the
//! rest was denied, and all is given back.

use std::fs;
use std::time::Duration;

use test_support::bed::Bed;
use test_support::command::{wait_for, wait_for_within};
use test_support::docker::Container;
use test_support::harness::Test;

use crate::bounds::group_of;

/// None of them beside another test: they take all the time that two processors have.
pub(crate) const TESTS: &[Test] = &[
    ("half_sent_heads_stay_within_the_budget", |bed| {
        hoard(bed, "heads 198.51.100.10:80 3000")
    }),
    ("half_sent_hellos_stay_within_the_budget", |bed| {
        hoard(bed, "hellos 198.51.100.10:443 3000")
    }),
    (
        "bodies_that_no_server_reads_stay_within_the_budget",
        |bed| hoard(bed, "bodies 198.51.100.10:80 3000"),
    ),
    (
        "answers_that_no_client_reads_stay_within_the_budget",
        |bed| hoard(bed, "answers 198.51.100.10:80 1000"),
    ),
    ("streams_that_nobody_reads_stay_within_the_budget", |bed| {
        hoard(bed, "streams 198.51.100.30:5432 3000")
    }),
    ("quiet_connections_stay_within_the_budget", |bed| {
        hoard(bed, "quiet 198.51.100.30:5432 3000")
    }),
    (
        "datagrams_that_wait_for_a_name_stay_within_the_budget",
        |bed| hoard(bed, "datagrams 198.51.100.30:9999 512"),
    ),
    (
        "questions_that_wait_for_an_answer_stay_within_the_budget",
        |bed| hoard(bed, "questions 198.51.100.53:53 16"),
    ),
];

/// What one gateway may use.
pub(crate) const WHOLE: u64 = 64 * MEBIBYTE;
const MEBIBYTE: u64 = 1024 * 1024;
/// How much more than before may be left: what an allocator keeps, and answers that are remembered.
const LEFT: u64 = 4 * MEBIBYTE;
/// How long a flood lasts, in seconds.
const LENGTH: &str = "10";

/// One flood, from a container that has something open.
fn hoard(bed: &Bed, what: &str) {
    let container = bed.start_with("boundary-memory", &[], &["sleep", "600"]);
    let gateway = Gateway::of(bed, &container);
    container
        .exec(&format!("nslookup {}.once.test", container.name))
        .must_succeed();
    let open = Dripping::begin(&container);
    let before = gateway.holds();
    let script = format!("attacker hoard {what} {LENGTH}");
    container.exec(&script).must_succeed();
    let counted = gateway.counted();
    assert!(
        counted <= WHOLE,
        "{what}: its control group counted {} MiB",
        counted / MEBIBYTE
    );
    assert!(
        denials(&container) > 0,
        "{what}: no limit was met: {} MiB",
        counted / MEBIBYTE
    );
    open.goes_on();
    wait_for_within(
        Duration::from_secs(60),
        "the memory to be given back",
        || gateway.holds() <= before + LEFT,
    );
    open.goes_on();
    container
        .exec("curl -4 -sS -m 5 http://allowed.test/")
        .must_succeed();
}

/// Attempts that were denied since there were too many, or they took too long: for want of memory,
/// by the pace of questions, or by the time that a connection has to show what it is.
fn denials(container: &Container<'_>) -> usize {
    let reasons = container
        .records()
        .into_iter()
        .filter_map(|record| record["reason"].as_str().map(str::to_owned));
    let limits = [
        "the gateway's memory is used up",
        "more than 1000 DNS queries in one second",
        "the protocol could not be identified within 5 s",
    ];
    reasons
        .filter(|reason| limits.iter().any(|limit| reason.starts_with(limit)))
        .count()
}

/// A gateway, as its host sees it.
pub(crate) struct Gateway<'bed> {
    bed: &'bed Bed,
    /// Keeper and filter.
    processes: [String; 2],
}

impl<'bed> Gateway<'bed> {
    pub(crate) fn of(bed: &'bed Bed, container: &Container<'_>) -> Self {
        let footprint = container.footprint();
        let filter = footprint.filter(bed);
        Self {
            bed,
            processes: [footprint.proxy, filter],
        }
    }

    /// What it holds, in bytes: the processes' own memory, and the kernel's for their sockets.
    pub(crate) fn holds(&self) -> u64 {
        let own = |process: &String| {
            let status =
                fs::read_to_string(self.bed.inside(&format!("/proc/{process}/status"))).unwrap();
            let own = status
                .lines()
                .find_map(|line| line.strip_prefix("RssAnon:")?.split_whitespace().next());
            own.unwrap().parse::<u64>().unwrap() * 1024
        };
        let list = self.bed.exec(&[
            "nsenter",
            "--target",
            &self.processes[0],
            "--net",
            "ss",
            "-tuamnH",
        ]);
        let sockets: u64 = list
            .must_succeed()
            .stdout
            .split("skmem:(")
            .skip(1)
            .map(held)
            .sum();
        self.processes.iter().map(own).sum::<u64>() + sockets
    }

    /// The most that its control group ever counted, the kernel's structures and all.
    pub(crate) fn counted(&self) -> u64 {
        let group = group_of(self.bed, &self.processes[0], "memory");
        let value = |file: &str| {
            fs::read_to_string(group.join(file))
                .unwrap()
                .trim()
                .parse::<u64>()
                .unwrap()
        };
        match group.join("memory.peak").exists() {
            true => value("memory.peak"),
            false => {
                value("memory.max_usage_in_bytes") + value("memory.kmem.tcp.max_usage_in_bytes")
            }
        }
    }
}

/// Of `ss -m`: received, being sent, set aside, queued, options, and waiting to be taken; not the
/// bounds of these.
fn held(memory: &str) -> u64 {
    let fields = memory.split(')').next().unwrap_or_default().split(',');
    let counts = fields.filter(|field| {
        !field.starts_with("rb") && !field.starts_with("tb") && !field.starts_with('d')
    });
    // What is set aside may be less than nothing for a moment, and `ss` prints that as it is in the
    // kernel, of 32 bits.
    let signed = |field: &str| field.parse::<u32>().unwrap().cast_signed();
    let counts =
        counts.map(|field| i64::from(signed(field.trim_start_matches(char::is_alphabetic))));
    u64::try_from(counts.sum::<i64>()).unwrap_or(0)
}

/// An answer without an end, on its way to a container.
struct Dripping<'a>(&'a Container<'a>);

impl<'a> Dripping<'a> {
    fn begin(container: &'a Container<'a>) -> Self {
        container.exec("curl -4 -sSN http://allowed.test/slow >/tmp/drips 2>/tmp/problem &");
        let dripping = Self(container);
        dripping.goes_on();
        dripping
    }

    /// More of it comes.
    fn goes_on(&self) {
        let size = || {
            self.0
                .exec("wc -c </tmp/drips")
                .must_succeed()
                .stdout
                .trim()
                .parse::<u64>()
                .unwrap()
        };
        let before = size();
        wait_for("more of an answer that was on its way", || size() > before);
        assert_eq!(self.0.exec("cat /tmp/problem").stdout, "");
    }
}
