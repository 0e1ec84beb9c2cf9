//! Which containers an argument refers to.
//!
//! In the same order as Docker: a whole ID, then a name, then (after pods) the beginning of an ID.
//! A container that joined another's network, as those of a pod do, is found by its own ID, with or
//! without `containerd://` before it, as kubectl shows it.
//!
//! Names come from the records, and whoever took over a container's filter can write a false one
//! into its record. If several containers used a name, the user is therefore told.

use std::io;

use anyhow::{Context, Result, bail};

use crate::audit::line::ContainerIdentity;
use crate::audit::reader::{Directory, Overview, RecordFiles};
use crate::cli::short::short;
use crate::container::plan::record_name;
use crate::escape::clean;

/// Candidates that are listed if a word is ambiguous.
const MAX_LISTED: usize = 10;
/// The longest word that is repeated in a message: an ID or a name.
const MAX_WORD: usize = 255;

/// The containers that a word refers to.
#[derive(Debug)]
pub(in crate::cli) struct Selected {
    /// In the order in which they began.
    pub(in crate::cli) containers: Vec<RecordFiles>,
    /// What else the word could have meant.
    pub(super) remark: Option<String>,
}

/// Finds what a word refers to; without one, the newest container.
pub(in crate::cli) fn choose(directory: &Directory, word: Option<&str>) -> Result<Selected> {
    let listed = directory
        .list(usize::MAX)
        .with_context(|| format!("can't list {}", directory.path().display()))?;
    let word = word.map(|word| word.split_once("://").map_or(word, |(_, id)| id));
    let name = word.map(record_name);
    if let Some(exact) = listed
        .iter()
        .find(|recorded| Some(&recorded.id) == name.as_ref())
    {
        return Ok(Selected {
            containers: vec![exact.clone()],
            remark: None,
        });
    }
    if let Some(word) = word {
        let of_member = joined(&listed, |id| id == word);
        if let [(_, recorded)] = of_member.as_slice() {
            return Ok(of_gateway(word, recorded));
        }
    }
    let all = by_age(&listed)
        .with_context(|| format!("can't read the records in {}", directory.path().display()))?;
    match word {
        Some(word) => of_several(&all, &listed, word),
        None => {
            let newest = all
                .last()
                .with_context(|| format!("no records in {}", directory.path().display()))?;
            Ok(Selected {
                containers: vec![newest.recorded.clone()],
                remark: None,
            })
        }
    }
}

/// The containers that joined others' networks and whose IDs are `wanted`, with the record that
/// holds what they attempt.
fn joined(listed: &[RecordFiles], wanted: impl Fn(&str) -> bool) -> Vec<(String, &RecordFiles)> {
    let mut found: Vec<_> = listed
        .iter()
        .flat_map(|recorded| {
            recorded
                .members()
                .into_iter()
                .map(move |one| (one.id, recorded))
        })
        .filter(|(id, _)| wanted(id))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The record of the gateway that a container shares.
fn of_gateway(id: &str, recorded: &RecordFiles) -> Selected {
    Selected {
        containers: vec![recorded.clone()],
        remark: Some(format!(
            "container {} shares the network of {}; showing what all of its containers attempted",
            short(id),
            short(&recorded.id)
        )),
    }
}

/// A look at each record, the newest container last.
pub(super) fn by_age(listed: &[RecordFiles]) -> io::Result<Vec<Overview>> {
    let looked: io::Result<Vec<_>> = listed.iter().map(Overview::of).collect();
    let mut all: Vec<_> = looked?.into_iter().flatten().collect();
    all.sort_by(|a, b| a.began().cmp(b.began()));
    Ok(all)
}

fn of_several(all: &[Overview], listed: &[RecordFiles], word: &str) -> Result<Selected> {
    let named: Vec<_> = all
        .iter()
        .filter(|one| identity(one).is_some_and(|who| who.name.as_deref() == Some(word)))
        .collect();
    if let Some(newest) = named.last() {
        let shown = short(&newest.recorded.id);
        let remark = format!(
            "{} containers were named {}; showing the newest, {shown}",
            named.len(),
            clean(word, MAX_WORD)
        );
        return Ok(Selected {
            containers: vec![newest.recorded.clone()],
            remark: (named.len() > 1).then_some(remark),
        });
    }
    let pod = in_pod(all, word)?;
    if !pod.is_empty() {
        return Ok(Selected {
            containers: pod,
            remark: None,
        });
    }
    of_prefix(all, listed, word)
}

/// The container whose ID begins so.
fn of_prefix(all: &[Overview], listed: &[RecordFiles], word: &str) -> Result<Selected> {
    let begins = |id: &str| !word.is_empty() && id.starts_with(word);
    let own = all
        .iter()
        .map(|one| &one.recorded)
        .filter(|one| begins(&one.id));
    let own: Vec<_> = own.map(|one| (one.id.clone(), one)).collect();
    let joined = joined(listed, begins);
    match (own.as_slice(), joined.as_slice()) {
        ([], []) => bail!("no records found for {}", clean(word, MAX_WORD)),
        ([(_, one)], []) => Ok(Selected {
            containers: vec![(*one).clone()],
            remark: None,
        }),
        ([], [(id, recorded)]) => Ok(of_gateway(id, recorded)),
        _ => {
            let ids = own.into_iter().chain(joined).map(|(id, _)| id);
            Err(ambiguous(word, ids.collect()))
        }
    }
}

/// The containers of a pod, given as `NAME` or `NAMESPACE/NAME`, or of a namespace, as `NAMESPACE/`.
/// Both are what the engine says of the pod ([`crate::spec::identity`]), never a pod's own words.
fn in_pod(all: &[Overview], word: &str) -> Result<Vec<RecordFiles>> {
    let (namespace, name) = word
        .split_once('/')
        .map_or((None, word), |(namespace, name)| (Some(namespace), name));
    let is_namespace = namespace.is_some() && name.is_empty();
    let is_of = |who: &&ContainerIdentity| {
        (who.pod.as_deref() == Some(name) || is_namespace && who.pod.is_some())
            && (namespace.is_none() || who.namespace.as_deref() == namespace)
    };
    let mut pods: Vec<_> = all
        .iter()
        .filter_map(|one| pod(identity(one).filter(is_of)?))
        .collect();
    pods.sort();
    pods.dedup();
    if pods.len() > 1 && !is_namespace {
        return Err(ambiguous(word, pods));
    }
    let of_it = all
        .iter()
        .filter(|one| identity(one).is_some_and(|who| is_of(&who)));
    Ok(of_it.map(|one| one.recorded.clone()).collect())
}

fn ambiguous(word: &str, candidates: Vec<String>) -> anyhow::Error {
    let mut list: Vec<_> = candidates
        .iter()
        .take(MAX_LISTED)
        .map(|text| clean(text, MAX_WORD))
        .collect();
    if candidates.len() > MAX_LISTED {
        list.push(format!("and {} more", candidates.len() - MAX_LISTED));
    }
    anyhow::anyhow!(
        "{} is ambiguous, it could be any of {}: {}",
        clean(word, MAX_WORD),
        candidates.len(),
        list.join(", ")
    )
}

fn identity(overview: &Overview) -> Option<&ContainerIdentity> {
    overview.about.as_ref().map(|about| &about.identity)
}

/// A pod's full name.
pub(super) fn pod(who: &ContainerIdentity) -> Option<String> {
    let name = who.pod.as_ref()?;
    Some(
        who.namespace
            .as_ref()
            .map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}")),
    )
}
