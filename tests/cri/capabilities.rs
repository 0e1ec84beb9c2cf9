//! Capabilities that a pod asks for and that nothing in it bounds: with `pod-capabilities = "drop"`
//! its containers start without them, and get them back by no way.
//!
//! Each attack is made in a pod without this runtime first, where it has to succeed.

use test_support::bed::Bed;
use test_support::command::wait_for;
use test_support::harness::Test;

use crate::pod::{Asked, Container, Pod, Pods as _, Wanted};
use crate::pods::is_filtered;

pub(crate) const TESTS: &[Test] = &[
    (
        "pods_start_without_what_nothing_bounds_and_their_record_says_so",
        dropped,
    ),
    ("what_was_dropped_comes_back_by_no_way", regain),
    ("a_privileged_container_is_refused_all_the_same", privileged),
    ("who_holds_sys_ptrace_takes_over_whoever_is_added", entrants),
];

/// What needs containerd 2.
pub(crate) const WITH_OWN_USERS: &[Test] = &[(
    "a_pod_with_a_user_namespace_keeps_what_others_are_started_without",
    kept,
)];

/// What a container asks for as the documents about coder/boundary have it.
const DOCUMENTED: [&[&str]; 2] = [&["NET_ADMIN"], &["NET_ADMIN", "SYS_ADMIN"]];

fn pod<'bed>(bed: &'bed Bed, runtime: &'static str) -> Pod<'bed> {
    bed.pod_with(Wanted {
        runtime,
        ..Wanted::default()
    })
    .unwrap()
}

fn asking<'bed>(pod: &Pod<'bed>, capabilities: &[&str]) -> Container<'bed> {
    pod.start(Asked {
        capabilities,
        ..Asked::default()
    })
    .unwrap()
}

/// All five sets of a process of the container.
fn held(container: &Container<'_>, process: &str) -> Vec<u64> {
    let status = container.exec(&format!("grep ^Cap /proc/{process}/status"));
    let sets = status.must_succeed().stdout.lines().map(|line| {
        let (_, set) = line.split_once('\t').unwrap();
        u64::from_str_radix(set, 16).unwrap()
    });
    sets.collect()
}

fn bit(capability: &str) -> u64 {
    match capability {
        "NET_ADMIN" => 1 << 12,
        "SYS_PTRACE" => 1 << 19,
        "SYS_ADMIN" => 1 << 21,
        other => panic!("{other} has no number here"),
    }
}

fn dropped(bed: &Bed) {
    let pod = pod(bed, "dropping");
    // CRI's pods have no seccomp filter unless they ask for one: this is the documents' third pod.
    for (number, capabilities) in DOCUMENTED.into_iter().enumerate() {
        let container = asking(&pod, capabilities);
        is_filtered(&container);
        for (capability, process) in capabilities.iter().zip(["1", "self"].iter().cycle()) {
            let sets = held(&container, process);
            assert_eq!(sets.len(), 5);
            assert!(
                sets.iter().all(|set| set & bit(capability) == 0),
                "{capability} in {process}: {sets:x?}"
            );
        }
        let names: Vec<_> = capabilities
            .iter()
            .map(|name| format!("CAP_{name}"))
            .collect();
        wait_for("the notice", || notices(&pod).len() == number + 1);
        let said = notices(&pod).pop().unwrap();
        assert!(
            said.contains(&format!("runs without {}, which", names.join(", "))),
            "{said}"
        );
    }
    // What nobody asked for is no news.
    is_filtered(&pod.sleeper());
    assert_eq!(notices(&pod).len(), DOCUMENTED.len());
}

fn notices(pod: &Pod<'_>) -> Vec<String> {
    let records = pod.records();
    records
        .iter()
        .filter_map(|record| record["notice"].as_str())
        .filter(|notice| notice.contains("runs without"))
        .map(str::to_owned)
        .collect()
}

fn regain(bed: &Bed) {
    let everything = ["NET_ADMIN", "SYS_ADMIN"];
    // The last by a file that gives whoever runs it the capabilities, if anybody may have them.
    let ways = [
        "attacker regain eth0",
        "cp /bin/attacker /tmp/a && chmod u+s /tmp/a && /tmp/a regain eth0",
        "capable-attacker regain eth0",
    ];
    let beyond = ["change eth0", "look through eth0", "mount"]
        .map(|what| format!("as it is, {what}: permitted"));
    let unfiltered = pod(bed, "runc");
    let (container, first) = attacking(&unfiltered, &everything);
    let by_exec = ways.map(|way| container.exec(way).must_succeed().stdout.clone());
    for said in [first].iter().chain(&by_exec) {
        for attempt in &beyond {
            assert!(said.contains(attempt), "{said}");
        }
    }

    let pod = pod(bed, "dropping");
    // The second as `kubectl debug` adds one.
    for _ in 0..2 {
        let (container, first) = attacking(&pod, &everything);
        assert!(permitted(&first).all(is_its_own), "{first}");
        for way in ways {
            let answer = container.exec(way);
            let got: Vec<_> = permitted(&answer.stdout).collect();
            // The kernel doesn't run a file whose capabilities can't be had.
            let runs = !way.starts_with("capable");
            assert_eq!(
                got.contains(&"user namespace: permitted"),
                runs,
                "{answer:?}"
            );
            assert!(got.into_iter().all(is_its_own), "{way}: {answer:?}");
        }
        is_filtered(&container);
    }
}

