//! How it ends: killed proxies open nothing, and nothing is left behind, whatever died.

use std::thread;

use test_support::bed::{Bed, Capture, lines, unique};
use test_support::command::{must_be_shut_out, wait_for};
use test_support::docker::{IMAGE, runtime};
use test_support::harness::Test;
use test_support::traces::{Footprint, wait_for_none};
use test_support::wire::leaks;

/// Containers in the start race, and how many start at a time.
const RACERS: usize = 200;
const AT_A_TIME: usize = 8;

/// Containers that come and go, and how many of them at once.
const MANY: usize = 300;
const AT_ONCE: usize = 30;
/// What one of so many may take, in seconds.
const PATIENCE: u64 = 240;

pub(crate) const TESTS: &[Test] = &[
    ("nothing_is_left_after_rm_force", removed),
    (
        "nothing_is_left_of_a_container_that_never_started",
        never_started,
    ),
    ("nothing_is_left_after_a_killed_proxy", killed_then_removed),
    ("a_killed_proxy_opens_nothing", killed),
    (
        "a_killed_filter_opens_nothing_and_the_record_says_so",
        killed_filter,
    ),
    ("a_stopped_proxy_opens_nothing", stopped),
    (
        "a_container_whose_gateway_is_killed_is_ended_and_its_restart_policy_brings_it_back",
        comes_back,
    ),
    (
        "the_first_instruction_of_200_containers_gets_nothing_through",
        race,
    ),
];

pub(crate) const CROWD: &[Test] = &[("nothing_is_left_of_300_containers_30_at_once", many)];

fn removed(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let footprint = container.footprint();
    container
        .exec("curl -sS -m 5 http://allowed.test/")
        .must_succeed();
    container.remove();
    footprint.vanishes(bed);
}

fn never_started(bed: &Bed) {
    let name = unique("never");
    bed.docker(&[
        "create",
        "--name",
        &name,
        "--runtime",
        &runtime(),
        IMAGE,
        "/no/such/program",
    ])
    .must_succeed();
    let id = bed
        .docker(&["inspect", "-f", "{{.Id}}", &name])
        .must_succeed()
        .stdout
        .trim()
        .to_owned();
    bed.docker(&["start", &name]).must_fail();
    bed.docker(&["rm", "--force", &name]).must_succeed();
    wait_for_none(|| bed.traces_of(&id));
}

fn killed_then_removed(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let footprint = container.footprint();
    signal(bed, &footprint.proxy, "KILL");
    container.remove();
    footprint.vanishes(bed);
}

fn killed(bed: &Bed) {
    under_load(bed, |footprint| signal(bed, &footprint.proxy, "KILL"));
}

fn killed_filter(bed: &Bed) {
    let container = under_load(bed, |footprint| signal(bed, &footprint.filter(bed), "KILL"));
    let said = "the container's network is shut: the filter is gone: it was killed by SIGKILL";
    let stops = lines(bed, &container)
        .into_iter()
        .filter(|line| line["event"] == "stop" && line["reason"] == said);
    assert_eq!(stops.count(), 1);
}

fn stopped(bed: &Bed) {
    under_load(bed, |footprint| {
        signal(bed, &footprint.filter(bed), "STOP");
        signal(bed, &footprint.proxy, "STOP");
    });
}

/// A container that connects all the time loses its filter: from then on nothing gets through, and
/// nothing leaks. Gives its id.
fn under_load(bed: &Bed, lose: impl FnOnce(&Footprint)) -> String {
    let container = bed.sleeper(&[]);
    let footprint = container.footprint();
    // What is shut must be so while the container goes on.
    footprint.lose_guard(bed);
    let capture = Capture::start(bed, &container.uplink(), "in");
    bed.docker(&[
        "exec",
        "--detach",
        &container.name,
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "http://allowed.test/slow",
    ])
    .must_succeed();
    bed.docker(&[
        "exec",
        "--detach",
        &container.name,
        "attacker",
        "storm",
        "203.0.113.66:443",
        "4",
    ])
    .must_succeed();
    container
        .exec("curl -sS -m 5 http://allowed.test/")
        .must_succeed();
    lose(&footprint);
    for probe in [
        "tcp 203.0.113.66:22",
        "udp 203.0.113.66:9999",
        "icmp 203.0.113.66",
    ] {
        container.is_shut_out(probe);
    }
    container
        .exec("curl -sS -m 2 http://203.0.113.66/")
        .must_fail();
    container
        .exec("curl -sS -m 2 http://allowed.test/")
        .must_fail();
    assert_eq!(leaks(&capture.stop()), Vec::<&str>::new());
    let id = container.id();
    container.remove();
    footprint.vanishes(bed);
    id
}

