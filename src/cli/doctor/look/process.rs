//! What this process has and may do.

use std::collections::BTreeMap;
use std::path::Path;

use caps::{CapSet, Capability};
use nix::unistd::geteuid;

use crate::apparmor;
use crate::cli::doctor::process::{ProcessFacts, SeccompFacts};
use crate::sys::fork::Child;
use crate::sys::probe::{self, Probe};

/// The switches that are told of.
const SYSCTLS: [&str; 5] = [
    "user.max_user_namespaces",
    "user.max_net_namespaces",
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
    "kernel.yama.ptrace_scope",
];

/// Looks at it. This process may have but one thread.
pub(super) fn look() -> ProcessFacts {
    let status = read("/proc/self/status");
    let denied: Vec<Probe> = Probe::ALL
        .into_iter()
        .filter(|one| is_denied(*one))
        .collect();
    let landlock = (!denied.contains(&Probe::Landlock))
        .then(probe::landlock_version)
        .flatten();
    let (capabilities, missing_capabilities) = capabilities();
    ProcessFacts {
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        namespaces: namespaces(),
        in_first_user_namespace: read("/proc/self/uid_map").split_ascii_whitespace().eq([
            "0",
            "0",
            "4294967295",
        ]),
        sysctls: sysctls(),
        security_modules: security_modules(),
        security_label: security_label(),
        seccomp: SeccompFacts {
            filtered: field(&status, "Seccomp") == Some("2"),
            denied: denied.into_iter().map(Probe::name).collect(),
        },
        no_new_privileges: field(&status, "NoNewPrivs") == Some("1"),
        root: geteuid().is_root(),
        capabilities,
        missing_capabilities,
        landlock,
        cgroup: cgroup(),
        systemd: Path::new("/run/systemd/system").exists(),
    }
}

/// In a process of its own: a filter may kill for it.
fn is_denied(call: Probe) -> bool {
    let child = Child::start(|| i32::from(call.is_denied()));
    child.is_ok_and(|child| child.outcome().is_err())
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// A line of `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = status.lines();
    lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// Those that this process has, and those that the kernel knows besides.
fn capabilities() -> (Vec<String>, Vec<String>) {
    let held = caps::read(None, CapSet::Effective).unwrap_or_default();
    let last = read("/proc/sys/kernel/cap_last_cap").trim().parse();
    let last = last.unwrap_or(u8::MAX);
    let mut known: Vec<_> = caps::all()
        .into_iter()
        .filter(|one| one.index() <= last)
        .collect();
    known.sort_by_key(|one| one.index());
    let (held, missing): (Vec<_>, Vec<_>) = known.into_iter().partition(|one| held.contains(one));
    let names = |all: Vec<Capability>| all.iter().map(ToString::to_string).collect();
    (names(held), names(missing))
}

fn namespaces() -> Vec<String> {
    let kinds = std::fs::read_dir("/proc/self/ns").into_iter().flatten();
    let names = kinds.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // The others are those that children would be in.
    let mut names: Vec<String> = names
        .filter(|name| !name.contains("for_children"))
        .collect();
    names.sort();
    names
}

fn sysctls() -> BTreeMap<String, String> {
    let value = |name: &&str| {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        let text = std::fs::read_to_string(file).ok()?;
        Some(((*name).to_owned(), text.trim().to_owned()))
    };
    SYSCTLS.iter().filter_map(value).collect()
}

/// As the kernel lists them, where securityfs is mounted; else those that leave other traces.
fn security_modules() -> Vec<String> {
    let listed = read("/sys/kernel/security/lsm");
    if !listed.is_empty() {
        return listed.trim().split(',').map(str::to_owned).collect();
    }
    let seen = [
        ("apparmor", apparmor::kernel::is_enabled()),
        ("selinux", Path::new("/sys/fs/selinux").exists()),
        ("yama", Path::new("/proc/sys/kernel/yama").exists()),
    ];
    let seen = seen.into_iter().filter(|(_, is)| *is);
    seen.map(|(name, _)| name.to_owned()).collect()
}

fn security_label() -> Option<String> {
    let files = [
        "/proc/self/attr/apparmor/current",
        "/proc/self/attr/current",
    ];
    let labels = files.map(read);
    let mut labels = labels
        .iter()
        .map(|label| label.trim_end_matches(['\0', '\n']));
    labels.find(|label| !label.is_empty()).map(str::to_owned)
}

fn cgroup() -> Option<u32> {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Some(2);
    }
    Path::new("/sys/fs/cgroup/memory").exists().then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "Name:\tx\nSeccomp_filters:\t3\nSeccomp:\t2\nNoNewPrivs:\t1\n";
        assert_eq!(field(status, "Seccomp"), Some("2"));
        assert_eq!(field(status, "NoNewPrivs"), Some("1"));
        assert_eq!(field(status, "Cap"), None);
    }
}
