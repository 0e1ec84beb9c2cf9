//! What was asked for wrongly, or can't be had: one sentence, and nothing runs.

use test_support::bed::Bed;

use crate::jail::{PROGRAM, USER};

pub(crate) const TESTS: &[test_support::harness::Test] = &[
    ("each_is_said_in_one_sentence_and_nothing_runs", sentences),
    (
        "user_namespaces_that_are_switched_off_are_said_to_be",
        switched_off,
    ),
    ("a_seccomp_filter_that_denies_them_is_said_to", denied),
    (
        "a_chroot_that_denies_them_is_not_taken_for_a_filter",
        in_a_chroot,
    ),
];

fn sentences(bed: &Bed) {
    for (file, text) in [
        ("open.yaml", "allow:\n  - domain=allowed.test\n"),
        ("bad.yaml", "alow: []\n"),
    ] {
        std::fs::write(bed.inside(&format!("/tmp/{file}")), text).unwrap();
    }
    bed.exec(&["chmod", "666", "/tmp/open.yaml"]).must_succeed();
    for (options, code, said) in [
        (&["--allow", "domian=x"][..], 1, "domian"),
        (&["--policy", "/tmp/none.yaml"], 1, "no such file"),
        (&["--policy", "/tmp/bad.yaml"], 1, "alow"),
        (&["--policy", "/tmp/open.yaml"], 1, "writable by others"),
        (
            &["--log", "/nowhere/at/all/../x"],
            1,
            "can't write the record",
        ),
        (&["--log", "/tmp"], 1, "can't write the record"),
        (&["--no-user-namespace"], 1, "CAP_SYS_ADMIN"),
        (&["--colour"], 2, "--colour"),
    ] {
        let answer = bed.exec(&USER.line(options, "echo RAN"));
        assert_eq!(
            (answer.code, answer.stdout.as_str()),
            (code, ""),
            "{options:?}: {answer:?}"
        );
        assert!(answer.stderr.contains(said), "{options:?}: {answer:?}");
        let lines = answer
            .stderr
            .lines()
            .filter(|line| !line.starts_with("boundary-shim: info"));
        assert!(code == 2 || lines.count() == 1, "{options:?}: {answer:?}");
    }
    let answer = bed.exec(&[
        PROGRAM,
        "jail",
        "--jail-type",
        "prison",
        "--",
        "echo",
        "RAN",
    ]);
    assert_eq!((answer.code, answer.stdout.as_str()), (2, ""), "{answer:?}");
    assert!(answer.stderr.contains("expected auto"), "{answer:?}");
    let nothing = bed.exec(&[PROGRAM, "jail"]);
    assert_eq!(nothing.code, 2, "{nothing:?}");
}

fn switched_off(bed: &Bed) {
    // In a user namespace of its own, whose limit is its own, too.
    let line = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces && exec {PROGRAM} jail --jail-type nsjail -- echo RAN"
    );
    let answer = bed.exec(&["unshare", "-Ur", "sh", "-c", &line]);
    assert_eq!((answer.code, answer.stdout.as_str()), (1, ""), "{answer:?}");
    assert!(
        answer.stderr.contains("user.max_user_namespaces"),
        "{answer:?}"
    );
}

fn denied(bed: &Bed) {
    // As engines' default profiles do: clone with a flag for a new user namespace gives EPERM.
    let script = format!(
        "
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def op(code, true, false, value): return struct.pack('HBBI', code, true, false, value)
program = op(0x20, 0, 0, 0) + op(0x15, 0, 3, 56) + op(0x20, 0, 0, 16) + op(0x45, 0, 1, 0x10000000) + op(0x06, 0, 0, 0x50001) + op(0x06, 0, 0, 0x7fff0000)
text = ctypes.create_string_buffer(program)
filter = struct.pack('HxxxxxxP', 6, ctypes.addressof(text))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, filter) == 0
os.execv('{PROGRAM}', ['boundary-shim', 'jail', '--jail-type', 'nsjail', '--', 'echo', 'RAN'])
"
    );
    let answer = bed.exec(&["python3", "-c", &script]);
    assert_eq!((answer.code, answer.stdout.as_str()), (1, ""), "{answer:?}");
    assert!(answer.stderr.contains("seccomp"), "{answer:?}");
    // Where nsjail isn't asked for, what needs no namespace takes its place, and it is said why.
    let line = script.replace("'--jail-type', 'nsjail', ", "");
    let answer = bed.exec(&["python3", "-c", &line]);
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (0, "RAN\n"),
        "{answer:?}"
    );
    assert!(answer.stderr.contains("jailed by notify"), "{answer:?}");
    assert!(answer.stderr.contains("seccomp"), "{answer:?}");
}

/// There the kernel makes no user namespace, and says so by the number that filters give.
fn in_a_chroot(bed: &Bed) {
    let script = format!(
        "mkdir -p /tmp/root && mount --rbind / /tmp/root && chroot /tmp/root {PROGRAM} jail --jail-type nsjail -- echo RAN"
    );
    let answer = bed.exec(&["unshare", "--mount", "sh", "-c", &script]);
    assert_eq!((answer.code, answer.stdout.as_str()), (1, ""), "{answer:?}");
    assert!(
        answer.stderr.contains("this process is in a chroot") && !answer.stderr.contains("seccomp"),
        "{answer:?}"
    );
}
