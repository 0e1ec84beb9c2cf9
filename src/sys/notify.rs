//! seccomp's user notification (seccomp_unotify(2)): system calls of other processes that wait for
//! this one's answer, and the memory of who makes them.
//!
//! Invariant: what is read here of another's memory may change at once. Who decides by it acts on its
//! own copy, and never has the kernel read the memory again ([`Answer::Continue`]) for what was
//! decided by it.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::call_filter::Program;
use super::process;

/// Where calls arrive that wait for an answer.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// Its number, by which it is answered.
    pub id: u64,
    /// The thread that makes it, in this process's pid namespace; 0 where it isn't in there.
    pub thread: i32,
    /// Which call it is.
    pub call: i64,
    /// The registers with its arguments, as they were when it was made.
    pub arguments: [u64; 6],
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It gives this.
    Value(i64),
    /// It fails with this number (errno(3)).
    Errno(i32),
    /// The kernel makes it, with whatever its arguments are by then.
    Continue,
}

impl Listener {
    /// Has the calling thread's calls, and those of all that it starts, judged by this program for
    /// good. Those for which it says [`CallVerdict::Notify`] arrive at what is given. The thread must not be
    /// able to gain privileges any more (`no_new_privs`).
    ///
    /// # Errors
    /// `EBUSY` where it has a listener already, `EINVAL` before Linux 5.0, what else seccomp(2) gives.
    ///
    /// [`CallVerdict::Notify`]: super::call_filter::CallVerdict::Notify
    pub fn install(program: &Program) -> io::Result<Self> {
        program.install_with_listener().map(Self)
    }

    /// What another process installed and sent here.
    #[must_use]
    pub fn from_sent(listener: OwnedFd) -> Self {
        Self(listener)
    }

    /// Has the kernel run who answers where the caller ran, which makes a call half as long (Linux
    /// 6.6). Best effort.
    pub fn run_in_turns(&self) {
        const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: u64 = 1;
        let _ = self.number(
            libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
            SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP,
        );
    }

    /// Waits for the next call.
    ///
    /// # Errors
    /// Where there is nobody any more who could make one.
    pub fn receive(&self) -> io::Result<Notification> {
        loop {
            let mut raw = libc::seccomp_notif {
                id: 0,
                pid: 0,
                flags: 0,
                data: libc::seccomp_data {
                    nr: 0,
                    arch: 0,
                    instruction_pointer: 0,
                    args: [0; 6],
                },
            };
            match self.control(libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut raw) {
                Ok(_) => {
                    return Ok(Notification {
                        id: raw.id,
                        thread: raw.pid.cast_signed(),
                        call: raw.data.nr.into(),
                        arguments: raw.data.args,
                    });
                }
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                // Whoever made it was killed meanwhile, or nobody is left.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    if self.is_over()? {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether nobody is left who could make a call (`POLLHUP`, Linux 5.9).
    fn is_over(&self) -> io::Result<bool> {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        match poll(&mut polled, PollTimeout::ZERO) {
            Err(Errno::EINTR) => return Ok(false),
            polled => polled?,
        };
        let [happened] = polled.map(|one| one.revents().unwrap_or(PollFlags::empty()));
        Ok(happened.contains(PollFlags::POLLHUP))
    }

    /// Whether a call still waits: what was read in its thread's name before this is that thread's, not
    /// another's that has its number by now.
    #[must_use]
    pub fn waits(&self, id: u64) -> bool {
        let mut id = id;
        self.control(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw mut id)
            .is_ok()
    }

    /// Answers a call. One that nobody waits for any more needs no answer.
    pub fn answer(&self, id: u64, answer: Answer) {
        let mut raw = libc::seccomp_notif_resp {
            id,
            val: 0,
            error: 0,
            flags: 0,
        };
        match answer {
            Answer::Value(value) => raw.val = value,
            Answer::Errno(number) => raw.error = -number,
            Answer::Continue => raw.flags = CONTINUE,
        }
        let _ = self.control(libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut raw);
    }

    /// Answers a call with a descriptor for this, which its process then has.
    ///
    /// # Errors
    /// Where it has not got it, and its call fails by that, or it is gone.
    pub fn answer_with(
        &self,
        id: u64,
        given: BorrowedFd<'_>,
        closes_on_exec: bool,
    ) -> io::Result<()> {
        let mut raw = libc::seccomp_notif_addfd {
            id,
            flags: SEND,
            srcfd: given.as_raw_fd().cast_unsigned(),
            newfd: 0,
            newfd_flags: if closes_on_exec { CLOSES_ON_EXEC } else { 0 },
        };
        let added = self.control(libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw mut raw);
        match added {
            // Linux 5.9 to 5.13 does it in two steps.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                raw.flags = 0;
                let number = self.control(libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw mut raw)?;
                self.answer(id, Answer::Value(number.into()));
                Ok(())
            }
            Err(error) => {
                let number = error.raw_os_error().unwrap_or(libc::EMFILE);
                self.answer(id, Answer::Errno(number));
                Err(error)
            }
            Ok(_) => Ok(()),
        }
    }

    /// Whether the kernel knows how to give descriptors ([`Self::answer_with`], Linux 5.9).
    #[must_use]
    pub fn can_give(&self) -> bool {
        let mut to_nobody = libc::seccomp_notif_addfd {
            id: u64::MAX,
            flags: 0,
            srcfd: self.0.as_raw_fd().cast_unsigned(),
            newfd: 0,
            newfd_flags: 0,
        };
        let given = self.control(libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw mut to_nobody);
        given.is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT))
    }

