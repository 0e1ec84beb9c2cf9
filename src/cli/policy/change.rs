//! Asks gateways to change their policies, one after the other, and says what came of it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::audit::record::MAX_TEXT;
use crate::cli::short::short;
use crate::container::state::{self, SavedState};
use crate::control::{self, Changed, NewPolicy, Request, Response};
use crate::escape::clean;
use crate::policy::text::{Mistake, all_of};
use crate::policy::{Mode, PolicySource};

/// How long one gateway may take: it waits for its filter, and for what others ask it to change.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is said of a gateway of before policies could be changed.
const OLDER: &str = "this gateway is of an older version and can't change its policy while it runs";

/// What one container is to be filtered by.
#[derive(Debug)]
pub(super) enum Wanted {
    /// What it is filtered by already, for this reason.
    AsItIs(String),
    /// This policy; read from that file, where it isn't the container's own.
    Policy(Box<PolicySource>, Option<PathBuf>),
    /// Nobody can say: a file has mistakes.
    Mistaken(Vec<Mistake>),
}

/// Changes each to what is wanted for it, and says so. What is wanted is found out while nobody swaps the host's
/// files; who wants to doesn't wait for gateways.
///
/// # Errors
/// It failed for one of them, after all were tried. Where the reader of standard output is gone, that
/// very error, bare.
pub(super) fn each(
    records: &[SavedState],
    wanted: impl Fn(&SavedState) -> Wanted,
) -> anyhow::Result<()> {
    let mut failed = 0;
    for record in records {
        let wanted = undisturbed(|| wanted(record))?;
        match change(record, wanted) {
            Ok(said) => writeln!(io::stdout().lock(), "{}: {said}", who(record))?,
            Err(error) => {
                failed += 1;
                log::error!("{}: {error:#}", who(record));
            }
        }
    }
    ensure!(
        failed == 0,
        "{failed} of {} gateways keep the policy that they had",
        records.len()
    );
    Ok(())
}

/// Reads files that nobody swaps meanwhile.
///
/// # Errors
/// The lock can't be taken.
pub(super) fn undisturbed<T>(read: impl FnOnce() -> T) -> anyhow::Result<T> {
    let _reading = state::reading_policies(state::LOCK.as_ref()).context(state::LOCK)?;
    Ok(read())
}

/// What people call it.
pub(super) fn who(record: &SavedState) -> String {
    let name = record.plan.identity.called();
    let id = || short(&record.plan.container);
    name.map_or_else(id, |name| clean(name, MAX_TEXT))
}

/// Does it for one. Gives what is to be said of it.
fn change(record: &SavedState, wanted: Wanted) -> anyhow::Result<String> {
    match wanted {
        Wanted::AsItIs(why) => Ok(why),
        Wanted::Mistaken(mistakes) => {
            let mistakes = all_of(&mistakes);
            note(record, &mistakes);
            Err(mistakes)
        }
        Wanted::Policy(source, file) => put(record, *source, file),
    }
}

/// Has the record say that it keeps its policy. A gateway that can't be told so is found by what else
/// is asked of it.
fn note(record: &SavedState, why: &anyhow::Error) {
    let said = format!("the policy was not changed: {why:#}");
    let notice = Request::Notice(clean(&said, MAX_TEXT));
    let _ = control::ask(&record.plan.state, &notice, PATIENCE);
}

fn put(record: &SavedState, source: PolicySource, file: Option<PathBuf>) -> anyhow::Result<String> {
    let state = &record.plan.state;
    // First, what any gateway of before fits into its frames and doesn't understand.
    understood(control::ask(state, &Request::Generation, PATIENCE))?;
    let (name, hash) = (clean(&source.name, MAX_TEXT), short(&source.hash()));
    let observed = match source.mode {
        Mode::Enforce => "",
        Mode::Observe => "; the container is observed still, and what no rule allows passes",
    };
    let request = Request::Policy(Box::new(NewPolicy { source, file }));
    let Changed { generation, cut } = changed(control::ask(state, &request, PATIENCE))?;
    let flows = if cut == 1 { "flow" } else { "flows" };
    Ok(format!(
        "policy {name} ({hash}) is in force, generation {generation}; {cut} open {flows} cut{observed}"
    ))
}

/// # Errors
/// The gateway is of before there was such a question; or it doesn't answer.
fn understood(answer: io::Result<Response>) -> anyhow::Result<()> {
    match answer.context("its gateway doesn't respond")? {
        Response::Generation(_) => Ok(()),
        Response::NotUnderstood(_) => bail!(OLDER),
        other => bail!("its gateway's answer makes no sense: {other:?}"),
    }
}

fn changed(answer: io::Result<Response>) -> anyhow::Result<Changed> {
    match answer.context("its gateway doesn't respond")? {
        Response::Policy(changed) => Ok(changed),
        Response::Failed(why) => bail!(clean(&why, MAX_TEXT)),
        Response::NotUnderstood(_) => bail!(OLDER),
        other => bail!("its gateway's answer makes no sense: {other:?}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::policy::Exit;

    /// A container that is filtered by a policy with one rule.
    pub(in crate::cli::policy) fn record(id: &str) -> SavedState {
        serde_json::from_value(serde_json::json!({
            "plan": {
                "container": id,
                "gateway": "own",
                "starts_by_verb": true,
                "user_namespace": true,
                "nesting_capability": "nobody",
                "apparmor_profile": null,
                "notices": [],
                "links_are_looked_for": false,
                "cgroups_path": null,
                "proxy_memory": 1,
                "log_level": "INFO",
                "state": format!("/run/boundary/{id}"),
                "audit": "/a",
                "exit": Exit::Uplink,
                "resolvers": [],
                "policy": PolicySource::default(),
            },
            "init": {"pid": 1, "started": 0},
            "proxy": null,
            "network_namespace": 1,
        }))
        .unwrap()
    }

    #[test]
    fn a_gateway_of_before_is_said_to_be_one() {
        let before = || {
            Ok(Response::NotUnderstood(
                "unknown variant `generation`".to_owned(),
            ))
        };
        assert_eq!(understood(before()).unwrap_err().to_string(), OLDER);
        assert_eq!(changed(before()).unwrap_err().to_string(), OLDER);
        assert!(understood(Ok(Response::Generation(1))).is_ok());
        assert!(understood(Ok(Response::Done)).is_err());
        assert!(understood(Err(io::ErrorKind::UnexpectedEof.into())).is_err());
    }

    #[test]
    fn why_a_gateway_refuses_is_said_escaped() {
        let refused = changed(Ok(Response::Failed("\u{1b}[2J".to_owned())));
        assert_eq!(refused.unwrap_err().to_string(), "\\u{1b}[2J");
    }
}
