//! Jails inside a container: real programs that make one of their own work where the tier says so,
//! with no flag, under runc and crun; without the runtime they fail, and with what `gen-seccomp`
//! writes they don't.
//!
//! Which tier and which real runtime a container gets is its runtime's name: see
//! `etc/docker/daemon.json` and the settings beside `etc/boundary/policies`. The fact to remember:
//! Chromium proves its sandbox by running at all, as it refuses to without one, and it runs from
//! this machine's `/usr`, whatever engine the bed has.

use std::fs;

use boundary_shim::seccomp::arch;
use boundary_shim::seccomp::filter::Action;
use boundary_shim::seccomp::proof::cbpf::{Call, verdict};
use boundary_shim::seccomp::tier::flags;
use boundary_shim::sys::upcalls;
use serde_json::Value;
use test_support::bed::{Bed, unique};
use test_support::cbpf::evaluate;
use test_support::command::Answer;
use test_support::docker::Container;
use test_support::harness::Test;
use test_support::loaded_filter::loaded_filters;

use crate::attacks::nothing_was_permitted;
use crate::filter::{denied_probes, nothing_leaks_while};

pub(crate) const TESTS: &[Test] = &[
    ("plain_runc_refuses_a_go_programs_jail", |bed| {
        GO.is_refused("runc", bed)
    }),
    ("plain_runc_refuses_unshare", |bed| {
        UNSHARE.is_refused("runc", bed)
    }),
    ("plain_runc_refuses_bubblewrap", |bed| {
        BUBBLEWRAP.is_refused("runc", bed)
    }),
    ("a_go_program_jails_its_child_under_runc", |bed| {
        GO.works_with("boundary", bed)
    }),
    ("unshare_works_under_runc", |bed| {
        UNSHARE.works_with("boundary-unshare", bed)
    }),
    ("bubblewrap_works_under_runc", |bed| {
        BUBBLEWRAP.works_with("boundary-bwrap", bed)
    }),
    ("a_go_program_jails_its_child_under_crun", |bed| {
        GO.works_with("boundary-crun", bed)
    }),
    ("unshare_works_under_crun", |bed| {
        UNSHARE.works_with("boundary-crun-unshare", bed)
    }),
    ("bubblewrap_works_under_crun", |bed| {
        BUBBLEWRAP.works_with("boundary-crun-bwrap", bed)
    }),
    ("a_go_program_jails_its_child_with_the_file_alone", |bed| {
        GO.works_with_the_file(bed)
    }),
    ("unshare_works_with_the_file_alone", |bed| {
        UNSHARE.works_with_the_file(bed)
    }),
    ("bubblewrap_works_with_the_file_alone", |bed| {
        BUBBLEWRAP.works_with_the_file(bed)
    }),
    ("a_tier_opens_no_more_than_its_own", tiers_are_apart),
    ("an_exec_has_the_containers_capabilities", exec),
    ("whoever_drops_all_capabilities_has_none", dropped),
    (
        "no_nesting_leaves_capabilities_and_seccomp_as_with_runc",
        none,
    ),
    ("what_a_jail_sends_through_its_parent_is_filtered", parent),
    ("a_device_under_another_path_is_there", mapped_device),
    ("the_kernel_runs_the_filter_that_was_promised", loaded),
    ("net_admin_without_a_flag_opens_nothing", net_admin),
    ("containers_work_and_are_filtered_with_crun", crun),
];

/// Needs a program that not every system packages.
pub(crate) const BROWSER_TESTS: &[Test] = &[
    ("plain_runc_refuses_chromiums_sandbox", |bed| {
        CHROMIUM.is_refused("runc", bed)
    }),
    ("chromiums_sandbox_works_under_runc", |bed| {
        CHROMIUM.works_with("boundary-chromium", bed)
    }),
    ("chromiums_sandbox_works_under_crun", |bed| {
        CHROMIUM.works_with("boundary-crun-chromium", bed)
    }),
    ("chromiums_sandbox_works_with_the_file_alone", |bed| {
        CHROMIUM.works_with_the_file(bed)
    }),
];

/// A program that jails itself or its child.
struct Jail {
    /// The tier made for it.
    tier: &'static str,
    /// Whom it has to work for.
    users: &'static [&'static str],
    /// Further flags of its container; none of them touches seccomp or capabilities.
    flags: &'static [&'static str],
    script: &'static str,
    /// A part of what it prints when it works.
    says: &'static str,
    /// A part of what it complains of under an engine's default profile.
    complains: &'static str,
}

const ROOT: &str = "0:0";
const SOMEBODY: &str = "1000:1000";