    #[expect(unsafe_code, reason = "no wrapper for these in libc or nix")]
    fn control<T>(&self, request: libc::Ioctl, argument: *mut T) -> io::Result<i32> {
        // SAFETY: each caller gives what its request reads or writes, alive during the call; the kernel
        // checks by the request that it is a listener's.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), request, argument) };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(done)
        }
    }

    #[expect(unsafe_code, reason = "no wrapper for these in libc or nix")]
    fn number(&self, request: libc::Ioctl, argument: u64) -> io::Result<()> {
        // SAFETY: this request takes a number.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), request, argument) };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`, in its field's width.
const CONTINUE: u32 = 1;
/// `SECCOMP_ADDFD_FLAG_SEND`, likewise.
const SEND: u32 = 2;
/// `O_CLOEXEC`, likewise.
const CLOSES_ON_EXEC: u32 = libc::O_CLOEXEC.cast_unsigned();

/// What a probe's memory holds.
pub const PROBE: [u8; 16] = *b"boundary-shim: 1";

/// Makes a call that changes nothing, bind(2) of no socket, whose second argument leads to [`PROBE`]:
/// whoever answers it can try whether it reads this process's memory.
///
/// # Errors
/// What it is answered.
#[expect(unsafe_code, reason = "its arguments are no socket's and no address's")]
pub fn probe() -> io::Result<()> {
    let length = u32::try_from(PROBE.len()).unwrap_or_default();
    // SAFETY: the call reads so many bytes at most, which live for ever.
    let done = unsafe { libc::bind(-1, PROBE.as_ptr().cast(), length) };
    Ok(Errno::result(done).map(drop)?)
}

/// The same by connect(2) of this socket, which leads nowhere: for whoever waits for that, and is to try
/// whether it can have the socket, too ([`socket_of`]).
///
/// # Errors
/// What it is answered.
#[expect(unsafe_code, reason = "its address is none")]
pub fn probe_by(socket: &impl AsFd) -> io::Result<()> {
    let length = u32::try_from(PROBE.len()).unwrap_or_default();
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the call reads so many bytes at most, which live for ever.
    let done = unsafe { libc::connect(socket, PROBE.as_ptr().cast(), length) };
    Ok(Errno::result(done).map(drop)?)
}

/// A descriptor of our own for what a thread has by this one (pidfd_getfd(2)): before Linux 6.9, what the
/// first thread of its process has by it.
///
/// # Errors
/// `EBADF` where it has none, what forbids it (ptrace(2), "access mode checking").
#[expect(unsafe_code, reason = "no wrapper for these in libc or nix")]
pub fn socket_of(thread: i32, descriptor: i32) -> io::Result<OwnedFd> {
    /// Of a thread, not only of a process (its value in linux/pidfd.h).
    const PIDFD_THREAD: i32 = libc::O_EXCL;
    // SAFETY: takes a number and flags.
    let open = |pid: i32, flags: i32| unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) };
    let process = match process::opened(open(thread, PIDFD_THREAD)) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            process::opened(open(first_thread_of(thread)?, 0))
        }
        opened => opened,
    }?;
    // SAFETY: takes two descriptors and flags by value.
    process::opened(unsafe {
        libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), descriptor, 0)
    })
}

