//! `boundary-shim jail` in containers of plain runc, under the engine's default seccomp profile: no
//! runtime of ours, no capability, no flag.

use test_support::bed::Bed;
use test_support::command::Answer;
use test_support::harness::Test;

pub(crate) const TESTS: &[Test] = &[
    ("a_command_is_jailed_in_any_container", anywhere),
    (
        "why_there_is_no_namespace_in_a_container_is_said",
        no_namespace,
    ),
];

/// As whom, and with what taken away.
const CONTAINERS: [&[&str]; 4] = [
    &[],
    &["--cap-drop", "ALL"],
    &["--user", "1777:1777"],
    &[
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--user",
        "1777:1777",
        "--read-only",
    ],
];

/// Runs a script in a container that has the program, as a file of its host's.
fn run(bed: &Bed, flags: &[&str], script: &str) -> Answer {
    let program = "/usr/local/bin/boundary-shim:/usr/local/bin/boundary-shim:ro";
    bed.run_with("runc", &[&["--volume", program], flags].concat(), script)
}

fn anywhere(bed: &Bed) {
    let script = "boundary-shim jail --allow domain=allowed.test -- sh -c '
            curl -sS -m 5 http://allowed.test/
            curl -sS -m 5 -o /dev/null -w \"%{http_code}\\n\" --resolve denied.test:80:198.51.100.20 http://denied.test/
            getent hosts denied.test || echo no such name
            attacker knock 3 203.0.113.66:8080
            attacker probe tcp 127.0.0.11:22'";
    for flags in CONTAINERS {
        let answer = run(bed, flags, script);
        let said: Vec<&str> = answer.stdout.lines().collect();
        let [page, code, name, knock, probe] = said.as_slice() else {
            panic!("{flags:?}: {answer:?}");
        };
        assert!(page.contains("I am allowed.test"), "{flags:?}: {answer:?}");
        assert_eq!((*code, *name), ("403", "no such name"), "{flags:?}");
        assert!(knock.contains("ECONNREFUSED"), "{flags:?}: {answer:?}");
        assert!(probe.starts_with("refused"), "{flags:?}: {answer:?}");
        assert!(answer.stderr.contains("jailed by notify"), "{answer:?}");
        // Without a jail the container reaches what it likes.
        let unjailed = run(bed, flags, "attacker knock 3 203.0.113.66:8080");
        assert!(unjailed.stdout.contains("connected"), "{unjailed:?}");
    }
}

fn no_namespace(bed: &Bed) {
    for flags in CONTAINERS {
        let script = "boundary-shim jail --jail-type nsjail -- echo RAN";
        let answer = run(bed, flags, script);
        assert_eq!((answer.code, answer.stdout.as_str()), (1, ""), "{answer:?}");
        assert!(answer.stderr.contains("gen-seccomp"), "{answer:?}");
    }
}
