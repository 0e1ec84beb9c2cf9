//! Each attempt's lines, whatever becomes of it; a gateway's first and last; and a bounded file.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::audit::entry::UNDECIDED;
use crate::audit::line::{Ended, Side};
use crate::audit::test_attempts::{AttemptSummary, attempts, lines};
use crate::audit::{Direction, End, Kind, Subject};
use crate::policy::{Denial, Grounds};

fn subject() -> Subject {
    Subject {
        kind: Kind::Http,
        direction: Direction::Out,
        source: "10.0.0.2:40000".parse().unwrap(),
        destination: "192.0.2.7:80".parse().unwrap(),
        name: Some("allowed.test".to_owned()),
        method: Some("GET".to_owned()),
        path: Some("/a?token=secret".to_owned()),
        number: None,
    }
}

fn denial() -> Denial {
    Denial {
        reason: "no rule allows it".to_owned(),
        rule: None,
        suggestion: Some("domain=a.test".to_owned()),
        approvable: None,
    }
}

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("audit/c1.jsonl")
    }

    fn journal(&self) -> Journal {
        Journal::open(&self.path(), "c1", About::default()).unwrap()
    }

    fn records(&self) -> Vec<AttemptSummary> {
        attempts(&self.path())
    }

    fn lines(&self) -> Vec<Line> {
        lines(&self.path())
    }

    fn numbers(&self) -> Vec<u64> {
        self.lines().iter().map(|line| line.seq).collect()
    }

    fn events(&self) -> Vec<Event> {
        self.lines().iter().map(|line| line.event).collect()
    }
}

fn by_name() -> Grounds {
    Grounds::rule("allow domain=allowed.test")
}

#[test]
fn an_allowed_attempt_is_a_line_when_it_opens_and_one_when_it_ends() {
    let bench = Bench::new();
    let mut entry = bench.journal().begin(subject());
    entry.allowed(&by_name(), Some("198.51.100.1".parse().unwrap()));
    assert_eq!(bench.events(), [Event::Start]);
    entry.open().unwrap();
    entry.open().unwrap();
    assert_eq!(bench.events(), [Event::Start, Event::Open]);
    entry.traffic().add_out(10);
    entry.traffic().add_back(20);
    entry.finish(End::closed(Side::Server));
    let lines = bench.lines();
    assert_eq!(bench.events(), [Event::Start, Event::Open, Event::End]);
    assert_eq!((lines[1].flow, lines[2].flow), (Some(2), Some(2)));
    assert_eq!(
        (lines[1].verdict, lines[2].verdict, lines[2].protocol),
        (Some(RecordedVerdict::Allow), None, None)
    );
    let record = &bench.records()[0];
    assert_eq!(
        record.address,
        "198.51.100.1".parse::<std::net::IpAddr>().unwrap()
    );
    assert_eq!((record.bytes_out, record.bytes_in), (10, 20));
    assert_eq!(
        (record.ended, record.by),
        (Some(Ended::Closed), Some(Side::Server))
    );
    assert_eq!(
        (record.path.as_deref(), record.rule.as_deref()),
        (Some("/a"), Some("allow domain=allowed.test"))
    );
    assert!(
        lines[1].time.ends_with('Z') && lines[1].time.len() == "2024-01-01T00:00:00.000Z".len()
    );
}

#[test]
fn what_is_over_before_anything_goes_out_is_one_line() {
    let bench = Bench::new();
    let journal = bench.journal();
    let mut entry = journal.begin(subject());
    entry.allowed(&by_name(), None);
    entry.finish(End::unreachable("no such host"));
    journal.begin(subject()).deny(&denial());
    assert_eq!(bench.events(), [Event::Start, Event::End, Event::End]);
    let records = bench.records();
    assert_eq!(
        (records[0].verdict.as_str(), records[0].ended),
        ("allow", Some(Ended::Unreachable))
    );
    assert_eq!(
        (records[1].verdict.as_str(), records[1].ended),
        ("deny", None)
    );
    assert_eq!(records[1].suggestion.as_deref(), Some("domain=a.test"));
    let Totals {
        allowed, denied, ..
    } = journal.status().totals;
    assert_eq!((allowed, denied), (1, 1));
}

