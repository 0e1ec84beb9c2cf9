//! Which containers an argument refers to.
//!
//! In the same order as Docker: a whole ID, then a name, then (after pods) the beginning of an ID.
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
pub(super) struct Selected {
    /// In the order in which they began.
    pub(super) containers: Vec<RecordFiles>,
    /// What else the word could have meant.
    pub(super) remark: Option<String>,
}

/// Finds what a word refers to; without one, the newest container.
pub(super) fn choose(directory: &Directory, word: Option<&str>) -> Result<Selected> {
    let listed = directory
        .list(usize::MAX)
        .with_context(|| format!("can't list {}", directory.path().display()))?;
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
    let all = by_age(&listed)
        .with_context(|| format!("can't read the records in {}", directory.path().display()))?;
    match word {
        Some(word) => of_several(&all, word),
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

/// A look at each record, the newest container last.
pub(super) fn by_age(listed: &[RecordFiles]) -> io::Result<Vec<Overview>> {
    let looked: io::Result<Vec<_>> = listed.iter().map(Overview::of).collect();
    let mut all: Vec<_> = looked?.into_iter().flatten().collect();
    all.sort_by(|a, b| a.began().cmp(b.began()));
    Ok(all)
}

fn of_several(all: &[Overview], word: &str) -> Result<Selected> {
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
    let begun: Vec<_> = all
        .iter()
        .filter(|one| !word.is_empty() && one.recorded.id.starts_with(word))
        .collect();
    match begun.as_slice() {
        [] => bail!("no records found for {}", clean(word, MAX_WORD)),
        [one] => Ok(Selected {
            containers: vec![one.recorded.clone()],
            remark: None,
        }),
        several => Err(ambiguous(
            word,
            several.iter().map(|one| one.recorded.id.clone()).collect(),
        )),
    }
}

/// The containers of a pod, given as `NAME` or `NAMESPACE/NAME`.
fn in_pod(all: &[Overview], word: &str) -> Result<Vec<RecordFiles>> {
    let (namespace, name) = word
        .split_once('/')
        .map_or((None, word), |(namespace, name)| (Some(namespace), name));
    let is_of = |who: &&ContainerIdentity| {
        who.pod.as_deref() == Some(name)
            && (namespace.is_none() || who.namespace.as_deref() == namespace)
    };
    let mut pods: Vec<_> = all
        .iter()
        .filter_map(|one| pod(identity(one).filter(is_of)?))
        .collect();
    pods.sort();
    pods.dedup();
    if pods.len() > 1 {
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
