//! Containers by `ctr run`, with the product as the runtime's program: its network comes by CNI,
//! from the host, or not at all.

use test_support::bed::{Bed, unique};
use test_support::command::{Answer, must_be_shut_out};
use test_support::harness::Test;
use test_support::traces::wait_for_none;

use crate::containerd::{Containerd as _, IMAGE};

pub(crate) const TESTS: &[Test] = &[
    ("a_container_with_cni_is_filtered", cni),
    ("a_container_with_the_hosts_network_is_filtered", host),
    ("a_container_without_a_network_has_none", none),
    ("exit_codes_and_output_are_the_containers", exit_code),
];

/// Runs a script in a container of its own to the end, which leaves nothing behind.
fn run(bed: &Bed, flags: &[&str], script: &str) -> Answer {
    let name = unique("ctr");
    let cgroup = bed.cgroup_of(&name);
    let runtime = [
        "--runtime",
        "io.containerd.runc.v2",
        "--runc-binary",
        "/usr/local/bin/boundary-shim",
    ];
    let rest = ["--cgroup", &cgroup, IMAGE, &name, "sh", "-c", script];
    let answer = bed.ctr(&[&["run", "--rm"], &runtime[..], flags, &rest].concat());
    wait_for_none(|| bed.traces_of(&name));
    answer
}

fn cni(bed: &Bed) {
    let answer = run(
        bed,
        &["--cni"],
        "curl -sS -m 5 --resolve allowed.test:443:198.51.100.10 https://allowed.test/",
    );
    assert!(answer.must_succeed().stdout.contains("I am allowed.test"));
    let answer = run(
        bed,
        &["--cni"],
        "curl -sS -m 5 --resolve denied.test:80:198.51.100.20 http://denied.test/",
    );
    assert!(
        answer.must_succeed().stdout.contains("domain=denied.test"),
        "{}",
        answer.stdout
    );
    let answer = run(
        bed,
        &["--cni"],
        "attacker probe tcp 203.0.113.66:22; attacker probe udp 203.0.113.66:9999",
    );
    must_be_shut_out("two probes", &answer);
}

fn host(bed: &Bed) {
    let answer = run(
        bed,
        &["--net-host"],
        "curl -sS -m 5 http://allowed.test/; ls /sys/class/net",
    );
    assert!(answer.must_succeed().stdout.contains("I am allowed.test"));
    assert!(!answer.stdout.contains("pods0"), "{}", answer.stdout);
    let answer = run(bed, &["--net-host"], "curl -sS -m 5 http://denied.test/");
    assert!(
        answer.must_fail().stderr.contains("resolve host"),
        "{answer:?}"
    );
    // The host's own services, containerd's streaming server among them, are none of the
    // container's.
    must_be_shut_out(
        "tcp",
        &run(bed, &["--net-host"], "attacker probe tcp 203.0.113.66:22"),
    );
}

fn none(bed: &Bed) {
    let answer = run(
        bed,
        &[],
        "ls /sys/class/net; curl -sS -m 5 --resolve allowed.test:80:198.51.100.10 http://allowed.test/",
    );
    assert_eq!(answer.must_fail().stdout, "lo\n");
}

fn exit_code(bed: &Bed) {
    let answer = run(bed, &["--cni"], "echo out; echo err >&2; exit 7");
    assert_eq!((answer.code, answer.stdout.as_str()), (7, "out\n"));
    assert!(answer.stderr.contains("err\n"), "{}", answer.stderr);
}