const GO: Jail = Jail {
    tier: "nsjail",
    users: &[ROOT, SOMEBODY],
    flags: &[],
    script: "go-jail",
    says: "uid 0, own network true, interfaces lo",
    complains: "fork/exec /proc/self/exe: operation not permitted",
};

const UNSHARE: Jail = Jail {
    tier: "unshare",
    users: &[ROOT, SOMEBODY],
    flags: &[],
    // By its path: a bare name is the shell's own.
    script: "/bin/unshare -Urn sh -c 'ip link set lo up && nft add table inet mine && ip -o address show lo'",
    says: "127.0.0.1/8",
    complains: "unshare failed: Operation not permitted",
};

const BUBBLEWRAP: Jail = Jail {
    tier: "bwrap",
    users: &[ROOT, SOMEBODY],
    flags: &[],
    script: "bwrap --unshare-user --unshare-net --ro-bind / / ip -o address show lo &&
             bwrap --unshare-all --ro-bind / / --dev /dev --tmpfs /tmp echo alone",
    says: "alone",
    complains: "No permissions to create new namespace",
};

const CHROMIUM: Jail = Jail {
    tier: "chromium",
    // For root it has no sandbox at all.
    users: &[SOMEBODY],
    flags: &["-v", "/machine/usr:/usr:ro"],
    script: "chromium-headless-shell --dump-dom --disable-gpu --no-first-run --disable-background-networking \
             --user-data-dir=/tmp/profile 'data:text/html,<p id=p></p><script>p.textContent=6*7</script>'",
    says: "<p id=\"p\">42</p>",
    complains: "No usable sandbox!",
};

impl Jail {
    fn run(&self, bed: &Bed, runtime: &str, user: &str, security: &[&str]) -> Answer {
        bed.run_with(
            runtime,
            &[&["-u", user], self.flags, security].concat(),
            self.script,
        )
    }

    #[track_caller]
    fn is_refused(&self, runtime: &str, bed: &Bed) {
        for user in self.users {
            let answer = self.run(bed, runtime, user, &[]);
            assert!(
                answer.must_fail().stderr.contains(self.complains),
                "{runtime}, {user}: {}",
                answer.stderr
            );
        }
    }

    #[track_caller]
    fn works_with(&self, runtime: &str, bed: &Bed) {
        for user in self.users {
            self.must_have_worked(&self.run(bed, runtime, user, &[]));
        }
    }

    /// Docker's client reads the file, out here; the product writes it, as for its users, wherever
    /// it is told to.
    #[track_caller]
    fn works_with_the_file(&self, bed: &Bed) {
        let file = bed.path(&unique(self.tier));
        let file = file.to_str().unwrap();
        bed.exec(&[
            "boundary-shim",
            "gen-seccomp",
            "--tier",
            self.tier,
            "--output",
            file,
        ])
        .must_succeed();
        for user in self.users {
            self.must_have_worked(&self.run(
                bed,
                "runc",
                user,
                &["--security-opt", &format!("seccomp={file}")],
            ));
        }
    }

    #[track_caller]
    fn must_have_worked(&self, answer: &Answer) {
        assert!(
            answer.must_succeed().stdout.contains(self.says),
            "{}{}",
            answer.stdout,
            answer.stderr
        );
    }
}

/// What the default opens is not what the wider ones do; and no nesting is as narrow as runc alone.
fn tiers_are_apart(bed: &Bed) {
    // Of root: a user's bubblewrap asks for nothing before it has found that it holds no
    // capability.
    let [go, unshare, bubblewrap] = [GO, UNSHARE, BUBBLEWRAP].map(|jail| Jail {
        users: &[ROOT],
        ..jail
    });
    for runtime in [
        "boundary-none",
        "boundary-unshare",
        "boundary",
        "boundary-crun",
    ] {
        bubblewrap.is_refused(runtime, bed);
    }
    for runtime in [
        "boundary-none",
        "boundary",
        "boundary-chromium",
        "boundary-bwrap",
    ] {
        unshare.is_refused(runtime, bed);
    }
    go.is_refused("boundary-none", bed);
}

/// The five sets of a process in a container, as `/proc` tells them.
const CAPABILITIES: &str = "grep ^Cap /proc";
/// CAP_NET_ADMIN's bit in them (`linux/capability.h`).
const NET_ADMIN: u64 = 1 << 12;

