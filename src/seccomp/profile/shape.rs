//! The shape of Docker's form: which keys there are at which level, and what stands behind them.
//!
//! It gives a tree its usual spelling: a key that Go would take for a known one gets the known one's, a second one replaces the
//! first. What isn't in the table stays as it is, at its place.

use serde_json::{Map, Value};

use super::text;
use crate::seccomp::Fault;

/// A profile's tree with its known keys in their usual spelling, each once, and before values of the right kind.
pub(super) fn settled(tree: Value) -> Result<Value, Fault> {
    match tree {
        Value::Object(profile) => object(profile, PROFILE, ""),
        _ => Err(Fault::new("profile", "not an object")),
    }
}

/// What a value must be. Null is everywhere the same as nothing.
enum Shape {
    Text,
    Number,
    Texts,
    Object(&'static [(&'static str, Self)]),
    Objects(&'static [(&'static str, Self)]),
}

/// All that dockerd reads of a profile (type `Seccomp` of github.com/moby/profiles/seccomp).
const PROFILE: &[(&str, Shape)] = &[
    ("defaultAction", Shape::Text),
    ("defaultErrnoRet", Shape::Number),
    ("architectures", Shape::Texts),
    ("archMap", Shape::Objects(&[("architecture", Shape::Text), ("subArchitectures", Shape::Texts)])),
    ("flags", Shape::Texts),
    ("listenerPath", Shape::Text),
    ("listenerMetadata", Shape::Text),
    ("syscalls", Shape::Objects(RULE)),
];

const RULE: &[(&str, Shape)] = &[
    ("name", Shape::Text),
    ("names", Shape::Texts),
    ("action", Shape::Text),
    ("errnoRet", Shape::Number),
    ("args", Shape::Objects(ARGUMENT)),
    ("comment", Shape::Text),
    ("includes", Shape::Object(CONDITIONS)),
    ("excludes", Shape::Object(CONDITIONS)),
];

const ARGUMENT: &[(&str, Shape)] =
    &[("index", Shape::Number), ("value", Shape::Number), ("valueTwo", Shape::Number), ("op", Shape::Text)];

const CONDITIONS: &[(&str, Shape)] = &[("caps", Shape::Texts), ("arches", Shape::Texts), ("minKernel", Shape::Text)];

fn value(found: Value, shape: &Shape, place: &str) -> Result<Value, Fault> {
    let each = |items: Vec<Value>, shape: &Shape| -> Result<Value, Fault> {
        let items = items.into_iter().enumerate();
        items.map(|(at, item)| value(item, shape, &format!("{place}[{at}]"))).collect()
    };
    match (shape, found) {
        (_, Value::Null) => Ok(Value::Null),
        (Shape::Text, Value::String(text)) => Ok(Value::String(text)),
        (Shape::Number, Value::Number(number)) if number.is_u64() => Ok(Value::Number(number)),
        (Shape::Texts, Value::Array(items)) => each(items, &Shape::Text),
        (Shape::Objects(known), Value::Array(items)) => each(items, &Shape::Object(known)),
        (Shape::Object(known), Value::Object(members)) => object(members, known, place),
        (Shape::Text, _) => Err(Fault::new(place, "not a string")),
        (Shape::Number, Value::Number(other)) => {
            Err(Fault::new(place, format!("{other} is not a whole number from 0 to {}", u64::MAX)))
        }
        (Shape::Number, _) => Err(Fault::new(place, "not a number")),
        (Shape::Texts | Shape::Objects(_), _) => Err(Fault::new(place, "not a list")),
        (Shape::Object(_), _) => Err(Fault::new(place, "not an object")),
    }
}

fn object(members: Map<String, Value>, known: &[(&'static str, Shape)], place: &str) -> Result<Value, Fault> {
    let mut result = Map::with_capacity(members.len());
    for (key, found) in members {
        let Some((name, shape)) = known.iter().find(|(name, _)| text::folds_to(&key, name)) else {
            result.insert(key, found);
            continue;
        };
        let place = if place.is_empty() { (*name).to_owned() } else { format!("{place}.{name}") };
        let found = value(found, shape, &place)?;
        if result.get(*name).is_some_and(|earlier| !text::replaces(&found, earlier)) {
            return Err(Fault::new(place, text::MIXED));
        }
        result.insert((*name).to_owned(), found);
    }
    Ok(Value::Object(result))
}
