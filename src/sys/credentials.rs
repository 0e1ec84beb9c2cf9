//! As whom a thread acts: for a while, as somebody who has fewer rights.

use std::collections::HashSet;
use std::io;

use caps::{CapSet, Capability};
use nix::errno::Errno;

/// Whose rights a thread has, as far as files and the names of sockets are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    user: u32,
    group: u32,
    groups: Vec<u32>,
    capabilities: u64,
}

impl Credentials {
    /// Those of a thread that can't change them meanwhile. One in another user namespace has its
    /// capabilities there, which are none here.
    ///
    /// # Errors
    /// What reading `/proc` gives; `InvalidData` where it says something else.
    pub fn of(thread: i32) -> io::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{thread}/status"))?;
        let mut credentials = Self::read(&text).ok_or(io::ErrorKind::InvalidData)?;
        let namespace = |whose: &str| std::fs::read_link(format!("/proc/{whose}/ns/user"));
        if namespace(&thread.to_string())? != namespace("thread-self")? {
            credentials.capabilities = 0;
        }
        Ok(credentials)
    }

    fn read(status: &str) -> Option<Self> {
        let line = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        // Real, effective, saved, of the file system.
        let effective = |name| line(name)?.split_whitespace().nth(1)?.parse().ok();
        let groups = line("Groups")?.split_whitespace();
        Some(Self {
            user: effective("Uid")?,
            group: effective("Gid")?,
            groups: groups
                .map(|group| group.parse().ok())
                .collect::<Option<_>>()?,
            capabilities: u64::from_str_radix(line("CapEff")?.trim(), 16).ok()?,
        })
    }

    /// Does this with no right that these aren't, in this thread alone.
    ///
    /// # Errors
    /// Where this process may not act as somebody else.
    pub fn acting<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let own = Self::of(nix::unistd::gettid().as_raw())?;
        let both = own.capabilities & self.capabilities;
        let meant = Self {
            capabilities: both,
            ..self.clone()
        };
        if meant == own {
            return Ok(work());
        }
        if let Err(error) = meant.take(&own) {
            own.take_back(&own);
            return Err(error);
        }
        let done = work();
        own.take_back(&meant);
        Ok(done)
    }

    /// Becomes this: of `own`, what differs. The capabilities last, since the others may need them.
    fn take(&self, own: &Self) -> io::Result<()> {
        if self.groups != own.groups {
            set_groups(&self.groups)?;
        }
        if self.group != own.group {
            set(libc::SYS_setresgid, self.group)?;
        }
        if self.user != own.user {
            set(libc::SYS_setresuid, self.user)?;
        }
        set_effective(self.capabilities)
    }

    /// Becomes again what this thread was before. A thread that stays somebody else would do for one
    /// what another may: then nobody is served any more.
    fn take_back(&self, from: &Self) {
        let taken = || {
            set(libc::SYS_setresuid, self.user)?;
            set_effective(self.capabilities)?;
            set(libc::SYS_setresgid, self.group)?;
            if self.groups != from.groups {
                set_groups(&self.groups)?;
            }
            Ok::<_, io::Error>(())
        };
        // The kernel opens a process to others whose user changes, where it was told to (suid_dumpable).
        let closed = || Ok::<_, io::Error>(nix::sys::prctl::set_dumpable(false)?);
        if taken().and_then(|()| closed()).is_err() {
            std::process::abort();
        }
    }
}

/// Only these capabilities, of those that this thread may have.
fn set_effective(bits: u64) -> io::Result<()> {
    let permitted = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    let wanted: HashSet<Capability> = permitted
        .into_iter()
        .filter(|capability| capability.bitmask() & bits != 0)
        .collect();
    caps::set(None, CapSet::Effective, &wanted).map_err(io::Error::other)
}

/// The effective ID alone. The C library's own call would change all threads.
#[expect(unsafe_code, reason = "the C library's call is for all threads")]
fn set(call: libc::c_long, effective: u32) -> io::Result<()> {
    const UNCHANGED: u32 = u32::MAX;
    // SAFETY: both calls take three numbers.
    let done = unsafe { libc::syscall(call, UNCHANGED, effective, UNCHANGED) };
    Ok(Errno::result(done).map(drop)?)
}

#[expect(unsafe_code, reason = "the C library's call is for all threads")]
fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the call reads so many numbers from there, which live meanwhile.
    let done = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    Ok(Errno::result(done).map(drop)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tsh\nUid:\t0\t1000\t0\t1000\nGid:\t5\t6\t7\t8\nGroups:\t4 24 \n\
                          CapEff:\t00000000a80425fb\n";

    #[test]
    fn what_counts_is_effective() {
        let read = Credentials::read(STATUS).unwrap();
        assert_eq!((read.user, read.group), (1000, 6));
        assert_eq!(read.groups, [4, 24]);
        assert_eq!(read.capabilities, 0xa804_25fb);
        assert_eq!(Credentials::read("Uid:\t0\n"), None);
    }

    /// As root: as somebody else. Else only itself is there to be tried.
    #[test]
    fn one_thread_acts_as_somebody_else_and_is_itself_again() {
        let thread = || nix::unistd::gettid().as_raw();
        let own = Credentials::of(thread()).unwrap();
        let mut other = own.clone();
        other.capabilities = 0;
        if own.user == 0 {
            (other.user, other.group, other.groups) = (1777, 1778, vec![1779]);
        }
        let acted = other.clone();
        std::thread::spawn(move || {
            let seen = acted.acting(|| Credentials::of(thread()).unwrap());
            assert_eq!(seen.unwrap(), acted);
            assert_eq!(Credentials::of(thread()).unwrap(), own);
        })
        .join()
        .unwrap();
        let others = std::fs::read_to_string("/proc/self/status").unwrap();
        assert_ne!(Credentials::read(&others).unwrap(), other);
    }
}
