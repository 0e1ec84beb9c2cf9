//! What only a whole system can do to a record: lose its power, and kill a filter for want of
//! memory.

use serde_json::Value;

use crate::Test;
use crate::machine::{Container, Machine};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_filter_that_is_killed_for_want_of_memory_has_a_last_line_that_says_so",
        killed_for_memory,
    ),
    (
        "a_power_cut_costs_no_line_that_is_older_than_ten_seconds_and_the_next_start_says_so",
        power_cut,
    ),
];

/// The lines of a record that are whole.
fn lines(machine: &Machine, container: &str) -> Vec<Value> {
    let text = machine.says(&format!("cat /var/log/boundary/{container}.jsonl"));
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn reasons(machine: &Machine, container: &str) -> Vec<String> {
    let stops = lines(machine, container)
        .into_iter()
        .filter(|line| line["event"] == "stop");
    stops
        .map(|line| line["reason"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn killed_for_memory(machine: &Machine) {
    let container = machine.sleeper("boundary", "");
    container
        .exec("curl -sS -m 20 http://allowed.test/")
        .must_succeed();
    let id = container.id();
    // What the two processes have is over this at once.
    let shrink = format!(
        "echo 65536 >/sys/fs/cgroup$(cut -d: -f3 /proc/{}/cgroup)/memory.max",
        container.filter()
    );
    machine.run(&shrink);
    container
        .exec("curl -sS -m 5 http://allowed.test/")
        .must_fail();
    drop(container);
    machine.waits_for(
        "the last line",
        &format!("grep '\"event\":\"stop\"' /var/log/boundary/{id}.jsonl"),
    );
    let reasons = reasons(machine, &id);
    // Where the kernel chose the keeper, whoever removes the container finds the gateway dead, and
    // its group gone.
    let said = reasons.len() == 1 && reasons[0].contains("killed");
    assert!(
        said && !reasons[0].contains("the container has ended"),
        "{reasons:?}"
    );
}

fn power_cut(machine: &Machine) {
    let container = machine.sleeper("boundary", "");
    let probe = |container: &Container<'_>, port: u16| {
        container.exec(&format!("attacker probe tcp 203.0.113.66:{port}"));
    };
    let id = container.id();
    probe(&container, 22);
    // Real time is what is promised.
    std::thread::sleep(std::time::Duration::from_secs(10));
    probe(&container, 23);
    machine.cut_power();
    machine.connect();
    let told = |port: u16| {
        lines(machine, &id)
            .iter()
            .any(|line| line["port"] == port && line["verdict"] == "deny")
    };
    assert!(
        told(22),
        "{:?}",
        machine.says(&format!("cat /var/log/boundary/{id}.jsonl"))
    );
    machine
        .run(&format!("docker start {}", container.name))
        .must_succeed();
    probe(&container, 24);
    assert!(told(24));
    let reasons = reasons(machine, &id);
    assert!(
        reasons.len() == 1 && reasons[0].contains("nobody saw the gateway's end"),
        "{reasons:?}"
    );
}
