//! Changes of the rules while the gateway runs, the policy's and what is approved besides (`approvals`): the
//! order of the steps, and who says no.
//!
//! | step | if the keeper dies, or it fails, here |
//! |---|---|
//! | compiled, and looked at: could this container be served by it | the policy before stays |
//! | what the kernel hands to the filter grows by what the new policy needs | more is handed over, and denied |
//! | the record says what is in force | the policy before stays |
//! | the filter puts the policy in place, and cuts what it denies | |
//! | what the kernel hands over shrinks to what the new policy needs | more is handed over, and denied |
//!
//! Invariant: at no step does anything pass that neither policy allows. What the kernel hands to the
//! filter is never more than handed over: the filter decides about each packet of it by the policy
//! that is in force there. So what is handed over may be too much at any time; that it is never too
//! little, while either policy could allow something, is why it grows before and shrinks after. One
//! change is made at a time. If the keeper ends, so does the gateway.

use std::cell::RefCell;
use std::os::fd::AsFd;

use anyhow::{Context, ensure};

use super::filter::FilterProcess;
use crate::audit::record::MAX_TEXT;
use crate::container::state::{ChangedPolicy, SavedState};
use crate::control::{Changed, NewPolicy};
use crate::escape::clean;
use crate::gateway::captured::CapturedRules;
use crate::policy::{CapturedPorts, Policy, PolicySource, text};
use crate::proxy::keeper::{Cause, ToFilter};
use crate::sys::sealed::Sealed;

/// What a change is made with.
pub(super) struct Office<'a> {
    pub(super) filter: &'a FilterProcess,
    pub(super) rules: &'a mut CapturedRules,
    pub(super) record: &'a RefCell<SavedState>,
}

impl Office<'_> {
    /// Has the record say it.
    pub(super) fn tell(&self, notice: &str) -> anyhow::Result<()> {
        let notice = ToFilter::Notice(clean(notice, MAX_TEXT));
        self.filter.tell(&notice, &[])
    }

    /// Puts another policy in the place of the one in force. What was approved stays, and is denied where it
    /// denies it.
    pub(super) async fn change(&mut self, wanted: NewPolicy, by: u32) -> anyhow::Result<Changed> {
        let mut next = self.record.borrow().clone();
        let generation = next.generation() + 1;
        next.changed = Some(ChangedPolicy {
            policy: wanted.source,
            generation,
            by,
            file: wanted.file,
        });
        self.put(next, Cause::Changed(by))?;
        self.filter.forget_note();
        let cut = self.filter.goes_by(generation).await?;
        self.shrink();
        log::info!("its policy was changed by user {by}: generation {generation}");
        Ok(Changed { generation, cut })
    }

    /// Puts the rules that this record has into force, up to where the filter is told.
    pub(super) fn put(&mut self, next: SavedState, cause: Cause) -> anyhow::Result<()> {
        let rules = next.rules();
        let policy = acceptable(&self.record.borrow(), &rules)?;
        let told = ToFilter::Policy {
            generation: next.generation(),
            hash: next.policy().hash(),
            cause,
        };
        let text = serde_json::to_vec(&rules)?;
        let before = self.rules.captured().clone();
        self.capture(before.and(&policy.captured_ports()))?;
        if let Err(error) = self.note(next) {
            self.capture(before)?;
            return Err(error).context("write the container's state");
        }
        let policy = Sealed::data(text.as_slice()).and_then(|file| {
            file.rewind()?;
            Ok(file)
        })?;
        self.filter.tell(&told, &[policy.as_fd()])
    }

    /// Has the kernel hand over no more than the rules in force need, once the filter goes by them.
    /// Without it, more is handed over, and denied.
    pub(super) fn shrink(&mut self) {
        let needed = compile(&self.record.borrow().rules()).map(|policy| policy.captured_ports());
        if let Err(error) = needed.and_then(|ports| self.capture(ports)) {
            log::warn!("{error:#}");
        }
    }

    /// Has the kernel hand these over, in one transaction.
    fn capture(&mut self, ports: CapturedPorts) -> anyhow::Result<()> {
        self.rules.capture(ports).context("change what is captured")
    }

    /// Has others find what is in force.
    fn note(&self, next: SavedState) -> anyhow::Result<()> {
        next.write()?;
        *self.record.borrow_mut() = next;
        Ok(())
    }
}

/// # Errors
/// It has mistakes.
pub(super) fn compile(rules: &PolicySource) -> anyhow::Result<Policy> {
    Policy::compile(rules).map_err(|all| text::all_of(&all))
}

/// Compiles it.
///
/// # Errors
/// It has mistakes; or this container can't be served by it.
fn acceptable(record: &SavedState, wanted: &PolicySource) -> anyhow::Result<Policy> {
    let policy = compile(wanted)?;
    let before = compile(&record.rules())?;
    let is_trusted = record.plan.trust.is_some();
    ensure!(
        is_trusted || !policy.may_intercept() || before.may_intercept(),
        "policy {} has rules for requests within TLS (method, path), for which the container has to trust its gateway, and this one \
         was started without that: they hold from its next start",
        clean(&wanted.name, MAX_TEXT)
    );
    Ok(policy)
}
