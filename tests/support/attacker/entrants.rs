//! Taking over who enters: a process that a runtime adds to the container (`exec`, a probe, another
//! container that shares its processes) is in the container's pid namespace before it has given up
//! the host's root's capabilities. It made itself undumpable, so only CAP_SYS_PTRACE of the host's
//! user namespace lets a process of the container attach to it then.

#![expect(unsafe_code, reason = "ptrace(2) has no safe wrapper here")]

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ptr;
use std::time::{Duration, Instant};

/// `CAP_SYS_ADMIN`, as a bit of `CapEff`.
const SYS_ADMIN: u64 = 1 << 21;

/// For so long, attaches to whoever appears. Prints one line for each: what it could do when it was
/// stopped, or why it couldn't be attached to.
pub(crate) fn take_over(length: Duration) {
    let (mut known, end) = (processes(), Instant::now() + length);
    println!("waiting");
    while Instant::now() < end {
        for pid in &processes() - &known {
            known.insert(pid);
            match held_by(pid) {
                Ok(held) if held & SYS_ADMIN != 0 => {
                    println!("attached to one with the host's root's capabilities: {held:016x}");
                }
                Ok(held) => println!("attached to one with no more than ours: {held:016x}"),
                Err(error) => println!("not attached: {error}"),
            }
        }
    }
}

fn processes() -> HashSet<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// What a process may do while we hold it stopped.
fn held_by(pid: i32) -> io::Result<u64> {
    // PTRACE_ATTACH would send a signal that could still be under way when it is let go.
    request(libc::PTRACE_SEIZE, pid)?;
    request(libc::PTRACE_INTERRUPT, pid)?;
    // SAFETY: a null status is allowed.
    unsafe { libc::waitpid(pid, ptr::null_mut(), libc::__WALL) };
    let held = effective(pid);
    request(libc::PTRACE_DETACH, pid)?;
    held
}

fn effective(pid: i32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"));
    line.and_then(|line| u64::from_str_radix(line, 16).ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn request(which: libc::c_uint, pid: i32) -> io::Result<()> {
    let nothing = ptr::null_mut::<libc::c_void>();
    // SAFETY: none of the requests made here reads or writes through its pointers.
    match unsafe { libc::ptrace(which, pid, nothing, nothing) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
