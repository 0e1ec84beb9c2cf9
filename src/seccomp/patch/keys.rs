//! Docker's format with its keys in their usual spelling. Go reads `Names` and `NAMES` as `names`,
//! and an entry may have `name` for a single one; the rest of the patch need not know.
//!
//! What a maintainer must not forget: a key that stands there twice in different spellings is
//! refused, because what Go makes of it (overwritten, or merged) depends on the kind of value. Of
//! one that stands there twice in the same, the JSON reader kept the last, as Go does.

use serde_json::{Map, Value, json};

use super::super::Fault;
use crate::text::is_same_key_to_go;

const TOP: &[&str] = &[
    "defaultAction",
    "defaultErrnoRet",
    "architectures",
    "syscalls",
];
const ENTRY: &[&str] = &[
    "names", "name", "action", "errnoRet", "args", "includes", "excludes",
];
const CONDITION: &[&str] = &["index", "value", "valueTwo", "op"];
const LIMITS: &[&str] = &["caps", "arches", "minKernel"];

/// The profile with the keys that we know as they are usually spelled, and `name` as `names`.
pub(super) fn canonical(profile: &Value) -> Result<Value, Fault> {
    let mut profile = profile.clone();
    spell(&mut profile, TOP, "")?;
    for (at, entry) in items(&mut profile, "syscalls").enumerate() {
        let place = format!("syscalls[{at}]");
        spell(entry, ENTRY, &place)?;
        for (at, condition) in items(entry, "args").enumerate() {
            spell(condition, CONDITION, &format!("{place}.args[{at}]"))?;
        }
        for key in ["includes", "excludes"] {
            if let Some(limits) = entry.get_mut(key) {
                spell(limits, LIMITS, &format!("{place}.{key}"))?;
            }
        }
        several(entry, &place)?;
    }
    Ok(profile)
}

/// Gives the known keys of an object their usual spelling; what isn't an object is somebody else's
/// to complain about.
fn spell(object: &mut Value, known: &[&str], place: &str) -> Result<(), Fault> {
    let Some(object) = object.as_object_mut() else {
        return Ok(());
    };
    let usual = |key: &str| {
        known
            .iter()
            .find(|known| is_same_key_to_go(key, known))
            .map(|key| (*key).to_owned())
    };
    if object
        .keys()
        .all(|key| usual(key).is_none_or(|usual| usual == *key))
    {
        return Ok(());
    }
    let mut spelled = Map::new();
    for (key, value) in std::mem::take(object) {
        let usual = usual(&key).unwrap_or_else(|| key.clone());
        if spelled.insert(usual.clone(), value).is_some() {
            let place = if place.is_empty() {
                key
            } else {
                format!("{place}.{key}")
            };
            return Err(Fault::new(
                place,
                format!("{usual} is there already, in another spelling"),
            ));
        }
    }
    *object = spelled;
    Ok(())
}

/// Turns `name` into `names`.
fn several(entry: &mut Value, place: &str) -> Result<(), Fault> {
    let Some(entry) = entry.as_object_mut() else {
        return Ok(());
    };
    let name = match entry.get("name") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(name)) if name.is_empty() => return Ok(()),
        Some(Value::String(name)) => json!([name]),
        Some(_) => {
            return Err(Fault::new(
                format!("{place}.name"),
                "not the name of a system call",
            ));
        }
    };
    if entry
        .get("names")
        .and_then(Value::as_array)
        .is_some_and(|names| !names.is_empty())
    {
        return Err(Fault::new(place, "both name and names are there"));
    }
    let renamed = |(key, value)| {
        if key == "name" {
            ("names".to_owned(), name.clone())
        } else {
            (key, value)
        }
    };
    *entry = std::mem::take(entry)
        .into_iter()
        .filter(|(key, _)| key != "names")
        .map(renamed)
        .collect();
    Ok(())
}

fn items<'a>(holder: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    holder
        .get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}
