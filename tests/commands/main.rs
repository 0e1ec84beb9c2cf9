//! Everything that README and `docs/` show is typed, in the order of the pages, on a private host with Docker
//! that knows nothing of this program; and the demo is run.
//!
//! `cargo test --test commands` needs root and Docker. The pages' names of hosts are those of the bed's little
//! internet here, and `sudo` and `systemctl` are stand-ins: a bed has one user, and no systemd.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "files of the bed are written by nobody else"
)]

#[expect(
    dead_code,
    reason = "what is left to others is looked for by the suite docs"
)]
mod catalogue;
#[path = "../docs/page.rs"]
#[expect(
    dead_code,
    reason = "its headings and links are looked at by the suite docs"
)]
mod page;

mod doctor;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use test_support::bed::Bed;
use test_support::command::{Answer, run};
use test_support::docker::is_installed;
use test_support::harness::{Suite, Test};
use test_support::needs::Needs;
use test_support::programs::{REPOSITORY, product};

use catalogue::{By, SHOWN, Shown, Typed};
use page::Page;

/// Where it is typed, in the bed.
const FOLDER: &str = "/tmp/docs";

/// What the pages call hosts, and who that is in the little internet; and what they leave to the reader.
const MEANT: [(&str, &str); 9] = [
    ("packages.example.org", "allowed.test"),
    ("api.example.com", "api.wild.test"),
    ("ads.example.com", "denied.test"),
    ("example.com", "allowed.test"),
    ("example.org", "allowed.test"),
    (
        "seccomp=nsjail.json IMAGE",
        "seccomp=nsjail.json bed go-jail",
    ),
    ("IMAGE", "bed"),
    ("[CONTAINER…]", "web"),
    ("CONTAINER", "web"),
];

const TESTS: [(&str, Test); 2] = [
    ("everything", ("does_what_its_page_says", all)),
    (
        "doctor",
        ("agrees_with_what_becomes_of_containers", doctor::agrees),
    ),
];

fn main() {
    let needs = Needs::root().and(|| Needs::new("dockerd", is_installed("dockerd")));
    let suite = Suite::begin(needs, bed);
    let mut trials: Vec<_> = TESTS
        .iter()
        .map(|(group, test)| suite.trial_alone(group, *test))
        .collect();
    trials.push(suite.trial_alone("demo", ("goes_as_expected", demo)));
    suite.conclude(trials);
}

/// Everything fails that fails, so that a page is mended at once.
fn all(bed: &Bed) {
    let wrong: Vec<String> = SHOWN
        .iter()
        .filter_map(|shown| match &shown.by {
            By::Typed(typed) => problem(bed, shown, typed),
            _ => None,
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

fn problem(bed: &Bed, shown: &Shown, how: &Typed) -> Option<String> {
    let said = |answer: &Answer| format!("{}{}", answer.stdout, answer.stderr);
    let place = format!("{}: {}", shown.page, shown.what);
    let before = typed(bed, how.after);
    if before.code != 0 {
        return Some(format!("before {place}: {}", said(&before)));
    }
    if how.instead.is_some() {
        fs::write(bed.inside("/tmp/docs/BLOCK"), meant(&block(shown))).unwrap();
    }
    let command = meant(how.instead.unwrap_or(shown.what)).replace("FILE", "web.yaml");
    let answer = typed(bed, &command);
    let said = said(&answer);
    let missing: Vec<_> = how
        .says
        .iter()
        .filter(|word| !said.contains(*word))
        .collect();
    let as_shown = answer.code == 0 && missing.is_empty();
    (!as_shown).then(|| {
        format!(
            "{place}: exit code {}, no {missing:?} in: {said}",
            answer.code
        )
    })
}

/// The whole block of which the catalogue has the first line.
fn block(shown: &Shown) -> String {
    let blocks = Page::read(shown.page).blocks();
    let found = blocks
        .into_iter()
        .find(|block| block.text.lines().next() == Some(shown.what));
    found
        .unwrap_or_else(|| panic!("no {} in {}", shown.what, shown.page))
        .text
}

fn meant(text: &str) -> String {
    MEANT.iter().fold(text.to_owned(), |text, (shown, meant)| {
        text.replace(shown, meant)
    })
}

fn typed(bed: &Bed, script: &str) -> Answer {
    let socket = bed.path("docker.sock");
    let environment = format!(
        "cd {FOLDER} && export DOCKER_HOST=unix://{}\n{script}",
        socket.display()
    );
    bed.exec(&["bash", "-c", &environment])
}

/// A host with Docker, an image, and the program at its place: nothing else is done for it.
fn bed() -> Bed {
    let bed = Bed::with_docker_and("tests/commands/etc").remembered();
    let restart = format!(
        "[ \"$*\" = 'restart docker' ] || exit 1\n: >{0}; kill \"$(cat /run/dockerd.pid)\"\nwhile [ -e {0} ]; do sleep 0.1; done\n",
        bed.path("restart").display()
    );
    stand_in(&bed, "systemctl", &restart);
    stand_in(&bed, "sudo", "exec \"$@\"\n");
    let roots = "cat /etc/little-internet.pem >>/etc/ssl/certs/ca-certificates.crt; mkdir -p /etc/boundary/policies";
    bed.exec(&["sh", "-c", &format!("{roots} {FOLDER}")])
        .must_succeed();
    bed
}

fn stand_in(bed: &Bed, name: &str, script: &str) {
    let file = bed.inside(&format!("/usr/local/bin/{name}"));
    fs::write(&file, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// In a bed of its own.
fn demo(_: &Bed) {
    let script = format!("{REPOSITORY}/scripts/demo");
    let program = product();
    run(120, &[&script, program.to_str().unwrap()]).must_succeed();
}
