//! `install docker` and `uninstall docker` on a machine with systemd, AppArmor and
//! systemd-resolved.

use crate::Test;
use crate::machine::Machine;

pub(crate) const TESTS: &[Test] = &[
    ("install_says_all_that_it_does", says_all),
    ("installing_again_finds_nothing_to_do", again),
    ("doctor_finds_nothing_wrong", doctor),
    (
        "containers_of_plain_runc_resolve_and_reach_what_they_did",
        plain,
    ),
];

/// At the end: nothing is filtered after these.
pub(crate) const LAST: &[Test] = &[
    (
        "profiles_stay_as_long_as_containers_run_under_them",
        profiles_stay,
    ),
    ("uninstall_takes_all_away", uninstall),
    ("docker_goes_on_without_it", goes_on),
];

fn says_all(machine: &Machine) {
    let said = machine.says("cat /root/install.log");
    for line in [
        "write /etc/apparmor.d/boundary-shim",
        "load the AppArmor profiles of /etc/apparmor.d/boundary-shim",
        "write /etc/systemd/resolved.conf.d/boundary.conf",
        "restart systemd-resolved.service",
        "query the DNS server 172.17.0.1",
        "write /etc/docker/daemon.json",
        "restart docker.service",
    ] {
        assert!(said.lines().any(|said| said == line), "{line} in:\n{said}");
    }
    let daemon = machine.says("cat /etc/docker/daemon.json");
    let daemon: serde_json::Value = serde_json::from_str(&daemon).expect("JSON");
    // The address of the bridge, and not of a server of the moment.
    assert_eq!(daemon["dns"], serde_json::json!(["172.17.0.1"]));
}

fn again(machine: &Machine) {
    assert!(
        machine
            .says("boundary-shim install docker --restart")
            .starts_with("already installed")
    );
}

fn doctor(machine: &Machine) {
    let said = machine.says("boundary-shim doctor");
    for line in [
        "ok    user namespaces: can be created",
        "ok    nesting: the AppArmor profile boundary-default allows it",
        "ok    docker: the runtime boundary is installed",
    ] {
        assert!(said.contains(line), "{line} in:\n{said}");
    }
}

fn plain(machine: &Machine) {
    for host in ["allowed", "denied"] {
        let answer = machine
            .resident("runc")
            .exec(&format!("curl -sS -m 20 http://{host}.test/"));
        assert!(
            answer
                .must_succeed()
                .stdout
                .contains(&format!("I am {host}.test")),
            "{answer:?}"
        );
    }
}

fn profiles_stay(machine: &Machine) {
    {
        let container = machine.sleeper("boundary", "");
        let said = machine.says("boundary-shim uninstall docker --dry-run");
        assert!(
            said.contains("/etc/apparmor.d/boundary-shim is kept: running containers"),
            "{said}"
        );
        container.exec("go-jail").must_succeed();
    }
    machine.waits_for(
        "the last container's end",
        "test -z \"$(ls /run/boundary)\"",
    );
}

fn uninstall(machine: &Machine) {
    let said = machine.says("boundary-shim uninstall docker");
    assert!(
        said.contains("unload the AppArmor profiles of /etc/apparmor.d/boundary-shim"),
        "{said}"
    );
    machine
        .run("test ! -e /etc/apparmor.d/boundary-shim")
        .must_succeed();
    assert!(
        !machine
            .says("cat /sys/kernel/security/apparmor/profiles")
            .contains("boundary")
    );
    let daemon = machine.says("cat /etc/docker/daemon.json");
    let daemon: serde_json::Value = serde_json::from_str(&daemon).expect("JSON");
    assert_eq!(daemon, serde_json::json!({"runtimes": {}}));
    machine
        .run("test ! -e /etc/docker/boundary-dns")
        .must_succeed();
    assert_eq!(
        machine.says("boundary-shim uninstall docker"),
        "not installed"
    );
    // Containers that run ask the resolver there until dockerd is restarted: what is left to do was
    // said, and is enough.
    machine
        .run("rm /etc/systemd/resolved.conf.d/boundary.conf && systemctl restart systemd-resolved docker")
        .must_succeed();
    assert!(
        said.contains("sudo rm /etc/systemd/resolved.conf.d/boundary.conf"),
        "{said}"
    );
}

fn goes_on(machine: &Machine) {
    let run = |runtime: &str| {
        machine.container(
            runtime,
            "--dns 198.51.100.53",
            "curl -sS -m 20 http://denied.test/",
        )
    };
    assert!(
        run("runc")
            .must_succeed()
            .stdout
            .contains("I am denied.test")
    );
    assert!(run("boundary").must_fail().stderr.contains("boundary"));
}
