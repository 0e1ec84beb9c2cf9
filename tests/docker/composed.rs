//! What people compose: the same with plain runc and with the filter around it.

use test_support::bed::Bed;
use test_support::composed::{HOST, HOST_AFTERWARDS, differing};
use test_support::docker::runtime;
use test_support::harness::Test;

pub(crate) const TESTS: &[Test] = &[
    ("what_people_compose_is_as_with_runc", compositions),
    ("the_engines_socket_is_reached_read_only", socket),
];

fn compositions(bed: &Bed) {
    bed.exec(&["sh", "-c", HOST]).must_succeed();
    let differing = differing(&[], |plain, flags, script| {
        let ours = runtime();
        bed.run_with(if plain { "runc" } else { &ours }, flags, script)
    });
    bed.exec(&["sh", "-c", HOST_AFTERWARDS]).must_succeed();
    assert_eq!(differing, "");
}

/// systemd mounts `/run` without set-user-ID programs and devices; what is there nests all the same.
fn socket(bed: &Bed) {
    let strict = format!(
        "mkdir -p /run/strict && mount --bind {} /run/strict && mount -o remount,bind,nosuid,nodev,noexec /run/strict",
        bed.path("").display()
    );
    bed.exec(&["sh", "-c", &strict]).must_succeed();
    let flags = ["-v", "/run/strict/docker.sock:/var/run/docker.sock:ro"];
    let script = "curl -sS --unix-socket /var/run/docker.sock http://docker/_ping; \
                  grep CapEff /proc/self/status";
    let said = bed.run(&flags, script).must_succeed().stdout.clone();
    assert!(said.starts_with("OK"), "{said}");
    let admin = 1_u64 << 12;
    let held = said
        .rsplit_once("CapEff:")
        .and_then(|(_, set)| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap();
    assert_eq!(held & admin, admin, "{said}");
    bed.exec(&["umount", "/run/strict"]).must_succeed();
}
