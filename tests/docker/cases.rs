//! What programs do that other filters broke, by public reports: the same in a container with plain
//! runc and with ours, on the same bed.
//!
//! The policy `cases` has a rule of each kind, with ports of its own: web by name on 80, 443 and
//! 8088, any TCP by name on 8087, 22, 993 and 5432, any TCP by address on 8089.

use test_support::bed::Bed;
use test_support::harness::Test;

use crate::side_by_side::same;

pub(crate) const TESTS: &[Test] = &[
    ("a_websocket_may_be_upgraded_to_by_name", websocket_by_name),
    ("short_names_work_for_tcp", short_tcp),
    ("who_speaks_first_is_heard_at_once", greeting),
    ("a_few_letters_without_a_line_end_pass", few_letters),
];

const OURS: &str = "boundary-cases";

/// With and without the filter a script must print just this.
#[track_caller]
fn says(bed: &Bed, script: &str, text: &str) {
    assert_eq!(same(bed, OURS, &[], script), text);
}

/// A script that says something to the odd server, waits as long as its answer takes, and prints
/// that.
fn talk(host: &str, port: u16, text: &str) -> String {
    format!("{{ printf '{text}'; sleep 1; }} | timeout 6 nc {host} {port}")
}

/// Asks for a protocol, and speaks it.
fn upgrade(host: &str, port: u16, protocol: &str) -> String {
    format!(
        "{{ printf 'GET /up HTTP/1.1\\r\\nHost: {host}:{port}\\r\\nConnection: Upgrade\\r\\nUpgrade: {protocol}\\r\\n\\r\\n'
          sleep 1; printf 'spoken'; sleep 1; }} | timeout 6 nc {host} {port} | tr -d '\\r' | sed '1p; $!d'; echo"
    )
}

fn websocket_by_name(bed: &Bed) {
    let said = same(bed, OURS, &[], &upgrade("a.wild.test", 8088, "websocket"));
    assert!(said.ends_with("\nspoken\n"), "{said}");
}

#[track_caller]
fn short(bed: &Bed, script: &str, text: &str) {
    assert_eq!(
        same(bed, OURS, &["--dns-search", "wild.test"], script),
        text
    );
}

fn short_tcp(bed: &Bed) {
    short(bed, &talk("a", 5432, "hi"), "hi");
}

/// By the container's own clock.
fn greeting(bed: &Bed) {
    says(
        bed,
        "sleep 2 | timeout 1.5 nc a.wild.test 22",
        "SSH-2.0-little\r\n",
    );
}

/// `ZooKeeper`'s four-letter words.
fn few_letters(bed: &Bed) {
    for word in ["ruok", "mntr", "GE"] {
        let script =
            format!("{{ printf {word}; sleep 2; }} | timeout 6 nc a.wild.test 5432; echo; echo $?");
        says(bed, &script, &format!("{word}\n0\n"));
    }
}
