//! The guard: a third process, which ends the container when its gateway is gone and it isn't.
//!
//! What is left then would run on without a network, for good: the links went with the gateway, and
//! only the engine can make others. It does so for whom it starts anew, by a restart policy or, for
//! a pod whose pause container has ended, by the kubelet.
//!
//! It is a process of its own because the others may be killed, by the kernel for want of memory or
//! by hand. It holds two descriptors and reads nothing but the keeper's words. Where it is killed
//! itself, nobody ends the container, but the next one that is to join its network
//! (`crate::prepare::joined`).

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Context;
use caps::Capability;

use crate::sys::channel::Channel;
use crate::sys::confine;
use crate::sys::fork::Child;
use crate::sys::process::{self, Process};

/// From now on the keeper's end is the gateway's.
const ARMED: &[u8] = b"armed";
/// All went its way: there is nobody to be ended.
const OVER: &[u8] = b"over";

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// A guard that runs.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    words: Channel,
}

impl Guard {
    /// Starts it, for this first process of a container. It does nothing before [`Self::arm`].
    pub(super) fn start(container: Process) -> anyhow::Result<Self> {
        let (words, keeper) = Channel::pair()?;
        let run = move || i32::from(watch(&keeper, &container).is_err());
        let child = Child::start(run).context("start the guard")?;
        Ok(Self { child, words })
    }

    /// Has it end the container if the keeper ends without a word.
    pub(super) fn arm(&self) -> io::Result<()> {
        self.words.send(ARMED, &[])
    }

    /// Has it do its work, or leave it where that is `over`, and waits for its end.
    pub(super) fn finish(self, over: bool) {
        if over {
            // Where it was killed, nobody listens.
            let _ = self.words.send(OVER, &[]);
        }
        drop(self.words);
        // One that was stopped must not hold this process up.
        let _ = self.child.process().end_within(PATIENCE);
        let _ = self.child.wait();
    }
}

/// The guard's life.
fn watch(keeper: &Channel, container: &Process) -> anyhow::Result<()> {
    confine::be_called(c"boundary-guard")?;
    process::detach()?;
    confine::close_all_but(&[keeper.as_fd(), container.as_fd()])?;
    confine::keep_only(&[Capability::CAP_KILL])?;
    let begun = keeper.receive(true)?;
    // Before it is ready, the runtime knows what to do about a container.
    if begun.bytes == ARMED && !is_over(keeper) {
        container.kill()?;
    }
    Ok(())
}

fn is_over(keeper: &Channel) -> bool {
    keeper.receive(true).is_ok_and(|word| word.bytes == OVER)
}
