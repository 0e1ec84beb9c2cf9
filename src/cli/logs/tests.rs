//! Which records are meant, and how they are shown: now and while they come, with hostile bytes in
//! them too.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::audit::Direction;
use crate::audit::line::ContainerIdentity;
use crate::audit::line::{Ended, Event, Side};
use crate::audit::members::{self, Member};
use crate::audit::reader::fixture::{Script, named, of_pod};

/// `logs` alone, as clap has it.
#[derive(Debug, Parser)]
struct Words {
    #[command(flatten)]
    logs: LogsArguments,
}

const UTC: Zone = Zone { local: false };

fn form() -> ViewOptions {
    ViewOptions {
        json: false,
        follow: false,
        last: None,
        wanted: Wanted::default(),
        zone: UTC,
        paint: Paint::if_wanted(false, None),
    }
}

/// What is shown of a word's containers, while these run.
fn shown_of(folder: &Path, word: &str, form: ViewOptions, running: &[&str]) -> String {
    let containers = choice::choose(&Directory::new(folder), Some(word))
        .unwrap()
        .containers;
    let ids = containers
        .iter()
        .map(|container| container.id.clone())
        .collect();
    let (streams, mut out) = (MergedLines::open(&containers).unwrap(), Vec::new());
    let now = || Ok(Running::of(running.iter().map(|id| (*id).to_owned())));
    View::new(form, ids, &mut out).show(streams, now).unwrap();
    String::from_utf8(out).unwrap()
}

/// The same of container `c`, without times.
fn shown(folder: &TempDir, form: ViewOptions) -> Vec<String> {
    age(folder, "c.jsonl");
    shown_of(folder.path(), "c", form, &[])
        .lines()
        .map(|line| line.split_once(' ').unwrap().1.to_owned())
        .collect()
}

/// Makes a file one that wasn't written to just now.
fn age(folder: &TempDir, name: &str) {
    let file = std::fs::File::options()
        .append(true)
        .open(folder.path().join(name))
        .unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600))
        .unwrap();
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_word_is_an_id_a_name_a_pod_or_the_beginning_of_an_id() {
    let folder = folder();
    let write = |id: &str, wait: u64, identity| {
        Script::of(id)
            .wait(wait)
            .start(identity)
            .write(folder.path(), &format!("{id}.jsonl"));
    };
    write("abc123", 0, named("web"));
    write("abd456", 9, named("web"));
    write("ab", 3, named("db"));
    write("web2", 4, named("abc"));
    write("pod1", 6, of_pod("shop", "cart"));
    write("pod2", 5, of_pod("shop", "cart"));
    write("pod3", 7, of_pod("shop", "till"));
    write("pod4", 8, of_pod("test", "till"));
    Script::of("old")
        .deny("a.test")
        .write(folder.path(), "old789.jsonl.1");
    std::fs::File::create(folder.path().join("notes.txt")).unwrap();
    let choose = |word: Option<&str>| {
        let choice = choice::choose(&Directory::new(folder.path()), word)
            .map_err(|error| error.to_string())?;
        let ids: Vec<_> = choice.containers.into_iter().map(|one| one.id).collect();
        Ok::<_, String>((ids.join(" "), choice.remark))
    };
    for (word, ids) in [
        ("ab", "ab"),
        ("abc", "web2"),
        ("abc1", "abc123"),
        ("db", "ab"),
        ("old", "old789"),
        ("cart", "pod2 pod1"),
        ("shop/cart", "pod2 pod1"),
        ("test/till", "pod4"),
        ("shop/", "pod2 pod1 pod3"),
    ] {
        assert_eq!(choose(Some(word)), Ok((ids.to_owned(), None)), "{word}");
    }
    let remark = "2 containers were named web; showing the newest, abd456".to_owned();
    assert_eq!(choose(Some("web")), Ok(("abd456".to_owned(), Some(remark))));
    assert_eq!(choose(None), Ok(("abd456".to_owned(), None)));
    assert_eq!(
        choose(Some("a")),
        Err("a is ambiguous, it could be any of 3: abc123, ab, abd456".to_owned())
    );
    assert_eq!(
        choose(Some("till")),
        Err("till is ambiguous, it could be any of 2: shop/till, test/till".to_owned())
    );
    for none in [
        "",
        "x",
        "notes",
        "../abc123",
        "abc123.jsonl",
        "other/till",
        "other/",
        "/",
        "/cart",
        "\x1b",
    ] {
        let said = choose(Some(none)).unwrap_err();
        assert!(
            said.starts_with("no records found for ") && !said.contains('\x1b'),
            "{none:?}"
        );
    }
    assert!(choice::choose(&Directory::new(&folder.path().join("none")), None).is_err());
}

