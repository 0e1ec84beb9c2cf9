//! `podman --hooks-dir`: the engine's own runtime, and `hooks/` of this repository.

use std::fs;
use std::path::Path;

use test_support::bed::{Bed, unique};
use test_support::harness::Test;
use test_support::traces::wait_for_none;

use crate::podman::{self, Podman, USER_NAMESPACES};

pub(crate) const TESTS: &[Test] = &[
    ("a_hook_alone_filters_containers_and_pods", filtered),
    ("a_hook_alone_refuses_what_it_can_not_filter", refused),
    (
        "a_hook_alone_refuses_a_policy_for_which_it_would_have_to_be_trusted",
        untrusted,
    ),
    (
        "a_hook_that_asks_for_annotations_leaves_others_alone",
        annotated,
    ),
    (
        "a_hook_that_fails_keeps_the_container_from_starting",
        fails_closed,
    ),
    (
        "a_container_of_the_runtime_has_one_gateway_with_the_hook_too",
        both,
    ),
    ("doctor_says_of_a_hook_what_then_happens", doctor),
];

/// The real runtimes; no shim.
const RUNTIMES: [&str; 2] = ["runc", "crun"];

/// Puts one of the repository's hooks into a folder of the bed.
fn hooks(bed: &Bed, file: &str) -> String {
    let folder = format!("/etc/hooks-{file}");
    fs::create_dir_all(bed.inside(&folder)).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("hooks")
        .join(file);
    fs::copy(from, bed.inside(&folder).join(file)).unwrap();
    folder
}

fn filtered(bed: &Bed) {
    let folder = hooks(bed, "boundary-always.json");
    for runtime in RUNTIMES {
        let podman = Podman {
            bed,
            options: &["--runtime", runtime, "--hooks-dir", &folder],
        };
        for flags in USER_NAMESPACES {
            podman.filters(flags);
        }
        let (pod, name) = (unique("pod"), unique("one"));
        podman.pod(&pod);
        podman.sleeper(&name, &["--pod", &pod]);
        podman.filters_running(&name);
        let ids = podman
            .say(&["ps", "--all", "--quiet", "--no-trunc"])
            .must_succeed()
            .stdout
            .clone();
        podman
            .say(&["pod", "rm", "--force", "--time", "0", &pod])
            .must_succeed();
        wait_for_none(|| ids.lines().flat_map(|id| bed.traces_of(id)).collect());
    }
}

fn refused(bed: &Bed) {
    let folder = hooks(bed, "boundary-always.json");
    for runtime in RUNTIMES {
        let podman = Podman {
            bed,
            options: &["--runtime", runtime, "--hooks-dir", &folder],
        };
        for (flags, sign) in [
            (&["--cap-add", "NET_ADMIN"][..], "CAP_NET_ADMIN"),
            (&["--network", "host"], "host's network"),
            (&["--privileged"], "privileged"),
            (&["--pid", "host"], "--pid=host"),
        ] {
            let answer = podman.run(flags, "echo it runs");
            assert!(
                !answer.must_fail().stdout.contains("it runs"),
                "{flags:?}: {answer:?}"
            );
            // crun doesn't pass a hook's words on.
            assert!(
                runtime == "crun" || answer.stderr.contains(sign),
                "{flags:?}: {answer:?}"
            );
        }
        podman.forget_failures();
    }
    // Somebody unfiltered is there already.
    let plain = Podman {
        bed,
        options: &["--runtime", "runc"],
    };
    let name = unique("plain");
    plain.sleeper(&name, &[]);
    let network = format!("container:{name}");
    let podman = Podman {
        bed,
        options: &["--runtime", "runc", "--hooks-dir", &folder],
    };
    let answer = podman.run(&["--network", &network], "true");
    plain
        .say(&["rm", "--force", "--time", "0", &name])
        .must_succeed();
    assert!(
        answer.must_fail().stderr.contains("no gateway"),
        "{answer:?}"
    );
}

fn untrusted(_: &Bed) {
    let bed = &podman::bed();
    let policies = bed.inside("/etc/boundary/policies");
    fs::copy(policies.join("trust.yaml"), policies.join("default.yaml")).unwrap();
    let folder = hooks(bed, "boundary-always.json");
    let options = &["--runtime", "runc", "--hooks-dir", &folder][..];
    let answer = Podman { bed, options }.run(&[], "echo it runs");
    let sign = "a hook can't give it the certificate";
    assert!(answer.must_fail().stderr.contains(sign), "{answer:?}");
}

fn annotated(bed: &Bed) {
    let folder = hooks(bed, "boundary.json");
    for runtime in RUNTIMES {
        let podman = Podman {
            bed,
            options: &["--runtime", runtime, "--hooks-dir", &folder],
        };
        podman.filters(&["--annotation", "boundary.mode=enforce"]);
        let answer = podman.run(&[], "curl -sS -m 5 http://denied.test/");
        assert!(answer.stdout.contains("I am denied.test"), "{answer:?}");
    }
}

fn fails_closed(bed: &Bed) {
    let folder = hooks(bed, "boundary.json");
    for runtime in RUNTIMES {
        let podman = Podman {
            bed,
            options: &["--runtime", runtime, "--hooks-dir", &folder],
        };
        for annotation in [
            "boundary.mode=observe",
            "boundary.policy=../x",
            "boundary.policy=unwritten",
        ] {
            let answer = podman.run(&["--annotation", annotation], "echo it runs");
            assert!(
                !answer.must_fail().stdout.contains("it runs"),
                "{annotation}: {answer:?}"
            );
        }
        podman.forget_failures();
    }
}

fn both(bed: &Bed) {
    let folder = hooks(bed, "boundary-always.json");
    Podman {
        bed,
        options: &[
            "--runtime",
            "/usr/local/bin/boundary-shim",
            "--hooks-dir",
            &folder,
        ],
    }
    .filters(&[]);
}

/// In the folder where podman looks by itself; the file takes an annotation, so that no other test meets it.
fn doctor(bed: &Bed) {
    let way = || {
        let said = bed.exec(&["boundary-shim", "doctor", "--json"]).stdout;
        let report: serde_json::Value = serde_json::from_str(&said).unwrap();
        report["ways"][1].clone()
    };
    let plain = Podman {
        bed,
        options: &["--runtime", "runc"],
    };
    let reaches = || {
        let probe = "curl -sS -m 5 --resolve denied.test:80:198.51.100.20 http://denied.test/";
        let answer = plain.run(&["--annotation", "boundary.mode=enforce"], probe);
        answer.stdout.contains("I am denied.test")
    };
    let missing = way();
    assert_eq!(missing["works"], false, "{missing}");
    assert!(reaches(), "nothing filters it");

    let line = missing["fixes"][0]["line"].as_str().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks/boundary.json");
    fs::create_dir_all(bed.inside("/etc/hooks")).unwrap();
    fs::copy(file, bed.inside("/etc/hooks/boundary.json")).unwrap();
    bed.exec(&["sh", "-c", &format!("cd /etc && {line}")])
        .must_succeed();
    let found = way();
    assert_eq!(found["works"], true, "{found}");
    assert!(!reaches(), "it is filtered");
    bed.exec(&["rm", "/usr/share/containers/oci/hooks.d/boundary.json"])
        .must_succeed();
    assert!(reaches(), "nothing filters it again");
}
