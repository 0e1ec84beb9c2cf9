//! Processes: identified so that a reused pid is not mistaken for another, watched by descriptor,
//! started detached.
#![expect(
    clippy::disallowed_methods,
    reason = "the one module that starts programs"
)]

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;

use super::sealed::Sealed;

/// A handle on one process (pidfd_open(2)): readable when it has ended, never another process.
#[derive(Debug)]
pub struct Process(OwnedFd);

impl Process {
    /// Opens a handle. The caller checks afterwards that it is the process meant: the pid may have
    /// been reused before.
    ///
    /// # Errors
    /// `ESRCH` where there is none.
    #[expect(unsafe_code, reason = "no wrapper for pidfd_open in libc or nix")]
    pub fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: pidfd_open takes a pid and flags by value and touches no memory of ours.
        opened(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }).map(Self)
    }

    /// Waits for its end; kills it when that takes longer than `patience`, and waits as long again:
    /// what it holds, such as its control group, is free only then.
    ///
    /// # Errors
    /// What `poll(2)` and `pidfd_send_signal(2)` give; `TimedOut` where it has not ended yet.
    pub fn end_within(&self, patience: Duration) -> io::Result<()> {
        if self.ends_within(patience)? {
            return Ok(());
        }
        self.kill()?;
        if self.ends_within(patience)? {
            Ok(())
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    fn ends_within(&self, patience: Duration) -> io::Result<bool> {
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        Ok(poll(
            &mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)],
            timeout,
        )? > 0)
    }

    /// Kills it.
    ///
    /// # Errors
    /// `ESRCH` where it has ended and nobody waits for it; what else `pidfd_send_signal(2)` gives.
    #[expect(
        unsafe_code,
        reason = "no wrapper for pidfd_send_signal in libc or nix"
    )]
    pub fn kill(&self) -> io::Result<()> {
        let no_information = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: takes a descriptor, a signal and flags by value, and a siginfo that may be null.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                libc::SIGKILL,
                no_information,
                0,
            )
        };
        if sent == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// The new descriptor that a system call without a wrapper gave, or its error.
#[expect(unsafe_code, reason = "descriptors of calls without a wrapper")]
pub(super) fn opened(outcome: libc::c_long) -> io::Result<OwnedFd> {
    let descriptor = RawFd::try_from(outcome).map_err(io::Error::other)?;
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How long the machine has been up, its sleep included: the clock by which the kernel notes when a
/// process began.
///
/// # Errors
/// What `clock_gettime(2)` gives.
#[expect(unsafe_code, reason = "a plain system call")]
pub fn up() -> io::Result<Duration> {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec, which is ours.
    if unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let whole = u64::try_from(now.tv_sec).map_err(io::Error::other)?;
    Ok(Duration::new(
        whole,
        u32::try_from(now.tv_nsec).map_err(io::Error::other)?,
    ))
}

/// Starts a program with nothing of ours but `input` on its standard input and a pipe on its
/// standard output; reads what it says there until it closes it or `deadline` passes. The program
/// goes on running; nobody waits for it.
///
/// # Errors
/// What starting it gives; `TimedOut` (the program is then killed).
pub fn start_detached(
    program: &Path,
    arguments: &[&str],
    input: &[u8],
    deadline: Duration,
) -> io::Result<String> {
    let mut child = Command::new(program)
        .arg0("boundary-shim")
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let said = (|| {
        stdin.ok_or(io::ErrorKind::BrokenPipe)?.write_all(input)?;
        read_until(stdout.ok_or(io::ErrorKind::BrokenPipe)?, deadline)
    })();
    if said.is_err() {
        // It didn't become ready: nothing of it may stay. Both calls fail only where it is gone
        // already.
        let _ = child.kill();
        let _ = child.wait();
    }
    said
}

/// Where programs of the host are found, whatever the caller's environment says.
pub const HOST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a program of the host is.
#[must_use]
pub fn on_host(program: &str) -> Option<PathBuf> {
    std::env::split_paths(HOST_PATH)
        .map(|directory| directory.join(program))
        .find(|path| path.exists())
}

/// Runs a trusted program of the host to its end, and gives what it says on standard output.
///
/// # Errors
/// What starting it gives, or that it failed.
pub fn answer(program: &Path, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", HOST_PATH)
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(io::Error::other(format!("it failed ({})", output.status)))
    }
}

