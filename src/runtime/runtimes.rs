//! Real runtimes: the one table of what differs between them, and which one a call goes to.
//!
//! Runtimes agree on runc's command line and differ in how they treat a specification. Each row
//! here is a statement about security: where a runtime keeps privileges that another drops, the
//! rewrite has to know it.

use std::path::{Path, PathBuf};

use super::handoff::{self, HandoffError};
use crate::embedded;
use crate::spec::RuntimeQuirks;

/// What is known of one runtime.
#[derive(Debug)]
pub struct RuntimeKind {
    /// Its program's usual name.
    pub name: &'static str,
    /// How it treats a specification, where that differs from runc.
    pub quirks: RuntimeQuirks,
    /// Whether `exec` leaves the container's user namespace, so that capabilities count on the
    /// host.
    pub exec_leaves_user_namespace: bool,
    /// The services without which it starts nothing: each one's name, and the socket at which it
    /// is asked.
    pub services: &'static [(&'static str, &'static str)],
    /// What else its users should know, one sentence each.
    pub differences: &'static [&'static str],
}

/// The reference; an unknown program is treated like it. Read at 1.1.5 and 1.5.1.
static RUNC: RuntimeKind = RuntimeKind {
    name: "runc",
    quirks: RuntimeQuirks::RUNC,
    exec_leaves_user_namespace: false,
    services: &[],
    differences: &[
        "features since 1.1",
        "poststart hooks run at create (at least up to 1.5)",
    ],
};

/// The table. Read at crun 1.8.1 and 1.28, sysbox-runc 0.6 (its `syscont` package), youki 0.7.
static KINDS: [&RuntimeKind; 5] = [
    &RUNC,
    &RuntimeKind {
        name: "crun",
        quirks: RuntimeQuirks {
            binds_as_on_host: true,
            ..RuntimeQuirks::RUNC
        },
        exec_leaves_user_namespace: false,
        services: &[],
        differences: &[
            "features since 1.8.6",
            "refuses hosts with both versions of cgroups",
            "chooses a handler by the name it is called by: that is the configured path",
            "create --config FILE and abbreviated options are refused here: they could name another config.json",
        ],
    },
    &RuntimeKind {
        name: "sysbox-runc",
        // It adds user and cgroup namespaces to every container. In a system container root has all
        // capabilities in there, and all calls that a tier grants are allowed whatever the seccomp
        // profile says; in a regular one (SYSBOX_SYSCONT_MODE=FALSE) both are as in runc.
        quirks: RuntimeQuirks {
            adds_user_namespace: true,
            ..RuntimeQuirks::RUNC
        },
        exec_leaves_user_namespace: false,
        services: &[
            ("sysbox-mgr", "/run/sysbox/sysmgr.sock"),
            ("sysbox-fs", "/run/sysbox/sysfs.sock"),
        ],
        differences: &[
            "every container has a user namespace made by sysbox; in a system container root has every capability in it",
        ],
    },
    &RuntimeKind {
        name: "youki",
        quirks: RuntimeQuirks {
            keeps_missing_capabilities: true,
            // Not tried: the careful answer.
            binds_as_on_host: true,
            ..RuntimeQuirks::RUNC
        },
        exec_leaves_user_namespace: true,
        services: &[],
        differences: &[
            "exec is refused for containers with a user namespace, which it would leave (libcontainer 0.7)",
            "refuses a config.json with a value that it doesn't know",
        ],
    },
    &RuntimeKind {
        name: embedded::NAME,
        quirks: RuntimeQuirks {
            keeps_missing_capabilities: true,
            // Not tried: the careful answer.
            binds_as_on_host: true,
            ..RuntimeQuirks::RUNC
        },
        exec_leaves_user_namespace: true,
        services: &[],
        differences: &[
            "exec is refused for containers with a user namespace or a seccomp filter, neither of which it would get \
             (libcontainer 0.7)",
            "no --systemd-cgroup, checkpoint, restore, update, events, SELinux labels; no real-time signals",
            "refuses a config.json with a value that it doesn't know",
        ],
    },
];

