//! How long a gateway lives: as long as the container's first process, or as a pod's network
//! namespace is held.

use std::fs::File;
use std::io;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::container::pin::Pin;
use crate::container::plan::Plan;
use crate::container::state::ProcessId;
use crate::sys::process::Process;
use crate::sys::readiness;

/// Mounts of the host come and go in bursts: they are looked at at most so often.
const SELDOM: Duration = Duration::from_millis(100);

/// What a gateway is there for.
#[derive(Debug)]
pub(super) enum Life {
    /// A container, by its first process.
    Container(ProcessId, Process),
    /// A pod, by what holds its network namespace; and the table of mounts, in which that will end
    /// (proc_pid_mountinfo(5): whoever polls it hears of every change). It is that of the mount
    /// namespace in which the hook was called, the engine's.
    Pod(Pin, File),
}

impl Life {
    /// That of a gateway of this plan. `init`: the container's first process, which is in this
    /// network namespace.
    pub(super) fn of(plan: &Plan, init: ProcessId, namespace: u64) -> anyhow::Result<Self> {
        let Some(pin) = plan.pin() else {
            let process = Process::open(init.pid).context("watch the container's init")?;
            return Ok(Self::Container(init, process));
        };
        // Before it is looked at: what changes afterwards is heard of.
        let mounts = File::open("/proc/self/mountinfo").context("watch the host's mounts")?;
        ensure!(
            pin.inode == namespace && pin.stands(),
            "the container isn't in the network namespace at {}",
            pin.path.display()
        );
        Ok(Self::Pod(pin.clone(), mounts))
    }

    /// Whether it has not ended yet.
    pub(super) fn goes_on(&self) -> bool {
        match self {
            Self::Container(init, _) => init.alive(),
            Self::Pod(pin, _) => pin.stands(),
        }
    }

    /// Waits for its end.
    pub(super) async fn end(&self) -> io::Result<()> {
        match self {
            Self::Container(_, init) => readiness::of(init)?.readable().await.map(drop),
            Self::Pod(pin, mounts) => {
                let mounts = readiness::of(mounts)?;
                while pin.stands() {
                    let mut changed = mounts.readable().await?;
                    tokio::time::sleep(SELDOM).await;
                    // What changes from here on is heard of again.
                    changed.clear_ready();
                }
                Ok(())
            }
        }
    }
}
