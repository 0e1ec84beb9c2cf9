//! podman commands in a bed, and what every filtered container must show.

use std::path::Path;

use test_support::bed::{Bed, Capture, enter};
use test_support::command::{Answer, COMMAND_SECONDS, run, shell};
use test_support::programs::REPOSITORY;
use test_support::wire::{leaks, must_show_allowed_traffic};

/// The image's name in the bed.
pub(crate) const IMAGE: &str = "bed";

/// What a container does to show that it is filtered: allowed goes through, nothing else does.
const PROBES: &str = "curl -4 -sS -m 5 http://allowed.test/; curl -sS -m 5 https://allowed.test/; \
     curl -sS -m 5 -o /dev/null -w ' %{http_code} ' --resolve denied.test:80:198.51.100.20 http://denied.test/; \
     attacker probe tcp 203.0.113.66:22; attacker probe udp 203.0.113.66:9999; attacker dns udp 203.0.113.66:53 secret.attacker.test";

/// One in a user namespace gets its network only after it was made: it may have to wait for it.
const PATIENTLY: &str = "for i in 1 2 3 4 5 6 7 8 9; do curl -sS -m 1 -o /dev/null http://allowed.test/ && break; sleep 0.2; done 2>/dev/null;";

/// The real runtimes below the shim: options that make it use them.
pub(crate) const RUNTIMES: [&[&str]; 2] = [
    &["--runtime", "/usr/local/bin/boundary-shim"],
    &["--runtime", "/etc/boundary/with-crun"],
];

/// Without and with a user namespace that podman makes: then the network comes later.
pub(crate) const USER_NAMESPACES: [&[&str]; 2] = [&[], &["--uidmap", "0:100000:65536"]];

/// podman with its global options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Podman<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) options: &'a [&'a str],
}

/// Whether the root file system that a bed would be made of has podman.
pub(crate) fn is_there() -> bool {
    let root = std::env::var("BED_ENGINE_ROOT").unwrap_or_else(|_| "/".to_owned());
    run(
        COMMAND_SECONDS,
        &[
            "chroot",
            &root,
            "sh",
            "-c",
            "command -v podman && command -v runc && command -v crun",
        ],
    )
    .code
        == 0
}

/// The major version of the podman of a bed.
pub(crate) fn version(bed: &Bed) -> u32 {
    // `podman version 4.3.1`
    let said = bed
        .exec(&["podman", "--version"])
        .must_succeed()
        .stdout
        .clone();
    let major = said
        .split_whitespace()
        .nth(2)
        .and_then(|version| version.split('.').next()?.parse().ok());
    major.unwrap_or_else(|| panic!("a version: {said}"))
}

/// A bed with podman and the image in it.
pub(crate) fn bed() -> Bed {
    let bed = Bed::up("podman", "tests/docker/etc", |_| {});
    let script = "\"$1\" \"$2\" curl ip \"$3\" | \"${@:5}\" podman import - \"$4\"";
    let image = Path::new(REPOSITORY).join("scripts/bed-image");
    let [authority, attacker] = ["ca/ca.pem", "bin/attacker"].map(|name| bed.path(name));
    let first = bed.first().to_string();
    shell(
        script,
        &[
            &[image, authority, attacker, IMAGE.into()][..],
            &enter(&first).map(Into::into),
        ]
        .concat(),
    );
    bed.remembered()
}

impl Podman<'_> {
    /// Runs a command. The warning about control groups of the first version is no news to anyone
    /// here.
    pub(crate) fn say(&self, words: &[&str]) -> Answer {
        let program = ["env", "PODMAN_IGNORE_CGROUPSV1_WARNING=1", "podman"];
        self.bed.exec(&[&program[..], self.options, words].concat())
    }

    /// Runs a shell script in a container of its own to the end.
    pub(crate) fn run(&self, flags: &[&str], script: &str) -> Answer {
        let parent = self.bed.cgroup();
        self.say(
            &[
                &["run", "--rm", "--cgroup-parent", &parent][..],
                flags,
                &[IMAGE, "sh", "-c", script],
            ]
            .concat(),
        )
    }

    /// Starts a container that sleeps.
    pub(crate) fn sleeper(&self, name: &str, flags: &[&str]) {
        let parent = self.bed.cgroup();
        let words = [
            &[
                "run",
                "--detach",
                "--name",
                name,
                "--cgroup-parent",
                &parent,
            ][..],
            flags,
            &[IMAGE, "sleep", "600"],
        ]
        .concat();
        self.say(&words).must_succeed();
    }

    /// Makes a pod. It gets no control group of its own: podman can't take it away where the host
    /// lacks one of the first version's controllers.
    pub(crate) fn pod(&self, name: &str) {
        let infra = [
            "--infra-image",
            IMAGE,
            "--infra-command",
            "sleep 600",
            "--share-parent=false",
        ];
        self.say(&[&["pod", "create", "--name", name][..], &infra].concat())
            .must_succeed();
    }

    /// Tidies up after crun, which at times leaves its state and control group behind when a hook
    /// fails.
    pub(crate) fn forget_failures(&self) {
        let script = "for id in $(ls /run/crun 2>/dev/null); do crun delete --force $id; done";
        self.bed.exec(&["sh", "-c", script]).must_succeed();
    }

    /// A container of its own shows that it is filtered.
    pub(crate) fn filters(&self, flags: &[&str]) {
        self.watched(|| self.run(flags, &format!("{PATIENTLY} {PROBES}")));
    }

    /// A running container shows that it is filtered.
    pub(crate) fn filters_running(&self, name: &str) {
        self.watched(|| self.say(&["exec", name, "sh", "-c", &format!("{PATIENTLY} {PROBES}")]));
    }

    fn watched(&self, probe: impl FnOnce() -> Answer) {
        let capture = Capture::start(self.bed, "internet", "out");
        let answer = probe();
        let packets = capture.stop();
        let said = &answer.must_succeed().stdout;
        assert_eq!(said.matches("I am allowed.test").count(), 2, "{answer:?}");
        assert!(
            said.contains(" 403 ") && said.contains("nxdomain"),
            "{answer:?}"
        );
        assert!(
            !said.contains("connected") && !said.contains("answered"),
            "{answer:?}"
        );
        assert_eq!(leaks(&packets), Vec::<&str>::new());
        must_show_allowed_traffic(&packets);
    }
}
