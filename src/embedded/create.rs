//! `create` and `run`: libcontainer creates the container; `run` then starts it and, in the
//! foreground, waits for its end.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::line::{Attachments, Create};
use super::manage;

/// Makes a container, and runs it where that is asked for.
pub(super) fn create(root: &Path, asked: &Create) -> anyhow::Result<ExitCode> {
    let directory = root.join(asked.id.as_str());
    ensure!(
        directory.symlink_metadata().is_err(),
        "container with given ID already exists"
    );
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .with_context(|| format!("can't create {}", root.display()))?;
    let made = make(root, asked);
    if made.is_err() {
        // libcontainer leaves it where it fails early; what is amiss is being said, and nothing
        // else can be done about it here.
        let _ = std::fs::remove_dir_all(&directory);
    }
    let mut container = made?;
    if !asked.starts {
        return Ok(ExitCode::SUCCESS);
    }
    let status = start(&mut container).and_then(|init| {
        if asked.detached {
            Ok(0)
        } else {
            await_end(init)
        }
    });
    if status.is_err() || !(asked.detached || asked.keep) {
        manage::remove(&mut container)?;
    }
    status.map(ExitCode::from)
}

fn make(root: &Path, asked: &Create) -> anyhow::Result<Container> {
    let builder = attached(root, asked.id.as_str(), &asked.attachments)?.as_init(&asked.bundle);
    let builder = builder
        .with_systemd(false)
        .with_detach(asked.detached)
        .with_no_pivot(asked.no_pivot);
    builder.build().context("can't create the container")
}

/// The beginning of every process that libcontainer starts.
pub(super) fn attached(
    root: &Path,
    id: &str,
    attachments: &Attachments,
) -> anyhow::Result<ContainerBuilder> {
    let preserved =
        i32::try_from(attachments.preserve_fds).context("--preserve-fds is too large")?;
    let builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(root)?
        .with_pid_file(attachments.pid_file.as_ref())?
        .with_console_socket(attachments.console_socket.as_ref())
        .with_preserved_fds(preserved);
    Ok(builder)
}

fn start(container: &mut Container) -> anyhow::Result<Pid> {
    container.start().context("can't start the container")?;
    let pid = container.pid().context("the container has no process")?;
    Ok(Pid::from_raw(pid.as_raw()))
}

/// Waits for the container's first process, which is our child, and passes signals on to it, as
/// runc does.
fn await_end(init: Pid) -> anyhow::Result<u8> {
    let signals = SigSet::all();
    signals.thread_block().context("can't block signals")?;
    loop {
        // Before the first signal, too: it may have ended while SIGCHLD still was ignored.
        while let Some((pid, status)) = ended()? {
            if pid == init {
                return Ok(status);
            }
        }
        match signals.wait().context("can't wait for a signal")? {
            Signal::SIGCHLD | Signal::SIGURG | Signal::SIGWINCH => {}
            // One that ended just now can't be told any more.
            signal => drop(kill(init, signal)),
        }
    }
}

/// A child that has ended, and the exit status that a shell would give it.
fn ended() -> anyhow::Result<Option<(Pid, u8)>> {
    Ok(
        match waitpid(None, Some(WaitPidFlag::WNOHANG)).context("can't wait for the container")? {
            WaitStatus::Exited(pid, code) => {
                Some((pid, u8::try_from(code & 0xff).unwrap_or(u8::MAX)))
            }
            WaitStatus::Signaled(pid, signal, _) => {
                Some((pid, 128 + u8::try_from(signal as i32).unwrap_or(0)))
            }
            _ => None,
        },
    )
}