#[test]
fn a_denial_wins_over_an_earlier_allow() {
    let bench = Bench::new();
    let journal = bench.journal();
    let mut entry = journal.begin(subject());
    entry.allowed(&by_name(), None);
    entry.open().unwrap();
    entry.allowed(&by_name(), Some("169.254.169.254".parse().unwrap()));
    entry.deny(&denial());
    let record = &bench.records()[0];
    assert_eq!(
        (record.verdict.as_str(), record.events.as_slice()),
        ("deny", [Event::Open, Event::End].as_slice())
    );
    assert_eq!(
        record.address,
        "192.0.2.7".parse::<std::net::IpAddr>().unwrap()
    );
    let status = journal.status();
    assert_eq!(
        (status.totals.allowed, status.totals.denied, status.open),
        (0, 1, 0)
    );
    assert!(
        status
            .last_denial
            .unwrap()
            .contains("http 192.0.2.7:80 (allowed.test): no rule allows it")
    );
}

#[test]
fn what_is_learnt_after_the_opening_is_said_with_the_end() {
    let bench = Bench::new();
    let mut entry = bench.journal().begin(Subject {
        name: None,
        kind: Kind::Tcp,
        ..subject()
    });
    entry.allowed(&Grounds::rule("any"), None);
    entry.open().unwrap();
    (entry.subject().kind, entry.subject().name) = (Kind::Https, Some("a.test".to_owned()));
    entry.allowed(&by_name(), Some("198.51.100.1".parse().unwrap()));
    entry.finish(End::closed(Side::Client));
    let lines = bench.lines();
    assert_eq!(
        (lines[1].protocol, lines[2].protocol, lines[2].verdict),
        (Some(Kind::Tcp), Some(Kind::Https), None)
    );
    let record = &bench.records()[0];
    assert_eq!(
        (record.name.as_deref(), record.rule.as_deref()),
        (Some("a.test"), Some("allow domain=allowed.test"))
    );
    assert_eq!(
        record.address,
        "198.51.100.1".parse::<std::net::IpAddr>().unwrap()
    );
}

#[test]
fn a_dropped_entry_is_written_as_cut() {
    let bench = Bench::new();
    let journal = bench.journal();
    drop(journal.begin(subject()));
    let mut entry = journal.begin(subject());
    entry.allowed(&by_name(), None);
    entry.open().unwrap();
    entry.traffic().add_out(7);
    drop(entry);
    let records = bench.records();
    assert_eq!(
        (records[0].verdict.as_str(), records[0].reason.as_deref()),
        ("deny", Some(UNDECIDED))
    );
    assert_eq!(
        (records[1].verdict.as_str(), records[1].ended),
        ("allow", Some(Ended::Cut))
    );
    assert_eq!(
        (records[1].by, records[1].bytes_out),
        (Some(Side::Gateway), 7)
    );
    assert_eq!(journal.status().open, 0);
}

/// Says that a part has arrived.
#[derive(Debug)]
struct Half;

impl super::super::Delivered for Half {
    fn delivered(&self, _: bool) -> (u64, u64) {
        (50, 5000)
    }
}

#[test]
fn of_what_is_broken_off_counts_what_has_arrived_and_of_what_ends_in_order_all() {
    let bench = Bench::new();
    for end in [End::reset(Side::Client, None), End::closed(Side::Client)] {
        let mut entry = bench.journal().begin(subject());
        entry.allowed(&by_name(), None);
        let traffic = entry.traffic();
        traffic.measure_by(Half);
        traffic.add_out(100);
        traffic.add_back(100);
        entry.finish(end);
    }
    let bytes: Vec<_> = bench
        .records()
        .iter()
        .map(|record| (record.bytes_out, record.bytes_in))
        .collect();
    assert_eq!(bytes, [(50, 100), (100, 100)]);
}

#[test]
fn what_breaks_because_the_gateway_ends_is_cut_by_it() {
    let bench = Bench::new();
    let journal = bench.journal();
    let mut entry = journal.begin(subject());
    entry.allowed(&by_name(), None);
    entry.open().unwrap();
    journal.cut_the_rest();
    entry.finish(End::reset(Side::Client, None));
    let record = &bench.records()[0];
    assert_eq!(
        (record.ended, record.by),
        (Some(Ended::Cut), Some(Side::Gateway))
    );
}

