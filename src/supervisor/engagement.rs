//! One container that has a keeper, as others find it: its state directory, with the record that says
//! how far the gateway is, and the control socket.

use std::cell::RefCell;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::control;
use super::life::Life;
use super::order::Order;
use crate::audit::record::MAX_TEXT;
use crate::audit::{is_worth_keeping, members, write_last};
use crate::cgroup::{self, Groups};
use crate::container::plan::Plan;
use crate::container::state::{self, Approvals, ProcessId, SavedState, Stage};
use crate::container::trust;
use crate::escape::clean;
use crate::gateway::adopt::{self, Departure, leads_out};
use crate::gateway::links::Link;
use crate::gateway::{Gateway, NamespaceHandle};
use crate::proxy::keeper::EndReason;
use crate::sys::netns::Namespace;

/// A container that has a keeper, from the moment that others know.
pub(super) struct Engagement {
    pub(super) order: Order,
    pub(super) life: Life,
    pub(super) control: UnixListener,
    pub(super) record: RefCell<SavedState>,
    state: StateDirectory,
}

/// Its network as the hook found it.
pub(super) struct Found {
    pub(super) container: NamespaceHandle,
    /// What leads out. (What comes once the hook has returned, its engine is still busy with.)
    links: Vec<Link>,
}

impl Found {
    /// Has all that leads out leave for the gateway.
    pub(super) fn depart(&mut self, gateway: &mut Gateway) -> anyhow::Result<Departure> {
        adopt::depart(
            gateway,
            &mut self.container,
            std::mem::take(&mut self.links),
        )
    }
}

/// The container's state directory, with the files by which it trusts its gateway, as long as there
/// is a gateway to tell of: what ends in order takes them along.
struct StateDirectory(PathBuf);

impl Drop for StateDirectory {
    fn drop(&mut self) {
        // It is swept by a later `create` then, which finds that nothing of it runs.
        if let Err(error) = trust::remove(&self.0).and_then(|()| state::remove(&self.0)) {
            log::warn!("can't remove {}: {error}", self.0.display());
        }
    }
}

impl Engagement {
    /// Has others find that this process prepares a gateway for the container. Whoever asks on the
    /// control socket waits until it is ready.
    pub(super) fn enter(order: Order) -> anyhow::Result<(Self, Found)> {
        let plan = &order.plan;
        let namespace = Namespace::of_process(order.init.pid)
            .context("open the container's network namespace")?;
        let network_namespace = namespace.inode()?;
        let life = Life::of(plan, order.init, network_namespace)?;
        if !order.init.alive() {
            bail!("the container's init is gone");
        }
        let mut container = NamespaceHandle::open(namespace)?;
        let links = container.links.list()?;
        let found = Found {
            container,
            links: links
                .into_iter()
                .filter(|link| leads_out(link, &[]))
                .collect(),
        };
        state::create(&plan.state)?;
        let state = StateDirectory(plan.state.clone());
        let control = control::bind(&plan.state).context("open the control socket")?;
        let record = SavedState {
            plan: plan.clone(),
            init: order.init,
            proxy: Some(ProcessId::of(std::process::id().cast_signed())?),
            network_namespace,
            stage: Stage::Preparing,
            changed: None,
            approvals: Approvals::default(),
        };
        record.write()?;
        let engagement = Self {
            order,
            life,
            control,
            record: RefCell::new(record),
            state,
        };
        Ok((engagement, found))
    }

    /// The gateway could not be prepared. `told`: whether the hook hears why, so that there will be no
    /// container; else `start` has to find that here.
    pub(super) fn fail(mut self, error: &anyhow::Error, told: bool) {
        if told {
            return;
        }
        log::error!("{error:#}");
        if !self.life.goes_on() {
            close_record(&self.order.plan, &EndReason::ContainerEnded);
            return;
        }
        let stage = Stage::Failed(clean(&format!("{error:#}"), MAX_TEXT));
        // What it says then, that it is being prepared by a process that is gone, starts nothing
        // either.
        if let Err(error) = self.record.get_mut().reach(stage) {
            log::error!("can't write the container's record: {error}");
        }
        close_record(&self.order.plan, &EndReason::failed(error));
        self.stay();
    }

    /// Leaves the state directory to tell of a container that has no network now, until that is
    /// deleted.
    pub(super) fn stay(self) {
        std::mem::forget(self.state);
    }
}

/// Has the record of attempts have its last line, and be there only where it tells something. The
/// filter has written that line where it could.
pub(super) fn close_record(plan: &Plan, why: &EndReason) {
    let kills = || Groups::find().oom_kills(std::process::id().cast_signed());
    let reason = || cgroup::with_oom_kills(why.reason(), kills());
    let last = write_last(&plan.audit, &plan.container, reason);
    if let Err(error) = &last {
        log::error!(
            "the record {} has no last line: {error}",
            plan.audit.display()
        );
    }
    if *why == EndReason::ContainerEnded && last.is_ok() && !is_worth_keeping(&plan.audit) {
        // It may be gone already.
        let _ = std::fs::remove_file(&plan.audit);
        members::forget(&plan.audit);
    }
}
