//! Which policy a word on the command line means: a file, a running container's, or a policy's name.

use std::path::Path;

use anyhow::{Context, bail};
use nix::unistd::geteuid;

use crate::cli::short::short;
use crate::container::state;
use crate::escape::quoted;
use crate::policy::text::{all_of, parse_file};
use crate::policy::{PolicyName, PolicySource};
use crate::settings;

/// A policy, and what it was found as.
#[derive(Debug)]
pub(super) struct Named {
    /// For people: a file, or a container.
    pub(super) origin: String,
    pub(super) source: PolicySource,
}

/// Finds it. A word with a slash in it, or with `.yaml` at its end, is a file. To root, a word may be the
/// name of a container that runs, its ID or how that begins.
///
/// # Errors
/// There is none, several, or it has a mistake.
pub(super) fn find(word: &str) -> anyhow::Result<Named> {
    if word.contains('/') || word.ends_with(".yaml") {
        return of_file(Path::new(word));
    }
    if geteuid().is_root()
        && let Some(found) = of_container(word)?
    {
        return Ok(found);
    }
    let settings = settings::load(None).map_err(|mistakes| all_of(&mistakes))?;
    let name = PolicyName::parse(word).map_err(anyhow::Error::msg)?;
    of_file(&name.file(&settings.policies))
        .with_context(|| format!("{} is no running container's name or ID", quoted(word)))
}

fn of_file(file: &Path) -> anyhow::Result<Named> {
    let origin = file.display().to_string();
    let content = settings::read_trusted(file).with_context(|| origin.clone())?;
    let Some(content) = content else {
        bail!("{origin}: there is no such file");
    };
    let rules = parse_file(&origin, &content).map_err(|mistakes| all_of(&mistakes))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let source = PolicySource {
        name: name.into_owned(),
        allow: rules.allow(),
        deny: rules.deny(),
        tls: rules.tls,
        ..PolicySource::default()
    };
    Ok(Named { origin, source })
}

fn of_container(word: &str) -> anyhow::Result<Option<Named>> {
    let running = state::list().with_context(|| format!("can't list {}", state::DIRECTORY))?;
    let plans = running.into_iter().map(|record| record.plan);
    let (exact, others): (Vec<_>, Vec<_>) = plans
        .filter(|plan| {
            let name = plan
                .identity
                .name
                .as_deref()
                .or(plan.identity.pod.as_deref());
            name == Some(word) || plan.container.starts_with(word)
        })
        .partition(|plan| plan.container == word);
    let found = if exact.is_empty() { others } else { exact };
    match found.as_slice() {
        [] => Ok(None),
        [plan] => Ok(Some(Named {
            origin: format!("container {}", short(&plan.container)),
            source: plan.policy.clone(),
        })),
        several => bail!(
            "{} could be any of {} containers",
            quoted(word),
            several.len()
        ),
    }
}
