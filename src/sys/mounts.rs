//! A mount namespace of one's own, in which paths are hidden or read-only.
#![expect(
    clippy::disallowed_methods,
    reason = "makes a mount namespace, which sys::netns doesn't"
)]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

const NOTHING: Option<&str> = None;

/// Has this process, and those that it starts, see mounts of their own from now on. What is mounted
/// outside later is seen, too; nothing that is mounted here is seen outside.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, or where a seccomp filter denies it.
pub fn be_own() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let apart = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    Ok(mount(NOTHING, "/", NOTHING, apart, NOTHING)?)
}

/// Mounts a `/proc` of the pid namespace that this process is in.
///
/// # Errors
/// What `mount(2)` gives.
pub fn see_own_processes() -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("proc"), "/proc", Some("proc"), flags, NOTHING)?)
}

/// Has nothing be at this path: an empty directory that nobody can write to, or a file that nobody can
/// connect to.
///
/// # Errors
/// What `mount(2)` gives.
pub fn hide(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_dir() {
        let flags =
            MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        return Ok(mount(
            Some("tmpfs"),
            path,
            Some("tmpfs"),
            flags,
            Some("size=0,mode=555"),
        )?);
    }
    Ok(mount(
        Some("/dev/null"),
        path,
        NOTHING,
        MsFlags::MS_BIND,
        NOTHING,
    )?)
}

/// Has nothing that is below this path be changed, in what is mounted there, too.
///
/// # Errors
/// What `mount(2)` and `mount_setattr(2)` (Linux 5.12) give.
#[expect(unsafe_code, reason = "no wrapper for mount_setattr in nix")]
pub fn make_read_only(path: &Path) -> io::Result<()> {
    const AT_RECURSIVE: libc::c_int = 0x8000;
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(path), path, NOTHING, bind, NOTHING)?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends with a zero, the attributes are of the size that is given, and the kernel
    // only reads both.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
