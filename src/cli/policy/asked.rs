//! Asks gateways what is pending, and about one of it.

use std::io;
use std::time::Duration;

use anyhow::{Context, bail};

use super::choice::choose;
use crate::audit::record::MAX_TEXT;
use crate::container::state::SavedState;
use crate::control::{self, PendingAttempt, PendingList, Request, Response};
use crate::escape::clean;
use crate::policy::ApprovalId;

/// How long one gateway may take: it waits for its filter, and for what others ask it to change.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is said of a gateway of before there were approvals.
const OLDER: &str = "this gateway is of an older version, in which nothing can be approved before its container's next start";

/// Asks one.
///
/// # Errors
/// It doesn't answer, is of before there was such a question, or refuses.
pub(super) fn ask(record: &SavedState, request: &Request) -> anyhow::Result<Response> {
    answered(control::ask(&record.plan.state, request, PATIENCE))
}

fn answered(answer: io::Result<Response>) -> anyhow::Result<Response> {
    match answer.context("its gateway doesn't respond")? {
        Response::Failed(why) => bail!(clean(&why, MAX_TEXT)),
        Response::NotUnderstood(_) => bail!(OLDER),
        response => Ok(response),
    }
}

/// What is pending in one, for somebody who is shown it.
///
/// # Errors
/// As [`ask`].
pub(super) fn list(record: &SavedState) -> anyhow::Result<PendingList> {
    pending(record, &Request::Pending)
}

fn pending(record: &SavedState, request: &Request) -> anyhow::Result<PendingList> {
    match ask(record, request)? {
        Response::Pending(list) => Ok(list),
        other => bail!("its gateway's answer makes no sense: {other:?}"),
    }
}

/// The gateway in which this is pending. An ID is of one container.
///
/// # Errors
/// There is none.
pub(super) fn find(id: ApprovalId) -> anyhow::Result<(SavedState, PendingAttempt)> {
    let mut silent = 0;
    for record in choose(&[])? {
        let Ok(mut list) = pending(&record, &Request::Find(id)) else {
            silent += 1;
            continue;
        };
        if let Some(found) = list.pending.pop() {
            return Ok((record, found));
        }
    }
    let besides = match silent {
        0 => String::new(),
        _ => format!("; {silent} gateways could not be asked"),
    };
    bail!(
        "nothing is pending under {id}: it is allowed by now, or has changed, or was dismissed or pushed out by later attempts{besides}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_of_before_is_said_to_be_one() {
        let before = Response::NotUnderstood("unknown variant `pending`".to_owned());
        assert_eq!(answered(Ok(before)).unwrap_err().to_string(), OLDER);
        let refused = Response::Failed("\u{1b}[2J".to_owned());
        assert_eq!(answered(Ok(refused)).unwrap_err().to_string(), "\\u{1b}[2J");
        assert!(answered(Err(io::ErrorKind::UnexpectedEof.into())).is_err());
        assert_eq!(answered(Ok(Response::Done)).unwrap(), Response::Done);
    }
}
