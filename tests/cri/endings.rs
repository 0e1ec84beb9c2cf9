//! How pods end: everything goes with them, whatever died first.

use test_support::bed::Bed;
use test_support::command::must_be_shut_out;
use test_support::harness::Test;
use test_support::traces::wait_for_none;

use crate::pod::Pods as _;

pub(crate) const TESTS: &[Test] = &[
    ("nothing_is_left_of_a_pod_that_was_removed", removed),
    (
        "nothing_is_left_of_a_pod_whose_proxy_was_killed",
        killed_proxy,
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

fn killed_proxy(bed: &Bed) {
    let pod = bed.pod();
    let container = pod.sleeper();
    let footprint = pod.footprint(&container);
    kill(bed, &footprint.proxy);
    container
        .exec("curl -sS -m 3 http://allowed.test/")
        .must_fail();
    let refused = pod.start(Default::default()).unwrap_err();
    assert!(refused.contains("no gateway"), "{refused}");
    pod.remove().unwrap();
    footprint.vanishes(bed);
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
    // containerd 2.1 at times leaves its own shim of such a pod behind, under plain runc too.
    let script = r"for process in /proc/[0-9]*; do
        case $(tr '\0' ' ' <$process/cmdline) in */containerd-shim-runc-v2\ *$1*) kill -KILL ${process#/proc/} ;; esac
    done 2>/dev/null; true";
    bed.exec(&["bash", "-c", script, "end", &pod.id])
        .must_succeed();
}

fn kill(bed: &Bed, pid: &str) {
    bed.exec(&["bash", "-c", "kill -KILL $1", "kill", pid])
        .must_succeed();
}