/// Whichever of its processes is killed; and nothing leaks meanwhile.
fn comes_back(bed: &Bed) {
    let container = bed.sleeper(&["--restart", "on-failure"]);
    let state = |format: &str| {
        let answer = bed.docker(&["inspect", "--format", format, &container.name]);
        answer.must_succeed().stdout.trim().to_owned()
    };
    let capture = Capture::start(bed, "docker0", "in");
    let victims = [
        |bed: &Bed, footprint: &Footprint| signal(bed, &footprint.filter(bed), "KILL"),
        |bed: &Bed, footprint: &Footprint| signal(bed, &footprint.proxy, "KILL"),
        |bed: &Bed, footprint: &Footprint| {
            let both = format!("{} {}", footprint.filter(bed), footprint.proxy);
            signal(bed, &both, "KILL");
        },
    ];
    for (restarts, kill) in (1..).zip(victims) {
        let footprint = container.footprint();
        kill(bed, &footprint);
        wait_for("it to run again", || {
            state("{{.RestartCount}} {{.State.Status}}") == format!("{restarts} running")
        });
        container
            .exec("curl -sS -m 20 http://allowed.test/")
            .must_succeed();
        container.is_shut_out("tcp 203.0.113.66:22");
        container.is_shut_out("udp 203.0.113.66:9999");
    }
    assert_eq!(leaks(&capture.stop()), Vec::<&str>::new());

    let without_policy = bed.sleeper(&[]);
    signal(bed, &without_policy.footprint().proxy, "KILL");
    let code = bed.docker_within(20, &["wait", &without_policy.name]);
    assert_eq!(code.must_succeed().stdout.trim(), "137");
}

fn signal(bed: &Bed, pids: &str, name: &str) {
    bed.exec(&["bash", "-c", "kill -$1 $2", "kill", name, pids])
        .must_succeed();
}

fn race(bed: &Bed) {
    let capture = Capture::start(bed, "docker0", "in");
    let script = "attacker probe udp 203.0.113.66:5353 && attacker probe tcp 198.51.100.20:8080";
    let batch = |_| {
        thread::scope(|scope| {
            let starts: Vec<_> = (0..AT_A_TIME)
                .map(|_| scope.spawn(|| bed.run(&[], script)))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect::<Vec<_>>()
        })
    };
    for answer in (0..RACERS / AT_A_TIME).flat_map(batch) {
        must_be_shut_out("two probes", &answer);
    }
    let through: Vec<String> = capture
        .stop()
        .into_iter()
        .filter(|packet| {
            packet.contains("203.0.113.66.5353") || packet.contains("198.51.100.20.8080")
        })
        .collect();
    assert_eq!(through, Vec::<String>::new());
}

/// Each is filtered while it runs, and nothing of any is there afterwards.
fn many(bed: &Bed) {
    let script = "curl -sS -m 20 http://allowed.test/ && attacker probe tcp 203.0.113.66:22 | grep -E '^(refused|unreachable)'";
    let one = || {
        let name = unique("many");
        let file = bed.path(&format!("{name}.id"));
        let file = file.to_str().unwrap();
        let words = [
            "run",
            "--rm",
            "--cidfile",
            file,
            "--name",
            &name,
            "--runtime",
            &runtime(),
            IMAGE,
            "sh",
            "-c",
            script,
        ];
        let answer = bed.docker_within(PATIENCE, &words);
        assert!(
            answer.must_succeed().stdout.contains("I am allowed.test"),
            "{answer:?}"
        );
        std::fs::read_to_string(file).unwrap()
    };
    let batch = |_| {
        thread::scope(|scope| {
            let runs: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one)).collect();
            runs.into_iter()
                .map(|run| run.join().unwrap())
                .collect::<Vec<_>>()
        })
    };
    let ids: Vec<String> = (0..MANY / AT_ONCE).flat_map(batch).collect();
    wait_for_none(|| ids.iter().flat_map(|id| bed.traces_of(id)).collect());
}
