//! `logs`: records in a folder that the host's configuration names, written by hand.

use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boundary_shim::audit::Kind;
use boundary_shim::audit::line::{About, ContainerIdentity, Event, Line, RecordedVerdict, Totals};
use boundary_shim::container::plan::GatewayOwner;

use crate::world::{World, alive, dead, remember, stderr, tests};

tests![
    the_containers_are_listed_the_newest_last,
    one_whose_filter_was_killed_has_no_end_on_record,
    a_container_is_found_by_name_by_the_beginning_of_its_id_or_as_the_last,
    following_a_container_that_was_removed_ends,
    the_attempts_of_all_containers_are_added_up,
    old_records_are_removed_and_those_of_what_runs_stay,
    without_an_age_nothing_is_removed,
    a_create_removes_records_older_than_audit_keep,
];

/// A folder of records in a test's world, and the configuration that names it.
fn folder(world: &World, more: &str) {
    std::fs::create_dir(world.path("audit")).unwrap();
    world.settings(&format!(
        "audit-directory = {:?}\n{more}",
        world.path("audit").to_str().unwrap()
    ));
}

/// What `logs` with these words says; it must succeed.
#[track_caller]
fn logs(world: &World, words: &str) -> String {
    let output = world.operate(&format!("logs {words} --config DIR/config.toml"));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
    text
}

/// Writes the record of a container that began so many seconds after some time, with a denied
/// attempt a second for so long.
fn record(world: &World, id: &str, name: &str, began: u64, attempts: u64, stops: bool) {
    let time = |second| {
        humantime::format_rfc3339_millis(
            UNIX_EPOCH + Duration::from_secs(1_700_000_000 + began + second),
        )
        .to_string()
    };
    let identity = ContainerIdentity {
        name: Some(name.to_owned()),
        image: Some("little:1".to_owned()),
        ..ContainerIdentity::default()
    };
    let (policy, mode) = ("default".to_owned(), "enforce".to_owned());
    let about = About {
        began: time(0),
        policy,
        mode,
        identity,
        ..About::default()
    };
    let mut lines = vec![Line {
        gateway: Some(Box::new(about)),
        ..Line::new(Event::Start, time(0), id)
    }];
    lines.extend((1..=attempts).map(|second| Line {
        flow: Some(second + 1),
        protocol: Some(Kind::Https),
        verdict: Some(RecordedVerdict::Deny),
        name: Some(format!("n{}.test", second % 10)),
        port: Some(443),
        suggestion: Some(format!("domain=n{}.test", second % 10)),
        ..Line::new(Event::End, time(second), id)
    }));
    let totals = Some(Totals {
        denied: attempts,
        ..Totals::default()
    });
    lines.extend(stops.then(|| Line {
        totals,
        ..Line::new(Event::Stop, time(attempts + 1), id)
    }));
    let text: String = (1..)
        .zip(lines)
        .map(|(seq, line)| serde_json::to_string(&Line { seq, ..line }).unwrap() + "\n")
        .collect();
    world.write(&format!("audit/{id}.jsonl"), text, 0o640);
}

/// Makes a record one that was last written so many days ago.
fn age(world: &World, id: &str, days: u64) {
    let file = File::options()
        .append(true)
        .open(world.path(&format!("audit/{id}.jsonl")))
        .unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400))
        .unwrap();
}

fn the_containers_are_listed_the_newest_last() {
    let world = World::new();
    folder(&world, "");
    for number in 0..22 {
        record(
            &world,
            &format!("{number:02}aaaaaaaaaaaaaaaaaaaa"),
            &format!("web{number}"),
            100 - number,
            number,
            true,
        );
    }
    let text = logs(&world, "");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 22, "{text}");
    let words = |line: &str| {
        line.split_ascii_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words(lines[0]),
        [
            "NAME", "ID", "IMAGE", "POLICY", "MODE", "STARTED", "ENDED", "ALLOWED", "DENIED"
        ]
    );
    let (began, ended) = ("2023-11-14T22:15:00Z", "2023-11-14T22:15:01Z");
    assert_eq!(
        words(lines[20]),
        [
            "web0",
            "00aaaaaaaaaa",
            "little:1",
            "default",
            "enforce",
            began,
            ended,
            "0",
            "0"
        ]
    );
    assert_eq!(words(lines[1])[0], "web19");
    assert_eq!(
        lines[21],
        "These are the 20 newest of 22; use --all to list all."
    );
    assert_eq!(logs(&world, "--all").lines().count(), 23);
}

fn one_whose_filter_was_killed_has_no_end_on_record() {
    let world = World::new();
    folder(&world, "");
    record(&world, &world.id, "runs", 0, 3, false);
    record(&world, "killed", "killed", 10, 3, false);
    remember(&world.record(GatewayOwner::Own, alive(), Some(alive())));
    let text = logs(&world, "");
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(
        line("runs").contains(" running ") && line("runs").ends_with(" 3"),
        "{text}"
    );
    assert!(
        line("killed").contains(" 2023-11-14T22:13:33Z? ") && line("killed").ends_with(" 3"),
        "{text}"
    );
    assert!(
        text.ends_with("?: no end was recorded; the time shown is that of the last line.\n"),
        "{text}"
    );
    boundary_shim::container::state::remove(&world.state()).unwrap();
}

