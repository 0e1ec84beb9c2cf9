//! What a sync changes on the host, one file after the other.
//!
//! Pure. Invariant: after each step, every policy that is there stands below the layers that came with it, or
//! more: a sync may be killed between any two. So layers that come are there before any policy is changed, and
//! those that go stay until all are; one whose text changes stands there twice meanwhile.

use std::collections::BTreeMap;

use super::target::{LAYERS, is_layer};

/// Texts by their names in the folder.
pub(super) type Files = BTreeMap<String, String>;

/// A file that is written, or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step<'a> {
    /// What it is called in the folder.
    pub(super) name: String,
    /// What it says from then on.
    pub(super) text: Option<&'a str>,
    /// Whether it is of the folder, or there only for as long as the sync lasts.
    pub(super) lasts: bool,
}

/// What makes of the files that are `there`, by what they would be called in the folder, those that are
/// `wanted`. `is_free`: whether nothing has such a name on the host.
pub(super) fn steps<'a>(
    there: &Files,
    wanted: &'a Files,
    is_free: impl Fn(&str) -> bool,
) -> Vec<Step<'a>> {
    let changed = wanted
        .iter()
        .filter(|(name, text)| there.get(*name) != Some(text));
    let (layers, policies): (BTreeMap<&String, &String>, BTreeMap<_, _>) =
        changed.partition(|(name, _)| is_layer(name));
    let (replaced, new): (BTreeMap<&String, &String>, BTreeMap<_, _>) = layers
        .into_iter()
        .partition(|(name, _)| there.contains_key(*name));
    let (gone_layers, gone): (Vec<&String>, Vec<&String>) = there
        .keys()
        .filter(|name| !wanted.contains_key(*name))
        .partition(|name| is_layer(name));
    let beside: Vec<String> = (0..)
        .map(|number| format!("{LAYERS}.sync-{number}.yaml"))
        .filter(|name| is_free(name) && !wanted.contains_key(name))
        .take(replaced.len())
        .collect();

    let meanwhile = beside.iter().zip(replaced.values());
    let mut steps: Vec<Step<'a>> = meanwhile
        .map(|(name, text)| beside_it(name, Some(text)))
        .collect();
    steps.extend(written(&new));
    steps.extend(written(&policies));
    steps.extend(gone.into_iter().map(|name| removed(name)));
    steps.extend(written(&replaced));
    steps.extend(gone_layers.into_iter().map(|name| removed(name)));
    steps.extend(beside.iter().map(|name| beside_it(name, None)));
    steps
}

fn written<'a>(files: &BTreeMap<&'a String, &'a String>) -> Vec<Step<'a>> {
    let step = |(name, text): (&&String, &&'a String)| Step {
        name: (*name).clone(),
        text: Some(text),
        lasts: true,
    };
    files.iter().map(step).collect()
}

fn removed<'a>(name: &str) -> Step<'a> {
    Step {
        name: name.to_owned(),
        text: None,
        lasts: true,
    }
}

fn beside_it<'a>(name: &str, text: Option<&'a str>) -> Step<'a> {
    Step {
        name: name.to_owned(),
        text,
        lasts: false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    /// Versions of a folder: texts say of which version they are, so that a policy tells its layers.
    fn version(version: &'static str) -> impl Strategy<Value = Files> {
        let name = prop_oneof![
            Just("config.toml"),
            Just("a.yaml"),
            Just("presets.d.a.yaml"),
            Just("ceiling.d.a.yaml"),
            Just("ceiling.d.b.yaml"),
            Just("ceiling.d.sync-0.yaml"),
        ];
        let text = prop_oneof![Just("both"), Just(version)];
        btree_map(
            name.prop_map(str::to_owned),
            text.prop_map(str::to_owned),
            0..6,
        )
    }

    fn layers(files: &Files) -> Vec<&String> {
        let layers = files.iter().filter(|(name, _)| is_layer(name));
        layers.map(|(_, text)| text).collect()
    }

    /// Whether all layers of a version are there.
    fn bounded(state: &Files, by: &Files) -> bool {
        let there = layers(state);
        layers(by).iter().all(|text| there.contains(text))
    }

    proptest! {
        #[test]
        fn each_policy_has_its_layers_after_every_step(old in version("old"), new in version("new")) {
            let mut state = old.clone();
            let steps = steps(&old, &new, |name| !old.contains_key(name));
            for step in steps {
                match step.text {
                    Some(text) => state.insert(step.name, text.to_owned()),
                    None => state.remove(&step.name),
                };
                let policies = || state.iter().filter(|(name, _)| !is_layer(name));
                let stands = |by: &Files| {
                    policies().all(|(name, text)| by.get(name) != Some(text) || bounded(&state, by))
                };
                let of_old = policies().all(|(name, text)| old.get(name) == Some(text));
                let of_new = policies().all(|(name, text)| new.get(name) == Some(text));
                prop_assert!(stands(&old) || of_new, "{state:?}");
                prop_assert!(stands(&new) || of_old, "{state:?}");
            }
            prop_assert_eq!(state, new);
        }
    }
}