#[test]
fn a_person_reads_a_sentence_of_each_thing_that_happened() {
    let folder = folder();
    let mut script = Script::of("c");
    script.start(named("web")).line(Event::Notice, |line| {
        line.notice = Some("something is off".to_owned())
    });
    let (good, late) = (script.open("good.test"), script.open("late.test"));
    script.deny("evil.test").end(good, 5, Ended::Closed);
    script.line(Event::End, |line| {
        (line.flow, line.ended, line.by) = (Some(late), Some(Ended::Reset), Some(Side::Server));
        (line.bytes_out, line.bytes_in, line.duration_ms) =
            (Some(2048), Some(3 << 30), Some(90_500));
    });
    script.line(Event::End, |line| {
        (line.protocol, line.direction, line.number) =
            (Some(crate::audit::Kind::Icmp), Some(Direction::In), Some(8));
        (line.verdict, line.count) = (Some(crate::audit::line::RecordedVerdict::Deny), Some(7));
        (line.address, line.port) = (Some("2001:db8::1".parse().unwrap()), Some(0));
        line.source = Some("[2001:db8::2]:0".parse().unwrap());
    });
    script.end(999, 0, Ended::Closed).open("left.test");
    script.stop(3, 8).write(folder.path(), "c.jsonl");
    let expected = [
        "START web (little:1), policy default (enforce), boundary-shim 0.1.0",
        "NOTE  something is off",
        "DENY  https evil.test (192.0.2.7:443): no rule allows it; would be allowed by domain=evil.test",
        "ALLOW https good.test (192.0.2.7:443) by domain=good.test [5 B out, 10 B in, 1000 ms]",
        "ALLOW https late.test (192.0.2.7:443) by domain=late.test [reset by the server, 2.0 KiB out, 3.0 GiB in, 1m 30s]",
        "DENY  icmp 8 inbound from [2001:db8::2]:0 to [2001:db8::1]:0 (the first of 7 counted together, on several ports)",
        "ALLOW attempt 999 (its beginning is not in the record) [1000 ms]",
        "ALLOW https left.test (192.0.2.7:443) by domain=left.test [cut]",
        "STOP  gateway ended: 3 allowed, 8 denied, 10 B out, 20 B in",
    ];
    assert_eq!(shown(&folder, form()), expected);
}

