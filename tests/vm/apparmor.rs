//! AppArmor: what a container may nest under the profile that it gets, and what becomes of
//! profiles.

use crate::Test;
use crate::machine::Machine;

pub(crate) const TESTS: &[Test] = &[
    ("both_profiles_are_loaded", loaded),
    (
        "the_engines_default_denies_what_ours_allows",
        default_denies,
    ),
    (
        "a_container_and_its_execs_are_confined_by_our_profile",
        confined,
    ),
    (
        "a_container_that_may_not_nest_keeps_the_engines_profile",
        not_nesting,
    ),
    ("plain_runc_refuses_every_jail", refused),
    ("a_go_program_jails_its_child", |machine| GO.works(machine)),
    ("unshare_makes_a_network_of_its_own", |machine| {
        UNSHARE.works(machine)
    }),
    ("bubblewrap_works", |machine| BUBBLEWRAP.works(machine)),
    ("a_browsers_clone_calls_work", |machine| {
        BROWSER.works(machine)
    }),
    ("what_nests_is_filtered", filtered),
    ("nobody_mounts_outside_of_a_namespace_of_its_own", no_mounts),
    (
        "the_same_files_are_closed_as_under_the_engines_profile",
        same_files,
    ),
    (
        "a_containers_processes_signal_each_other_and_are_stopped",
        signals,
    ),
    (
        "a_profile_that_a_user_chose_stays_and_what_it_denies_is_said",
        chosen,
    ),
    (
        "without_our_profile_the_engines_stays_and_what_it_denies_is_said",
        not_loaded,
    ),
    ("podman_containers_nest_too", podman),
];

/// A program that jails itself or its child.
struct Jail {
    /// The tier made for it.
    tier: &'static str,
    script: &'static str,
    /// A part of what it prints when it works.
    says: &'static str,
}

const GO: Jail = Jail {
    tier: "nsjail",
    script: "go-jail",
    says: "uid 0, own network true, interfaces lo",
};
const UNSHARE: Jail = Jail {
    tier: "unshare",
    script: "unshare -Urn sh -c 'id -u; ip -o link'",
    says: "1: lo",
};
const BUBBLEWRAP: Jail = Jail {
    tier: "bwrap",
    script: "bwrap --ro-bind / / --tmpfs /tmp --unshare-all ip -o link",
    says: "1: lo",
};
const BROWSER: Jail = Jail {
    tier: "chromium",
    script: "go-jail browser",
    says: "own network true, interfaces lo",
};

const USERS: [&str; 2] = ["--user 0:0", "--user 1000:1000"];

impl Jail {
    /// As root and as another user, in a container that was started with no flag.
    fn works(&self, machine: &Machine) {
        machine.configure(&format!("nesting = \"{}\"\n", self.tier));
        let container = machine.sleeper("boundary", "");
        for user in USERS {
            let answer = container.exec_with(user, self.script);
            assert!(
                answer.must_succeed().stdout.contains(self.says),
                "{user}: {answer:?}"
            );
        }
        machine.configure("");
    }
}

fn refused(machine: &Machine) {
    for jail in [GO, UNSHARE, BUBBLEWRAP, BROWSER] {
        for user in USERS {
            machine
                .resident("runc")
                .exec_with(user, jail.script)
                .must_fail();
        }
    }
}

fn loaded(machine: &Machine) {
    let profiles = machine.says("cat /sys/kernel/security/apparmor/profiles");
    for name in [
        "boundary-default (enforce)",
        "boundary-bwrap (enforce)",
        "docker-default (enforce)",
    ] {
        assert!(profiles.contains(name), "{name}: {profiles}");
    }
}

/// With every other obstacle out of the way.
fn default_denies(machine: &Machine) {
    let open = "--security-opt seccomp=unconfined --security-opt apparmor=";
    let under = |profile: &str, script: &str| {
        machine.container("runc", &format!("{open}{profile}"), script)
    };
    assert!(
        under("docker-default", "unshare -Urn true")
            .must_fail()
            .stderr
            .contains("Permission denied")
    );
    under("boundary-default", "unshare -Urn true").must_succeed();
    let mount = "unshare -Urm mount -t tmpfs none /tmp";
    under("boundary-default", mount).must_fail();
    under("boundary-bwrap", mount).must_succeed();
}

fn confined(machine: &Machine) {
    const PROFILE: &str = "cat /proc/self/attr/current";
    let container = machine.resident("boundary");
    let first = machine.says(&format!(
        "cat /proc/{}/attr/current",
        container.inspect("{{.State.Pid}}")
    ));
    assert_eq!(first, "boundary-default (enforce)");
    for flags in ["", "--user 1000"] {
        assert_eq!(
            container.exec_with(flags, PROFILE).must_succeed().stdout,
            "boundary-default (enforce)\n"
        );
        assert!(
            container
                .exec_with(flags, GO.script)
                .must_succeed()
                .stdout
                .contains(GO.says)
        );
    }
    assert_eq!(
        machine.resident("runc").exec(PROFILE).stdout,
        "docker-default (enforce)\n"
    );
    assert_eq!(container.notices(), "");
}