fn exec(bed: &Bed) {
    let users = [ROOT, SOMEBODY];
    let containers = users.map(|user| {
        (
            user,
            bed.start_with("boundary", &["-u", user], &["sleep", "600"]),
        )
    });
    for (user, container) in &containers {
        let own = container
            .exec(&format!("{CAPABILITIES}/1/status"))
            .must_succeed()
            .stdout
            .clone();
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert!(
                has_net_admin(&own, set),
                "{user}: no CAP_NET_ADMIN in {set}:\n{own}"
            );
        }
        assert_eq!(
            has_net_admin(&own, "CapAmb"),
            *user == SOMEBODY,
            "{user}:\n{own}"
        );
        // Whoever the container's own user is, a user has what the container would give to that
        // one.
        for (other, elsewhere) in &containers {
            let script = format!("{CAPABILITIES}/self/status");
            let exec = bed.docker(&["exec", "-u", user, &elsewhere.name, "sh", "-c", &script]);
            assert_eq!(
                exec.must_succeed().stdout,
                own,
                "{user} by exec in a container of {other}"
            );
        }
    }
}

fn dropped(bed: &Bed) {
    for user in [ROOT, SOMEBODY] {
        let container = bed.start_with(
            "boundary",
            &["-u", user, "--cap-drop", "ALL"],
            &["sleep", "600"],
        );
        for process in ["1", "self"] {
            let said = container
                .exec(&format!("{CAPABILITIES}/{process}/status"))
                .must_succeed()
                .stdout
                .clone();
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert!(
                    said.contains(&format!("{set}:\t{:016x}", 0)),
                    "{user}: {said}"
                );
            }
        }
    }
}

fn has_net_admin(status: &str, set: &str) -> bool {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(set)?.strip_prefix(":\t"))
        .unwrap();
    u64::from_str_radix(value, 16).unwrap() & NET_ADMIN != 0
}

fn none(bed: &Bed) {
    for user in [ROOT, SOMEBODY] {
        let [ours, plain] = ["boundary-none", "runc"]
            .map(|runtime| bed.start_with(runtime, &["-u", user], &["sleep", "600"]));
        // But for the one filter more that all have: see below.
        let script = "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/1/status /proc/self/status";
        assert_eq!(
            ours.exec(script).must_succeed().stdout,
            plain.exec(script).must_succeed().stdout
        );
        let (ours, plain) = (bundle_of(bed, &ours), bundle_of(bed, &plain));
        for part in ["/linux/seccomp", "/process/capabilities"] {
            assert!(plain.pointer(part).is_some(), "{plain}");
            assert_eq!(ours.pointer(part), plain.pointer(part), "{part}");
        }
    }
}

/// The config.json that the real runtime got.
fn bundle_of(bed: &Bed, container: &Container<'_>) -> Value {
    let pattern = format!("*/{}/config.json", container.id());
    let found = bed
        .exec(&["find", "/run/docker/containerd", "-path", &pattern])
        .must_succeed()
        .stdout
        .clone();
    serde_json::from_str(&fs::read_to_string(bed.inside(found.trim())).unwrap()).unwrap()
}

