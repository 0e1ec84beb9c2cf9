//! A user namespace for the gateway and its filter: what is root in there is nobody on the host.
#![expect(clippy::disallowed_methods, reason = "the one module that makes and enters user namespaces")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use super::fork::{self, Child};
use super::netns::Namespace;

/// Root in there is the user, and the group, that nothing of the host's belongs to (user_namespaces(7), «uid_map»).
const ROOT_IS_NOBODY: &[u8] = b"0 65534 1";

/// A user namespace whose root is the host's nobody, and in which nobody else is anybody.
#[derive(Debug)]
pub struct UserNamespace(File);

/// Makes a user namespace, and a network namespace that it owns: capabilities of the one count in the other and nowhere else
/// (user_namespaces(7)).
///
/// # Errors
/// `ENOSPC` where user namespaces are switched off or used up, `EINVAL` where the kernel has none, `EPERM` where something
/// forbids them; what writing the maps gives.
pub fn create() -> io::Result<(UserNamespace, Namespace)> {
    let (mut made, say_made) = io::pipe()?;
    let (wait_for_end, mut end) = io::pipe()?;
    // A process of its own: one with threads can't make a user namespace, and whoever made one can't leave it.
    let child = fork::copy(|| i32::from(make(&say_made, &wait_for_end).is_err()))?;
    drop((say_made, wait_for_end));
    let namespaces = made_by(&child, &mut made);
    // Its other end is the child's, too: that it may end is a byte. It fails where the child has ended.
    let _ = end.write_all(&[0]);
    child.wait()?;
    namespaces
}

/// What the child made, once it says so.
fn made_by(child: &Child, made: &mut io::PipeReader) -> io::Result<(UserNamespace, Namespace)> {
    let mut outcome = [0; 4];
    made.read_exact(&mut outcome)?;
    match i32::from_ne_bytes(outcome) {
        0 => {}
        code => return Err(io::Error::from_raw_os_error(code)),
    }
    let of_child = |what: &str| format!("/proc/{}/{what}", child.pid());
    let namespaces = (UserNamespace(File::open(of_child("ns/user"))?), Namespace::of_process(child.pid())?);
    for map in ["uid_map", "gid_map"] {
        std::fs::OpenOptions::new().write(true).open(of_child(map))?.write_all(ROOT_IS_NOBODY)?;
    }
    Ok(namespaces)
}

/// In the child: makes both, says how it went, and stays until the parent has what it needs. Allocates nothing.
fn make(mut say_made: &io::PipeWriter, mut wait_for_end: &io::PipeReader) -> io::Result<()> {
    let made = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET);
    let code = made.err().map_or(0, |error| error as i32);
    say_made.write_all(&code.to_ne_bytes())?;
    wait_for_end.read(&mut [0]).map(drop)
}

impl UserNamespace {
    /// Moves this process in for good, as its root: with every capability in there, and none outside.
    ///
    /// # Errors
    /// `EINVAL` where the process has a second thread.
    pub fn become_root(&self) -> io::Result<()> {
        setns(self.0.as_fd(), CloneFlags::CLONE_NEWUSER)?;
        let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
        setgroups(&[])?;
        setresgid(group, group, group)?;
        Ok(setresuid(user, user, user)?)
    }
}

impl AsFd for UserNamespace {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}
