//! Files with everything in them that a file may have, and what is read of them.

use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::fixture::{Script, named, of_pod};
use super::*;
use crate::audit::line::{Ended, Event, Totals};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn recorded(folder: &Path, id: &str) -> RecordFiles {
    Directory::new(folder)
        .list(usize::MAX)
        .unwrap()
        .into_iter()
        .find(|recorded| recorded.id == id)
        .unwrap()
}

/// All that a container's files tell, each as a word; what is left at the end as in a container
/// that runs, or is over.
fn told(folder: &Path, id: &str, left: Standing) -> Vec<String> {
    let (mut stream, mut fold) = (
        LineStream::open(&recorded(folder, id)).unwrap(),
        Fold::default(),
    );
    while let Some(entry) = stream.next_line().unwrap() {
        fold.feed(entry);
    }
    fold.leave(left);
    std::iter::from_fn(|| fold.tell())
        .map(|told| word(&told))
        .collect()
}

fn word(told: &Told) -> String {
    match told {
        Told::Attempt(attempt) => {
            let name = attempt.line.name.as_deref().unwrap_or("?");
            let verdict = if attempt.denied() {
                "denied"
            } else {
                "allowed"
            };
            format!(
                "{verdict} {name} {:?} {}",
                attempt.standing,
                attempt.line.bytes_out.unwrap_or_default()
            )
        }
        Told::Event(line) => format!("{:?}", line.event),
        Told::Other(text) => text.clone(),
    }
}

#[test]
fn the_lines_of_a_flow_are_one_attempt_corrected_by_the_later_ones() {
    let folder = folder();
    let mut script = Script::of("c");
    script.start(named("web"));
    let first = script.open("a.test");
    let second = script.open("b.test");
    script
        .update(first, 5)
        .deny("evil.test")
        .end(second, 7, Ended::Closed)
        .end(first, 9, Ended::Reset);
    let corrected = script.open("c.test");
    script.line(Event::End, |line| {
        line.flow = Some(corrected);
        line.verdict = Some(crate::audit::line::RecordedVerdict::Deny);
        line.name = Some("read-later.test".to_owned());
    });
    script.stop(2, 2).write(folder.path(), "c.jsonl");
    let expected = [
        "Start",
        "denied evil.test Over 0",
        "allowed b.test Over 7",
        "allowed a.test Over 9",
        "denied read-later.test Over 0",
        "Stop",
    ];
    assert_eq!(told(folder.path(), "c", Standing::Open), expected);
}

#[test]
fn what_a_gateways_end_leaves_is_cut_and_what_runs_is_open() {
    let folder = folder();
    let mut script = Script::of("c");
    script.start(named("web")).open("stopped.test");
    script
        .stop(1, 0)
        .wait(60)
        .start(named("web"))
        .open("killed.test");
    // Killed: no `stop`.
    script.start(named("web")).open("last.test");
    script.write(folder.path(), "c.jsonl");
    let mut expected = [
        "Start",
        "allowed stopped.test Cut 0",
        "Stop",
        "Start",
        "allowed killed.test Cut 0",
        "Start",
        "allowed last.test Open 0",
    ];
    assert_eq!(told(folder.path(), "c", Standing::Open), expected);
    expected[6] = "allowed last.test Cut 0";
    assert_eq!(told(folder.path(), "c", Standing::Cut), expected);
}

#[test]
fn a_rotation_begins_no_gateway_and_ends_no_attempt() {
    let folder = folder();
    let mut script = Script::of("c");
    let began = script.time();
    script.begin(&began, named("web"));
    let flow = script.open("long.test");
    script.write(folder.path(), "c.jsonl.1");
    script
        .begin(&began, named("web"))
        .end(flow, 4, Ended::Closed)
        .write(folder.path(), "c.jsonl");
    assert_eq!(
        told(folder.path(), "c", Standing::Open),
        ["Start", "allowed long.test Over 4"]
    );
    // Its beginning isn't kept: it is told all the same, as the allowed one that it was.
    std::fs::remove_file(folder.path().join("c.jsonl.1")).unwrap();
    assert_eq!(
        told(folder.path(), "c", Standing::Open),
        ["Start", "allowed ? Over 4"]
    );
}

#[test]
fn what_is_no_line_of_this_version_is_a_clean_text_and_hides_no_other() {
    let folder = folder();
    let mut script = Script::of("c");
    let old = r#"{"v":1,"seq":1,"time":"t","container":"c","verdict":"deny"}"#;
    script
        .raw(old.as_bytes())
        .raw(b"\n{\"v\":2,\"seq\":7,\"ti\0\0\0\0\n\0\0\0")
        .deny("a.test");
    script
        .raw(b"\n\n\0\0\n\xff\x1b[2J\r\n")
        .raw(&vec![b'x'; 3 * MAX_LINE])
        .raw(b"\n")
        .deny("b.test");
    script
        .raw(b"{\"v\":3}\n[]\n\"\"\n{\"torn")
        .write(folder.path(), "c.jsonl");
    let expected = [
        old.to_owned(),
        "{\"v\":2,\"seq\":7,\"ti".to_owned(),
        "denied a.test Over 0".to_owned(),
        "\\u{fffd}\\u{1b}[2J\\u{d}".to_owned(),
        "x".repeat(MAX_LINE),
        "denied b.test Over 0".to_owned(),
        "{\"v\":3}".to_owned(),
        "[]".to_owned(),
        "\"\"".to_owned(),
    ];
    assert_eq!(told(folder.path(), "c", Standing::Open), expected);
}