/// How a jail with a network works: its parent, with CAP_NET_ADMIN, hands an interface in and
/// forwards what comes out.
fn parent(bed: &Bed) {
    let flags = ["--sysctl", "net.ipv4.ip_forward=1"];
    let container = bed.start_with("boundary-unshare", &flags, &["sleep", "600"]);
    let inside = "
        until ip link set inside up 2>/dev/null; do :; done
        ip address add 10.9.9.2/24 dev inside; ip route add default via 10.9.9.1
        until /bin/ip link show inside | grep -q LOWER_UP; do :; done
        curl -4 -sS -m 5 http://allowed.test/; curl -sS -m 5 -o /dev/null -w '%{http_code}\n' http://198.51.100.20/
        attacker probe tcp 203.0.113.66:22; attacker probe udp 203.0.113.66:9999";
    let outside = "
        nft add table ip mine; nft add chain ip mine out '{ type nat hook postrouting priority 100; }'
        nft add rule ip mine out oifname eth0 masquerade
        /bin/unshare -Urn sh -c \"$0\" &
        until [ \"$(readlink /proc/$!/ns/net)\" != \"$(readlink /proc/self/ns/net)\" ]; do :; done
        /bin/ip link add outside type veth peer name inside netns $!
        ip address add 10.9.9.1/24 dev outside; ip link set outside up; wait $!";
    nothing_leaks_while(bed, &container, || {
        let answer = bed.docker(&["exec", &container.name, "sh", "-c", outside, inside]);
        let said: Vec<&str> = answer.must_succeed().stdout.lines().collect();
        let [page, code, probes @ ..] = said.as_slice() else {
            panic!("{answer:?}")
        };
        assert!(page.contains("I am allowed.test"), "{answer:?}");
        assert_eq!(*code, "403", "{answer:?}");
        assert_eq!(probes.len(), 2, "{answer:?}");
        for probe in probes {
            assert!(
                ["refused", "unreachable", "prohibited"]
                    .contains(&probe.split(' ').next().unwrap()),
                "{answer:?}"
            );
        }
    });
}

/// What the container's own root can do to its network now, and what still doesn't get out.
fn net_admin(bed: &Bed) {
    let container = bed.start_with("boundary", &[], &["sleep", "600"]);
    nothing_leaks_while(bed, &container, || {
        container
            .exec("nft add table inet mine && nft flush ruleset && ip link add d0 type bridge")
            .must_succeed();
        container.exec("go-jail").must_succeed();
        denied_probes(&container);
    });
    nothing_was_permitted(
        &container
            .exec("attacker rtnetlink eth0")
            .must_succeed()
            .stdout,
    );
}

fn crun(bed: &Bed) {
    let container = bed.start_with(
        "boundary-crun",
        &[],
        &["sh", "-c", "trap 'exit 7' TERM; while :; do sleep 1; done"],
    );
    nothing_leaks_while(bed, &container, || denied_probes(&container));
    container.docker("pause").must_succeed();
    container.docker("unpause").must_succeed();
    container.docker("restart").must_succeed();
    container
        .exec("curl -sS -m 5 https://allowed.test/")
        .must_succeed();
    container.docker("stop").must_succeed();
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "7");
    for code in [0, 42] {
        assert_eq!(
            bed.run_with("boundary-crun", &[], &format!("exit {code}"))
                .code,
            code
        );
    }
}

/// What the kernel itself runs for the container's first process, not what any file says.
fn loaded(bed: &Bed) {
    let [ours, plain] =
        ["boundary", "runc"].map(|runtime| bed.start_with(runtime, &[], &["sleep", "600"]));
    let [ours, plain] = [ours, plain].map(|container| loaded_filters(container.pid()).unwrap());
    // The first that was installed comes first.
    let ([against_upcalls, ours], [plain]) = (&ours[..], &plain[..]) else {
        panic!("{} and {} filters", ours.len(), plain.len());
    };
    let upcalls = upcalls::denied_alone().program().unwrap();
    let words = |program: &[libc::sock_filter]| {
        let words = program.iter().map(|one| (one.code, one.jt, one.jf, one.k));
        words.collect::<Vec<_>>()
    };
    assert_eq!(words(against_upcalls), words(upcalls.instructions()));
    let here = arch::own().unwrap();
    let verdict = |program: &[libc::sock_filter], call: &str, flags: u64| {
        let number = here.number(call).unwrap();
        let call = Call {
            number,
            architecture: here.word,
            arguments: [flags, 0, 0, 0, 0, 0],
            ..Call::default()
        };
        verdict(evaluate(program, &call.words(false)).unwrap())
    };
    for kinds in [flags::USER, flags::NET, flags::USER | flags::NET] {
        assert_eq!(
            verdict(plain, "clone", kinds),
            Action::Errno(1),
            "{kinds:#x}"
        );
        assert_eq!(verdict(ours, "clone", kinds), Action::Allow, "{kinds:#x}");
    }
    for kinds in [
        flags::MOUNT,
        flags::PID,
        flags::USER | flags::MOUNT,
        flags::ALL,
    ] {
        assert_eq!(
            verdict(ours, "clone", kinds),
            Action::Errno(1),
            "{kinds:#x}"
        );
    }
    for call in [
        "clone3",
        "unshare",
        "setns",
        "mount",
        "bpf",
        "read",
        "socket",
        "personality",
    ] {
        assert_eq!(verdict(ours, call, 0), verdict(plain, call, 0), "{call}");
    }
}

/// A user namespace can't have it, so the container gets none for nesting's sake.
fn mapped_device(bed: &Bed) {
    let answer = bed.run(
        &["--device", "/dev/null:/dev/mapped"],
        "test -c /dev/mapped && echo x >/dev/mapped && echo there",
    );
    assert_eq!(answer.must_succeed().stdout.trim(), "there");
    // Where it is asked for a capability that needs one, it has to do without one of the two.
    let answer = bed.run(
        &[
            "--device",
            "/dev/null:/dev/mapped",
            "--cap-add",
            "NET_ADMIN",
        ],
        "true",
    );
    assert!(
        answer
            .must_fail()
            .stderr
            .contains("/dev/mapped is not available"),
        "{}",
        answer.stderr
    );
}
