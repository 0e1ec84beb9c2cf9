//! What of the files that the policy in force was read from isn't there any more.
//!
//! Without a layer a policy allows more, and so it may where what it includes is found on the next shelf. A
//! file that is missing may be one that is about to be written again: whoever replaces files not by a rename
//! takes them away first. Pure.

use crate::policy::{PolicyFile, PolicySource};
use crate::settings::behind;

/// The first of them that would be done without, if this came into force.
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
        match now.layers.iter().find(|other| other.name == layer.name) {
            Some(other) => replaced(&layer.places.files, &other.places.files),
            None => Some(layer.name.clone()),
        }
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
