//! The same script in a container with plain runc and in one with ours, on the same bed: what comes
//! of it has to be the same.

use test_support::bed::Bed;

/// Runs a script under plain runc and under a runtime of ours; both must come to the same. Gives
/// what it printed.
#[track_caller]
pub(crate) fn same(bed: &Bed, runtime: &str, flags: &[&str], script: &str) -> String {
    let plain = bed.run_with("runc", flags, script);
    let ours = bed.run_with(runtime, flags, script);
    assert_eq!(
        (ours.code, &ours.stdout),
        (plain.code, &plain.stdout),
        "ours: {}\nrunc: {}",
        ours.stderr,
        plain.stderr
    );
    plain.stdout
}