#[test]
fn a_line_that_comes_in_pieces_is_read_once_it_is_whole() {
    let folder = folder();
    let mut script = Script::of("c");
    script
        .deny("a.test")
        .raw(&vec![b'y'; MAX_LINE])
        .write(folder.path(), "c.jsonl");
    let mut stream = LineStream::open(&recorded(folder.path(), "c")).unwrap();
    assert!(stream.next_line().unwrap().unwrap().line.is_some());
    // As much of it as is ever read.
    assert_eq!(stream.next_line().unwrap().unwrap().raw.len(), MAX_LINE);
    for piece in [&b"yyy"[..], b"yy\n{\"v\":", b"9"] {
        script.raw(piece).write(folder.path(), "c.jsonl");
        assert!(stream.next_line().unwrap().is_none(), "{piece:?}");
    }
    script
        .raw(b"}\n")
        .deny("b.test")
        .write(folder.path(), "c.jsonl");
    assert_eq!(stream.next_line().unwrap().unwrap().raw, b"{\"v\":9}");
    assert!(stream.next_line().unwrap().unwrap().line.is_some());
}

#[test]
fn reading_goes_on_across_rotation_removal_and_a_new_file() {
    let folder = folder();
    let (mut script, path) = (Script::of("c"), folder.path().join("c.jsonl"));
    let deny = |script: &mut Script, name: &str| script.deny(name).write(folder.path(), "c.jsonl");
    deny(&mut script, "n1");
    let mut stream = LineStream::open(&recorded(folder.path(), "c")).unwrap();
    let mut names = || -> Vec<String> {
        std::iter::from_fn(|| stream.next_line().unwrap())
            .map(|entry| entry.line.unwrap().name.unwrap())
            .collect()
    };
    assert_eq!(names(), ["n1"]);
    deny(&mut script, "n2");
    std::fs::rename(&path, folder.path().join("c.jsonl.1")).unwrap();
    deny(&mut script, "n3");
    assert_eq!(names(), ["n2", "n3"]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(names(), [""; 0]);
    deny(&mut script, "n4");
    assert_eq!(names(), ["n4"]);
}

#[test]
fn links_fifos_and_folders_are_not_read() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    Script::of("c")
        .deny("secret.test")
        .write(folder.path(), "secret");
    std::os::unix::fs::symlink("secret", at("link.jsonl")).unwrap();
    nix::unistd::mkfifo(&at("fifo.jsonl"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::create_dir(at("folder.jsonl")).unwrap();
    assert_eq!(Directory::new(folder.path()).list(usize::MAX).unwrap(), []);
    // Nor where they took a file's place after it was listed.
    for name in ["link", "fifo", "folder"] {
        Script::of(name)
            .deny("a.test")
            .write(folder.path(), "plain.jsonl");
        let listed = recorded(folder.path(), "plain");
        std::fs::rename(at("plain.jsonl"), at("away")).unwrap();
        std::fs::rename(at(&format!("{name}.jsonl")), at("plain.jsonl")).unwrap();
        assert!(LineStream::open(&listed).is_err(), "{name}");
        std::fs::rename(at("plain.jsonl"), at("done")).unwrap();
        let _ = std::fs::remove_file(at("done")).or_else(|_| std::fs::remove_dir(at("done")));
    }
}

#[test]
fn the_lines_of_several_containers_come_by_their_time() {
    let folder = folder();
    let (mut one, mut other) = (Script::of("one"), Script::of("other"));
    one.deny("n0");
    other.wait(1).deny("n1");
    one.wait(1).deny("n2").deny("n3");
    other.wait(2).deny("n4");
    one.write(folder.path(), "one.jsonl");
    other.write(folder.path(), "other.jsonl");
    let mut streams = MergedLines::open(&Directory::new(folder.path()).list(9).unwrap()).unwrap();
    let next = std::iter::from_fn(|| streams.next_line().unwrap());
    let seen: Vec<_> = next
        .map(|(place, entry)| (place, entry.line.unwrap().name.unwrap()))
        .collect();
    let expected = [(0, "n0"), (1, "n1"), (0, "n2"), (0, "n3"), (1, "n4")];
    assert_eq!(seen, expected.map(|(place, name)| (place, name.to_owned())));
}

#[test]
fn a_glance_tells_who_it_is_how_it_ended_and_the_sums() {
    let folder = folder();
    let overview = |id: &str| Overview::of(&recorded(folder.path(), id)).unwrap().unwrap();
    let mut script = Script::of("over");
    // The sums are the last line's, whatever stands between.
    script
        .start(named("web"))
        .deny("a.test")
        .stop(70, 80)
        .write(folder.path(), "over.jsonl");
    let over = overview("over");
    assert_eq!(
        over.about.as_ref().unwrap().identity.name.as_deref(),
        Some("web")
    );
    assert_eq!(
        over.end,
        RecordEnd::Stopped("2023-11-14T22:13:22.000Z".to_owned())
    );
    assert_eq!(
        (
            over.totals().unwrap().allowed,
            over.totals().unwrap().denied
        ),
        (70, 80)
    );

    let mut script = Script::of("killed");
    script
        .start(of_pod("shop", "web-0"))
        .deny("before.test")
        .start(of_pod("shop", "web-0"));
    script.open("a.test");
    script.deny("b.test").line(Event::End, |line| {
        line.verdict = Some(crate::audit::line::RecordedVerdict::Deny);
        line.count = Some(1000);
    });
    script.raw(&[0; 5000]).write(folder.path(), "killed.jsonl");
    let killed = overview("killed");
    assert_eq!(
        killed.end,
        RecordEnd::Unknown("2023-11-14T22:13:25.000Z".to_owned())
    );
    // Of the last gateway.
    assert_eq!(
        (
            killed.totals().unwrap().allowed,
            killed.totals().unwrap().denied
        ),
        (1, 1001)
    );

    // In a long file, too, and of one that has only what was put aside.
    let mut script = Script::of("long");
    script.start(named("long"));
    for _ in 0..1000 {
        script.deny("a.test");
    }
    script.stop(0, 1000).write(folder.path(), "long.jsonl.1");
    assert_eq!(overview("long").totals().unwrap().denied, 1000);
    assert_eq!(overview("long").began(), "2023-11-14T22:13:20.000Z");

    Script::of("old")
        .raw(b"{\"v\":1}\n")
        .write(folder.path(), "old.jsonl");
    assert!(overview("old").about.is_none());
    assert_eq!(overview("old").totals().unwrap(), Totals::default());
    let gone = recorded(folder.path(), "old");
    std::fs::remove_file(folder.path().join("old.jsonl")).unwrap();
    assert!(Overview::of(&gone).unwrap().is_none());
}

#[test]
fn sums_are_by_place_and_bounded() {
    let folder = folder();
    let mut script = Script::of("c");
    for number in 0..10_050 {
        script.deny(&format!("n{number}.test"));
    }
    let first = script.time();
    script
        .deny("n0.test")
        .deny("late.test")
        .write(folder.path(), "c.jsonl");
    let (mut stream, mut fold) = (
        LineStream::open(&recorded(folder.path(), "c")).unwrap(),
        Fold::default(),
    );
    let mut tally = Tally::default();
    while let Some(entry) = stream.next_line().unwrap() {
        fold.feed(entry);
        while let Some(Told::Attempt(attempt)) = fold.tell() {
            tally.add(attempt);
        }
    }
    assert_eq!((tally.total.denied, tally.others.denied), (10_052, 51));
    let rows = tally.rows();
    assert_eq!(rows.len(), 10_000);
    assert_eq!(
        (rows[0].0.name.as_deref(), rows[0].1.denied),
        (Some("n0.test"), 2)
    );
    assert_eq!(
        (rows[0].1.first.as_str(), rows[0].1.last.as_str()),
        ("2023-11-14T22:13:20.000Z", first.as_str())
    );
    assert_eq!(rows[0].1.suggestion.as_deref(), Some("domain=n0.test"));
}

#[test]
fn open_attempts_are_remembered_in_bounded_number() {
    let mut script = Script::of("c");
    let folder = folder();
    for _ in 0..20_000 {
        script.open("a.test");
    }
    script.write(folder.path(), "c.jsonl");
    let (mut stream, mut fold) = (
        LineStream::open(&recorded(folder.path(), "c")).unwrap(),
        Fold::default(),
    );
    while let Some(entry) = stream.next_line().unwrap() {
        fold.feed(entry);
    }
    assert_eq!(std::iter::from_fn(|| fold.tell()).count(), 20_000 - 16_384);
    fold.tell_open();
    assert_eq!(std::iter::from_fn(|| fold.tell()).count(), 16_384);
    fold.tell_open();
    assert_eq!(std::iter::from_fn(|| fold.tell()).count(), 0);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let folder = folder();
        Script::of("c").raw(&bytes).raw(b"\n").write(folder.path(), "c.jsonl");
        for text in told(folder.path(), "c", Standing::Open) {
            prop_assert!(text.chars().all(|c| !c.is_control()));
        }
        Overview::of(&recorded(folder.path(), "c")).unwrap().unwrap().totals().unwrap();
    }
}