#[test]
fn an_open_attempt_is_told_of_each_minute_in_which_something_moved() {
    let bench = Bench::new();
    let journal = bench.journal();
    let mut entry = journal.begin(subject());
    entry.allowed(&by_name(), None);
    entry.open().unwrap();
    journal.write_minute();
    entry.traffic().add_out(9);
    entry.allowed(&by_name(), Some("198.51.100.1".parse().unwrap()));
    assert_eq!(
        (journal.status().open, journal.status().totals.bytes_out),
        (1, 9)
    );
    journal.write_minute();
    journal.write_minute();
    assert_eq!(bench.events(), [Event::Start, Event::Open, Event::Update]);
    let update = &bench.lines()[2];
    assert_eq!(
        (update.flow, update.bytes_out, update.bytes_in),
        (Some(2), Some(9), Some(0))
    );
    assert_eq!(update.address, Some("198.51.100.1".parse().unwrap()));
}

#[test]
fn the_first_line_is_about_the_gateway_and_the_last_sums_it_up() {
    let bench = Bench::new();
    let about = About {
        program: "0.1.0".to_owned(),
        policy: "npm".to_owned(),
        ..About::default()
    };
    let journal = Journal::open(&bench.path(), "c1", about).unwrap();
    journal.notice("a\nb");
    journal.begin(subject()).deny(&denial());
    let mut entry = journal.begin(subject());
    entry.allowed(&by_name(), None);
    entry.open().unwrap();
    entry.traffic().add_out(5);
    entry.finish(End::closed(Side::Client));
    journal.stop("the container has ended");
    let lines = bench.lines();
    assert_eq!(bench.numbers(), [1, 2, 3, 4, 5, 6]);
    let about = lines[0].gateway.as_deref().unwrap();
    assert_eq!(
        (
            about.policy.as_str(),
            about.program.as_str(),
            about.began.is_empty()
        ),
        ("npm", "0.1.0", false)
    );
    assert_eq!(
        (lines[1].event, lines[1].notice.as_deref()),
        (Event::Notice, Some("a\\u{a}b"))
    );
    let totals = Totals {
        allowed: 1,
        denied: 1,
        bytes_out: 5,
        bytes_in: 0,
    };
    assert_eq!(
        (lines[5].event, lines[5].totals),
        (Event::Stop, Some(totals))
    );
    assert_eq!(lines[5].gateway, lines[0].gateway);
    assert_eq!(lines[5].reason.as_deref(), Some("the container has ended"));
}

#[test]
fn numbers_go_on_when_the_file_is_opened_again() {
    let bench = Bench::new();
    bench.journal().stop("");
    bench.journal().stop("");
    assert_eq!(bench.numbers(), [1, 2, 3, 4]);
}

