//! Bad input: a clear error, the container not started, nothing left.

use std::fs;

use crate::Test;
use crate::bed::{Bed, IMAGE, runtime, unique};

pub(crate) const TESTS: &[Test] = &[
    ("a_broken_policy_stops_the_container_and_tells_every_mistake", broken_policy),
    ("no_policy_means_deny_all", no_policy),
    ("a_privileged_container_is_refused", privileged),
    ("annotations_cannot_widen_the_policy", annotations),
    ("hostile_annotations_stop_the_container", hostile_annotations),
    ("install_and_uninstall_leave_daemon_json_as_it_was", install),
];

fn broken_policy(bed: &Bed) {
    let answer = bed.run_with("boundary-broken", &[], "true");
    answer.must_fail();
    for sign in ["broken.yaml", "domian", "notaport"] {
        assert!(answer.stderr.contains(sign), "no {sign} in {}", answer.stderr);
    }
    assert!(!answer.stderr.contains("panicked"), "{}", answer.stderr);
}

fn no_policy(bed: &Bed) {
    let answer = bed.run_with("boundary-unwritten", &[], "curl -sS -m 5 -w '%{http_code}' http://203.0.113.66/");
    let said = &answer.must_succeed().stdout;
    assert!(said.ends_with("403") && said.contains("unwritten"), "{said}");
}

fn privileged(bed: &Bed) {
    let answer = bed.run(&["--privileged"], "true");
    answer.must_fail();
    assert!(answer.stderr.contains("privileged"), "{}", answer.stderr);
}

/// Docker before 24 has no annotations: there nothing can widen anything.
fn has_annotations(bed: &Bed) -> bool {
    let version = bed.docker(&["version", "--format", "{{.Server.APIVersion}}"]).must_succeed().stdout.clone();
    let minor: u32 = version.trim().split_once('.').and_then(|(_, minor)| minor.parse().ok()).unwrap();
    minor >= 43
}

fn annotations(bed: &Bed) {
    if !has_annotations(bed) {
        return;
    }
    let script =
        "curl -sS -m 5 -o /dev/null -w '%{http_code}' --resolve denied.test:80:198.51.100.20 http://denied.test/";
    let answer = bed.run(&["--annotation", "boundary.allow=domain=denied.test"], script);
    assert!(answer.code != 0 || answer.stdout == "403", "{}", answer.stdout);
}

fn hostile_annotations(bed: &Bed) {
    if !has_annotations(bed) {
        return;
    }
    let huge = format!("boundary.allow={}", "domain=a.test ".repeat(5000));
    for annotation in [
        "boundary.policy=../../etc/shadow",
        "boundary.policy=no-such-policy",
        "boundary.allow=domian=x",
        "boundary.mode=off",
        "boundary.unknown=1",
        &huge,
    ] {
        let answer = bed.run(&["--annotation", annotation], "true");
        assert!(answer.code != 0, "{annotation:.40}: started");
        assert!(answer.stderr.contains("boundary."), "{annotation:.40}: {}", answer.stderr);
    }
}

fn install(bed: &Bed) {
    let file = bed.inside("/etc/docker/daemon.json");
    let before = fs::read_to_string(&file).unwrap();
    let name = unique("other");
    bed.exec(&["boundary-shim", "install", "docker", "--name", &name]).must_succeed();
    let during: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert!(during["runtimes"][&name].is_object(), "{during}");
    assert_eq!(during["fixed-cidr-v6"], "fd00:bed::/64");
    bed.docker(&["run", "--rm", "--runtime", &name, IMAGE, "true"]).must_succeed();
    bed.docker(&["run", "--rm", "--runtime", &runtime(), IMAGE, "true"]).must_succeed();
    bed.exec(&["boundary-shim", "uninstall", "docker", "--name", &name]).must_succeed();
    let after: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(after, serde_json::from_str::<serde_json::Value>(&before).unwrap());
}
