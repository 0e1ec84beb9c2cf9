//! What is asked of the rules in force while the gateway runs: a change of the policy (`policies`), or what
//! may be approved (`approvals`). One after the other.

use std::cell::RefCell;
use std::convert::Infallible;

use anyhow::Context;
use tokio::sync::mpsc;

use super::approvals;
use super::control::{Changing, Wish};
use super::filter::FilterProcess;
use super::policies::Office;
use crate::audit::record::MAX_TEXT;
use crate::container::state::SavedState;
use crate::control::Response;
use crate::escape::clean;
use crate::gateway::captured::CapturedRules;

/// Does what is asked of the rules in force, one after the other, and ends what was approved for a time.
///
/// # Errors
/// The filter can't be told; what has to end can't be ended.
pub(super) async fn tend(
    mut changes: mpsc::Receiver<Changing>,
    filter: &FilterProcess,
    rules: &mut CapturedRules,
    record: &RefCell<SavedState>,
) -> anyhow::Result<Infallible> {
    let mut office = Office {
        filter,
        rules,
        record,
    };
    loop {
        tokio::select! {
            change = changes.recv() => {
                let Changing { wish, by, answer } = change.context("the control socket")?;
                let response = office.grant(wish, by).await?;
                // It may have given up.
                let _ = answer.send(response);
            }
            () = approvals::due(record) => office.end_approvals().await.context("end what was approved")?,
        }
    }
}

impl Office<'_> {
    /// Gives what is to be answered.
    async fn grant(&mut self, wish: Wish, by: u32) -> anyhow::Result<Response> {
        let (outcome, what) = match wish {
            Wish::Pending => (self.pending().await.map(Response::Pending), None),
            Wish::Find(id) => (self.find(id).await.map(Response::Pending), None),
            Wish::Dismiss(id) => (self.dismiss(id).await.map(|()| Response::Done), None),
            Wish::Approve(approval) => {
                let what = format!("{} was not approved", approval.id);
                let approved = self.approve(&approval, by).await;
                (approved.map(Response::Approved), Some(what))
            }
            Wish::Change(policy) => {
                let what = "the policy was not changed".to_owned();
                (
                    self.change(*policy, by).await.map(Response::Policy),
                    Some(what),
                )
            }
        };
        let error = match outcome {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let why = clean(&format!("{error:#}"), MAX_TEXT);
        if let Some(what) = what {
            self.filter
                .note(&format!("{what}, as user {by} asked: {why}"))?;
        }
        Ok(Response::Failed(why))
    }
}
