//! `boundary-shim jail` in containers: each row of `docs/jail.md`'s table is run, and what `auto` chooses.

use test_support::bed::{Bed, unique};
use test_support::harness::Test;
use test_support::jail_rows::{self, Outcome, Setting};

pub(crate) const TESTS: &[Test] = &[
    ("each_type_works_where_the_page_says", rows),
    (
        "auto_says_which_type_it_is_and_why_no_stronger_one",
        automatic,
    ),
    ("notify_works_anywhere", anywhere),
];

const NO_RIGHTS: &[&str] = &["--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
const UNCONFINED: &[&str] = &["--security-opt", "seccomp=unconfined"];

/// Where the program is in a container: as an engine's user would put it there.
const PROGRAM: [&str; 2] = [
    "-v",
    "/usr/local/bin/boundary-shim:/usr/local/bin/boundary-shim:ro",
];

fn rows(bed: &Bed) {
    let file = bed.path(&unique("profile"));
    let file = file.to_str().unwrap();
    bed.exec(&["boundary-shim", "gen-seccomp", "--output", file])
        .must_succeed();
    let mut run = 0;
    for row in jail_rows::ROWS {
        let Setting::Container(container) = row.setting else {
            continue;
        };
        for caller in row.callers {
            let flags = container.flags_for(*caller, file);
            let flags: Vec<&str> = PROGRAM
                .into_iter()
                .chain(flags.iter().map(String::as_str))
                .collect();
            for jail_type in jail_rows::TYPES {
                let what = format!("{}, as {caller:?}, {jail_type}", row.place);
                let outcome = row.outcome(jail_type);
                if outcome != Outcome::NotMeant {
                    let answer = bed.run_with(container.runtime, &flags, &row.script(jail_type));
                    outcome.must_be(&answer, &what);
                    run += 1;
                }
            }
        }
    }
    assert!(run > 0, "no row is of a container");
}

/// In one line: the type, and what stood in a stronger one's way.
fn automatic(bed: &Bed) {
    let says = |runtime: &str| {
        let script = "cd /tmp && boundary-shim jail --log r.jsonl -- true";
        let answer = bed.run_with(runtime, &PROGRAM, script);
        answer.must_succeed().stderr.clone()
    };
    let strongest = says("boundary");
    assert!(
        strongest.contains("jailed by nsjail, the strongest that can be had here\n"),
        "{strongest}"
    );
    let instead = says("runc");
    assert_eq!(instead.lines().count(), 1, "{instead}");
    assert!(
        instead.starts_with(
            "boundary-shim: info: jailed by notify: nsjail can't be had here, because"
        ) && instead.contains("a seccomp filter denies it")
            && instead.contains("gen-seccomp"),
        "{instead}"
    );
}

fn anywhere(bed: &Bed) {
    let script = "boundary-shim jail --allow domain=allowed.test -- sh -c '
            curl -sS -m 5 http://allowed.test/
            curl -sS -m 5 -o /dev/null -w \"%{http_code}\\n\" --resolve denied.test:80:198.51.100.20 http://denied.test/
            getent hosts denied.test || echo no such name
            attacker knock 3 203.0.113.66:8080
            attacker probe tcp 127.0.0.11:22'";
    let as_user = ["--user", "1777:1777"];
    // By `auto`, where there can be no namespaces; by name, where there can.
    let by_name = script.replace("jail", "jail --jail-type notify");
    let rows: [(&str, Vec<&str>, &str); 7] = [
        ("runc", vec![], script),
        ("runc", as_user.to_vec(), script),
        ("runc", NO_RIGHTS.to_vec(), script),
        (
            "runc",
            [&as_user, NO_RIGHTS, &["--read-only"]].concat(),
            script,
        ),
        ("runc", UNCONFINED.to_vec(), &by_name),
        ("runc", vec!["--cap-add", "SYS_ADMIN"], &by_name),
        ("boundary", as_user.to_vec(), &by_name),
    ];
    for (runtime, flags, script) in rows {
        let in_container = |script| {
            let flags = [&PROGRAM, flags.as_slice()].concat();
            bed.run_with(runtime, &flags, script)
        };
        let answer = in_container(script);
        let said: Vec<&str> = answer.stdout.lines().collect();
        let [page, code, name, knock, probe] = said.as_slice() else {
            panic!("{runtime} {flags:?}: {answer:?}");
        };
        let what = format!("{runtime} {flags:?}: {answer:?}");
        assert!(page.contains("I am allowed.test"), "{what}");
        assert_eq!((*code, *name), ("403", "no such name"), "{what}");
        assert!(knock.contains("ECONNREFUSED"), "{what}");
        assert!(probe.starts_with("refused"), "{what}");
        let by_auto = !script.contains("--jail-type");
        assert_eq!(
            answer.stderr.contains("jailed by notify"),
            by_auto,
            "{what}"
        );
        if runtime == "runc" {
            // Without a jail the container reaches what it likes.
            let unjailed = in_container("attacker knock 3 203.0.113.66:8080");
            assert!(unjailed.stdout.contains("connected"), "{unjailed:?}");
        }
    }
}