fn not_nesting(machine: &Machine) {
    machine.configure("nesting = \"none\"\n");
    assert_eq!(
        machine
            .container("boundary", "", "cat /proc/self/attr/current")
            .must_succeed()
            .stdout,
        "docker-default (enforce)\n"
    );
    machine.configure("");
}

fn filtered(machine: &Machine) {
    let script = "unshare -Ur sh -c 'curl -sS -m 20 http://allowed.test/; curl -sS -m 20 http://denied.test/'";
    machine.configure("nesting = \"unshare\"\n");
    let answer = machine.container("boundary", "", script);
    assert!(
        answer.stdout.contains("I am allowed.test") && !answer.stdout.contains("denied"),
        "{answer:?}"
    );
    machine.configure("");
}

fn no_mounts(machine: &Machine) {
    machine.configure("nesting = \"bwrap\"\n");
    let answer = machine.container("boundary", "", "mount -t tmpfs none /tmp");
    assert!(
        answer.must_fail().stderr.contains("denied") || answer.stderr.contains("permitted"),
        "{answer:?}"
    );
    machine.configure("");
}

/// Opens files for writing, all that a privileged container has of /proc and /sys, and lists what
/// it may.
const OPEN_ALL: &str = "find /proc/* /proc/sys /sys -maxdepth 3 -type f 2>/dev/null | grep -v ^/proc/[1-9] | sort -u | \
     while read -r file; do { true >>\"$file\"; } 2>/dev/null && echo \"$file\"; done; true";

fn same_files(machine: &Machine) {
    let open = |profile: &str| {
        let flags = format!("--privileged --security-opt apparmor={profile}");
        machine
            .container("runc", &flags, OPEN_ALL)
            .must_succeed()
            .stdout
            .clone()
    };
    let engines = open("docker-default");
    let shm = "/proc/sys/kernel/shmmax";
    assert!(
        engines.contains(shm) && !engines.contains("/proc/sysrq-trigger"),
        "what is opened says nothing"
    );
    // The other profile is the same but for mounts: a test beside it says so.
    assert!(
        open("boundary-bwrap") == engines,
        "it opens other files than docker-default"
    );
}

fn signals(machine: &Machine) {
    let container = machine.sleeper("boundary", "");
    container
        .exec("sleep 100 & kill $! && wait $!; kill -0 1")
        .must_succeed();
    let stopped = machine.run(&format!("docker stop --time 60 {}", container.name));
    assert!(
        stopped.must_succeed().took.as_secs() < 60,
        "its first process did not get the signal"
    );
}

fn chosen(machine: &Machine) {
    machine.write(
        "/root/mine",
        "profile mine flags=(attach_disconnected) {\n  file,\n  network,\n  capability,\n  signal,\n}\n",
    );
    machine
        .run("apparmor_parser --replace /root/mine")
        .must_succeed();
    {
        let container = machine.sleeper("boundary", "--security-opt apparmor=mine");
        assert_eq!(
            container
                .exec("cat /proc/self/attr/current")
                .must_succeed()
                .stdout,
            "mine (enforce)\n"
        );
        container.exec(GO.script).must_fail();
        container
            .exec("curl -sS -m 20 http://allowed.test/")
            .must_succeed();
        let said = container.notices();
        assert!(
            said.contains("AppArmor profile mine") && said.contains("allow userns in it"),
            "{said}"
        );
    }
    machine
        .run("apparmor_parser --remove /root/mine")
        .must_succeed();
}

fn not_loaded(machine: &Machine) {
    const FILE: &str = "/etc/apparmor.d/boundary-shim";
    machine
        .run(&format!("apparmor_parser --remove {FILE}"))
        .must_succeed();
    {
        let container = machine.sleeper("boundary", "");
        assert_eq!(
            container
                .exec("cat /proc/self/attr/current")
                .must_succeed()
                .stdout,
            "docker-default (enforce)\n"
        );
        container
            .exec("curl -sS -m 20 http://allowed.test/")
            .must_succeed();
        container.exec(GO.script).must_fail();
        let said = container.notices();
        assert!(
            said.contains("docker-default")
                && said.contains("boundary-shim install for the engine"),
            "{said}"
        );
    }
    let doctor = machine.says("boundary-shim doctor");
    assert!(
        doctor.contains("AppArmor profile docker-default denies user namespaces"),
        "{doctor}"
    );
    let said = machine.says("boundary-shim install docker");
    assert!(
        said.contains(&format!("load the AppArmor profiles of {FILE}")),
        "{said}"
    );
    machine.container("boundary", "", GO.script).must_succeed();
    assert!(
        machine
            .says("boundary-shim doctor")
            .contains("the AppArmor profile boundary-default allows")
    );
}

fn podman(machine: &Machine) {
    machine
        .run("docker save bed | podman load --quiet")
        .must_succeed();
    machine.run("boundary-shim install podman").must_succeed();
    let run =
        |runtime: &str| machine.run(&format!("podman --runtime={runtime} run --rm bed go-jail"));
    run("runc").must_fail();
    assert!(run("boundary").must_succeed().stdout.contains(GO.says));
    // Docker's runtime needs the profiles still.
    let said = machine.says("boundary-shim uninstall podman");
    assert!(!said.contains("AppArmor"), "{said}");
}
