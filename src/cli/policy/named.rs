//! Which policy a word on the command line means: a file, a running container's, or a policy's name.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::unistd::geteuid;

use super::change::who;
use super::choice::choose;
use crate::container::state::SavedState;
use crate::control::{self, Request, Response};
use crate::policy::text::{all_of, parse_whole};
use crate::policy::{PolicyName, PolicySource};
use crate::settings::{self, Shelves, select};

/// How long its gateway may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A policy, and what it was found as.
#[derive(Debug)]
pub(super) struct Named {
    /// For people: a file, or a container.
    pub(super) origin: String,
    pub(super) source: PolicySource,
    /// Addresses that are never open to the container, besides those that are to none.
    pub(super) own: Vec<IpAddr>,
}

/// Finds it. A word with a slash in it, or with `.yaml` at its end, is a file. To root, a word may mean a
/// running container, by whose gateway's rules is answered; else it is a policy's name. The host's layers
/// bound it.
///
/// # Errors
/// There is none, several, or it has a mistake.
pub(super) fn find(word: &str) -> anyhow::Result<Named> {
    if word.contains('/') || word.ends_with(".yaml") {
        return of_file(Path::new(word));
    }
    let policies = super::host::settings()?.policies;
    let file = PolicyName::parse(word).map(|name| name.file(&policies));
    if !geteuid().is_root() {
        return of_file(&file.map_err(anyhow::Error::msg)?);
    }
    match (choose(&[word.to_owned()]), file) {
        (Ok(records), _) => of_container(&records),
        (Err(_), Ok(file)) if file.exists() => of_file(&file),
        (Err(error), _) => Err(error),
    }
}

fn of_container(records: &[SavedState]) -> anyhow::Result<Named> {
    let [record] = records else {
        bail!("it has {} gateways", records.len());
    };
    Ok(Named {
        origin: format!("container {}", who(record)),
        source: record.rules(),
        own: own(record),
    })
}

/// What its gateway says; nothing of one that doesn't respond, or is of before it could be asked: then rules
/// alone answer.
fn own(record: &SavedState) -> Vec<IpAddr> {
    match control::ask(&record.plan.state, &Request::Own, PATIENCE) {
        Ok(Response::Own(own)) => own,
        _ => Vec::new(),
    }
}

fn of_file(file: &Path) -> anyhow::Result<Named> {
    let origin = file.display().to_string();
    let content = settings::read_trusted(file).with_context(|| origin.clone())?;
    let Some(content) = content else {
        bail!("{origin}: there is no such file");
    };
    let shelves = Shelves::beside(file, settings::read_trusted);
    let library = |name: &PolicyName| shelves.find(name);
    let rules = parse_whole(&origin, &content, &library).map_err(|mistakes| all_of(&mistakes))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    // As a container of this host would have it that asks for nothing more.
    let (settings, plain) = (super::host::settings()?, PolicySource::default());
    let source = select::with_rules(&settings, &plain, &name, rules, settings::read_trusted);
    let source = source.map_err(|mistakes| all_of(&mistakes))?;
    let own = Vec::new();
    Ok(Named {
        origin,
        source,
        own,
    })
}
