//! Exactly one line for each attempt, whatever becomes of it, and a bounded file.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::audit::{Direction, Kind};

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
    Denial { reason: "no rule allows it".to_owned(), rule: None, suggestion: Some("domain=a.test".to_owned()) }
}

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("audit/c1.jsonl")
    }

    fn journal(&self) -> Journal {
        Journal::open(&self.path(), "c1", "default").unwrap()
    }

    fn records(&self) -> Vec<Record> {
        read(&self.path())
    }
}

fn read(path: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn an_allowed_attempt_is_one_line_without_its_query() {
    let bench = Bench::new();
    let mut entry = bench.journal().begin(subject());
    entry.allowed("allow domain=allowed.test", Some("198.51.100.1".parse().unwrap()));
    entry.finish(10, 20, None);
    let records = bench.records();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((record.verdict.as_str(), record.seq, record.v), ("allow", 1, SCHEMA));
    assert_eq!(record.address, "198.51.100.1".parse::<IpAddr>().unwrap());
    assert_eq!((record.bytes_out, record.bytes_in), (10, 20));
    assert_eq!(record.path.as_deref(), Some("/a"));
    assert_eq!(record.rule.as_deref(), Some("allow domain=allowed.test"));
    assert!(record.time.ends_with('Z') && record.time.len() == "2024-01-01T00:00:00.000Z".len());
}

#[test]
fn a_denial_wins_over_an_earlier_allow_and_says_what_would_allow_it() {
    let bench = Bench::new();
    let mut entry = bench.journal().begin(subject());
    entry.allowed("allow domain=allowed.test", Some("169.254.169.254".parse().unwrap()));
    entry.deny(&denial());
    let record = &bench.records()[0];
    assert_eq!((record.verdict.as_str(), record.rule.as_deref()), ("deny", None));
    assert_eq!(record.suggestion.as_deref(), Some("domain=a.test"));
    assert_eq!(record.address, "192.0.2.7".parse::<IpAddr>().unwrap());
}

#[test]
fn a_dropped_entry_is_written_as_cut_short() {
    let bench = Bench::new();
    let journal = bench.journal();
    drop(journal.begin(subject()));
    let mut entry = journal.begin(subject());
    entry.allowed("r", None);
    drop(entry);
    let verdicts: Vec<_> = bench.records().into_iter().map(|r| (r.verdict, r.rule, r.reason)).collect();
    let cut_short = Some("cut short".to_owned());
    assert_eq!(
        verdicts,
        [("deny".to_owned(), None, cut_short.clone()), ("allow".to_owned(), Some("r".to_owned()), cut_short)]
    );
}

#[test]
fn numbers_go_on_when_the_file_is_opened_again() {
    let bench = Bench::new();
    bench.journal().begin(subject()).deny(&denial());
    bench.journal().begin(subject()).deny(&denial());
    assert_eq!(bench.records().iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_line_torn_by_a_crash_costs_its_number_and_nothing_else() {
    let bench = Bench::new();
    bench.journal().begin(subject()).deny(&denial());
    let mut whole = std::fs::read(bench.path()).unwrap();
    whole.extend_from_slice(br#"{"v":1,"seq":2,"time":"20"#);
    std::fs::File::create(bench.path()).and_then(|mut file| std::io::Write::write_all(&mut file, &whole)).unwrap();
    bench.journal().begin(subject()).deny(&denial());
    assert_eq!(bench.records().iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_full_file_is_put_aside_and_numbers_go_on() {
    let bench = Bench::new();
    for _ in 0..5 {
        let journal = Journal::open_bounded(&bench.path(), "c1", "default", 600).unwrap();
        journal.begin(subject()).deny(&denial());
        journal.begin(subject()).deny(&denial());
    }
    let (old, new) = (read(&bench.path().with_extension("jsonl.1")), bench.records());
    let numbers: Vec<_> = old.iter().chain(&new).map(|record| record.seq).collect();
    assert_eq!(numbers.last(), Some(&10));
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    assert!(std::fs::metadata(bench.path()).unwrap().len() < 1200);
}

#[test]
fn numbers_go_on_from_the_file_put_aside_where_no_new_one_was_begun() {
    let bench = Bench::new();
    bench.journal().begin(subject()).deny(&denial());
    std::fs::rename(bench.path(), bench.path().with_extension("jsonl.1")).unwrap();
    bench.journal().begin(subject()).deny(&denial());
    assert_eq!(bench.records()[0].seq, 2);
}

#[test]
fn a_file_removed_under_us_is_made_anew() {
    let bench = Bench::new();
    let journal = bench.journal();
    journal.begin(subject()).deny(&denial());
    std::fs::remove_file(bench.path()).unwrap();
    journal.begin(subject()).deny(&denial());
    assert_eq!(bench.records()[0].seq, 2);
}

#[test]
fn a_lost_line_makes_it_unhealthy_and_shows_as_a_gap() {
    let bench = Bench::new();
    let journal = bench.journal();
    journal.begin(subject()).deny(&denial());
    // A directory in the file's place: neither can it be put aside nor opened.
    let put_away = bench.directory.path().join("away");
    std::fs::rename(bench.path(), &put_away).unwrap();
    std::fs::remove_file(&put_away).unwrap();
    std::fs::create_dir(bench.path()).unwrap();
    journal.begin(subject()).deny(&denial());
    assert!(!journal.healthy());
    std::fs::remove_dir(bench.path()).unwrap();
    journal.begin(subject()).deny(&denial());
    assert!(journal.healthy());
    assert_eq!(bench.records()[0].seq, 3);
}

#[test]
fn a_flood_leaves_a_hundred_lines_and_a_count() {
    let bench = Bench::new();
    let journal = bench.journal();
    (0..30_000).for_each(|_| journal.begin(subject()).deny(&denial()));
    journal.write_counts();
    let records = bench.records();
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), (1..=101).collect::<Vec<_>>());
    assert_eq!(records[100].count, Some(29_900));
}

#[test]
fn while_lines_are_lost_each_denial_is_tried() {
    let bench = Bench::new();
    let journal = bench.journal();
    (0..200).for_each(|_| journal.begin(subject()).deny(&denial()));
    std::fs::remove_file(bench.path()).unwrap();
    std::fs::create_dir(bench.path()).unwrap();
    journal.notice("lost");
    assert!(!journal.healthy());
    std::fs::remove_dir(bench.path()).unwrap();
    journal.begin(subject()).deny(&denial());
    assert!(journal.healthy());
}

#[test]
fn a_notice_is_a_line_among_the_records_and_counts_with_them() {
    let bench = Bench::new();
    let journal = bench.journal();
    journal.notice("a\nb");
    journal.begin(subject()).deny(&denial());
    let text = std::fs::read_to_string(bench.path()).unwrap();
    let notice: Notice = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((notice.seq, notice.notice.as_str()), (1, "a\\u{a}b"));
    let record: Record = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!(record.seq, 2);
}

#[test]
fn neither_a_link_nor_a_fifo_is_written_to() {
    let bench = Bench::new();
    let elsewhere = bench.directory.path().join("elsewhere");
    std::fs::create_dir(bench.directory.path().join("audit")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bench.path()).unwrap();
    assert!(Journal::open(&bench.path(), "c1", "default").is_err());
    assert!(!elsewhere.exists());
    std::fs::remove_file(bench.path()).unwrap();
    nix::unistd::mkfifo(&bench.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(Journal::open(&bench.path(), "c1", "default").is_err());
}

#[test]
fn others_can_neither_read_the_file_nor_list_its_directory() {
    let bench = Bench::new();
    bench.journal().begin(subject()).deny(&denial());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o007;
    assert_eq!((mode(&bench.path()), mode(bench.path().parent().unwrap())), (0, 0));
}

proptest! {
    #[test]
    fn hostile_text_stays_on_its_line_and_within_bounds(
        name in any::<String>(), path in ".{0,5000}", method in any::<String>(), reason in any::<String>(),
    ) {
        let bench = Bench::new();
        let hostile = Subject { name: Some(name), path: Some(path), method: Some(method), ..subject() };
        let journal = Journal::open(&bench.path(), "c\n1", "\u{1b}").unwrap();
        journal.begin(hostile).deny(&Denial::because(reason));
        let text = std::fs::read_to_string(bench.path()).unwrap();
        prop_assert_eq!(text.matches('\n').count(), 1);
        prop_assert!(text.len() < 16 << 10);
        prop_assert!(text.trim_end().chars().all(|c| !c.is_control()));
        prop_assert_eq!(bench.records().len(), 1);
    }
}
