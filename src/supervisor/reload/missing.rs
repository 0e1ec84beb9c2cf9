//! What of the files that the policy in force was read from isn't there any more.
//!
//! Without a layer a policy allows more, and so it may where what it includes is found on the next shelf. A
//! file that is missing may be one that is about to be written again: whoever replaces files not by a rename
//! takes them away first. Pure.

use crate::policy::{LayerSource, PolicyFile, PolicySource};
use crate::settings::behind;

/// With the layers that are missing, as they were: they only narrow, so that what else was changed counts.
/// The first of them is named.
pub(super) fn with_lost_layers(
    before: &PolicySource,
    now: PolicySource,
) -> (PolicySource, Option<String>) {
    let is_lost = |layer: &&LayerSource| now.layers.iter().all(|other| other.name != layer.name);
    let lost: Vec<LayerSource> = before.layers.iter().filter(is_lost).cloned().collect();
    let first = lost.first().map(|layer| layer.name.clone());
    let mut layers = [now.layers, lost].concat();
    // As the folder is read.
    layers.sort_by(|one, other| one.name.cmp(&other.name));
    (PolicySource { layers, ..now }, first)
}

/// The first included file that would be done without, if this came into force.
pub(super) fn missing(before: &PolicySource, now: &PolicySource) -> Option<String> {
    let own = (&before.places.files, &now.places.files);
    let ceiling = (&before.ceiling_files, &now.ceiling_files);
    if let Some(file) = [own, ceiling]
        .into_iter()
        .find_map(|(before, now)| replaced(before, now))
    {
        return Some(file);
    }
    before.layers.iter().find_map(|layer| {
        let other = now.layers.iter().find(|other| other.name == layer.name)?;
        replaced(&layer.places.files, &other.places.files)
    })
}

/// The included file in whose place the same name leads to one of a shelf below. (The first includes, and
/// is looked for by its path.)
fn replaced(before: &[PolicyFile], now: &[PolicyFile]) -> Option<String> {
    let has = |name: &str| now.iter().skip(1).any(|file| file.name == name);
    let names = before.iter().skip(1).map(|file| &file.name);
    let mut gone = names.filter(|name| !has(name) && behind(name).iter().any(|other| has(other)));
    gone.next().cloned()
}
