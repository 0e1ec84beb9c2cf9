//! Control groups of version 2, made by systemd for Docker.

use crate::Test;
use crate::machine::Machine;

pub(crate) const TESTS: &[Test] = &[
    ("a_containers_limits_are_in_force", limits),
    ("a_container_that_wants_too_much_memory_is_killed", memory),
    ("a_container_that_forks_too_much_is_stopped", processes),
    ("the_filter_is_not_in_its_containers_group", apart),
    ("nothing_is_left_of_a_containers_scope", scope),
];

fn limits(machine: &Machine) {
    let script = "cd /sys/fs/cgroup && cat memory.max pids.max cpu.max";
    let flags = "--memory 64m --pids-limit 50 --cpus 0.5";
    let [runc, boundary] =
        ["runc", "boundary"].map(|runtime| machine.container(runtime, flags, script));
    assert_eq!(runc.must_succeed().stdout, "67108864\n50\n50000 100000\n");
    assert_eq!(boundary.must_succeed().stdout, runc.stdout);
}

fn memory(machine: &Machine) {
    for runtime in ["runc", "boundary"] {
        let script = "dd if=/dev/zero of=/dev/null bs=128M count=1; echo ended with $?";
        let answer = machine.container(runtime, "--memory 32m --memory-swap 32m", script);
        assert!(
            answer.must_succeed().stdout.contains("ended with 137"),
            "{runtime}: {answer:?}"
        );
    }
}

fn processes(machine: &Machine) {
    for runtime in ["runc", "boundary"] {
        let script = "for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; wait";
        let answer = machine.container(runtime, "--pids-limit 8", script);
        assert!(
            answer.stderr.contains("can't fork"),
            "{runtime}: {answer:?}"
        );
    }
}

/// Keeper and filter are in a scope of their own, in the slice of their container's, with limits.
fn apart(machine: &Machine) {
    let container = machine.resident("boundary");
    let id = container.id();
    let group = |pid: &str| machine.says(&format!("sed 's/^0:://' /proc/{pid}/cgroup"));
    let (own, filters) = (
        group(&container.inspect("{{.State.Pid}}")),
        group(&container.filter()),
    );
    let (slice, scope) = own.rsplit_once('/').expect("a path");
    assert_eq!(scope, format!("docker-{id}.scope"));
    let (filters_slice, scope) = filters.rsplit_once('/').expect("a path");
    assert_eq!(filters_slice, slice);
    assert!(
        scope.starts_with(&format!("boundary-filter-{id}-")),
        "{scope}"
    );
    assert_eq!(
        machine.says(&format!("systemctl is-active {scope}")),
        "active"
    );
    let limits = "cat memory.max memory.swap.max pids.max cpu.weight; wc -l <cgroup.procs";
    let limits = machine.says(&format!("cd /sys/fs/cgroup{filters} && {limits}"));
    assert_eq!(
        limits.split_whitespace().collect::<Vec<_>>(),
        // Keeper, filter and guard.
        ["67108864", "0", "16", "100", "3"]
    );
}

fn scope(machine: &Machine) {
    let container = machine.sleeper("boundary", "");
    let id = container.id();
    assert_eq!(
        machine.says(&format!("systemctl is-active docker-{id}.scope")),
        "active"
    );
    drop(container);
    machine.waits_for(
        "the scope's end",
        &format!("! systemctl list-units --all | grep {id}"),
    );
    machine.waits_for(
        "the container's end",
        &format!("! ls /run/boundary | grep {id}; ! ls -d /sys/fs/cgroup/*/*{id}*"),
    );
}
