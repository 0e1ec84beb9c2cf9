//! The filter on a real system, each way compared with plain runc.

use test_support::command::must_be_shut_out;

use crate::Test;
use crate::jail::Helper;
use crate::machine::Machine;

pub(crate) const TESTS: &[Test] = &[
    ("an_allowed_name_is_reached_by_http_and_https", allowed),
    ("a_denied_name_is_not_looked_up", denied_name),
    ("a_denied_host_at_an_address_gets_the_reason", denied_host),
    ("other_ports_and_protocols_are_shut", other_protocols),
    ("root_who_flushes_every_rule_gets_no_further", flushed),
    (
        "a_user_defined_network_resolves_names_and_is_filtered",
        user_defined,
    ),
    ("the_hosts_network_is_filtered", host),
    ("a_published_port_is_reached_from_outside", published),
    ("exec_logs_and_stats_work", verbs),
    ("a_paused_container_goes_on_and_is_filtered", paused),
    ("a_stopped_container_starts_again_and_is_filtered", stopped),
    (
        "a_large_download_has_a_buffer_that_the_host_gives_nobody",
        buffers,
    ),
    ("every_attempt_is_on_record", record),
    ("the_kernel_runs_nothing_on_the_host_for_it", upcalls),
];

const PROBES: [&str; 3] = [
    "tcp 203.0.113.66:22",
    "udp 203.0.113.66:9999",
    "icmp 203.0.113.66",
];

fn allowed(machine: &Machine) {
    let script = "curl -sS -m 20 http://allowed.test/ https://allowed.test/";
    let [runc, boundary] =
        ["runc", "boundary"].map(|runtime| machine.resident(runtime).exec(script));
    assert!(
        runc.must_succeed()
            .stdout
            .matches("I am allowed.test")
            .count()
            == 2,
        "{runc:?}"
    );
    assert_eq!(boundary.must_succeed().stdout, runc.stdout);
}

/// The filter has no right to it: its keeper makes it so large.
fn buffers(machine: &Machine) {
    assert_eq!(machine.says("cat /proc/sys/net/core/rmem_max"), "212992");
    let container = machine.sleeper("boundary", "");
    container
        .exec_with(
            "--detach",
            "curl -sS -o /dev/null http://allowed.test/bytes/2000000000",
        )
        .must_succeed();
    let large = "ss --tcp --memory --numeric --no-header | grep -q 'rb[1-9][0-9]\\{6,\\}'";
    machine.waits_for(
        "a buffer over the bound",
        &format!("nsenter --target {} --net {large}", container.filter()),
    );
}

fn denied_name(machine: &Machine) {
    for (runtime, label, asked) in [("runc", "seen", true), ("boundary", "secret", false)] {
        machine
            .resident(runtime)
            .exec(&format!("nslookup {label}.denied.test"));
        let log = machine.says("cat bed/internet.log");
        assert_eq!(
            log.contains(&format!("{label}.denied.test")),
            asked,
            "{runtime}"
        );
    }
}

fn denied_host(machine: &Machine) {
    let script = "curl -sS -m 20 --resolve denied.test:80:198.51.100.20 http://denied.test/";
    assert!(
        machine
            .resident("runc")
            .exec(script)
            .must_succeed()
            .stdout
            .contains("I am denied.test")
    );
    let answer = machine
        .resident("boundary")
        .exec(script)
        .must_succeed()
        .stdout
        .clone();
    assert!(answer.contains("domain=denied.test"), "{answer}");
}

fn other_protocols(machine: &Machine) {
    let script: String = PROBES
        .iter()
        .map(|probe| format!("attacker probe {probe}; "))
        .collect();
    let plain = machine.resident("runc").exec(&script);
    let passed = |line: &str| line.starts_with("connected") || line.starts_with("answered");
    assert!(
        plain.stdout.lines().count() == 3 && plain.stdout.lines().all(passed),
        "{plain:?}"
    );
    let seen = || machine.says("grep -c 203.0.113.66 bed/internet.log");
    let before = seen();
    must_be_shut_out("three probes", &machine.resident("boundary").exec(&script));
    assert_eq!(seen(), before, "the attacker's machine was reached");
}

fn flushed(machine: &Machine) {
    let run = |runtime: &str| {
        let script = "nft flush ruleset && attacker probe tcp 203.0.113.66:22";
        machine.container(runtime, "--cap-add NET_ADMIN", script)
    };
    assert!(run("runc").must_succeed().stdout.starts_with("connected"));
    must_be_shut_out("tcp", &run("boundary"));
}