fn a_container_is_found_by_name_by_the_beginning_of_its_id_or_as_the_last() {
    let world = World::new();
    folder(&world, "");
    record(&world, "abc111", "web", 0, 1, true);
    record(&world, "abc222", "db", 10, 2, true);
    for (word, name) in [
        ("web", "web"),
        ("abc2", "db"),
        ("--last", "db"),
        ("-- abc111", "web"),
    ] {
        let output = world.operate(&format!("logs --config DIR/config.toml {word}"));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.lines()
                .next()
                .unwrap()
                .contains(&format!("START {name} ")),
            "{word}: {text}"
        );
    }
    assert_eq!(logs(&world, "db -n 1 --denied").lines().count(), 1);
    assert_eq!(
        logs(&world, "abc111 --json"),
        world.read("audit/abc111.jsonl")
    );
    for (word, why) in [
        ("abc", "could be any of 2"),
        ("x", "no records"),
        ("../abc111", "no records"),
        ("web --since x", "invalid time"),
    ] {
        let output = world.operate(&format!("logs {word} --config DIR/config.toml"));
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains(why) && stderr(&output).lines().count() == 1,
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(
        world
            .operate("logs --json --config DIR/config.toml")
            .status
            .code(),
        Some(2)
    );
}

fn following_a_container_that_was_removed_ends() {
    let world = World::new();
    folder(&world, "");
    record(&world, "gone", "gone", 0, 2, true);
    record(&world, "killed", "killed", 0, 2, false);
    age(&world, "killed", 1);
    assert_eq!(logs(&world, "-f gone").lines().count(), 4);
    assert_eq!(logs(&world, "-f killed").lines().count(), 3);
}

fn the_attempts_of_all_containers_are_added_up() {
    let world = World::new();
    folder(&world, "");
    for number in 0..30 {
        record(
            &world,
            &format!("c{number}"),
            "web",
            number,
            100,
            number % 2 == 0,
        );
    }
    let text = logs(&world, "--summary");
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_ascii_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 12, "{text}");
    assert_eq!(
        (lines[1][1], lines[1][2], lines[1][3]),
        ("n0.test:443", "0", "300")
    );
    assert_eq!(lines[1].last(), Some(&"domain=n0.test"));
    assert_eq!(
        (lines[11][0], lines[11][1], lines[11][2]),
        ("total", "0", "3000")
    );
    assert!(
        logs(&world, "c3 --summary")
            .lines()
            .last()
            .unwrap()
            .contains(" 100 "),
        "{text}"
    );
    assert!(
        logs(&world, "--summary --until 2023-11-14T22:13:20Z")
            .lines()
            .last()
            .unwrap()
            .starts_with("total  ")
    );
}

fn old_records_are_removed_and_those_of_what_runs_stay() {
    let world = World::new();
    folder(&world, "audit-keep = \"30d\"");
    for (id, days) in [("old", 31), ("young", 29), (world.id.as_str(), 31)] {
        record(&world, id, id, 0, 1, true);
        age(&world, id, days);
    }
    // Its init is gone, others that joined it are not.
    remember(&world.record(GatewayOwner::Own, dead(), Some(alive())));
    let there = |id: &str| world.path(&format!("audit/{id}.jsonl")).exists();
    let said = logs(&world, "prune --dry-run");
    assert!(
        said.starts_with("would remove old: ") && said.contains("would remove 1 record, "),
        "{said}"
    );
    assert!(there("old"));
    assert!(logs(&world, "prune").starts_with("removed old: "));
    assert!(!there("old") && there("young") && there(&world.id));
    assert!(logs(&world, "prune --older 1d").starts_with("removed young: "));
    assert!(!there("young") && there(&world.id));
    boundary_shim::container::state::remove(&world.state()).unwrap();
}

fn without_an_age_nothing_is_removed() {
    let world = World::new();
    folder(&world, "");
    record(&world, "old", "old", 0, 1, true);
    age(&world, "old", 3650);
    let output = world.operate("logs prune --config DIR/config.toml");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("--older") && stderr(&output).contains("audit-keep"),
        "{}",
        stderr(&output)
    );
    assert!(world.path("audit/old.jsonl").exists());
}

fn a_create_removes_records_older_than_audit_keep() {
    for (setting, stays) in [("", true), ("audit-keep = \"30d\"", false)] {
        let world = World::new();
        folder(&world, setting);
        record(&world, "old", "old", 0, 1, true);
        age(&world, "old", 31);
        world.assert_passed(&world.call("create --bundle BUNDLE ID"));
        world.until_swept();
        assert_eq!(world.path("audit/old.jsonl").exists(), stays, "{setting}");
    }
}
