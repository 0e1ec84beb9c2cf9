//! The engine and the machine come and go: containers are filtered afterwards as before, and
//! nothing stale is left.

use test_support::command::must_be_shut_out;

use crate::Test;
use crate::machine::{Container, Machine};

pub(crate) const TESTS: &[Test] = &[
    (
        "no_user_namespaces_no_nesting_and_that_is_said",
        no_user_namespaces,
    ),
    ("what_needs_a_user_namespace_is_refused_without", refused),
    ("yama_is_in_nobodys_way", yama),
    (
        "nothing_is_left_of_containers_that_a_restart_of_docker_stops",
        restarted,
    ),
    (
        "with_live_restore_a_container_is_filtered_all_along",
        live_restore,
    ),
    ("a_reboot_brings_containers_back_filtered", rebooted),
];

fn is_filtered(container: &Container<'_>) {
    container
        .exec("curl -sS -m 20 http://allowed.test/")
        .must_succeed();
    must_be_shut_out("tcp", &container.exec("attacker probe tcp 203.0.113.66:22"));
}

fn no_user_namespaces(machine: &Machine) {
    machine
        .run("sysctl -w user.max_user_namespaces=0")
        .must_succeed();
    {
        let container = machine.sleeper("boundary", "");
        is_filtered(&container);
        container.exec("go-jail").must_fail();
        assert!(
            container.notices().contains("user.max_user_namespaces"),
            "{}",
            container.notices()
        );
    }
    let doctor = machine.run("boundary-shim doctor");
    assert!(
        doctor
            .must_fail()
            .stdout
            .contains("user namespaces: disabled"),
        "{doctor:?}"
    );
    machine
        .run("sysctl -w user.max_user_namespaces=11000")
        .must_succeed();
}

fn refused(machine: &Machine) {
    machine
        .run("sysctl -w user.max_user_namespaces=0")
        .must_succeed();
    let answer = machine.container("boundary", "--cap-add SYS_ADMIN", "true");
    assert!(
        answer
            .must_fail()
            .stderr
            .contains("set sysctl user.max_user_namespaces"),
        "{answer:?}"
    );
    machine
        .run("sysctl -w user.max_user_namespaces=11000")
        .must_succeed();
    machine
        .container("boundary", "--cap-add SYS_ADMIN", "true")
        .must_succeed();
}

fn yama(machine: &Machine) {
    let before = machine.says("cat /proc/sys/kernel/yama/ptrace_scope");
    machine
        .run("sysctl -w kernel.yama.ptrace_scope=2")
        .must_succeed();
    {
        let container = machine.sleeper("boundary", "");
        is_filtered(&container);
        container.exec("go-jail").must_succeed();
    }
    machine
        .run(&format!("sysctl -w kernel.yama.ptrace_scope={before}"))
        .must_succeed();
}

fn restarted(machine: &Machine) {
    machine.alone();
    let container = machine.sleeper("boundary", "");
    let filter = container.filter();
    machine.run("systemctl restart docker").must_succeed();
    assert_eq!(container.inspect("{{.State.Running}}"), "false");
    machine.waits_for(
        "the filter's end",
        &format!("test -z \"$(ls /run/boundary)\" && ! test -e /proc/{filter}"),
    );
    assert_eq!(
        machine.says("ip -o link show type veth | grep -vc internet; true"),
        "0"
    );
    machine
        .run(&format!("docker start {}", container.name))
        .must_succeed();
    is_filtered(&container);
}

fn live_restore(machine: &Machine) {
    machine
        .run("cp /etc/docker/daemon.json /root/ && sed -i '0,/{/s//{ \"live-restore\": true,/' /etc/docker/daemon.json")
        .must_succeed();
    machine.run("systemctl reload docker").must_succeed();
    machine.waits_for(
        "live-restore",
        "docker info --format '{{.LiveRestoreEnabled}}' | grep true",
    );
    {
        let container = machine.sleeper("boundary", "");
        let (first, filter) = (container.inspect("{{.State.Pid}}"), container.filter());
        machine.run("systemctl restart docker").must_succeed();
        assert_eq!(
            (container.inspect("{{.State.Pid}}"), container.filter()),
            (first, filter)
        );
        is_filtered(&container);
    }
    machine
        .run("cp /root/daemon.json /etc/docker/ && systemctl restart docker")
        .must_succeed();
}

fn rebooted(machine: &Machine) {
    let container = machine.sleeper("boundary", "--restart always");
    let filter = container.filter();
    machine.reboot();
    machine.connect();
    assert_eq!(container.inspect("{{.State.Running}}"), "true");
    is_filtered(&container);
    // As the boot loaded it, and nobody else.
    container.exec("go-jail").must_succeed();
    assert!(
        machine
            .says("cat /sys/kernel/security/apparmor/profiles")
            .contains("boundary-bwrap")
    );
    assert_eq!(machine.says("ls /run/boundary | wc -l"), "1");
    assert_ne!(container.filter(), filter);
}