fn user_defined(machine: &Machine) {
    machine.run("docker network create net").must_succeed();
    {
        let neighbour = machine.sleeper("runc", "--network net");
        for runtime in ["runc", "boundary"] {
            let container = machine.sleeper(runtime, "--network net");
            container
                .exec(&format!("nslookup {}", neighbour.name))
                .must_succeed();
            container
                .exec("curl -sS -m 20 http://allowed.test/")
                .must_succeed();
            let denied = container.exec("curl -sS -m 20 http://denied.test/");
            assert_eq!(denied.code == 0, runtime == "runc", "{denied:?}");
        }
    }
    machine.run("docker network rm net").must_succeed();
}

fn host(machine: &Machine) {
    // 127.0.0.53 in the host's resolv.conf is not in there.
    let flags = "--network host --dns 198.51.100.53";
    let [runc, boundary] = ["runc", "boundary"].map(|runtime| {
        let script = "curl -sS -m 20 http://allowed.test/ >&2; attacker probe tcp 203.0.113.66:22";
        machine.container(runtime, flags, script)
    });
    assert!(
        runc.must_succeed().stdout.starts_with("connected")
            && runc.stderr.contains("I am allowed.test"),
        "{runc:?}"
    );
    assert!(
        boundary.stderr.contains("I am allowed.test"),
        "{boundary:?}"
    );
    must_be_shut_out("tcp", &boundary);
}

fn published(machine: &Machine) {
    for runtime in ["runc", "boundary"] {
        let container = machine.sleeper(runtime, "--publish 8080:80");
        container
            .exec_with(
                "--detach",
                "echo hello >/srv/index.html; httpd -f -p 80 -h /srv",
            )
            .must_succeed();
        machine.waits_for(
            runtime,
            "ip netns exec internet curl -sS -m 20 http://192.0.2.1:8080/ | grep hello",
        );
    }
}

fn verbs(machine: &Machine) {
    let container = machine.resident("boundary");
    container.exec("echo said >/proc/1/fd/1").must_succeed();
    assert_eq!(
        machine.says(&format!("docker logs {}", container.name)),
        "said"
    );
    let stats = machine.says(&format!(
        "docker stats --no-stream --format '{{{{.PIDs}}}} {{{{.NetIO}}}}' {}",
        container.name
    ));
    assert!(
        stats.starts_with("2 "),
        "the container and its init: {stats}"
    );
    let top = machine.says(&format!("docker top {}", container.name));
    assert!(!top.contains("boundary"), "{top}");
}

fn paused(machine: &Machine) {
    let container = machine.resident("boundary");
    machine
        .run(&format!("docker pause {}", container.name))
        .must_succeed();
    assert_eq!(container.inspect("{{.State.Paused}}"), "true");
    machine
        .run(&format!("docker unpause {}", container.name))
        .must_succeed();
    container
        .exec("curl -sS -m 20 http://allowed.test/")
        .must_succeed();
    must_be_shut_out(
        PROBES[0],
        &container.exec(&format!("attacker probe {}", PROBES[0])),
    );
}

fn stopped(machine: &Machine) {
    let container = machine.sleeper("boundary", "");
    let first = container.filter();
    machine
        .run(&format!(
            "docker stop {0} && docker start {0}",
            container.name
        ))
        .must_succeed();
    assert_ne!(container.filter(), first);
    container
        .exec("curl -sS -m 20 http://allowed.test/")
        .must_succeed();
    must_be_shut_out(
        PROBES[0],
        &container.exec(&format!("attacker probe {}", PROBES[0])),
    );
}

/// Without the engine's seccomp profile, which denies it as well.
fn upcalls(machine: &Machine) {
    let helper = Helper::of_the_kernels(machine);
    let flags = "--security-opt seccomp=unconfined";
    for (runtime, calls) in [("runc", 1), ("boundary", 0)] {
        let container = machine.sleeper(runtime, flags);
        let said = container.exec("attacker request-key by-exec");
        assert_eq!(helper.calls(), calls, "{runtime}, exec: {said:?}");
        let said = machine.container(runtime, flags, "attacker request-key by-run");
        assert_eq!(helper.calls(), calls, "{runtime}: {said:?}");
        assert_eq!(said.stdout == "EPERM\n", runtime == "boundary", "{said:?}");
    }
}

fn record(machine: &Machine) {
    let container = machine.resident("boundary");
    container.exec("curl -sS -m 20 http://allowed.test/; curl -sS -m 20 http://denied.test/");
    let log = machine.says(&format!("boundary-shim logs {}", container.id()));
    assert!(
        log.contains("allowed.test") && log.contains("denied.test"),
        "{log}"
    );
}
