//! Which gateways are meant: by their containers, in the order in which `logs` looks for one. (A
//! whole ID, a name, a pod, the beginning of an ID.) A container that joined another's network, as
//! those of a pod do, stands for the gateway that filters it.

use anyhow::{Context, bail};

use crate::container::plan::GatewayOwner;
use crate::container::state::{self, SavedState};
use crate::escape::clean;

/// The longest word that is repeated in a message: an ID or a name.
const MAX_WORD: usize = 255;

/// The gateways that these words mean; without words, all that run.
///
/// # Errors
/// A word means none, or several that have nothing to do with each other; gateways can't be listed.
pub(super) fn choose(words: &[String]) -> anyhow::Result<Vec<SavedState>> {
    let all = state::list().with_context(|| format!("can't list {}", state::DIRECTORY))?;
    let gateways = || all.iter().filter(|record| is_gateway(record));
    if words.is_empty() {
        return Ok(gateways().cloned().collect());
    }
    let mut chosen: Vec<SavedState> = Vec::new();
    for word in words {
        for record in meant(&all, word)? {
            let filters =
                |gateway: &&SavedState| gateway.network_namespace == record.network_namespace;
            let gateway = gateways()
                .find(filters)
                .with_context(|| format!("{} has no gateway that runs", clean(word, MAX_WORD)))?;
            if !chosen
                .iter()
                .any(|one| one.plan.state == gateway.plan.state)
            {
                chosen.push(gateway.clone());
            }
        }
    }
    Ok(chosen)
}

fn is_gateway(record: &SavedState) -> bool {
    record.plan.gateway == GatewayOwner::Own && record.filters()
}

/// The containers that a word means.
fn meant<'a>(all: &'a [SavedState], word: &str) -> anyhow::Result<Vec<&'a SavedState>> {
    let word = word.split_once("://").map_or(word, |(_, id)| id);
    let found = |wanted: &dyn Fn(&SavedState) -> bool| -> Vec<&'a SavedState> {
        all.iter().filter(|record| wanted(record)).collect()
    };
    let by_id = found(&|record| record.plan.container == word);
    if !by_id.is_empty() {
        return one_network(by_id, word);
    }
    let by_name = found(&|record| record.plan.identity.name.as_deref() == Some(word));
    if !by_name.is_empty() {
        return one_network(by_name, word);
    }
    let by_pod = found(&|record| is_in_pod(record, word));
    if !by_pod.is_empty() {
        return one_network(by_pod, word);
    }
    let begins = found(&|record| !word.is_empty() && record.plan.container.starts_with(word));
    match begins.is_empty() {
        true => bail!(
            "no container that runs is called {}, and no ID begins so",
            clean(word, MAX_WORD)
        ),
        false => one_network(begins, word),
    }
}

fn is_in_pod(record: &SavedState, word: &str) -> bool {
    let (namespace, name) = match word.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, word),
    };
    let identity = &record.plan.identity;
    identity.pod.as_deref() == Some(name)
        && namespace.is_none_or(|namespace| identity.namespace.as_deref() == Some(namespace))
}

/// All of them, where they share one network.
fn one_network<'a>(found: Vec<&'a SavedState>, word: &str) -> anyhow::Result<Vec<&'a SavedState>> {
    let mut networks: Vec<_> = found
        .iter()
        .map(|record| record.network_namespace)
        .collect();
    networks.sort_unstable();
    networks.dedup();
    if networks.len() > 1 {
        let ids: Vec<_> = found
            .iter()
            .map(|record| clean(&record.plan.container, MAX_WORD))
            .take(10)
            .collect();
        bail!(
            "{} could be any of {}: {}",
            clean(word, MAX_WORD),
            found.len(),
            ids.join(", ")
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::policy::change::tests::record;

    fn named(id: &str, name: Option<&str>, pod: Option<&str>, network: u64) -> SavedState {
        let mut record = record(id);
        record.network_namespace = network;
        record.plan.identity.name = name.map(str::to_owned);
        record.plan.identity.pod = pod.map(str::to_owned);
        record.plan.identity.namespace = pod.map(|_| "shop".to_owned());
        record
    }

    #[test]
    fn a_word_means_an_id_a_name_a_pod_or_the_beginning_of_an_id() {
        let all = [
            named("abc1", Some("web"), None, 1),
            named("abc2", Some("abc1x"), None, 2),
            named("dd1", None, Some("cart"), 3),
            named("dd2", Some("side"), Some("cart"), 3),
            named("dd3", Some("web"), None, 4),
        ];
        let ids = |word: &str| -> Result<Vec<String>, String> {
            meant(&all, word)
                .map(|found| found.iter().map(|one| one.plan.container.clone()).collect())
                .map_err(|error| error.to_string())
        };
        let one = |id: &str| Ok(vec![id.to_owned()]);
        assert_eq!(ids("abc1"), one("abc1"), "not the one that begins so");
        assert_eq!(ids("docker://abc2"), one("abc2"));
        assert_eq!(ids("side"), one("dd2"));
        assert_eq!(ids("cart"), Ok(vec!["dd1".to_owned(), "dd2".to_owned()]));
        assert_eq!(ids("shop/cart"), ids("cart"));
        assert!(ids("other/cart").is_err());
        assert_eq!(ids("dd3"), one("dd3"));
        assert!(
            ids("web").unwrap_err().contains("abc1, dd3"),
            "two networks"
        );
        assert!(ids("abc").is_err() && ids("").is_err() && ids("x").is_err());
    }
}
