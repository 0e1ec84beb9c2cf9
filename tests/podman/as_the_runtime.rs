//! `podman --runtime boundary-shim`: containers and pods, under runc and crun, with and without a
//! user namespace.

use std::fs;

use test_support::bed::{Bed, unique};
use test_support::command::wait_for;
use test_support::composed::{HOST, HOST_AFTERWARDS, differing};
use test_support::harness::Test;
use test_support::traces::wait_for_none;

use crate::podman::{Podman, RUNTIMES, USER_NAMESPACES, version};

pub(crate) const TESTS: &[Test] = &[
    ("a_plain_container_reaches_what_is_denied", plain),
    (
        "a_container_is_filtered_under_runc_and_crun_with_and_without_a_user_namespace",
        filtered,
    ),
    (
        "a_container_is_filtered_after_stop_start_and_restart_and_leaves_nothing",
        restarted,
    ),
    (
        "a_restart_policy_brings_back_a_container_whose_filter_was_killed",
        comes_back,
    ),
    (
        "a_short_name_leads_where_podmans_search_list_says_whatever_the_container_writes_there",
        short_names,
    ),
    ("the_containers_of_a_pod_are_filtered_together", pod),
    (
        "who_may_be_intercepted_trusts_the_gateway_in_every_user_namespace",
        trusting,
    ),
    ("what_people_compose_is_as_with_runc", composed),
    (
        "what_reaches_around_the_filter_is_refused_in_podmans_own_words",
        refused,
    ),
    (
        "nothing_of_podmans_network_is_left_when_the_last_container_is_gone",
        network,
    ),
    (
        "install_and_uninstall_add_and_take_away_the_runtime",
        install,
    ),
];

/// Without this, "nothing got through" would prove nothing.
fn plain(bed: &Bed) {
    let podman = Podman {
        bed,
        options: &["--runtime", "runc"],
    };
    let answer = podman.run(
        &[],
        "curl -sS -m 5 http://denied.test/; attacker probe tcp 203.0.113.66:22",
    );
    assert!(
        answer.stdout.contains("I am denied.test") && answer.stdout.contains("connected"),
        "{answer:?}"
    );
}

fn filtered(bed: &Bed) {
    for options in RUNTIMES {
        for flags in USER_NAMESPACES {
            Podman { bed, options }.filters(flags);
        }
    }
}

/// podman restarts it in the network as it stands.
fn comes_back(bed: &Bed) {
    for options in RUNTIMES {
        let (podman, name) = (Podman { bed, options }, unique("c"));
        podman.sleeper(&name, &["--restart", "on-failure"]);
        let says = |format: &str| {
            let answer = podman.say(&["inspect", "--format", format, &name]);
            answer.must_succeed().stdout.trim().to_owned()
        };
        let id = says("{{.Id}}");
        for restarts in 1..3 {
            // The filter. With the keeper, that network would be gone.
            let keeper = bed.state_of(&id)["proxy"]["pid"].to_string();
            let kill = "kill -KILL $(cut -d ' ' -f 1 /proc/$1/task/$1/children)";
            bed.exec(&["sh", "-c", kill, "kill", &keeper])
                .must_succeed();
            wait_for("it to run again", || {
                says("{{.RestartCount}} {{.State.Status}}") == format!("{restarts} running")
            });
            podman.filters_running(&name);
        }
        podman
            .say(&["rm", "--force", "--time", "0", &name])
            .must_succeed();
        wait_for_none(|| bed.traces_of(&id));
    }
}

fn restarted(bed: &Bed) {
    // podman 4 can't always remove a container with ids of its own that was restarted, under plain
    // runc neither: it forgets to unmount its /dev/shm.
    let kinds = if version(bed) < 5 {
        &USER_NAMESPACES[..1]
    } else {
        &USER_NAMESPACES[..]
    };
    for options in RUNTIMES {
        for flags in kinds {
            let (podman, name) = (Podman { bed, options }, unique("c"));
            podman.sleeper(&name, flags);
            podman.filters_running(&name);
            let id = podman
                .say(&["inspect", "--format", "{{.Id}}", &name])
                .must_succeed()
                .stdout
                .trim()
                .to_owned();
            for verb in [
                &["stop", "--time", "0"][..],
                &["start"],
                &["restart", "--time", "0"],
            ] {
                let answer = podman.say(&[verb, &[&name]].concat());
                assert_eq!(answer.must_succeed().stderr, "", "{verb:?}");
            }
            podman.filters_running(&name);
            podman
                .say(&["rm", "--force", "--time", "0", &name])
                .must_succeed();
            wait_for_none(|| bed.traces_of(&id));
        }
    }
}

/// podman 5 writes the list when the container has been created, which is too late for it to count.
fn short_names(bed: &Bed) {
    let reached = if version(bed) < 5 { 2 } else { 0 };
    let podman = Podman {
        bed,
        options: RUNTIMES[0],
    };
    let name = unique("c");
    podman.sleeper(&name, &["--dns-search", "wild.test"]);
    let exec = |script: &str| podman.say(&["exec", &name, "sh", "-c", script]);
    for _ in 0..2 {
        let said = exec("curl -4 -sS -m 5 http://a/; curl -4 -ksS -m 5 https://a/").stdout;
        assert_eq!(said.matches("I am *.wild.test").count(), reached, "{said}");
        exec("echo search test >>/etc/resolv.conf").must_succeed();
        let said = exec("curl -4 -sS -m 5 http://allowed/").stdout;
        assert!(said.contains("denied: GET allowed/"), "{said}");
        podman
            .say(&["restart", "--time", "0", &name])
            .must_succeed();
    }
    podman
        .say(&["rm", "--force", "--time", "0", &name])
        .must_succeed();
}