/// A container whose first process tries it, and what came of that.
fn attacking<'bed>(pod: &Pod<'bed>, capabilities: &[&str]) -> (Container<'bed>, String) {
    let script = "attacker regain eth0 >/tmp/said; touch /tmp/done; sleep 3600";
    let container = pod
        .start(Asked {
            capabilities,
            script: Some(script),
            ..Asked::default()
        })
        .unwrap();
    let ended = || container.exec("ls /tmp/done").code == 0;
    wait_for("the first process's attempts", ended);
    let said = container
        .exec("cat /tmp/said")
        .must_succeed()
        .stdout
        .clone();
    (container, said)
}

fn permitted(said: &str) -> impl Iterator<Item = &str> {
    said.lines().filter(|line| line.ends_with(": permitted"))
}

/// Whether an attempt is one that changes nothing of what the pod was given: everybody may have
/// namespaces of their own.
fn is_its_own(attempt: &str) -> bool {
    let own = [
        "user namespace: ",
        "network namespace: ",
        "in a network of its own, change lo: ",
    ];
    own.iter().any(|own| attempt.starts_with(own))
}

fn privileged(bed: &Bed) {
    let pod = bed
        .pod_with(Wanted {
            runtime: "dropping",
            privileged: true,
            ..Wanted::default()
        })
        .unwrap();
    let error = pod
        .start(Asked {
            privileged: true,
            ..Asked::default()
        })
        .unwrap_err();
    for said in ["single capabilities", "privileged = \"allow\""] {
        assert!(error.contains(said), "{error}");
    }
    // What is added to the pod beside it is what it was.
    let container = asking(&pod, &["SYS_ADMIN"]);
    assert_eq!(held(&container, "1")[1] & bit("SYS_ADMIN"), 0);
    is_filtered(&container);
}

/// Why SYS_PTRACE counts as reaching beyond a container, though it acts on processes alone that the
/// container sees: for a moment, they are the runtime's.
fn entrants(bed: &Bed) {
    let unfiltered = pod(bed, "runc");
    let (_, said) = entered(&unfiltered);
    assert!(said.contains(TAKEN_OVER), "{said}");

    let error = pod(bed, "boundary")
        .start(Asked {
            capabilities: &["SYS_PTRACE"],
            ..Asked::default()
        })
        .unwrap_err();
    assert!(error.contains("CAP_SYS_PTRACE reaches beyond"), "{error}");

    let pod = pod(bed, "dropping");
    let (container, said) = entered(&pod);
    assert!(
        said.contains("not attached: Operation not permitted"),
        "{said}"
    );
    assert!(!said.contains(TAKEN_OVER), "{said}");
    is_filtered(&container);
}

/// What the attacker says of whom it could use.
const TAKEN_OVER: &str = "attached to one with the host's root's capabilities";

/// A container that asks for SYS_PTRACE and attaches to whoever comes in; what came of it when some
/// did.
fn entered<'bed>(pod: &Pod<'bed>) -> (Container<'bed>, String) {
    const ENTRIES: usize = 30;
    let container = pod
        .start(Asked {
            capabilities: &["SYS_PTRACE"],
            script: Some("attacker entrants 60 >/tmp/said; sleep 3600"),
            ..Asked::default()
        })
        .unwrap();
    let said = || container.exec("cat /tmp/said").stdout;
    wait_for("the attacker", || said().contains("waiting"));
    for _ in 0..ENTRIES {
        container.exec("true");
    }
    let said = said();
    (container, said)
}

fn kept(bed: &Bed) {
    let pod = bed
        .pod_with(Wanted {
            runtime: "dropping",
            own_users: true,
            ..Wanted::default()
        })
        .unwrap();
    for capabilities in DOCUMENTED {
        let container = asking(&pod, capabilities);
        for capability in capabilities {
            assert_ne!(
                held(&container, "self")[2] & bit(capability),
                0,
                "{capability}"
            );
        }
        is_filtered(&container);
    }
    // In a user namespace, whoever comes in has left the host's before.
    let (_, said) = entered(&pod);
    assert!(!said.contains(TAKEN_OVER), "{said}");
    assert_eq!(notices(&pod), Vec::<String>::new());
}
