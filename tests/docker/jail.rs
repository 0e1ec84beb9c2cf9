//! `boundary-shim jail` in containers: where its namespaces can be made, and what it says where they
//! can't. Each row is really run.

use test_support::bed::{Bed, unique};
use test_support::harness::Test;

pub(crate) const TESTS: &[Test] = &[
    ("nsjail_works_where_its_namespaces_can_be_made", matrix),
    ("notify_works_anywhere", anywhere),
];

/// A user without any right, who may write somewhere.
const AS_USER: &[&str] = &["--user", "1777:1777", "--tmpfs", "/tmp"];
const NO_RIGHTS: &[&str] = &["--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
const UNCONFINED: &[&str] = &["--security-opt", "seccomp=unconfined"];

/// Runtime, flags, options of the jail; what it says where it can't be had.
type Row<'a> = (&'a str, Vec<&'a str>, &'a [&'a str], Option<&'a str>);

fn matrix(bed: &Bed) {
    let file = bed.path(&unique("profile"));
    let file = file.to_str().unwrap();
    bed.exec(&["boundary-shim", "gen-seccomp", "--output", file])
        .must_succeed();
    let profile = format!("seccomp={file}");
    let profile = ["--security-opt", &profile];
    let denied = Some("gen-seccomp");
    let alone: &[&str] = &["--no-user-namespace"];
    let rows: [Row<'_>; 13] = [
        ("runc", vec![], &[], denied),
        ("runc", AS_USER.to_vec(), &[], denied),
        ("runc", vec!["--cap-add", "NET_ADMIN"], &[], denied),
        ("runc", profile.to_vec(), &[], None),
        ("runc", [&profile, AS_USER].concat(), &[], None),
        ("runc", vec!["--cap-add", "SYS_ADMIN"], &[], None),
        ("runc", UNCONFINED.to_vec(), &[], None),
        (
            "runc",
            [UNCONFINED, AS_USER, NO_RIGHTS, &["--read-only"]].concat(),
            &[],
            None,
        ),
        (
            "runc",
            [UNCONFINED, NO_RIGHTS].concat(),
            &[],
            Some("CAP_SETFCAP"),
        ),
        ("boundary", vec![], &[], None),
        ("boundary", AS_USER.to_vec(), &[], None),
        ("runc", vec![], alone, Some("CAP_SYS_ADMIN")),
        (
            "runc",
            vec!["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"],
            alone,
            None,
        ),
    ];
    for (runtime, flags, options, refused) in rows {
        let script = format!(
            "boundary-shim jail --jail-type nsjail {} --log /tmp/record.jsonl --allow domain=allowed.test -- sh -c '\
             curl -s -m 5 -o /dev/null -w \"%{{http_code}} \" http://allowed.test/; \
             curl -s -m 5 -o /dev/null -w \"%{{http_code}}\" --resolve denied.test:80:198.51.100.20 http://denied.test/'",
            options.join(" ")
        );
        let program = [
            "-v",
            "/usr/local/bin/boundary-shim:/usr/local/bin/boundary-shim:ro",
        ];
        let answer = bed.run_with(runtime, &[&program, flags.as_slice()].concat(), &script);
        match refused {
            None => assert_eq!(answer.stdout, "200 403", "{runtime} {flags:?}: {answer:?}"),
            Some(said) => {
                assert_eq!((answer.code, answer.stdout.as_str()), (1, ""), "{answer:?}");
                assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
                assert!(answer.stderr.contains(said), "{answer:?}");
            }
        }
    }
}

fn anywhere(bed: &Bed) {
    let script = "boundary-shim jail --allow domain=allowed.test -- sh -c '
            curl -sS -m 5 http://allowed.test/
            curl -sS -m 5 -o /dev/null -w \"%{http_code}\\n\" --resolve denied.test:80:198.51.100.20 http://denied.test/
            getent hosts denied.test || echo no such name
            attacker knock 3 203.0.113.66:8080
            attacker probe tcp 127.0.0.11:22'";
    let program = [
        "-v",
        "/usr/local/bin/boundary-shim:/usr/local/bin/boundary-shim:ro",
    ];
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
            let flags = [&program, flags.as_slice()].concat();
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