#[test]
fn a_line_torn_by_a_crash_costs_its_number_and_the_next_gateway_says_that_nobody_saw_the_end() {
    let bench = Bench::new();
    bench.journal().begin(subject()).deny(&denial());
    let mut whole = std::fs::read(bench.path()).unwrap();
    whole.extend_from_slice(br#"{"v":2,"seq":3,"time":"20"#);
    File::create(bench.path())
        .and_then(|mut file| io::Write::write_all(&mut file, &whole))
        .unwrap();
    bench.journal().begin(subject()).deny(&denial());
    let text = std::fs::read_to_string(bench.path()).unwrap();
    let lines: Vec<Line> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let told: Vec<_> = lines.iter().map(|line| (line.seq, line.event)).collect();
    let expected = [
        (1, Event::Start),
        (2, Event::End),
        (4, Event::Stop),
        (5, Event::Start),
        (6, Event::End),
    ];
    assert_eq!(told, expected);
    assert_eq!(lines[2].reason.as_deref(), Some(UNSEEN));
}

#[test]
fn a_gateway_that_was_killed_gets_a_last_line_once_with_what_its_lines_tell() {
    let bench = Bench::new();
    let journal = bench.journal();
    let mut open = journal.begin(subject());
    for end in [End::closed(Side::Client), End::unreachable("")] {
        let mut entry = journal.begin(subject());
        entry.allowed(&by_name(), None);
        entry.open().unwrap();
        entry.traffic().add_out(3);
        entry.finish(end);
    }
    (0..150).for_each(|_| journal.begin(subject()).deny(&denial()));
    let mut late = journal.begin(subject());
    late.allowed(&by_name(), None);
    late.open().unwrap();
    late.deny(&denial());
    open.allowed(&by_name(), None);
    open.open().unwrap();
    journal.write_minute();
    let live = journal.status().totals;
    for expected in [true, false] {
        assert_eq!(
            last::write(&bench.path(), "c1", || "killed".to_owned()).unwrap(),
            expected
        );
    }
    let lines = bench.lines();
    let stop = lines.last().unwrap();
    assert_eq!(
        (stop.event, stop.reason.as_deref(), stop.totals),
        (Event::Stop, Some("killed"), Some(live))
    );
    assert_eq!(
        (&stop.gateway, stop.gateway.is_some()),
        (&lines[0].gateway, true)
    );
    assert_eq!((live.allowed, live.denied, live.bytes_out), (3, 151, 6));
    assert!(!last::write(&bench.directory.path().join("none"), "c1", String::new).unwrap());
}

#[test]
fn only_what_tells_of_an_attempt_or_an_odd_end_is_worth_keeping() {
    let bench = Bench::new();
    let journal = bench.journal();
    journal.notice("something");
    journal.stop(last::CONTAINER_ENDED);
    assert!(!last::is_worth_keeping(&bench.path()));
    bench.journal().stop("killed");
    assert!(last::is_worth_keeping(&bench.path()));
    let bench = Bench::new();
    bench.journal().begin(subject()).deny(&denial());
    assert!(last::is_worth_keeping(&bench.path()));
    assert!(last::is_worth_keeping(&bench.directory.path().join("none")));
}

#[test]
fn the_last_line_of_a_panic_is_one_like_the_others() {
    let bench = Bench::new();
    let journal = bench.journal();
    journal.begin(subject()).deny(&denial());
    journal.stop_at_panic(&"at src/x.rs:\n \"index\" out of \u{1b}bounds");
    let lines = bench.lines();
    let stop = lines.last().unwrap();
    assert_eq!(
        (stop.event, stop.seq, stop.container.as_str()),
        (Event::Stop, 3, "c1")
    );
    let totals = Totals {
        denied: 1,
        ..Totals::default()
    };
    assert_eq!((stop.totals, stop.v), (Some(totals), SCHEMA));
    assert_eq!(
        stop.reason.as_deref(),
        Some("the filter panicked: at src/x.rs:  'index' out of ?bounds")
    );
}

#[test]
fn a_full_file_is_put_aside_and_each_file_says_whose_it_is() {
    let bench = Bench::new();
    let journal = Journal::open_bounded(&bench.path(), "c1", About::default(), 600).unwrap();
    (0..5).for_each(|_| journal.begin(subject()).deny(&denial()));
    let aside = bench.path().with_extension("jsonl.1");
    let (old, new) = (lines(&aside), bench.lines());
    assert_eq!([old[0].event, new[0].event], [Event::Start; 2]);
    assert_eq!(old[0].gateway, new[0].gateway);
    let numbers: Vec<_> = old.iter().chain(&new).map(|line| line.seq).collect();
    assert!(
        numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "{numbers:?}"
    );
    assert!(std::fs::metadata(bench.path()).unwrap().len() < 1200);
}

#[test]
fn numbers_go_on_from_the_file_put_aside_where_no_new_one_was_begun() {
    let bench = Bench::new();
    bench.journal().stop("");
    std::fs::rename(bench.path(), bench.path().with_extension("jsonl.1")).unwrap();
    bench.journal().begin(subject()).deny(&denial());
    assert_eq!(bench.numbers(), [3, 4]);
}

#[test]
fn a_file_removed_under_us_is_made_anew_within_a_second_and_what_was_lost_shows() {
    let bench = Bench::new();
    let journal = bench.journal();
    std::fs::remove_file(bench.path()).unwrap();
    let (mut before, removed) = (1, Instant::now());
    while !bench.path().exists() {
        assert!(removed.elapsed() < Duration::from_secs(5));
        journal.notice("still there");
        before += 1;
    }
    assert_eq!(bench.numbers(), [before, before + 1]);
    assert!(before > 10, "it was looked at with each line");
}

#[test]
fn a_file_that_somebody_cuts_is_full_only_when_it_is() {
    let bench = Bench::new();
    let journal = Journal::open_bounded(&bench.path(), "c1", About::default(), 1000).unwrap();
    let aside = bench.path().with_extension("jsonl.1");
    for _ in 0..20 {
        journal.notice("not much");
        let file = std::fs::OpenOptions::new().write(true).open(bench.path());
        file.unwrap().set_len(0).unwrap();
        assert!(!aside.exists());
    }
}

#[test]
fn where_its_file_was_renamed_it_goes_on_in_one_of_the_old_name() {
    let bench = Bench::new();
    let journal = bench.journal();
    journal.begin(subject()).deny(&denial());
    let aside = bench.directory.path().join("audit/c1.jsonl-20240501");
    std::fs::rename(bench.path(), &aside).unwrap();
    journal.go_on_elsewhere();
    journal.begin(subject()).deny(&denial());
    assert_eq!(
        (lines(&aside).len(), bench.events()),
        (2, vec![Event::Start, Event::End])
    );
    assert_eq!(bench.numbers(), [3, 4]);
}

#[test]
fn while_lines_are_lost_nothing_opens_and_each_attempt_tries_again() {
    let bench = Bench::new();
    let journal = bench.journal();
    (0..200).for_each(|_| journal.begin(subject()).deny(&denial()));
    let written = bench.numbers().len() as u64;
    // A directory in the file's place: it can't be opened.
    std::fs::remove_file(bench.path()).unwrap();
    std::fs::create_dir(bench.path()).unwrap();
    journal.go_on_elsewhere();
    let mut entry = journal.begin(subject());
    entry.allowed(&by_name(), None);
    assert_eq!(
        entry.open(),
        Err(Denial::because("the record can't be written"))
    );
    entry.deny(&denial());
    assert!(!journal.status().healthy);
    std::fs::remove_dir(bench.path()).unwrap();
    let mut entry = journal.begin(subject());
    entry.allowed(&by_name(), None);
    entry.open().unwrap();
    assert!(journal.status().healthy);
    // Two lines are lost, and their numbers.
    assert_eq!(bench.numbers(), [written + 3, written + 4]);
}

#[test]
fn a_flood_leaves_a_hundred_lines_and_a_count() {
    let bench = Bench::new();
    let journal = bench.journal();
    (0..30_000).for_each(|_| journal.begin(subject()).deny(&denial()));
    journal.write_minute();
    assert_eq!(bench.numbers(), (1..=102).collect::<Vec<_>>());
    let lines = bench.lines();
    let count = lines.last().unwrap();
    assert_eq!((count.count, count.flow), (Some(29_900), None));
    assert!(
        count.first.is_some() && count.first <= count.last,
        "{count:?}"
    );
    assert_eq!(journal.status().totals.denied, 30_000);
}

#[test]
fn neither_a_link_nor_a_fifo_is_written_to() {
    let bench = Bench::new();
    let elsewhere = bench.directory.path().join("elsewhere");
    std::fs::create_dir(bench.directory.path().join("audit")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bench.path()).unwrap();
    assert!(Journal::open(&bench.path(), "c1", About::default()).is_err());
    assert!(!elsewhere.exists());
    std::fs::remove_file(bench.path()).unwrap();
    nix::unistd::mkfifo(&bench.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(Journal::open(&bench.path(), "c1", About::default()).is_err());
}

#[test]
fn others_can_neither_read_the_file_nor_list_its_directory() {
    let bench = Bench::new();
    bench.journal().begin(subject()).deny(&denial());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o007;
    assert_eq!(
        (mode(&bench.path()), mode(bench.path().parent().unwrap())),
        (0, 0)
    );
}

proptest! {
    #[test]
    fn hostile_text_stays_on_its_line_and_within_bounds(
        name in any::<String>(), path in ".{0,5000}", method in any::<String>(), reason in any::<String>(),
    ) {
        let bench = Bench::new();
        let hostile = Subject { name: Some(name), path: Some(path), method: Some(method), ..subject() };
        let journal = Journal::open(&bench.path(), "c\n1", About::default()).unwrap();
        journal.begin(hostile).deny(&Denial::because(reason));
        let text = std::fs::read_to_string(bench.path()).unwrap();
        prop_assert_eq!(text.matches('\n').count(), 2);
        prop_assert!(text.len() < 17 << 10);
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        prop_assert_eq!(bench.records().len(), 1);
    }
}
