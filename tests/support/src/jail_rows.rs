//! Where a jail works, by type, and what it says where it doesn't: the one table of it. Suites run its
//! rows (`tests/docker` those in containers, `tests/vm` those on a real system), and `docs/jail.md` shows them.

use std::fmt::Write as _;

use crate::command::Answer;

/// A place, and what comes of each type of jail there.
#[derive(Debug)]
pub struct Row {
    /// The place, for people.
    pub place: &'static str,
    /// Who starts the jail there.
    pub callers: &'static [Caller],
    /// How the place is made.
    pub setting: Setting,
    /// Further options of the jail.
    pub options: &'static [&'static str],
    /// What comes of `nsjail`.
    pub nsjail: Outcome,
    /// What comes of `notify`.
    pub notify: Outcome,
}

/// Who starts a jail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Root, with what rights there are.
    Root,
    /// Somebody without any right.
    User,
}

/// Where a jail is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// In a container of a machine without AppArmor.
    Container(Container),
    /// In one of Debian 13, where AppArmor confines it.
    ConfinedContainer(Container),
    /// On Debian 13 itself, with this setting (sysctl(8)).
    Host(&'static str),
}

/// A container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Container {
    /// The runtime, as its engine knows it.
    pub runtime: &'static str,
    /// Flags of `docker run`. [`PROFILE`] stands for the file of the profile by `gen-seccomp`.
    pub flags: &'static [&'static str],
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What is allowed is reached, and what isn't is not.
    Works,
    /// Nothing is run, and one line says why and what would help.
    Refuses {
        /// Words of the first.
        why: &'static str,
        /// Words of the second.
        fix: &'static str,
    },
    /// The options say nothing to this type.
    NotMeant,
}

/// The types, as they are called.
pub const TYPES: [&str; 2] = ["nsjail", "notify"];

/// What flags say in the place of the profile's file.
pub const PROFILE: &str = "seccomp=PROFILE";

const ROOT: &[Caller] = &[Caller::Root];
const USER: &[Caller] = &[Caller::User];
const BOTH: &[Caller] = &[Caller::Root, Caller::User];

const BY_SECCOMP: Outcome = Outcome::Refuses {
    why: "a seccomp filter denies it",
    fix: "a profile of boundary-shim gen-seccomp",
};
const BY_APPARMOR: Outcome = Outcome::Refuses {
    why: "a security module (AppArmor, SELinux) denies it",
    fix: "allow userns in the profile that this process runs under",
};
const BY_COUNT: Outcome = Outcome::Refuses {
    why: "user.max_user_namespaces or user.max_net_namespaces is 0 or used up",
    fix: "raise it with sysctl, or as root use --no-user-namespace",
};
const WITHOUT_RIGHTS: Outcome = Outcome::Refuses {
    why: "--no-user-namespace needs the capabilities CAP_SYS_ADMIN and CAP_NET_ADMIN",
    fix: "leave the option out, or start it with both",
};
const ALONE: &[&str] = &["--no-user-namespace"];

