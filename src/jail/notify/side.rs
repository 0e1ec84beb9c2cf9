//! What the command does to itself before it becomes its program.

use std::os::fd::AsFd;

use anyhow::{Context, bail};
use landlock::{
    ABI, Access, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use nix::sched::CloneFlags;

use super::filter;
use crate::jail::inner::{LISTENER, Outer, TargetSide};
use crate::jail::nsjail::masks::Masks;
use crate::jail::nsjail::restrictions::{self, Kept};
use crate::jail::obstacle::Obstacle;
use crate::sys::call_filter::Program;
use crate::sys::notify::{self, Listener};

/// What it gives up, and how.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) kept: Kept,
    pub(super) landlock: Landlock,
    /// What root is kept from, where mounts can be changed.
    pub(super) settings: Option<Masks>,
}

/// Whether Landlock stands behind the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landlock {
    /// Where the kernel has it.
    IfThere,
    /// It has to.
    Needed,
}

impl TargetSide for Side {
    fn namespaces(&self) -> CloneFlags {
        CloneFlags::empty()
    }

    fn settle(&mut self, _: &Outer<'_>) -> anyhow::Result<()> {
        let Some(settings) = &mut self.settings else {
            return Ok(());
        };
        if let Err(error) = settings.put_on() {
            log::warn!(
                "the command runs as root and can change settings of the kernel, by which it could run programs \
                 outside of its jail ({error:#}): run it as another user"
            );
        }
        Ok(())
    }

    fn confine(&mut self, outer: &Outer<'_>) -> anyhow::Result<()> {
        self.kept.give_up_others().context("give up capabilities")?;
        let apart = stand_behind().context("Landlock")?;
        if !apart && self.landlock == Landlock::Needed {
            let (why, fix) = Obstacle::NoLandlock.why_and_fix();
            bail!("{why}: {fix}");
        }
        if self.settings.as_ref().is_some_and(Masks::must_last) {
            restrictions::deny_user_namespaces().context("deny user namespaces")?;
        }
        listen(&filter::rules(apart).program()?, outer)
    }
}

/// Installs the filter, and hands its listener out: by a thread that began before, which isn't under
/// it. This one's own call would wait for a supervisor that has no listener yet.
fn listen(program: &Program, outer: &Outer<'_>) -> anyhow::Result<()> {
    let (give, given) = std::sync::mpsc::channel::<Listener>();
    std::thread::scope(|scope| {
        let handing = scope.spawn(move || match given.recv() {
            Ok(listener) => outer.hand(LISTENER, listener.as_fd()),
            Err(_) => Ok(()),
        });
        let listener = Listener::install(program).map_err(refused);
        let sent = listener.map(|listener| give.send(listener).is_ok());
        drop(give);
        let handed = handing.join();
        sent?;
        match handed {
            Ok(handed) => handed.context("hand the listener out"),
            Err(_) => bail!("hand the listener out: a thread panicked"),
        }
    })?;
    // Answered when the supervisor has seen that it can read this.
    let _ = notify::probe();
    Ok(())
}

/// Has the kernel deny every connection and every name of TCP's that isn't the supervisor's doing, and
/// signals and names of Unix sockets that lead out of the jail (landlock(7)). Gives whether it does.
fn stand_behind() -> anyhow::Result<bool> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessNet::from_all(ABI::V4))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?;
    let status = ruleset.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Why there is no listener, and what would help.
fn refused(error: std::io::Error) -> anyhow::Error {
    let obstacle = match error.raw_os_error() {
        Some(libc::EBUSY) => Obstacle::AnotherSupervisor,
        Some(libc::EINVAL | libc::ENOSYS) => Obstacle::NoNotification,
        Some(libc::EPERM | libc::EACCES) => Obstacle::NotificationDenied,
        _ => return anyhow::anyhow!("the supervisor can't be had ({error}): the kernel refuses"),
    };
    let (why, fix) = obstacle.why_and_fix();
    anyhow::anyhow!("the supervisor can't be had ({error}): {why}: {fix}")
}
