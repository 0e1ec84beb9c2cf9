//! What can stand in the way of a type of jail, and what would help: the one table of it, for the jail
//! that refuses and for `doctor`, which says beforehand.
//!
//! Invariant: the first sentence of each is in no other's, so that what a jail said tells which it was.

/// Why a type of jail can't be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// A seccomp filter denies new namespaces.
    Seccomp,
    /// A security module denies them.
    SecurityModule,
    /// There may be no more of them.
    NamespacesUsedUp,
    /// The kernel denies them to who has no right.
    KernelSetting,
    /// The kernel has none.
    NoNamespaces,
    /// Root's own number can't be mapped.
    RootWithoutSetfcap,
    /// `--no-user-namespace` without the rights for it.
    NoCapabilities,
    /// Yama lets nobody read another's memory who has no right to trace.
    TracingNeedsRight,
    /// Yama lets nobody read another's memory.
    NoTracing,
    /// A process has one supervisor of its calls.
    AnotherSupervisor,
    /// The kernel knows of no supervisors.
    NoNotification,
    /// A seccomp filter or a security module denies the supervisor.
    NotificationDenied,
    /// `landjail` without Landlock.
    NoLandlock,
}

impl Obstacle {
    const ALL: [Self; 13] = [
        Self::Seccomp,
        Self::SecurityModule,
        Self::NamespacesUsedUp,
        Self::KernelSetting,
        Self::NoNamespaces,
        Self::RootWithoutSetfcap,
        Self::NoCapabilities,
        Self::TracingNeedsRight,
        Self::NoTracing,
        Self::AnotherSupervisor,
        Self::NoNotification,
        Self::NotificationDenied,
        Self::NoLandlock,
    ];

    /// Which it was, by what a jail said.
    #[must_use]
    pub fn told_in(text: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| text.contains(one.why_and_fix().0))
    }

    /// What stands in the way, and what would help, as two parts of a sentence.
    pub(super) fn why_and_fix(self) -> (&'static str, &'static str) {
        match self {
            Self::Seccomp => (
                "a seccomp filter denies it, as engines' default profiles do",
                "start the container with --runtime=boundary or with a profile of boundary-shim gen-seccomp",
            ),
            Self::SecurityModule => (
                "a security module (AppArmor, SELinux) denies it",
                "allow userns in the profile that this process runs under",
            ),
            Self::NamespacesUsedUp => (
                "user.max_user_namespaces or user.max_net_namespaces is 0 or used up",
                "raise it with sysctl, or as root use --no-user-namespace",
            ),
            Self::KernelSetting => (
                "kernel.unprivileged_userns_clone is 0, or this process is in a chroot",
                "set it to 1 with sysctl, or start this as root and outside of the chroot",
            ),
            Self::NoNamespaces => (
                "this kernel has none",
                "use a kernel with CONFIG_USER_NS and CONFIG_NET_NS",
            ),
            Self::RootWithoutSetfcap => (
                "root without the capability CAP_SETFCAP can't have a user namespace of its own",
                "start it as another user, or with that capability",
            ),
            Self::NoCapabilities => (
                "--no-user-namespace needs the capabilities CAP_SYS_ADMIN and CAP_NET_ADMIN",
                "leave the option out, or start it with both",
            ),
            Self::TracingNeedsRight => (
                "kernel.yama.ptrace_scope is 2, and without the capability CAP_SYS_PTRACE the command's memory \
                 can't be read",
                "set it to 1 with sysctl, or use --jail-type nsjail",
            ),
            Self::NoTracing => (
                "kernel.yama.ptrace_scope is 3, and the command's memory can't be read",
                "set it to 1 at boot, or use --jail-type nsjail",
            ),
            Self::AnotherSupervisor => (
                "another supervisor answers this process's calls already (a jail within a jail, or a container's \
                 runtime that uses seccomp notification)",
                "start it outside of that",
            ),
            Self::NoNotification => (
                "this kernel has no seccomp notification",
                "use Linux 5.9 or later, or --jail-type nsjail",
            ),
            Self::NotificationDenied => (
                "a seccomp filter or a security module forbids it",
                "allow the call seccomp in the profile that this process runs under",
            ),
            Self::NoLandlock => (
                "this kernel has no Landlock that knows TCP (Linux 6.7)",
                "use --jail-type notify",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_by_its_own_words() {
        for one in Obstacle::ALL {
            let (why, fix) = one.why_and_fix();
            let said = format!("error: x: {why}: {fix}");
            let all = Obstacle::ALL.into_iter();
            let told = all.filter(|other| said.contains(other.why_and_fix().0));
            assert_eq!(told.collect::<Vec<_>>(), [one]);
            assert_eq!(Obstacle::told_in(&said), Some(one));
        }
        assert_eq!(Obstacle::told_in("the kernel refuses"), None);
    }
}
