//! What this process has and may do: the kernel, its switches, and what stands between the two. Facts
//! alone; what follows from them, the ways say (`ways`).
//!
//! Pure. The names in here are what `--json` prints.

use std::collections::BTreeMap;

use serde::Serialize;

use super::finding::Finding;

/// Facts about this process and its kernel.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ProcessFacts {
    /// The kernel's release.
    pub(super) kernel: String,
    /// The machine's architecture.
    pub(super) architecture: String,
    /// The kinds of namespaces that the kernel has.
    pub(super) namespaces: Vec<String>,
    /// Whether this process is in the host's own user namespace.
    pub(super) in_first_user_namespace: bool,
    /// Switches of the kernel; those that it lacks are left out.
    pub(super) sysctls: BTreeMap<String, String>,
    /// Security modules that are on, as far as this process sees them.
    pub(super) security_modules: Vec<String>,
    /// The profile or context that this process runs under.
    pub(super) security_label: Option<String>,
    pub(super) seccomp: SeccompFacts,
    /// Whether it can't gain rights by executing.
    pub(super) no_new_privileges: bool,
    /// Whether its user is root, here.
    pub(super) root: bool,
    /// The capabilities that it has.
    pub(super) capabilities: Vec<String>,
    /// Those that the kernel has besides.
    pub(super) missing_capabilities: Vec<String>,
    /// Landlock's version; none where there is none.
    pub(super) landlock: Option<u32>,
    /// Of control groups: 1, or 2.
    pub(super) cgroup: Option<u32>,
    /// Whether systemd manages them.
    pub(super) systemd: bool,
}

/// Facts about its seccomp filters.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SeccompFacts {
    /// Whether there is one.
    pub(super) filtered: bool,
    /// The calls, of those that jails make or that are nested in containers, that can't be made.
    pub(super) denied: Vec<&'static str>,
}

impl ProcessFacts {
    /// A switch's number.
    pub(super) fn number(&self, sysctl: &str) -> Option<u64> {
        self.sysctls.get(sysctl)?.parse().ok()
    }
}

/// Landlock's version that knows TCP.
const LANDLOCK_TCP: u32 = 4;

/// What there is to say of it.
pub(super) fn findings(facts: &ProcessFacts) -> Vec<Finding> {
    let listed = |all: &[String]| all.join(", ");
    let user_namespace = if facts.in_first_user_namespace {
        "in the host's user namespace"
    } else {
        "in a user namespace other than the host's"
    };
    let sysctls: Vec<_> = facts.sysctls.iter().collect();
    let sysctls: Vec<_> = sysctls
        .iter()
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let lines = [
        format!("kernel: {} ({})", facts.kernel, facts.architecture),
        format!(
            "namespaces: {}; {user_namespace}",
            listed(&facts.namespaces)
        ),
        format!("sysctl: {}", listed(&sysctls)),
        format!("security modules: {}", security(facts)),
        format!("seccomp: {}", seccomp(&facts.seccomp)),
        format!("capabilities: {}", capabilities(facts)),
        format!("Landlock: {}", landlock(facts.landlock)),
        format!("control groups: {}", cgroups(facts)),
    ];
    lines.into_iter().map(Finding::fact).collect()
}

fn security(facts: &ProcessFacts) -> String {
    let modules = match facts.security_modules.as_slice() {
        [] => "none seen".to_owned(),
        modules => modules.join(", "),
    };
    match &facts.security_label {
        Some(label) => format!("{modules}; this process runs under {label}"),
        None => modules,
    }
}

fn seccomp(facts: &SeccompFacts) -> String {
    match (facts.filtered, facts.denied.as_slice()) {
        (false, []) => "no filter".to_owned(),
        (true, []) => "a filter, which denies nothing that jails need".to_owned(),
        (false, missing) => format!("no filter; the kernel lacks {}", missing.join(", ")),
        (true, denied) => format!("a filter, which denies {}", denied.join(", ")),
    }
}

fn capabilities(facts: &ProcessFacts) -> String {
    let (has, lacks) = (&facts.capabilities, &facts.missing_capabilities);
    let has = match (has.as_slice(), lacks.as_slice()) {
        ([], _) => "none".to_owned(),
        (_, []) => "all".to_owned(),
        _ if lacks.len() < has.len() => format!("all but {}", lacks.join(", ")),
        _ => has.join(", "),
    };
    if facts.no_new_privileges {
        format!("{has}; none to be gained by executing (no_new_privs)")
    } else {
        has
    }
}

fn landlock(version: Option<u32>) -> String {
    match version {
        None => "none".to_owned(),
        Some(version) if version < LANDLOCK_TCP => {
            format!("version {version}, which doesn't know TCP")
        }
        Some(version) => format!("version {version}"),
    }
}

fn cgroups(facts: &ProcessFacts) -> String {
    let version = facts
        .cgroup
        .map_or_else(|| "not mounted".to_owned(), |one| format!("version {one}"));
    if facts.systemd {
        format!("{version}, managed by systemd")
    } else {
        version
    }
}
