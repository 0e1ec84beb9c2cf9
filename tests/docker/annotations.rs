//! What `docker run --annotation` may choose, and what a hostile one does: nothing starts.

use test_support::bed::Bed;
use test_support::harness::Test;

pub(crate) const TESTS: &[Test] = &[
    ("annotations_cannot_widen_the_policy", cannot_widen),
    ("hostile_annotations_stop_the_container", hostile),
];

fn cannot_widen(bed: &Bed) {
    let script = "curl -sS -m 5 -o /dev/null -w '%{http_code}' --resolve denied.test:80:198.51.100.20 http://denied.test/";
    let answer = bed.run(
        &["--annotation", "boundary.allow=domain=denied.test"],
        script,
    );
    assert!(
        answer
            .must_fail()
            .stderr
            .contains("boundary.allow: not allowed here"),
        "{}",
        answer.stderr
    );
}

fn hostile(bed: &Bed) {
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
        assert!(
            answer.must_fail().stderr.contains("boundary."),
            "{annotation:.40}: {}",
            answer.stderr
        );
    }
}
