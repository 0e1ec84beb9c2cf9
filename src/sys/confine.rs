//! How a process gives up privileges: rights over the host, its files, and descriptors opened
//! before.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use socket2::{Domain, Socket, Type};

use super::process;

/// Gives up what neither keeper nor filter ever needs: core dumps, ptrace by others of their uid,
/// gaining privileges by `exec`, and every capability but these. Counts for this thread and those
/// it starts.
///
/// # Errors
/// What the system calls give: the caller must not go on then.
pub fn keep_only(capabilities: &[Capability]) -> io::Result<()> {
    be_closed_to_others()?;
    nix::sys::prctl::set_no_new_privs()?;
    let keep: CapsHashSet = capabilities.iter().copied().collect();
    caps::clear(None, CapSet::Inheritable).map_err(io::Error::other)?;
    caps::clear(None, CapSet::Bounding).map_err(io::Error::other)?;
    caps::set(None, CapSet::Effective, &keep).map_err(io::Error::other)?;
    caps::set(None, CapSet::Permitted, &keep).map_err(io::Error::other)
}

/// The same for a process that may not have the right to bound what `exec` could give it, and executes
/// nothing: it keeps at most these capabilities, of what it has.
///
/// # Errors
/// What the system calls give.
pub fn keep_at_most(capabilities: &[Capability]) -> io::Result<()> {
    be_closed_to_others()?;
    nix::sys::prctl::set_no_new_privs()?;
    reduce_to(&capabilities.iter().copied().collect())
}

/// Leaves no core dump, and isn't traced or read by others of its user.
///
/// # Errors
/// What the system calls give.
pub fn be_closed_to_others() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(nix::sys::prctl::set_dumpable(false)?)
}

/// Can't gain privileges by `exec`, and keeps at most these capabilities, of what it has: in every
/// set, as far as it has the right to bound the last of them.
///
/// # Errors
/// What the system calls give.
pub fn bound_to(capabilities: &[Capability]) -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    let at_most: CapsHashSet = capabilities.iter().copied().collect();
    if has(Capability::CAP_SETPCAP)? {
        let bounding = caps::read(None, CapSet::Bounding).map_err(io::Error::other)?;
        for one in bounding.difference(&at_most) {
            caps::drop(None, CapSet::Bounding, *one).map_err(io::Error::other)?;
        }
    }
    reduce_to(&at_most)
}

/// (The ambient set is always within two of these.)
fn reduce_to(at_most: &CapsHashSet) -> io::Result<()> {
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        let held = caps::read(None, set).map_err(io::Error::other)?;
        let kept = held.intersection(at_most).copied().collect();
        caps::set(None, set, &kept).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Whether this thread has a capability and may use it.
///
/// # Errors
/// What `capget(2)` gives.
pub fn has(capability: Capability) -> io::Result<bool> {
    caps::has_cap(None, CapSet::Effective, capability).map_err(io::Error::other)
}

/// What links and their addresses need, and sockets that speak for others.
pub const FOR_LINKS: &[Capability] = &[Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];

/// Keeps what sockets need that speak for others and mark what they send, and no more:
/// `CAP_NET_RAW`, but before Linux 5.17 (`SO_MARK`, socket(7)) all of [`FOR_LINKS`].
///
/// # Errors
/// As [`keep_only`].
pub fn keep_for_sockets() -> io::Result<()> {
    const FOR_SOCKETS: &[Capability] = &[Capability::CAP_NET_RAW];
    caps::drop(None, CapSet::Effective, Capability::CAP_NET_ADMIN).map_err(io::Error::other)?;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.cloexec(), None)?;
    let enough = socket.set_mark(1).is_ok();
    keep_only(if enough { FOR_SOCKETS } else { FOR_LINKS })
}

/// Raises the soft limit of open files to the hard one, at most to `most`.
///
/// # Errors
/// What `setrlimit(2)` gives.
pub fn allow_open_files(most: u64) -> io::Result<u64> {
    let (_, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_NOFILE)?;
    let soft = hard.min(most);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
    Ok(soft)
}