/// The same of a program that may never end, and of the first 4 KiB.
///
/// # Errors
/// Beside those, `TimedOut`.
pub fn answer_within(patience: Duration, program: &Path, arguments: &[&str]) -> io::Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", HOST_PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (status, said) = hear_out(&mut child, stdout, patience)?;
    if !status.success() && said.is_ok() {
        return Err(io::Error::other(format!("it failed ({status})")));
    }
    said
}

/// Runs a program in our place: with our environment, input and standard error, but what it says on
/// standard output is given here, `limit` bytes of it at most (it gets EPIPE beyond).
///
/// # Errors
/// What starting it and reading gives.
pub fn capture(
    program: &Path,
    arguments: &[OsString],
    limit: u64,
) -> io::Result<(Vec<u8>, ExitStatus)> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let read = stdout.take(limit).read_to_end(&mut said);
    let status = child.wait()?;
    read.map(|_| (said, status))
}

/// How many descriptors systemd handed to this process, for the container (sd_listen_fds(3)). Whose
/// they are (LISTEN_PID) runtimes judge differently.
#[must_use]
pub fn handed_by_systemd() -> u32 {
    let variable = std::env::var("LISTEN_FDS").unwrap_or_default();
    variable.parse().unwrap_or_default()
}

/// What [`try_in_child`] tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// To be confined, and no more.
    Nothing,
    /// To make a user namespace.
    UserNamespace,
    /// To change a mount, in a user and a mount namespace of its own.
    Mount,
}

