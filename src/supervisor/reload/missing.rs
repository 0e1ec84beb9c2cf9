//! What of the files that the policy in force was read from isn't there any more.
//!
//! Without a layer a policy allows more, and so it may where what it includes is found on the next shelf. A
//! file that is missing may be one that is about to be written again: whoever replaces files not by a rename
//! takes them away first. Pure.

use crate::policy::{Places, PolicySource};

/// The first of them that would be done without, if this came into force.
pub(super) fn missing(before: &PolicySource, now: &PolicySource) -> Option<String> {
    if let Some(file) = replaced(&before.places, &now.places) {
        return Some(file);
    }
    before.layers.iter().find_map(|layer| {
        match now.layers.iter().find(|other| other.name == layer.name) {
            Some(other) => replaced(&layer.places, &other.places),
            None => Some(layer.name.clone()),
        }
    })
}

/// The file in whose place the same name leads to one of a shelf below.
fn replaced(before: &Places, now: &Places) -> Option<String> {
    let has = |name: &str| now.files.iter().any(|file| file.name == name);
    let names = before.files.iter().map(|file| &file.name);
    let mut gone = names.filter(|name| !has(name) && below(name).iter().any(|other| has(other)));
    gone.next().cloned()
}

/// Where a name is looked for that isn't found here (`settings::Shelves`).
fn below(file: &str) -> Vec<String> {
    let name = |file: &str| {
        file.strip_suffix(".yaml")
            .map(|name| format!("preset {name}"))
    };
    match file.strip_prefix("presets.d/") {
        Some(file) => name(file).into_iter().collect(),
        None => name(file)
            .into_iter()
            .chain([format!("presets.d/{file}")])
            .collect(),
    }
}
