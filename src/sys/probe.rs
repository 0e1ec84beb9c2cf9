//! Whether a seccomp filter lets this process make a call, found out without making it: with arguments
//! that the kernel refuses by a number of its own before it does anything.

use std::io;

use libc::c_long;

/// A call that a jail makes, or that something nested in a container may want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// clone(2) with new user and network namespaces.
    Namespaces,
    /// unshare(2).
    Unshare,
    /// setns(2).
    Setns,
    /// mount(2).
    Mount,
    /// seccomp(2).
    Seccomp,
    /// landlock_create_ruleset(2).
    Landlock,
    /// pidfd_getfd(2).
    PidfdGetfd,
    /// process_vm_readv(2).
    ReadMemory,
}

impl Probe {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Namespaces,
        Self::Unshare,
        Self::Setns,
        Self::Mount,
        Self::Seccomp,
        Self::Landlock,
        Self::PidfdGetfd,
        Self::ReadMemory,
    ];

    /// What it is, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "clone with new user and network namespaces",
            Self::Unshare => "unshare",
            Self::Setns => "setns",
            Self::Mount => "mount",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock_create_ruleset",
            Self::PidfdGetfd => "pidfd_getfd",
            Self::ReadMemory => "process_vm_readv",
        }
    }

    /// Whether the call doesn't get to the kernel's own code, or the kernel lacks it. A filter that
    /// kills for it kills the calling process.
    #[must_use]
    pub fn is_denied(self) -> bool {
        const NO_FLAGS: c_long = 0;
        const NOWHERE: c_long = 0;
        const NO_DESCRIPTOR: c_long = -1;
        // Namespaces that share what they can't (clone(2), EINVAL).
        const CONTRADICTORY: c_long =
            (libc::CLONE_NEWUSER | libc::CLONE_NEWNET | libc::CLONE_FS | libc::SIGCHLD) as c_long;
        const GET_ACTION_AVAIL: c_long = libc::SECCOMP_GET_ACTION_AVAIL as c_long;
        const VERSION: c_long = 1;
        let (number, arguments, refusal) = match self {
            Self::Namespaces if cfg!(target_arch = "s390x") => (
                libc::SYS_clone,
                [NOWHERE, CONTRADICTORY, NOWHERE],
                Some(libc::EINVAL),
            ),
            Self::Namespaces => (
                libc::SYS_clone,
                [CONTRADICTORY, NOWHERE, NOWHERE],
                Some(libc::EINVAL),
            ),
            Self::Unshare => (libc::SYS_unshare, [NO_FLAGS; 3], None),
            Self::Setns => (
                libc::SYS_setns,
                [NO_DESCRIPTOR, NO_FLAGS, 0],
                Some(libc::EBADF),
            ),
            Self::Mount => (libc::SYS_mount, [NOWHERE; 3], Some(libc::EFAULT)),
            Self::Seccomp => (
                libc::SYS_seccomp,
                [GET_ACTION_AVAIL, NO_FLAGS, NOWHERE],
                Some(libc::EFAULT),
            ),
            Self::Landlock => (
                libc::SYS_landlock_create_ruleset,
                [NOWHERE, 0, VERSION],
                None,
            ),
            Self::PidfdGetfd => (
                libc::SYS_pidfd_getfd,
                [NO_DESCRIPTOR, NO_DESCRIPTOR, NO_FLAGS],
                Some(libc::EBADF),
            ),
            Self::ReadMemory => (
                libc::SYS_process_vm_readv,
                [c_long::from(std::process::id().cast_signed()), NOWHERE, 0],
                None,
            ),
        };
        refused_with(number, arguments) != refusal
    }
}

/// Which version of Landlock this kernel has; none where it has none, or a filter denies it.
#[must_use]
pub fn landlock_version() -> Option<u32> {
    let version = call(libc::SYS_landlock_create_ruleset, [0, 0, 1]).ok()?;
    u32::try_from(version).ok().filter(|version| *version > 0)
}

fn refused_with(number: c_long, arguments: [c_long; 3]) -> Option<i32> {
    call(number, arguments)
        .err()
        .and_then(|error| error.raw_os_error())
}

/// Makes a call of these arguments, and of nothing but zeros behind them. None of them may be an
/// address: the kernel is to be given nothing of ours to write to.
#[expect(unsafe_code, reason = "calls that shall fail")]
fn call(number: c_long, [first, second, third]: [c_long; 3]) -> io::Result<c_long> {
    let zero: c_long = 0;
    // SAFETY: this file's calls, all of them above, hand over numbers and null pointers alone, so that
    // no memory of ours is read or written; clone is refused before it copies anything, for flags that
    // contradict each other.
    let outcome = unsafe { libc::syscall(number, first, second, third, zero, zero, zero) };
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_filter_nothing_is_denied_that_the_kernel_has() {
        let denied: Vec<_> = Probe::ALL
            .into_iter()
            .filter(|one| one.is_denied())
            .collect();
        assert!(
            denied.is_empty() || denied == [Probe::Landlock],
            "{denied:?}"
        );
        assert_eq!(
            landlock_version().is_none(),
            denied.contains(&Probe::Landlock)
        );
    }
}