/// Those that are looked for where none is configured. Not sysbox-runc, which does nothing without
/// its services.
const USUAL: [&str; 3] = ["runc", "crun", "youki"];

/// The runtime that a call goes to.
#[derive(Debug, PartialEq, Eq)]
pub enum RealRuntime {
    /// A program of the host.
    Program(PathBuf),
    /// The one inside of this program.
    Embedded,
}

impl RealRuntime {
    /// The one that is configured, by name or path; else the first usual one that the host has, or
    /// has for CRI-O alone; else the embedded one.
    ///
    /// # Errors
    /// What is configured isn't there, can't be run, or is this program itself.
    pub fn choose(configured: Option<&Path>) -> anyhow::Result<Self> {
        match configured {
            Some(name) if name.as_os_str() == embedded::NAME => Ok(Self::Embedded),
            Some(runtime) => Ok(Self::Program(handoff::find(runtime)?)),
            None => Ok(Self::first_of_the_host()?),
        }
    }

    fn first_of_the_host() -> Result<Self, HandoffError> {
        let in_path = USUAL.into_iter().map(handoff::find);
        let of_crio = USUAL.into_iter().map(handoff::find_of_crio);
        for found in in_path.chain(of_crio) {
            match found {
                Ok(path) => return Ok(Self::Program(path)),
                // A link of its name that leads to us, and nothing else: the host has none.
                Err(HandoffError::NotFound(_) | HandoffError::Ourselves(_)) => {}
                // Half installed: what it will be used for once it is repaired must not depend on
                // when.
                Err(error) => return Err(error),
            }
        }
        Ok(Self::Embedded)
    }

    /// Its row of the table.
    #[must_use]
    pub fn kind(&self) -> &'static RuntimeKind {
        match self {
            Self::Program(path) => kind_of(path),
            Self::Embedded => named(embedded::NAME).unwrap_or(&RUNC),
        }
    }
}

/// Which runtime a program is, by its file's name, links followed first: hosts link `runc` to crun.
fn kind_of(path: &Path) -> &'static RuntimeKind {
    let by_name = |path: &Path| {
        path.file_name()?
            .to_str()
            .filter(|name| *name != embedded::NAME)
            .and_then(named)
    };
    let resolved = path.canonicalize().ok().and_then(|path| by_name(&path));
    resolved.or_else(|| by_name(path)).unwrap_or(&RUNC)
}

fn named(name: &str) -> Option<&'static RuntimeKind> {
    KINDS.into_iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_known_by_its_file_behind_all_links_then_by_the_name_it_is_called_by() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for file in ["crun", "wrapper"] {
            std::fs::File::create(path(file)).unwrap();
        }
        std::os::unix::fs::symlink(path("crun"), path("runc")).unwrap();
        std::os::unix::fs::symlink(path("wrapper"), path("sysbox-runc")).unwrap();
        for (called, kind) in [
            ("crun", "crun"),
            ("runc", "crun"),
            ("sysbox-runc", "sysbox-runc"),
            ("wrapper", "runc"),
        ] {
            assert_eq!(kind_of(&path(called)).name, kind, "{called}");
        }
        assert_eq!(kind_of(Path::new("/opt/embedded")).name, "runc");
    }

    #[test]
    fn the_word_embedded_needs_no_program_and_a_path_of_that_name_is_a_program() {
        let embedded = RealRuntime::choose(Some(Path::new(embedded::NAME))).unwrap();
        assert_eq!(
            (&embedded, embedded.kind().name),
            (&RealRuntime::Embedded, embedded::NAME)
        );
        assert!(RealRuntime::choose(Some(Path::new("/no/such/embedded"))).is_err());
    }

    #[test]
    fn only_a_runtime_that_adds_a_user_namespace_itself_is_trusted_to() {
        let adding: Vec<_> = KINDS
            .iter()
            .filter(|kind| kind.quirks.adds_user_namespace)
            .map(|kind| kind.name)
            .collect();
        assert_eq!(adding, ["sysbox-runc"]);
        assert!(
            KINDS
                .iter()
                .all(|kind| kind.exec_leaves_user_namespace
                    == kind.quirks.keeps_missing_capabilities)
        );
    }
}