/// The number of a thread's process.
fn first_thread_of(thread: i32) -> io::Result<i32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status"))?;
    let mut lines = status.lines();
    let process = lines.find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
    process.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Reads of a thread's memory: all of `bytes`, or nothing.
///
/// # Errors
/// `EFAULT` where it isn't there, what forbids it (ptrace(2), "access mode checking").
pub fn read_memory(thread: i32, address: u64, bytes: &mut [u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let (length, base) = (bytes.len(), place(address)?);
    let mut local = [IoSliceMut::new(bytes)];
    let there = [RemoteIoVec { base, len: length }];
    let read = match process_vm_readv(Pid::from_raw(thread), &mut local, &there) {
        // What a container engine's seccomp profile forbids (Docker's before 20.10.10, and others),
        // the file may still give.
        Err(Errno::EPERM | Errno::ENOSYS) => {
            File::open(format!("/proc/{thread}/mem"))?.read_at(bytes, address)?
        }
        read => read?,
    };
    whole(read, length)
}

/// A process's memory, for writing. Whoever writes makes sure first, after it was opened, that its call
/// still waits ([`Listener::waits`]): the thread's number may be another's by now.
#[derive(Debug)]
pub struct Memory(File);

impl Memory {
    /// That of a thread.
    ///
    /// # Errors
    /// What forbids it (ptrace(2), "access mode checking").
    pub fn of(thread: i32) -> io::Result<Self> {
        let path = format!("/proc/{thread}/mem");
        let file = File::options().write(true).open(path)?;
        Ok(Self(file))
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// `EFAULT` where there is no memory to be written.
    pub fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        let fault = |_| io::Error::from_raw_os_error(libc::EFAULT);
        self.0.write_all_at(bytes, address).map_err(fault)
    }
}

fn place(address: u64) -> io::Result<usize> {
    usize::try_from(address).map_err(|_| io::Error::from_raw_os_error(libc::EFAULT))
}

fn whole(done: usize, wanted: usize) -> io::Result<()> {
    if done == wanted {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EFAULT))
    }
}

#[cfg(test)]
mod tests {
    use super::super::call_filter::{CallVerdict, Rules};
    use super::*;

    #[test]
    fn when_nobody_is_left_who_could_call_nobody_is_waited_for() {
        let end = std::thread::spawn(|| {
            nix::sys::prctl::set_no_new_privs().unwrap();
            let mut rules = Rules::new(CallVerdict::Allow, CallVerdict::Allow);
            rules.add(libc::SYS_getppid, &[], CallVerdict::Notify);
            Listener::install(&rules.program().unwrap()).unwrap()
        });
        assert!(end.join().unwrap().receive().is_err());
    }

    #[test]
    fn a_threads_socket_is_had_by_another_descriptor() {
        let own = nix::unistd::gettid().as_raw();
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let had = socket_of(own, one.as_raw_fd()).unwrap();
        assert_eq!(
            nix::sys::stat::fstat(&had).unwrap().st_ino,
            nix::sys::stat::fstat(&one).unwrap().st_ino
        );
        let none = socket_of(own, 1 << 20).unwrap_err();
        assert_eq!(none.raw_os_error(), Some(libc::EBADF));
    }
}
