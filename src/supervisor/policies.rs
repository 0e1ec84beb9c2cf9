//! Changes of the policy while the gateway runs: the order of the steps, and who says no.
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
use std::convert::Infallible;
use std::os::fd::AsFd;

use anyhow::{Context, ensure};
use tokio::sync::mpsc;

use super::control::Changing;
use super::filter::FilterProcess;
use crate::audit::record::MAX_TEXT;
use crate::container::state::{ChangedPolicy, SavedState};
use crate::control::{Changed, NewPolicy, Response};
use crate::escape::clean;
use crate::gateway::captured::CapturedRules;
use crate::policy::{CapturedPorts, Policy, text};
use crate::proxy::keeper::ToFilter;
use crate::sys::sealed::Sealed;

/// Changes the policy for whoever asks for that, one after the other.
pub(super) async fn tend(
    mut changes: mpsc::Receiver<Changing>,
    filter: &FilterProcess,
    rules: &mut CapturedRules,
    record: &RefCell<SavedState>,
) -> anyhow::Result<Infallible> {
    loop {
        let change = changes.recv().await.context("the control socket")?;
        let mut office = Office {
            filter,
            rules,
            record,
        };
        let outcome = office.change(change.policy, change.by).await;
        let response = match outcome {
            Ok(changed) => Response::Policy(changed),
            Err(error) => {
                let why = clean(&format!("{error:#}"), MAX_TEXT);
                let said = format!(
                    "the policy was not changed, as user {} asked: {why}",
                    change.by
                );
                filter.tell(&ToFilter::Notice(clean(&said, MAX_TEXT)), &[])?;
                Response::Failed(why)
            }
        };
        // It may have given up.
        let _ = change.answer.send(response);
    }
}

/// What a change is made with.
struct Office<'a> {
    filter: &'a FilterProcess,
    rules: &'a mut CapturedRules,
    record: &'a RefCell<SavedState>,
}

impl Office<'_> {
    async fn change(&mut self, wanted: NewPolicy, by: u32) -> anyhow::Result<Changed> {
        let (policy, generation) = {
            let record = self.record.borrow();
            (acceptable(&record, &wanted)?, record.generation() + 1)
        };
        let ports = policy.captured_ports();
        let before = self.rules.captured().clone();
        self.capture(before.and(&ports))?;
        let changed = ChangedPolicy {
            policy: wanted.source,
            generation,
            by,
            file: wanted.file,
        };
        let text = serde_json::to_vec(&changed.policy)?;
        if let Err(error) = self.note(changed) {
            self.capture(before)?;
            return Err(error).context("write the container's state");
        }
        let told = ToFilter::Policy { generation, by };
        let policy = Sealed::data(text.as_slice()).and_then(|file| {
            file.rewind()?;
            Ok(file)
        })?;
        self.filter.tell(&told, &[policy.as_fd()])?;
        let cut = self.filter.goes_by(generation).await?;
        // Without it, more than is needed is handed over, and denied.
        if let Err(error) = self.capture(ports) {
            log::warn!("{error:#}");
        }
        log::info!("its policy was changed by user {by}: generation {generation}");
        Ok(Changed { generation, cut })
    }

    /// Has the kernel hand these over, in one transaction.
    fn capture(&mut self, ports: CapturedPorts) -> anyhow::Result<()> {
        self.rules.capture(ports).context("change what is captured")
    }

    /// Has others find what is in force.
    fn note(&self, changed: ChangedPolicy) -> anyhow::Result<()> {
        let mut record = self.record.borrow_mut();
        let before = record.changed.replace(changed);
        let written = record.write();
        if written.is_err() {
            record.changed = before;
        }
        Ok(written?)
    }
}

/// Compiles it.
///
/// # Errors
/// It has mistakes; or this container can't be served by it.
fn acceptable(record: &SavedState, wanted: &NewPolicy) -> anyhow::Result<Policy> {
    let failed = |all: Vec<text::Mistake>| text::all_of(&all);
    let policy = Policy::compile(&wanted.source).map_err(failed)?;
    let before = Policy::compile(record.policy()).map_err(failed)?;
    let is_trusted = record.plan.trust.is_some();
    ensure!(
        is_trusted || !policy.may_intercept() || before.may_intercept(),
        "policy {} has rules for requests within TLS (method, path), for which the container has to trust its gateway, and this one \
         was started without that: they hold from its next start",
        clean(&wanted.source.name, MAX_TEXT)
    );
    Ok(policy)
}