/// Tries something in a process of its own, which then ends: one with threads can't make a user
/// namespace, and one that has can't leave it again. `profile`: the AppArmor profile under which it
/// is tried.
///
/// # Errors
/// `ENOENT` where there is no such profile, `EACCES` where the profile denies it, `ENOSPC` where
/// user namespaces are switched off or all used up, `EPERM` where something else forbids them.
#[expect(unsafe_code, reason = "what runs between fork and exec")]
pub fn try_in_child(trial: Trial, profile: Option<&str>) -> io::Result<()> {
    let change = profile.map(|profile| format!("changeprofile {profile}"));
    let mut child = Command::new("/proc/self/exe");
    child
        .arg("help")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let attempt = move || {
        if let Some(change) = &change {
            confine(change)?;
        }
        trial.run()
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: `attempt` makes bare
    // system calls with what was put together before, and neither allocates nor takes a lock.
    unsafe { child.pre_exec(attempt) };
    child.status().map(drop)
}

/// Runs this very program, as whoever called it would, and gives whether it succeeded and the first
/// 4 KiB of what it said on standard error. Ended when that takes longer than `patience`.
///
/// # Errors
/// What starting it and reading gives; `TimedOut`.
pub fn run_ourselves(arguments: &[&str], patience: Duration) -> io::Result<(bool, String)> {
    let mut child = Command::new("/proc/self/exe")
        .arg0("boundary-shim")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (status, said) = hear_out(&mut child, stderr, patience)?;
    Ok((status.success(), said?))
}

/// How a child ended, and what it said there until then. Ended when that takes longer.
fn hear_out(
    child: &mut Child,
    pipe: impl Read + AsFd,
    patience: Duration,
) -> io::Result<(ExitStatus, io::Result<String>)> {
    let said = read_until(pipe, patience);
    if said.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    Ok((child.wait()?, said))
}

/// Changes the calling process's AppArmor profile (aa_change_profile(2)). Allocates nothing.
fn confine(change: &str) -> io::Result<()> {
    // The first is Linux 5.8's; the second may be another security module's.
    let file = [
        c"/proc/self/attr/apparmor/current",
        c"/proc/self/attr/current",
    ]
    .into_iter()
    .find_map(|path| {
        nix::fcntl::open(
            path,
            OFlag::O_WRONLY | OFlag::O_CLOEXEC,
            nix::sys::stat::Mode::empty(),
        )
        .ok()
    });
    let file = file.ok_or(nix::errno::Errno::ENOENT)?;
    nix::unistd::write(&file, change.as_bytes())?;
    Ok(())
}

impl Trial {
    /// Does it, to this process. Allocates nothing.
    fn run(self) -> io::Result<()> {
        let namespaces = match self {
            Self::Nothing => return Ok(()),
            Self::UserNamespace => CloneFlags::CLONE_NEWUSER,
            Self::Mount => CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS,
        };
        nix::sched::unshare(namespaces)?;
        if self == Self::Mount {
            let propagation = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            nix::mount::mount(
                None::<&CStr>,
                c"/",
                None::<&CStr>,
                propagation,
                None::<&CStr>,
            )?;
        }
        Ok(())
    }
}

/// Keeps every descriptor behind the standard streams and `given` more out of the programs that are
/// started from here (close_range(2), Linux 5.11): what a caller left open is for the container, if
/// for anyone.
#[expect(unsafe_code, reason = "no wrapper for close_range in libc or nix")]
pub fn keep_descriptors_to_ourselves(given: u32) {
    const STANDARD_STREAMS: u32 = 3;
    let first = STANDARD_STREAMS.saturating_add(given);
    // SAFETY: close_range takes numbers and flags; with this flag it closes nothing and touches no
    // memory of ours.
    let _ = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
}

/// Becomes a copy of this program that nobody can write to: in memory, sealed (memfd_create(2)). A
/// container's first process is forked from the runtime, and what it can see of `/proc/self/exe`
/// must not lead to the host's file (CVE-2019-5736).
///
/// # Errors
/// What making the copy and execve(2) give.
pub fn become_sealed_copy(arguments: &[CString]) -> io::Result<Infallible> {
    let copy = Sealed::program(File::open("/proc/self/exe")?)?;
    let path = CString::new(copy.path().into_encoded_bytes()).map_err(io::Error::other)?;
    nix::unistd::execv(&path, arguments).map_err(io::Error::from)
}

/// Runs a program of the user's with `input` on its standard input and everything else as we have
/// it, environment too.
///
/// # Errors
/// What starting it gives, or that it failed: it has said why by then.
pub fn feed(program: &str, arguments: &[&str], input: &[u8]) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()?;
    let written = child
        .stdin
        .take()
        .ok_or(io::ErrorKind::BrokenPipe)?
        .write_all(input);
    let status = child.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!("it failed ({status})")));
    }
    written
}

/// Reads at most 4 KiB of text until the end or the deadline.
fn read_until(mut from: impl Read + AsFd, deadline: Duration) -> io::Result<String> {
    let end = Instant::now() + deadline;
    let mut said = Vec::new();
    let mut chunk = [0; 1024];
    while said.len() < 4096 {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, timeout)? == 0 {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        match from.read(&mut chunk)? {
            0 => break,
            length => said.extend_from_slice(chunk.get(..length).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Points standard input, output and error at `/dev/null`.
///
/// # Errors
/// What `setsid(2)`, `open(2)` and `dup2(2)` give.
pub fn detach() -> io::Result<()> {
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}

/// Leaves everything of the caller's that a copy of this process has: session, standard streams,
/// working directory.
///
/// # Errors
/// As [`new_session`] and [`detach`].
pub fn leave_caller() -> io::Result<()> {
    new_session()?;
    detach()?;
    std::env::set_current_dir("/")
}

/// Leaves the caller's session and process group, so that no terminal and no signal to its group
/// reaches us.
///
/// # Errors
/// `EPERM` for a process group leader.
pub fn new_session() -> io::Result<()> {
    nix::unistd::setsid().map(drop).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_killed_has_ended() {
        for _ in 0..4 {
            let mut child = Command::new("sleep").arg("600").spawn().unwrap();
            Process::open(child.id().cast_signed())
                .unwrap()
                .end_within(Duration::from_millis(500))
                .unwrap();
            assert!(child.try_wait().unwrap().is_some());
        }
    }
}
