//! What the kernel reports about AppArmor: whether it is enabled, which profiles are loaded, and
//! what one of them denies.
//!
//! What a profile denies is found out by trying: a child process confines itself with it and takes
//! the first steps of a nested jail.

use std::io;
use std::path::Path;

use super::profiles;
use crate::seccomp::tier::Tier;
use crate::sys::process::{self, Trial};

/// What a profile denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// User namespaces (`userns_create`).
    UserNamespaces,
    /// Mounts in them.
    Mounts,
}

/// Whether this kernel has AppArmor and it is switched on.
#[must_use]
pub fn is_enabled() -> bool {
    enabled_under(Path::new("/"))
}

fn enabled_under(root: &Path) -> bool {
    std::fs::read_to_string(root.join("sys/module/apparmor/parameters/enabled"))
        .is_ok_and(|text| text.trim() == "Y")
}

/// The names of all loaded profiles. None of them where securityfs isn't mounted, or for who isn't
/// root.
#[must_use]
pub fn loaded() -> Vec<String> {
    loaded_under(Path::new("/"))
}

fn loaded_under(root: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root.join("sys/kernel/security/apparmor/profiles"))
        .unwrap_or_default();
    // `NAME (MODE)`; a name may hold blanks.
    text.lines()
        .filter_map(|line| Some(line.rsplit_once(" (")?.0.to_owned()))
        .collect()
}

/// What a profile denies of what a tier's jails need. None too where it can't be tried: it isn't
/// loaded, or we are confined ourselves.
#[must_use]
pub fn denies(profile: &str, tier: Tier) -> Option<Denied> {
    let denied = |trial| {
        let outcome = process::try_in_child(trial, Some(profile));
        outcome.is_err_and(|error| is_by_a_profile(&error))
    };
    process::try_in_child(Trial::Nothing, Some(profile)).ok()?;
    if denied(Trial::UserNamespace) {
        Some(Denied::UserNamespaces)
    } else {
        (profiles::needs_mounts(tier) && denied(Trial::Mount)).then_some(Denied::Mounts)
    }
}

/// Security modules answer EACCES, the kernel itself EPERM (or ENOSPC, for its limits).
fn is_by_a_profile(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EACCES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(file: &str, content: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        crate::sys::file::replace(&path, content.as_bytes(), 0o600).unwrap();
        root
    }

    #[test]
    fn it_is_on_only_where_the_kernel_says_so() {
        for (content, on) in [("Y\n", true), ("N\n", false), ("", false)] {
            assert_eq!(
                enabled_under(host("sys/module/apparmor/parameters/enabled", content).path()),
                on
            );
        }
        assert!(!enabled_under(tempfile::tempdir().unwrap().path()));
    }

    #[test]
    fn the_names_of_loaded_profiles_are_read() {
        let root = host(
            "sys/kernel/security/apparmor/profiles",
            "docker-default (enforce)\na b (c) (complain)\nbad\n",
        );
        assert_eq!(loaded_under(root.path()), ["docker-default", "a b (c)"]);
    }

    #[test]
    fn a_profile_that_cannot_be_entered_denies_nothing() {
        assert_eq!(denies("no-such-profile", Tier::Bwrap), None);
    }
}
