//! Sandboxes that agents and browsers make for themselves, within each type of jail: they work, or say why not,
//! and those that ask for no network have none.

use test_support::bed::Bed;
use test_support::harness::Test;

use crate::jail::{Caller, LANDJAILED_USER, SUPERVISED_USER, USER};
use crate::world;

pub(crate) const TESTS: &[Test] = &[
    ("of_bubblewraps_and_unshares_work", bubblewrap),
    ("that_are_jails_of_ours_work_in_nsjail_alone", nested),
];

/// Needs a program that not every system has.
pub(crate) const BROWSER_TESTS: &[Test] = &[("of_chromiums_work", chromium)];

const CALLERS: [Caller; 3] = [USER, SUPERVISED_USER, LANDJAILED_USER];
const ALLOW: &[&str] = &[
    "--allow",
    "domain=allowed.test",
    "--allow",
    "cidr=198.51.100.10/32",
];
const ANSWERED: &str = "I am allowed.test at ";

/// What each sandbox is made by, and whether it shares its jail's network.
const SANDBOXES: [(&str, bool); 7] = [
    ("bwrap --ro-bind / / --dev /dev", true),
    (
        "bwrap --unshare-all --share-net --ro-bind / / --dev /dev --proc /proc",
        true,
    ),
    (
        "bwrap --unshare-all --ro-bind / / --dev /dev --proc /proc",
        false,
    ),
    ("bwrap --unshare-net --ro-bind / / --dev /dev", false),
    ("unshare -Ur", true),
    ("unshare -Urn", false),
    ("unshare -Urmpf --mount-proc", true),
];

/// One line for each way to a server: by its name, and by its address.
fn visits(sandbox: &str) -> String {
    let visit =
        |host: &str| format!("{sandbox} sh -c 'echo works; curl -sS -m 5 http://{host}/ 2>&1'\n");
    visit("allowed.test") + &visit("198.51.100.10")
}

fn bubblewrap(bed: &Bed) {
    for (sandbox, shares) in SANDBOXES {
        let unjailed = USER.run_unjailed(bed, &visits(sandbox)).stdout;
        let expected = if shares { 2 } else { 0 };
        assert_eq!(
            unjailed.matches(ANSWERED).count(),
            expected,
            "{sandbox}: {unjailed}"
        );
        for caller in CALLERS {
            let jailed = caller.run(bed, ALLOW, &visits(sandbox));
            let said = &jailed.answer.stdout;
            assert_eq!(
                said.matches("works\n").count(),
                2,
                "{}: {sandbox}: {jailed:?}",
                caller.name
            );
            assert_eq!(
                said.matches(ANSWERED).count(),
                expected,
                "{}: {sandbox}: {jailed:?}",
                caller.name
            );
        }
    }
}

fn nested(bed: &Bed) {
    for caller in CALLERS {
        for (inner, refusal) in [
            ("nsjail", "no netlink for nf_tables here, as within notify"),
            (
                "notify",
                "another supervisor answers this process's calls already",
            ),
            (
                "landjail",
                "another supervisor answers this process's calls already",
            ),
        ] {
            let inside = |rule: &str| {
                format!(
                    "cd $(mktemp -d); boundary-shim jail --jail-type {inner} --log inner --allow {rule} -- \
                     sh -c 'curl -sS -m 5 http://allowed.test/; curl -sS -m 5 http://denied.test/' 2>&1"
                )
            };
            let said = caller.run(bed, ALLOW, &inside("domain=*.test")).answer;
            let works = said.stdout.contains(ANSWERED);
            assert_eq!(
                works, !caller.supervised,
                "{}: {inner}: {said:?}",
                caller.name
            );
            assert_eq!(
                said.stdout.contains(refusal),
                !works,
                "{}: {inner}: {said:?}",
                caller.name
            );
            // The outer one's rules hold, too; and so do the inner one's.
            assert!(!said.stdout.contains("I am denied.test"), "{said:?}");
            let stricter = caller.run(bed, ALLOW, &inside("domain=other.test")).answer;
            assert!(!stricter.stdout.contains("I am "), "{stricter:?}");
        }
    }
}

fn chromium(bed: &Bed) {
    for caller in CALLERS {
        let own = world::empty_folder(bed);
        let dump = |host: &str| {
            let script = format!(
                "HOME={own} exec chromium-headless-shell --dump-dom --disable-gpu --no-first-run --timeout=20000 \
                 --disable-background-networking --user-data-dir={own}/profile http://{host}/"
            );
            caller.run(bed, ALLOW, &script).answer
        };
        // It doesn't run without its sandbox.
        let answered = dump("allowed.test");
        assert!(
            answered.stdout.contains(ANSWERED),
            "{}: {answered:?}",
            caller.name
        );
        let denied = dump("denied.test");
        assert!(
            !denied.stdout.contains("I am "),
            "{}: {denied:?}",
            caller.name
        );
    }
}
