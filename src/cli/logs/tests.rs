//! Finding, following and showing audit files, those with hostile bytes in them too.

use std::sync::mpsc;

use super::*;
use crate::audit::{Direction, Journal, Subject};
use crate::policy::Denial;

fn args(id: &str, json: bool, follow: bool) -> LogsArguments {
    LogsArguments { follow, json, id: id.to_owned() }
}

fn subject(name: &str) -> Subject {
    Subject {
        kind: Kind::Https,
        direction: Direction::Out,
        source: "10.0.0.2:40000".parse().unwrap(),
        destination: "192.0.2.7:443".parse().unwrap(),
        name: Some(name.to_owned()),
        method: None,
        path: None,
        number: None,
    }
}

fn deny(journal: &Journal, name: &str) {
    let (reason, suggestion) = ("no rule allows it".to_owned(), Some(format!("domain={name}")));
    journal.begin(subject(name)).deny(&Denial { reason, rule: None, suggestion });
}

fn shown(args: &LogsArguments, path: &Path) -> String {
    let mut out = Vec::new();
    show(args, path, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn an_id_is_abbreviated_as_docker_does() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["abc123.jsonl", "abd456.jsonl", "ab.jsonl", "old789.jsonl.1", "notes.txt"] {
        File::create(directory.path().join(name)).unwrap();
    }
    let find = |id: &str| find(directory.path(), id).map_err(|error| error.to_string());
    assert_eq!(find("abc"), Ok(directory.path().join("abc123.jsonl")));
    assert_eq!(find("ab"), Ok(directory.path().join("ab.jsonl")));
    assert_eq!(find("old"), Ok(directory.path().join("old789.jsonl")));
    assert_eq!(find("a"), Err("a may be any of 3: ab, abc123, abd456".to_owned()));
    for none in ["", "x", "notes", "../abc123", "abc123.jsonl"] {
        assert!(find(none).unwrap_err().starts_with("no records of a container"), "{none}");
    }
}

#[test]
fn a_person_reads_verdict_target_reason_and_what_would_help() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.jsonl");
    let journal = Journal::open(&path, "c", "default").unwrap();
    deny(&journal, "evil.test");
    let mut entry = journal.begin(subject("good.test"));
    entry.allowed("domain=good.test", Some("198.51.100.1".parse().unwrap()));
    entry.finish(5, 7, None);
    let text = shown(&args("c", false, false), &path);
    let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(
        lines[0],
        "DENY  https evil.test (192.0.2.7:443): no rule allows it; would be allowed by domain=evil.test"
    );
    assert!(lines[1].starts_with("ALLOW https good.test (198.51.100.1:443) by domain=good.test [5 B out, 7 B in, "));
}

#[test]
fn a_person_reads_a_notice_as_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c1.jsonl");
    Journal::open(&path, "c1", "default").unwrap().notice("something is off");
    assert!(shown(&args("c1", false, false), &path).ends_with(" NOTE  something is off\n"));
    assert!(shown(&args("c1", true, false), &path).ends_with("\"notice\":\"something is off\"}\n"));
}

#[test]
fn json_is_the_line_as_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.jsonl");
    deny(&Journal::open(&path, "c", "default").unwrap(), "evil.test");
    assert_eq!(shown(&args("c", true, false), &path), std::fs::read_to_string(&path).unwrap());
}

#[test]
fn the_file_put_aside_comes_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.jsonl");
    deny(&Journal::open(&path, "c", "default").unwrap(), "first.test");
    std::fs::rename(&path, set_aside(&path)).unwrap();
    deny(&Journal::open(&path, "c", "default").unwrap(), "second.test");
    let text = shown(&args("c", false, false), &path);
    assert!(text.find("first.test").unwrap() < text.find("second.test").unwrap());
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn what_is_no_record_can_do_nothing_to_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.jsonl");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"\x1b[2J{\"torn\n\xff\xfe\r\n\n").unwrap();
    file.write_all(&vec![b'x'; 2 * MAX_LINE]).unwrap();
    file.write_all(b"\nno end").unwrap();
    for json in [false, true] {
        let text = shown(&args("c", json, false), &path);
        assert!(text.starts_with("\\u{1b}[2J{\"torn\n"));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().all(|line| line.len() <= MAX_LINE));
    }
}

/// Hands every line over to the test; reports a closed pipe once the test has seen enough.
struct Lines(mpsc::SyncSender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.send(text).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn following_goes_on_across_rotation_and_ends_with_the_reader() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.jsonl");
    deny(&Journal::open(&path, "c", "default").unwrap(), "n1.test");
    let (sender, receiver) = mpsc::sync_channel(0);
    let follower = std::thread::spawn({
        let path = path.clone();
        move || show(&args("c", true, true), &path, &mut Lines(sender)).unwrap_err().kind()
    });
    let wait_for = |name: &str| {
        let mut seen = String::new();
        while !seen.contains(name) {
            seen.push_str(&receiver.recv_timeout(Duration::from_secs(10)).unwrap());
        }
    };
    wait_for("n1.test");
    deny(&Journal::open(&path, "c", "default").unwrap(), "n2.test");
    std::fs::rename(&path, set_aside(&path)).unwrap();
    deny(&Journal::open(&path, "c", "default").unwrap(), "n3.test");
    wait_for("n2.test");
    wait_for("n3.test");
    drop(receiver);
    deny(&Journal::open(&path, "c", "default").unwrap(), "n4.test");
    assert_eq!(follower.join().unwrap(), io::ErrorKind::BrokenPipe);
}