#[test]
fn names_and_targets_cant_be_taken_for_each_other_or_for_the_words_behind_them() {
    let folder = folder();
    let mut script = Script::of("c");
    script.deny("pypi: no rule allows it; would be allowed by domain=attacker.test");
    for (protocol, name, path) in [
        (
            crate::audit::Kind::Http,
            Some("wild.test"),
            ".attacker.test/x",
        ),
        (crate::audit::Kind::Http, None, "attacker.test:443"),
        (crate::audit::Kind::Http, Some("wild.test"), "/x"),
    ] {
        script.line(Event::End, |line| {
            line.protocol = Some(protocol);
            line.verdict = Some(crate::audit::line::RecordedVerdict::Deny);
            line.name = name.map(str::to_owned);
            line.path = Some(path.to_owned());
            (line.address, line.port) = ("192.0.2.7".parse().ok(), Some(80));
        });
    }
    script.write(folder.path(), "c.jsonl");
    let fake = r"pypi:\u{20}no\u{20}rule\u{20}allows\u{20}it;\u{20}would\u{20}be\u{20}allowed\u{20}by\u{20}domain=attacker.test";
    let expected = [
        &format!(
            "DENY  https {fake} (192.0.2.7:443): no rule allows it; would be allowed by domain="
        ),
        "DENY  http wild.test .attacker.test/x (192.0.2.7:80)",
        "DENY  http 192.0.2.7:80 attacker.test:443",
        "DENY  http wild.test/x (192.0.2.7:80)",
    ];
    let shown = shown(&folder, form());
    assert_eq!(shown.len(), expected.len(), "{shown:#?}");
    for (line, expected) in shown.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn what_let_an_attempt_pass_at_first_is_not_said_of_its_denial() {
    let folder = folder();
    let mut script = Script::of("c");
    let flow = script.open("a.test");
    script.line(Event::End, |line| {
        line.flow = Some(flow);
        line.verdict = Some(crate::audit::line::RecordedVerdict::Deny);
        line.reason = Some("it is never open".to_owned());
    });
    script.write(folder.path(), "c.jsonl");
    let expected = "DENY  https a.test (192.0.2.7:443): it is never open";
    assert_eq!(shown(&folder, form()), [expected]);
}

#[test]
fn what_is_under_way_is_open_only_while_its_gateway_runs() {
    let folder = folder();
    Script::of("c").open("a.test");
    let mut script = Script::of("c");
    script.open("a.test");
    script.write(folder.path(), "c.jsonl");
    age(&folder, "c.jsonl");
    assert!(shown_of(folder.path(), "c", form(), &["c"]).ends_with(" [open]\n"));
    assert!(shown_of(folder.path(), "c", form(), &[]).ends_with(" [cut]\n"));
}

#[test]
fn repeats_are_shown_once_with_their_number_and_what_differs_is_not_one() {
    let folder = folder();
    let mut script = Script::of("c");
    script
        .deny("a.test")
        .deny("a.test")
        .deny("a.test")
        .deny("b.test")
        .deny("a.test");
    for bytes in [1, 2] {
        let flow = script.open("c.test");
        script.end(flow, bytes, Ended::Closed);
    }
    let flow = script.open("c.test");
    script
        .end(flow, 0, Ended::Reset)
        .write(folder.path(), "c.jsonl");
    let ends: Vec<String> = shown(&folder, form())
        .iter()
        .map(|line| line.rsplit_once(" by domain=").unwrap().1.to_owned())
        .collect();
    let expected = [
        "a.test ×3, until 2023-11-14T22:13:22.000Z",
        "b.test",
        "a.test",
        "c.test [3 B out, 6 B in, 2000 ms] ×2, until 2023-11-14T22:13:28.000Z",
        "c.test [reset, 1000 ms]",
    ];
    assert_eq!(ends, expected);
    let json = shown_of(
        folder.path(),
        "c",
        ViewOptions {
            json: true,
            ..form()
        },
        &[],
    );
    assert_eq!(
        json,
        std::fs::read_to_string(folder.path().join("c.jsonl")).unwrap()
    );
}

#[test]
fn only_what_is_asked_for_is_shown() {
    let folder = folder();
    let mut script = Script::of("c");
    script.start(named("web"));
    let long = script.open("long.test");
    script
        .deny("one.test")
        .wait(100)
        .deny("two.test")
        .end(long, 0, Ended::Closed)
        .stop(1, 2)
        .write(folder.path(), "c.jsonl");
    let names = |form: ViewOptions| -> Vec<String> {
        let word = |line: &String| {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            words[if words[0] == "DENY" || words[0] == "ALLOW" {
                2
            } else {
                0
            }]
            .to_owned()
        };
        shown(&folder, form).iter().map(word).collect()
    };
    let period = |since, until| Period::read(since, until, SystemTime::now()).unwrap();
    let wanted = |denied, since, until| Wanted {
        denied,
        period: period(since, until),
    };
    assert_eq!(
        names(form()),
        ["START", "one.test", "two.test", "long.test", "STOP"]
    );
    assert_eq!(
        names(ViewOptions {
            wanted: wanted(true, None, None),
            ..form()
        }),
        ["one.test", "two.test"]
    );
    assert_eq!(
        names(ViewOptions {
            last: Some(2),
            ..form()
        }),
        ["two.test", "long.test", "STOP"]
    );
    let (early, late) = (Some("2023-11-14T22:14:00Z"), Some("2023-11-14T22:14:00Z"));
    assert_eq!(
        names(ViewOptions {
            wanted: wanted(false, None, early),
            ..form()
        }),
        ["START", "one.test", "long.test"]
    );
    assert_eq!(
        names(ViewOptions {
            wanted: wanted(false, late, None),
            ..form()
        }),
        ["two.test", "long.test", "STOP"]
    );
    let json = |form: ViewOptions| {
        shown_of(folder.path(), "c", ViewOptions { json: true, ..form }, &[])
            .lines()
            .count()
    };
    assert_eq!(json(form()), 6);
    assert_eq!(
        json(ViewOptions {
            wanted: wanted(true, None, None),
            ..form()
        }),
        2
    );
    assert_eq!(
        json(ViewOptions {
            wanted: wanted(false, late, None),
            ..form()
        }),
        3
    );
    assert_eq!(
        json(ViewOptions {
            last: Some(1),
            ..form()
        }),
        1
    );
}

#[test]
fn a_pods_record_is_found_by_each_of_its_containers_and_by_its_namespace() {
    let folder = folder();
    for (at, (id, pod)) in [("5a4db0", "cart"), ("77beef", "till")]
        .into_iter()
        .enumerate()
    {
        Script::of(id)
            .wait(at as u64)
            .start(of_pod("shop", pod))
            .write(folder.path(), &format!("{id}.jsonl"));
    }
    let join = |record: &str, id: &str| {
        let member = Member {
            id: id.to_owned(),
            identity: ContainerIdentity::default(),
        };
        members::add(&folder.path().join(format!("{record}.jsonl")), member).unwrap();
    };
    join("5a4db0", "aca4e2ab1164");
    join("5a4db0", "aca4ffffffff");
    join("77beef", "77be00000000");
    let chosen = |word: &str| {
        choice::choose(&Directory::new(folder.path()), Some(word)).map(|chosen| {
            let ids: Vec<_> = chosen.containers.into_iter().map(|one| one.id).collect();
            ids.join(" ")
        })
    };
    for (word, ids) in [
        ("aca4e2ab1164", "5a4db0"),
        ("aca4e", "5a4db0"),
        ("containerd://aca4e2ab1164", "5a4db0"),
        ("containerd://aca4f", "5a4db0"),
        ("77be00000000", "77beef"),
        ("shop/", "5a4db0 77beef"),
        ("shop/till", "77beef"),
    ] {
        assert_eq!(chosen(word).unwrap(), ids, "{word}");
    }
    for word in [
        "aca4",
        "77be",
        "containerd://",
        "../5a4db0",
        "shop/other",
        "other/",
    ] {
        chosen(word).unwrap_err();
    }
}

#[test]
fn a_pods_containers_are_told_apart() {
    let folder = folder();
    Script::of("first-container")
        .start(of_pod("shop", "cart"))
        .deny("a.test")
        .write(folder.path(), "first-container.jsonl");
    Script::of("second")
        .wait(1)
        .start(of_pod("shop", "cart"))
        .write(folder.path(), "second.jsonl");
    let text = shown_of(folder.path(), "cart", form(), &[]);
    let words: Vec<_> = text
        .lines()
        .map(|line| {
            line.split(' ')
                .skip(1)
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(
        words,
        ["first-contai START", "first-contai DENY", "second START"]
    );
}

#[test]
fn verdicts_have_colours_on_a_terminal_alone() {
    let folder = folder();
    let mut script = Script::of("c");
    let flow = script.open("a.test");
    script
        .deny("b.test")
        .end(flow, 0, Ended::Closed)
        .write(folder.path(), "c.jsonl");
    let painted = |terminal, no_color: Option<&str>| {
        let paint = Paint::if_wanted(terminal, no_color.map(std::ffi::OsStr::new));
        shown_of(folder.path(), "c", ViewOptions { paint, ..form() }, &[])
    };
    let colours = painted(true, None);
    assert!(
        colours.contains(" \x1b[31mDENY\x1b[0m  https b.test")
            && colours.contains(" \x1b[32mALLOW\x1b[0m https a.test")
    );
    assert_eq!(painted(true, Some("")), colours);
    for plain in [painted(true, Some("1")), painted(false, None)] {
        assert!(!plain.contains('\x1b'));
    }
}

/// A file in which every text is `nasty`.
fn hostile(folder: &TempDir, nasty: &str) {
    let nasty = || Some(nasty.to_owned());
    let mut script = Script::of("c");
    let mut identity = named("x");
    (identity.name, identity.image, identity.engine) = (nasty(), nasty(), nasty());
    (identity.pod, identity.namespace) = (nasty(), nasty());
    identity.labels.insert(nasty().unwrap(), nasty().unwrap());
    script.begin(&nasty().unwrap(), identity);
    for event in [
        Event::Notice,
        Event::Open,
        Event::Update,
        Event::End,
        Event::Stop,
        Event::Open,
    ] {
        script.line(event, |line| {
            line.flow = Some(1);
            (line.time, line.container) = (nasty().unwrap(), nasty().unwrap());
            (line.name, line.method, line.path, line.rule) = (nasty(), nasty(), nasty(), nasty());
            (line.reason, line.suggestion, line.notice) = (nasty(), nasty(), nasty());
            (line.first, line.last) = (nasty(), nasty());
        });
    }
    script
        .raw(nasty().unwrap().as_bytes())
        .raw(b"\n")
        .write(folder.path(), "c.jsonl");
}

/// All that `logs` can show of it.
fn everything(folder: &TempDir) -> Vec<String> {
    let directory = Directory::new(folder.path());
    let all = directory.list(9).unwrap();
    let mut shown: Vec<String> = vec![
        shown_of(folder.path(), "c", form(), &["c"]),
        shown_of(folder.path(), "c", form(), &[]),
    ];
    let denied = Wanted {
        denied: true,
        period: Period::default(),
    };
    for form in [
        ViewOptions {
            json: true,
            ..form()
        },
        ViewOptions {
            last: Some(2),
            ..form()
        },
        ViewOptions {
            zone: Zone { local: true },
            ..form()
        },
        ViewOptions {
            wanted: denied,
            ..form()
        },
    ] {
        shown.push(shown_of(folder.path(), "c", form, &[]));
    }
    for zone in [UTC, Zone { local: true }] {
        let mut out = Vec::new();
        listing::show(&directory, true, zone, &mut out).unwrap();
        summary::show(&all, Wanted::default(), zone, &mut out).unwrap();
        shown.push(String::from_utf8(out).unwrap());
    }
    shown
}

#[test]
fn nothing_in_a_record_can_do_anything_to_the_terminal() {
    let folder = folder();
    hostile(&folder, "\x1b[2J\r\n\u{202e}\u{9b}31m\u{0}\u{7}é");
    for text in everything(&folder) {
        assert!(
            text.chars()
                .all(|c| c == '\n' || matches!(c, ' '..='~' | '«' | '»' | '…' | '×')),
            "{text:?}"
        );
        assert!(
            text.contains("\\u{1b}[2J") || text.contains("\\u001b[2J"),
            "{text}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_text_in_a_record_can(nasty in any::<String>()) {
        let folder = folder();
        hostile(&folder, &nasty);
        for text in everything(&folder) {
            prop_assert!(text.chars().all(|c| c == '\n' || matches!(c, ' '..='~' | '«' | '»' | '…' | '×')), "{text:?}");
        }
    }
}

/// Hands every line over to the test; reports a closed pipe once the test has seen enough.
struct Lines(mpsc::SyncSender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0
            .send(text)
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A follower of container `c`, which runs until the test says otherwise.
struct Follower {
    thread: std::thread::JoinHandle<io::Result<()>>,
    lines: mpsc::Receiver<String>,
    runs: mpsc::Sender<()>,
}

impl Follower {
    fn start(folder: &TempDir, form: ViewOptions) -> Self {
        let (sender, lines) = mpsc::sync_channel(0);
        let (runs, ended) = mpsc::channel::<()>();
        let containers = Directory::new(folder.path()).list(9).unwrap();
        let thread = std::thread::spawn(move || {
            // Disconnected: the test has dropped its end.
            let now = move || {
                let ended = matches!(ended.try_recv(), Err(mpsc::TryRecvError::Disconnected));
                Ok(Running::of((!ended).then(|| "c".to_owned())))
            };
            let streams = MergedLines::open(&containers).unwrap();
            View::new(
                ViewOptions {
                    follow: true,
                    ..form
                },
                vec!["c".to_owned()],
                &mut Lines(sender),
            )
            .show(streams, now)
        });
        Self {
            thread,
            lines,
            runs,
        }
    }
}

fn wait_for(lines: &mpsc::Receiver<String>, word: &str) {
    let mut seen = String::new();
    while !seen.contains(word) {
        seen.push_str(&lines.recv_timeout(Duration::from_secs(10)).unwrap());
    }
}

#[test]
fn following_goes_on_across_rotation_and_ends_with_the_reader() {
    let folder = folder();
    let mut script = Script::of("c");
    let mut deny = |name: &str| script.deny(name).write(folder.path(), "c.jsonl");
    deny("n1.test");
    let follower = Follower::start(
        &folder,
        ViewOptions {
            json: true,
            ..form()
        },
    );
    wait_for(&follower.lines, "n1.test");
    deny("n2.test");
    std::fs::rename(
        folder.path().join("c.jsonl"),
        folder.path().join("c.jsonl.1"),
    )
    .unwrap();
    deny("n3.test");
    wait_for(&follower.lines, "n2.test");
    wait_for(&follower.lines, "n3.test");
    drop(follower.lines);
    deny("n4.test");
    assert_eq!(
        follower.thread.join().unwrap().unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
    drop(follower.runs);
}

#[test]
fn following_holds_no_line_back_and_ends_with_the_gateways_last() {
    let folder = folder();
    let mut script = Script::of("c");
    script
        .start(named("web"))
        .deny("same.test")
        .deny("same.test")
        .write(folder.path(), "c.jsonl");
    let follower = Follower::start(&folder, form());
    wait_for(&follower.lines, "same.test");
    wait_for(&follower.lines, "same.test");
    let flow = script.open("long.test");
    script.write(folder.path(), "c.jsonl");
    wait_for(&follower.lines, "[open]");
    script
        .end(flow, 3, Ended::Closed)
        .stop(1, 2)
        .write(folder.path(), "c.jsonl");
    wait_for(&follower.lines, "[3 B out, 6 B in, 1000 ms]");
    wait_for(&follower.lines, "gateway ended");
    follower.lines.iter().for_each(drop);
    follower.thread.join().unwrap().unwrap();
    drop(follower.runs);
}

#[test]
fn following_ends_where_nobody_was_left_to_write_the_last_line() {
    let folder = folder();
    let mut script = Script::of("c");
    script.start(named("web")).open("long.test");
    script.write(folder.path(), "c.jsonl");
    let Follower {
        thread,
        lines,
        runs,
    } = Follower::start(&folder, form());
    wait_for(&lines, "[open]");
    age(&folder, "c.jsonl");
    std::fs::remove_file(folder.path().join("c.jsonl")).unwrap();
    drop(runs);
    wait_for(&lines, "[cut]");
    lines.iter().for_each(drop);
    thread.join().unwrap().unwrap();
}

#[test]
fn options_that_make_no_sense_together_are_refused() {
    let parse = |line: &str| {
        Words::try_parse_from(std::iter::once("logs").chain(line.split_ascii_whitespace()))
            .map(|words| words.logs)
    };
    for line in [
        "-f",
        "--json",
        "-n 3",
        "--denied",
        "--since 1h",
        "c --all",
        "c --last",
        "c --summary -f",
        "c --summary --json",
        "c --summary -n 3",
        "c --json --local",
        "c prune",
        "prune c",
        "prune --older soon",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
    for line in [
        "",
        "--all --local",
        "--last -f",
        "--summary --denied --since 1h",
        "c -f -n 3 --denied --json",
        "prune --dry-run",
    ] {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line));
    }
    assert!(
        parse("-- prune")
            .unwrap()
            .container
            .is_some_and(|word| word == "prune")
    );
}