const fn container(runtime: &'static str, flags: &'static [&'static str]) -> Setting {
    Setting::Container(Container { runtime, flags })
}

const fn confined(runtime: &'static str, flags: &'static [&'static str]) -> Setting {
    Setting::ConfinedContainer(Container { runtime, flags })
}

/// Both work.
const fn works(place: &'static str, callers: &'static [Caller], setting: Setting) -> Row {
    Row {
        place,
        callers,
        setting,
        options: &[],
        nsjail: Outcome::Works,
        notify: Outcome::Works,
    }
}

/// `notify` works.
const fn refused(
    place: &'static str,
    callers: &'static [Caller],
    setting: Setting,
    nsjail: Outcome,
) -> Row {
    Row {
        nsjail,
        ..works(place, callers, setting)
    }
}

/// With `--no-user-namespace`.
const fn alone(
    place: &'static str,
    callers: &'static [Caller],
    setting: Setting,
    nsjail: Outcome,
) -> Row {
    Row {
        options: ALONE,
        nsjail,
        notify: Outcome::NotMeant,
        ..works(place, callers, setting)
    }
}

/// All of them, in the page's order. Those on a host are in an order in which they can be run: only a reboot
/// leads back from the last setting.
pub const ROWS: &[Row] = &[
    refused("Docker's default", BOTH, container("runc", &[]), BY_SECCOMP),
    refused(
        "with `--cap-add NET_ADMIN`",
        ROOT,
        container("runc", &["--cap-add", "NET_ADMIN"]),
        BY_SECCOMP,
    ),
    refused(
        "without capabilities, read-only, no new privileges (Kubernetes' restricted standard)",
        BOTH,
        container(
            "runc",
            &[
                "--cap-drop",
                "ALL",
                "--security-opt",
                "no-new-privileges",
                "--read-only",
            ],
        ),
        BY_SECCOMP,
    ),
    works(
        "a profile of `gen-seccomp`",
        BOTH,
        container("runc", &["--security-opt", PROFILE]),
    ),
    works(
        "the same with `--cap-add NET_ADMIN`",
        ROOT,
        container(
            "runc",
            &["--security-opt", PROFILE, "--cap-add", "NET_ADMIN"],
        ),
    ),
    works(
        "with `--cap-add SYS_ADMIN`",
        ROOT,
        container("runc", &["--cap-add", "SYS_ADMIN"]),
    ),
    works(
        "without a profile",
        BOTH,
        container("runc", &["--security-opt", "seccomp=unconfined"]),
    ),
    works(
        "without a profile and capabilities, read-only, no new privileges",
        USER,
        container("runc", BARE),
    ),
    refused(
        "the same",
        ROOT,
        container("runc", BARE),
        Outcome::Refuses {
            why: "root without the capability CAP_SETFCAP can't have a user namespace of its own",
            fix: "start it as another user, or with that capability",
        },
    ),
    works(
        "with `--runtime=boundary`",
        BOTH,
        container("boundary", &[]),
    ),
    works(
        "the same without capabilities, no new privileges",
        USER,
        container(
            "boundary",
            &["--cap-drop", "ALL", "--security-opt", "no-new-privileges"],
        ),
    ),
    alone(
        "Docker's default, `--no-user-namespace`",
        ROOT,
        container("runc", &[]),
        WITHOUT_RIGHTS,
    ),
    alone(
        "with `SYS_ADMIN` and `NET_ADMIN`, `--no-user-namespace`",
        ROOT,
        container(
            "runc",
            &["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"],
        ),
        Outcome::Works,
    ),
    refused(
        "under AppArmor's `docker-default`: a profile of `gen-seccomp`",
        BOTH,
        confined("runc", &["--security-opt", PROFILE]),
        BY_APPARMOR,
    ),
    refused(
        "the same with `--cap-add SYS_ADMIN`",
        ROOT,
        confined("runc", &["--cap-add", "SYS_ADMIN"]),
        BY_APPARMOR,
    ),
    works(
        "under AppArmor with `--runtime=boundary`",
        BOTH,
        confined("boundary", &[]),
    ),
    works("a host", BOTH, Setting::Host("kernel.yama.ptrace_scope=0")),
    refused(
        "a host with `user.max_user_namespaces` 0",
        BOTH,
        Setting::Host("user.max_user_namespaces=0"),
        BY_COUNT,
    ),
    alone(
        "the same, `--no-user-namespace`",
        ROOT,
        Setting::Host("user.max_user_namespaces=0"),
        Outcome::Works,
    ),
    alone(
        "the same, `--no-user-namespace`",
        USER,
        Setting::Host("user.max_user_namespaces=0"),
        WITHOUT_RIGHTS,
    ),
    works(
        "a host with `kernel.yama.ptrace_scope` 1",
        BOTH,
        Setting::Host("kernel.yama.ptrace_scope=1"),
    ),
    works(
        "a host with `kernel.yama.ptrace_scope` 2",
        ROOT,
        Setting::Host("kernel.yama.ptrace_scope=2"),
    ),
    Row {
        notify: Outcome::Refuses {
            why: "kernel.yama.ptrace_scope is 2",
            fix: "set it to 1 with sysctl, or use --jail-type nsjail",
        },
        ..works(
            "the same",
            USER,
            Setting::Host("kernel.yama.ptrace_scope=2"),
        )
    },
    Row {
        notify: Outcome::Refuses {
            why: "kernel.yama.ptrace_scope is 3",
            fix: "set it to 1 at boot, or use --jail-type nsjail",
        },
        ..works(
            "a host with `kernel.yama.ptrace_scope` 3",
            BOTH,
            Setting::Host("kernel.yama.ptrace_scope=3"),
        )
    },
];

const BARE: &[&str] = &[
    "--security-opt",
    "seccomp=unconfined",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--read-only",
];

impl Row {
    /// What comes of a type there.
    pub fn outcome(&self, jail_type: &str) -> Outcome {
        match jail_type {
            "nsjail" => self.nsjail,
            _ => self.notify,
        }
    }

    /// A shell's command that tries a type, in a directory that its caller may write to.
    pub fn script(&self, jail_type: &str) -> String {
        format!(
            "boundary-shim jail --jail-type {jail_type} {} --log record-$(id -u).jsonl --allow domain=allowed.test -- sh -c '\
             curl -s -m 20 -o /dev/null -w \"%{{http_code}} \" http://allowed.test/; \
             curl -s -m 20 -o /dev/null -w \"%{{http_code}}\" --resolve denied.test:80:198.51.100.20 http://denied.test/'",
            self.options.join(" ")
        )
    }
}

impl Container {
    /// Its flags, with the profile in this file, and for this caller.
    pub fn flags_for(self, caller: Caller, profile: &str) -> Vec<String> {
        let user: &[&str] = match caller {
            Caller::Root => &[],
            Caller::User => &["--user", "1777:1777"],
        };
        // Where everything else is read-only there is to be a place for the record.
        let place = ["--tmpfs", "/tmp", "--workdir", "/tmp"];
        let flags = [self.flags, user, &place].concat();
        let file = format!("seccomp={profile}");
        let put = |flag: &str| {
            if flag == PROFILE {
                file.clone()
            } else {
                flag.to_owned()
            }
        };
        flags.into_iter().map(put).collect()
    }
}

impl Outcome {
    /// Panics unless this is what came of [`Row::script`].
    #[track_caller]
    pub fn must_be(self, answer: &Answer, what: &str) {
        match self {
            Self::Works => assert_eq!(answer.stdout, "200 403", "{what}: {answer:?}"),
            Self::Refuses { why, fix } => {
                assert_eq!(
                    (answer.code, answer.stdout.as_str()),
                    (1, ""),
                    "{what}: {answer:?}"
                );
                assert_eq!(answer.stderr.lines().count(), 1, "{what}: {answer:?}");
                for words in [why, fix] {
                    assert!(answer.stderr.contains(words), "{what}: {answer:?}");
                }
            }
            Self::NotMeant => {}
        }
    }
}

/// The page's table.
pub fn table() -> String {
    let mut text = "| where | as | `nsjail` | `notify` |\n|---|---|---|---|\n".to_owned();
    for row in ROWS {
        let callers = match row.callers {
            [Caller::Root] => "root",
            [Caller::User] => "user",
            _ => "root, user",
        };
        let [nsjail, notify] = TYPES.map(|one| in_words(row.outcome(one)));
        let _ = writeln!(text, "| {} | {callers} | {nsjail} | {notify} |", row.place);
    }
    text
}

fn in_words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Works => "works".to_owned(),
        Outcome::Refuses { why, .. } => format!("refuses: {why}"),
        Outcome::NotMeant => "–".to_owned(),
    }
}
