//! What the host's kernel lets a container nest: the switches that forbid user namespaces, whatever
//! a profile allows.
//!
//! Reads a few files in `/proc/sys` and `/sys`. A missing file means that the kernel lacks the
//! switch, and so doesn't forbid anything.

use std::path::Path;

/// The host's switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Whether there may be user namespaces at all (`user.max_user_namespaces`, `namespaces(7)`).
    pub user_namespaces: bool,
    /// Whether those without CAP_SYS_ADMIN on the host may make them
    /// (`kernel.unprivileged_userns_clone`, Debian's and Arch's).
    pub unprivileged_user_namespaces: bool,
    /// Whether AppArmor takes capabilities away in those that unconfined programs make
    /// (`kernel.apparmor_restrict_unprivileged_userns`, Ubuntu's from 23.10).
    pub apparmor_restricts: bool,
    /// Whether SELinux enforces, with a policy that decides on user namespaces (the class
    /// `user_namespace`, Linux 6.1).
    pub selinux_decides: bool,
}

impl Host {
    /// Reads the switches of this host.
    #[must_use]
    pub fn read() -> Self {
        Self::under(Path::new("/"))
    }

    fn under(root: &Path) -> Self {
        let number = |file: &str| {
            let text = std::fs::read_to_string(root.join(file)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        let selinux_class = root.join("sys/fs/selinux/class/user_namespace").exists();
        Self {
            // Unlike the others, this file's absence means a kernel without user namespaces.
            user_namespaces: number("proc/sys/user/max_user_namespaces")
                .is_some_and(|most| most > 0),
            unprivileged_user_namespaces: number("proc/sys/kernel/unprivileged_userns_clone")
                != Some(0),
            apparmor_restricts: number("proc/sys/kernel/apparmor_restrict_unprivileged_userns")
                .is_some_and(|on| on > 0),
            selinux_decides: selinux_class && number("sys/fs/selinux/enforce") == Some(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> Host {
        let root = tempfile::tempdir().unwrap();
        for (file, content) in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            crate::sys::file::replace(&path, content.as_bytes(), 0o600).unwrap();
        }
        Host::under(root.path())
    }

    #[test]
    fn a_kernel_without_the_switches_forbids_nothing_but_needs_user_namespaces() {
        let open = host(&[("proc/sys/user/max_user_namespaces", "96000\n")]);
        assert!(open.user_namespaces && open.unprivileged_user_namespaces);
        assert!(!open.apparmor_restricts && !open.selinux_decides);
        assert!(!host(&[]).user_namespaces);
    }

    #[test]
    fn every_switch_is_seen() {
        let shut = host(&[
            ("proc/sys/user/max_user_namespaces", "0\n"),
            ("proc/sys/kernel/unprivileged_userns_clone", "0\n"),
            (
                "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
                "1\n",
            ),
            ("sys/fs/selinux/class/user_namespace/index", "99"),
            ("sys/fs/selinux/enforce", "1"),
        ]);
        assert!(!shut.user_namespaces && !shut.unprivileged_user_namespaces);
        assert!(shut.apparmor_restricts && shut.selinux_decides);
    }

    #[test]
    fn selinux_that_only_watches_decides_nothing() {
        let files = [
            ("sys/fs/selinux/class/user_namespace/index", "99"),
            ("sys/fs/selinux/enforce", "0"),
        ];
        assert!(!host(&files).selinux_decides);
    }
}
