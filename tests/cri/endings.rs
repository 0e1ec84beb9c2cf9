//! How pods end: everything goes with them, whatever died first.

use test_support::bed::Bed;
use test_support::command::{must_be_shut_out, wait_for};
use test_support::harness::Test;
use test_support::traces::wait_for_none;

use crate::pod::Pods as _;

pub(crate) const TESTS: &[Test] = &[
    ("nothing_is_left_of_a_pod_that_was_removed", removed),
    (
        "a_pod_whose_gateway_is_killed_loses_its_sandbox_and_leaves_nothing",
        killed_gateway,
    ),
    (
        "a_pod_whose_gateway_and_guard_are_killed_loses_its_sandbox_at_the_next_container",
        killed_with_its_guard,
    ),
    (
        "a_killed_pause_leaves_its_containers_without_a_network",
        killed_pause,
    ),
];

fn removed(bed: &Bed) {
    let pod = bed.pod();
    let container = pod.sleeper();
    pod.sleeper()
        .exec("curl -sS -m 5 http://allowed.test/")
        .must_succeed();
    let footprint = pod.footprint(&container);
    pod.remove().unwrap();
    footprint.vanishes(bed);
    wait_for_none(|| bed.traces_of(&container.id));
}

/// The kubelet makes a sandbox anew that isn't ready.
fn killed_gateway(bed: &Bed) {
    for whole in [false, true] {
        let pod = bed.pod();
        let container = pod.sleeper();
        let footprint = pod.footprint(&container);
        if whole {
            kill(bed, &footprint.proxy);
        } else {
            kill(bed, &footprint.filter(bed));
        }
        wait_for("the sandbox not to be ready", || !pod.is_ready());
        must_be_shut_out(
            "a probe",
            &container.exec("attacker probe tcp 203.0.113.66:22"),
        );
        pod.remove().unwrap();
        footprint.vanishes(bed);
        no_shim_is_left(bed, &pod.id);
    }
}

/// Then the next container finds out.
fn killed_with_its_guard(bed: &Bed) {
    let pod = bed.pod();
    let container = pod.sleeper();
    let footprint = pod.footprint(&container);
    footprint.lose_guard(bed);
    kill(bed, &footprint.proxy);
    container
        .exec("curl -sS -m 3 http://allowed.test/")
        .must_fail();
    assert!(pod.is_ready());
    let refused = pod.start(Default::default()).unwrap_err();
    assert!(
        refused.contains(&format!("the gateway of container {} was killed", pod.id)),
        "{refused}"
    );
    wait_for("the sandbox not to be ready", || !pod.is_ready());
    pod.remove().unwrap();
    footprint.vanishes(bed);
    no_shim_is_left(bed, &pod.id);
}

fn killed_pause(bed: &Bed) {
    let pod = bed.pod();
    let container = pod.sleeper();
    let footprint = pod.footprint(&container);
    kill(bed, &pod.pause().to_string());
    wait_for_none(|| {
        bed.traces_of(&pod.id)
            .into_iter()
            .filter(|trace| trace.contains("/run/boundary"))
            .collect()
    });
    for probe in [
        "tcp 203.0.113.66:22",
        "udp 203.0.113.66:9999",
        "tcp 198.51.100.10:80",
    ] {
        must_be_shut_out(probe, &container.exec(&format!("attacker probe {probe}")));
    }
    pod.remove().unwrap();
    footprint.vanishes(bed);
    no_shim_is_left(bed, &pod.id);
}

/// containerd 2.1 at times leaves its own shim of a pod behind whose pause was killed, under plain runc
/// too.
fn no_shim_is_left(bed: &Bed, pod: &str) {
    let script = r"for process in /proc/[0-9]*; do
        case $(tr '\0' ' ' <$process/cmdline) in */containerd-shim-runc-v2\ *$1*) kill -KILL ${process#/proc/} ;; esac
    done 2>/dev/null; true";
    bed.exec(&["bash", "-c", script, "end", pod]).must_succeed();
}

fn kill(bed: &Bed, pid: &str) {
    bed.exec(&["bash", "-c", "kill -KILL $1", "kill", pid])
        .must_succeed();
}