fn pod(bed: &Bed) {
    for options in RUNTIMES {
        let podman = Podman { bed, options };
        let pod = unique("pod");
        podman.pod(&pod);
        let [one, two] = [unique("one"), unique("two")];
        for name in [&one, &two] {
            podman.sleeper(name, &["--pod", &pod]);
        }
        podman.filters_running(&one);
        podman.filters_running(&two);
        podman.say(&["restart", "--time", "0", &one]).must_succeed();
        podman.filters_running(&one);
        for verb in [&["stop", "--time", "0"][..], &["start"]] {
            let answer = podman.say(&[&["pod"][..], verb, &[&pod]].concat());
            assert!(
                !answer.must_succeed().stderr.contains("rror"),
                "{verb:?}: {answer:?}"
            );
        }
        podman.filters_running(&two);
        let ids = podman
            .say(&["ps", "--all", "--quiet", "--no-trunc"])
            .must_succeed()
            .stdout
            .clone();
        podman
            .say(&["pod", "rm", "--force", "--time", "0", &pod])
            .must_succeed();
        assert_eq!(ids.lines().count(), 3, "{ids}");
        wait_for_none(|| ids.lines().flat_map(|id| bed.traces_of(id)).collect());
    }
}

fn refused(bed: &Bed) {
    let podman = Podman {
        bed,
        options: RUNTIMES[0],
    };
    for (flags, sign) in [
        (&["--privileged"][..], "privileged"),
        (&["--cap-add", "NET_ADMIN"], "CAP_NET_ADMIN"),
        (&["--pid", "host"], "--pid=host"),
        (
            &["--annotation", "boundary.mode=observe"],
            "annotations.modes",
        ),
        (&["--annotation", "boundary.polcy=x"], "boundary.polcy"),
    ] {
        let answer = podman.run(flags, "true");
        assert!(
            answer.must_fail().stderr.contains(sign),
            "{flags:?}: {answer:?}"
        );
    }
    // There the capability is bounded.
    podman.filters(&["--uidmap", "0:100000:65536", "--cap-add", "NET_ADMIN"]);
}

/// netavark takes its bridge and rules away with the last container, if it finds that container's
/// link where it left it.
fn network(bed: &Bed) {
    for options in RUNTIMES {
        for flags in USER_NAMESPACES {
            Podman { bed, options }.run(flags, "true").must_succeed();
            wait_for("the bridge to go", || !bed.links().contains("podman0"));
        }
    }
}

fn install(bed: &Bed) {
    let folder = "/etc/containers/containers.conf.d";
    let file = bed.inside(&format!("{folder}/boundary.conf"));
    bed.exec(&["boundary-shim", "install", "podman"])
        .must_succeed();
    Podman {
        bed,
        options: &["--runtime", "boundary"],
    }
    .filters(&[]);
    Podman {
        bed,
        options: &["--runtime", "runc"],
    }
    .run(&[], "true")
    .must_succeed();
    bed.exec(&[
        "boundary-shim",
        "install",
        "podman",
        "--name",
        "other",
        "--policy",
        "ports",
    ])
    .must_succeed();
    let ports = Podman {
        bed,
        options: &["--runtime", "other"],
    };
    let script = "nslookup allowed.test >/dev/null; attacker probe tcp 198.51.100.10:22";
    assert!(ports.run(&[], script).stdout.contains("connected"));
    for name in ["boundary", "other"] {
        bed.exec(&["boundary-shim", "uninstall", "podman", "--name", name])
            .must_succeed();
    }
    assert!(!file.exists() && fs::read_dir(bed.inside(folder)).unwrap().count() == 1);
    Podman {
        bed,
        options: &["--runtime", "boundary"],
    }
    .run(&[], "true")
    .must_fail();
}

/// podman makes a container's network first, so nothing is added to it for nesting's sake.
fn composed(bed: &Bed) {
    bed.exec(&["sh", "-c", HOST]).must_succeed();
    let apart_from = [
        // It needs a program that Debian packages apart.
        "a supervisor and a priority in need",
        // Refused, with the reason (`refused`).
        "a VPN's client",
        "a debugger",
    ];
    let differing = differing(&apart_from, |plain, flags, script| {
        let options = if plain {
            &["--runtime", "runc"]
        } else {
            RUNTIMES[0]
        };
        Podman { bed, options }.run(flags, script)
    });
    bed.exec(&["sh", "-c", HOST_AFTERWARDS]).must_succeed();
    assert_eq!(differing, "");
}

fn trusting(bed: &Bed) {
    let count = "grep -c BEGIN $NODE_EXTRA_CA_CERTS && ls -ln $SSL_CERT_FILE && curl -4 -sS -m 5 https://allowed.test/";
    for runtime in [
        "/usr/local/bin/boundary-trust",
        "/etc/boundary/trust-with-crun",
    ] {
        let options = &["--runtime", runtime][..];
        let podman = Podman { bed, options };
        for flags in USER_NAMESPACES {
            let answer = podman.run(flags, count);
            let said = &answer.must_succeed().stdout;
            assert!(
                said.starts_with("1\n") && said.contains("I am allowed.test"),
                "{said}"
            );
        }
    }
    let left = fs::read_dir(bed.inside("/var/lib/boundary/trust")).unwrap();
    assert_eq!(left.count(), 0);
}
