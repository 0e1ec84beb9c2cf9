//! What is not started, and what CRI's answer says about it.

use test_support::bed::{Bed, unique};
use test_support::harness::Test;
use test_support::traces::wait_for_none;

use crate::containerd::{Containerd as _, IMAGE};
use crate::pod::{Asked, Pods as _, Wanted};

pub(crate) const TESTS: &[Test] = &[
    (
        "annotations_beyond_the_ceiling_are_refused_with_the_reason",
        annotations,
    ),
    (
        "a_containers_own_annotation_cannot_change_its_pods_policy",
        own_annotation,
    ),
    (
        "the_hosts_network_is_refused_where_the_host_says_so",
        host_network,
    ),
    (
        "a_container_of_ours_in_a_pod_that_ran_elsewhere_is_refused",
        unfiltered_pod,
    ),
    (
        "capabilities_that_reach_beyond_the_pod_are_refused",
        capabilities,
    ),
];

fn annotations(bed: &Bed) {
    let huge = "domain=a.test ".repeat(5000);
    for (key, value, reason) in [
        ("boundary.policy", "secret", "is not allowed here"),
        ("boundary.policy", "../../etc/shadow", "boundary.policy"),
        ("boundary.allow", "domian=x", "boundary.allow"),
        ("boundary.allow", &huge, "longer than"),
        ("boundary.mode", "off", "unknown mode"),
        ("boundary.unknown", "1", "unknown"),
    ] {
        let pod = bed.pod_with(Wanted {
            annotations: &[(key, value)],
            ..Wanted::default()
        });
        let error = pod
            .err()
            .unwrap_or_else(|| panic!("{key}={value:.20} was taken"));
        assert!(
            error.contains(reason) && error.contains("boundary."),
            "{key}={value:.20}: {error}"
        );
    }
}

fn own_annotation(bed: &Bed) {
    let pod = bed.pod();
    let other = Asked {
        annotations: &[("boundary.policy", "ports")],
        ..Asked::default()
    };
    let error = pod.start(other).unwrap_err();
    assert!(error.contains("boundary.policy"), "{error}");
    let same = Asked {
        annotations: &[("boundary.policy", "default")],
        ..Asked::default()
    };
    super::pods::is_filtered(&pod.start(same).unwrap());
}

fn host_network(bed: &Bed) {
    let pod = bed.pod_with(Wanted {
        host_network: true,
        runtime: "refusing",
        ..Wanted::default()
    });
    let error = pod.err().unwrap();
    assert!(error.contains("host-network"), "{error}");
    let pod = bed
        .pod_with(Wanted {
            runtime: "refusing",
            ..Wanted::default()
        })
        .unwrap();
    super::pods::is_filtered(&pod.sleeper());
}

fn capabilities(bed: &Bed) {
    let pod = bed.pod();
    for capability in ["NET_ADMIN", "SYS_ADMIN"] {
        let error = pod
            .start(Asked {
                capabilities: &[capability],
                ..Asked::default()
            })
            .unwrap_err();
        assert!(
            error.contains(&format!("CAP_{capability} reaches beyond")),
            "{error}"
        );
        assert!(error.contains("hostUsers: false"), "{error}");
    }
    super::pods::is_filtered(&pod.sleeper());
}

/// Not by CRI, where a pod has one runtime; but whoever can call containerd can try.
fn unfiltered_pod(bed: &Bed) {
    let pod = bed
        .pod_with(Wanted {
            runtime: "runc",
            ..Wanted::default()
        })
        .unwrap();
    let namespace = format!("network:/proc/{}/ns/net", pod.pause());
    let name = unique("joiner");
    let runtime = [
        "--runtime",
        "io.containerd.runc.v2",
        "--runc-binary",
        "/usr/local/bin/boundary-shim",
    ];
    let rest = [
        "--with-ns",
        &namespace,
        "--cgroup",
        &bed.cgroup_of(&name),
        IMAGE,
        &name,
        "true",
    ];
    let answer = bed.ctr(&[&["run", "--rm"], &runtime[..], &rest].concat());
    assert!(
        answer
            .must_fail()
            .stderr
            .contains("in use and has no gateway"),
        "{}",
        answer.stderr
    );
    wait_for_none(|| bed.traces_of(&name));
}
