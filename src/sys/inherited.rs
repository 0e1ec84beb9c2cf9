//! Descriptors that this process was started with.

use std::io;
use std::os::fd::BorrowedFd;

use nix::sys::stat::{SFlag, fstat};
use socket2::{Domain, SockRef};

const STANDARD_STREAMS: i32 = 3;

/// Closes every descriptor behind the standard streams that leads elsewhere than a file, a pipe, a
/// device or a Unix socket: sockets of networks above all, but also namespaces, directories and what
/// has no name. To be called before this process opens any of its own.
///
/// # Errors
/// `/proc` can't be read, or a descriptor not be asked or closed.
pub fn close_but_files() -> io::Result<()> {
    for number in listed()? {
        if number < STANDARD_STREAMS {
            continue;
        }
        match is_harmless(number) {
            Ok(true) => {}
            // The list's own, which is gone by now.
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => {}
            Ok(false) => close(number)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn listed() -> io::Result<Vec<i32>> {
    let number = |entry: io::Result<std::fs::DirEntry>| {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        number.ok_or_else(|| io::ErrorKind::InvalidData.into())
    };
    std::fs::read_dir("/proc/self/fd")?.map(number).collect()
}

#[expect(
    unsafe_code,
    reason = "descriptors that we inherited belong to no value"
)]
fn is_harmless(number: i32) -> io::Result<bool> {
    // SAFETY: the kernel has just listed it as open, and nobody here closes any meanwhile: there is
    // one thread. If it is the list's own, it is closed by now, which the calls below tell.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let kind = SFlag::from_bits_truncate(fstat(descriptor)?.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFSOCK {
        return Ok(SockRef::from(&descriptor).domain()? == Domain::UNIX);
    }
    let files = [
        SFlag::S_IFREG,
        SFlag::S_IFIFO,
        SFlag::S_IFCHR,
        SFlag::S_IFBLK,
    ];
    Ok(files.contains(&kind) && !is_of_the_kernels(number)?)
}

/// Whether it is a file of a file system that has no place, as those of namespaces are (`nsfs`).
fn is_of_the_kernels(number: i32) -> io::Result<bool> {
    let path = std::fs::read_link(format!("/proc/self/fd/{number}"))?;
    let name = path.to_string_lossy();
    Ok([
        "net:", "user:", "mnt:", "pid:", "ipc:", "uts:", "cgroup:", "time:",
    ]
    .iter()
    .any(|kind| name.starts_with(kind)))
}

#[expect(
    unsafe_code,
    reason = "descriptors that we inherited belong to no value"
)]
fn close(number: i32) -> io::Result<()> {
    // SAFETY: it was open before this process was, and no value of this process's owns it.
    match unsafe { libc::close(number) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