/// Has the kernel kill this process when its parent ends, now and later. To be called when the
/// process's user has changed for the last time, which undoes it (`PR_SET_PDEATHSIG`).
///
/// # Errors
/// `NotFound` where the parent, of this pid, has ended already.
pub fn end_with_parent(parent: i32) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if nix::unistd::getppid().as_raw() == parent {
        Ok(())
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Has this name from now on, wherever the kernel tells of this process: at most 15 bytes
/// (`PR_SET_NAME`).
///
/// # Errors
/// What `prctl(2)` gives.
pub fn be_called(name: &CStr) -> io::Result<()> {
    Ok(nix::sys::prctl::set_name(name)?)
}

/// Is the user, and of the group, that nothing of the host's belongs to, from now on, and keeps its
/// capabilities (`PR_SET_KEEPCAPS`). For a process that has no second thread.
///
/// # Errors
/// What the system calls give.
pub fn become_nobody() -> io::Result<()> {
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    nix::sys::prctl::set_keepcaps(true)?;
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    let permitted = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    caps::set(None, CapSet::Effective, &permitted).map_err(io::Error::other)
}

/// The kernel's own number for who isn't anybody (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65534;

/// Has no root but an empty directory that nobody can write to and that is nowhere else: a mount
/// that no namespace has (fsmount(2), Linux 5.2). Without `CAP_SYS_CHROOT` and a directory that is
/// open there is no way back.
///
/// # Errors
/// What the system calls give.
pub fn have_no_files() -> io::Result<()> {
    nix::unistd::fchdir(empty_file_system()?)?;
    nix::unistd::chroot(".")?;
    Ok(nix::unistd::chdir("/")?)
}

#[expect(unsafe_code, reason = "no wrapper for these in libc or nix")]
fn empty_file_system() -> io::Result<OwnedFd> {
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const ATTRIBUTES: libc::c_ulong = libc::MOUNT_ATTR_RDONLY
        | libc::MOUNT_ATTR_NOSUID
        | libc::MOUNT_ATTR_NODEV
        | libc::MOUNT_ATTR_NOEXEC;
    const KIND: &CStr = c"tmpfs";
    // SAFETY: fsopen reads a string that ends with a zero.
    let context = process::opened(unsafe {
        libc::syscall(libc::SYS_fsopen, KIND.as_ptr(), libc::FSOPEN_CLOEXEC)
    })?;
    let (no_key, no_value) = (
        std::ptr::null::<libc::c_char>(),
        std::ptr::null::<libc::c_char>(),
    );
    // SAFETY: this command of fsconfig takes neither key nor value.
    let made = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            no_key,
            no_value,
            0,
        )
    };
    if made != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fsmount takes a descriptor and flags by value.
    process::opened(unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            libc::FSMOUNT_CLOEXEC,
            ATTRIBUTES,
        )
    })
}

/// Closes every descriptor but the standard streams and these (close_range(2), Linux 5.9). For a
/// process that was copied and won't use, nor drop, what it has of the others.
///
/// # Errors
/// What `close_range(2)` gives.
#[expect(unsafe_code, reason = "no wrapper for close_range in libc or nix")]
pub fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    const STANDARD_STREAMS: u32 = 3;
    let number = |kept: &BorrowedFd<'_>| u32::try_from(kept.as_raw_fd()).unwrap_or_default();
    let mut kept: Vec<u32> = kept
        .iter()
        .map(number)
        .filter(|number| *number >= STANDARD_STREAMS)
        .collect();
    kept.sort_unstable();
    let mut first = STANDARD_STREAMS;
    for end in kept.into_iter().chain([u32::MAX]) {
        if end > first {
            // SAFETY: takes numbers. Who owns one of the descriptors in this process doesn't use it
            // again, as is said above.
            let closed = unsafe { libc::syscall(libc::SYS_close_range, first, end - 1, 0) };
            if closed != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = end.saturating_add(1);
    }
    Ok(())
}
