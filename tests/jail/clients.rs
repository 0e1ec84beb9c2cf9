//! Clients of every kind, as they come: in a jail they get what they get without one, and nothing of them
//! arrives anywhere where no rule allows it.

use std::fs;

use serde_json::Value;
use test_support::bed::{Bed, unique};
use test_support::command::Answer;

use crate::jail::{Caller, LANDJAILED_USER, SUPERVISED_USER, USER};
use crate::world::{self, NAMED, PROGRAMS, RULES, SHUT, World};

pub(crate) const TESTS: &[test_support::harness::Test] = &[
    ("get_the_same_as_without_a_jail", allowed),
    ("get_nothing_where_no_rule_allows_it", denied),
    (
        "get_the_same_by_the_policy_that_is_suggested_for_them",
        suggested,
    ),
];

const CALLERS: [Caller; 3] = [USER, SUPERVISED_USER, LANDJAILED_USER];
/// Clients that `clients.sh` has.
const CLIENTS: usize = 19;

/// A client: its name, what it printed, and whether it was content.
type Client = (String, String, bool);

/// What all of them come to with a host.
fn all_of(bed: &Bed, jail: Option<(Caller, &[&str])>, host: &str) -> Vec<Client> {
    let script = script(bed, host);
    let answer = match jail {
        None => USER.run_unjailed(bed, &script),
        Some((caller, options)) => caller.run(bed, options, &script).answer,
    };
    clients(&answer)
}

/// What runs all of them, in a folder of its own.
fn script(bed: &Bed, host: &str) -> String {
    let own = world::empty_folder(bed);
    format!("bash {PROGRAMS}/clients.sh {host} {PROGRAMS} {own}")
}

fn clients(answer: &Answer) -> Vec<Client> {
    let clients: Vec<Client> = answer
        .stdout
        .split("== ")
        .skip(1)
        .collect::<Vec<_>>()
        .chunks(2)
        .map(read)
        .collect();
    assert_eq!(clients.len(), CLIENTS, "{answer:?}");
    clients
}

fn read(parts: &[&str]) -> Client {
    let [client, end] = parts else {
        panic!("a client without an end: {parts:?}");
    };
    let (name, printed) = client.split_once('\n').unwrap();
    // In nsjail the address of the sixth version that a program has is a private one, so it prefers the fourth.
    let [v6, v4] = ["at 2001:db8:3::96\n", "at 203.0.113.150\n"];
    (name.to_owned(), printed.replace(v6, v4), *end == "done\n")
}

fn allowed(bed: &Bed) {
    let _world = World::shared(bed);
    let unjailed = all_of(bed, None, NAMED);
    let discontent: Vec<&Client> = unjailed.iter().filter(|(_, _, content)| !content).collect();
    assert!(discontent.is_empty(), "{discontent:#?}");
    for caller in CALLERS {
        for (jailed, unjailed) in all_of(bed, Some((caller, &RULES)), NAMED)
            .iter()
            .zip(&unjailed)
        {
            assert_eq!(jailed, unjailed, "{}", caller.name);
        }
    }
}

/// They are watched, and the policy that is made of the record lets them do all of it again, and no more.
fn suggested(bed: &Bed) {
    let _world = World::shared(bed);
    let watched = USER.run(bed, &["--mode", "observe"], &script(bed, NAMED));
    let policy = bed.exec(&["boundary-shim", "policy", "suggest", &watched.log]);
    policy.must_succeed();
    let file = format!("/tmp/{}.yaml", unique("suggested"));
    fs::write(bed.inside(&file), &policy.stdout).unwrap();
    let checked = bed.exec(&["boundary-shim", "policy", "check", &file]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert_eq!(
        checked.stdout.lines().count(),
        1,
        "each rule is needed: {checked:?}"
    );
    let again = USER.run(bed, &["--policy", &file], &script(bed, NAMED));
    assert_eq!(
        clients(&again.answer),
        clients(&watched.answer),
        "{}",
        policy.stdout
    );
    // What is denied was left out, and listed.
    let (_, left_out) = policy.stdout.split_once("# Left out:").unwrap();
    let is_listed = |line: &Value| {
        let name = line["name"].as_str();
        name.is_some_and(|name| left_out.contains(&format!("#   {name}   (")))
    };
    let denied = again
        .records
        .iter()
        .filter(|line| line["verdict"] == "deny");
    let unlisted: Vec<_> = denied.filter(|line| !is_listed(line)).collect();
    assert!(unlisted.is_empty(), "{unlisted:#?}: {}", policy.stdout);
    let [(other, _), ..] = SHUT;
    let other = format!("curl -sS -m 5 http://{other}/");
    let other = USER.run(bed, &["--policy", &file], &other).answer;
    assert!(
        other.code != 0 || other.stdout.contains("denied"),
        "{other:?}"
    );
}

fn denied(bed: &Bed) {
    let world = World::shared(bed);
    let [(name, host), ..] = SHUT;
    for caller in CALLERS {
        for (client, printed, content) in all_of(bed, Some((caller, &RULES)), name) {
            assert!(!content, "{}: {client}: {printed}", caller.name);
        }
        assert_eq!(world.packets(bed, host), 0, "{}", caller.name);
    }
    // They arrive where nothing keeps them.
    all_of(bed, None, name);
    assert!(world.packets(bed, host) > 100);
}
