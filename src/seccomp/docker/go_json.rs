//! JSON as Go's `encoding/json` reads it into a struct, where that differs from serde: which key is
//! meant, what a key means that stands there twice, and null for nothing.
//!
//! Go doesn't replace the first value of a key by the second, it reads the second *into* the first.
//! For a number, a list of strings or most strings that comes to the same. Of objects, lists of
//! objects and nulls it makes mixtures, which nobody means and we refuse.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::seccomp::Fault;
use crate::text::is_same_key_to_go;

/// The cause where a key's two values would be mixed.
pub(super) const MIXED: &str = "stands there twice, and Docker would mix the two values";

/// Reads a text as one JSON value. Of equal keys the last stays, at its own place.
pub(super) fn tree(text: &[u8]) -> Result<Value, Fault> {
    let read: Result<Tree, _> = serde_json::from_slice(text);
    read.map(|Tree(value)| value).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        let told = error.to_string();
        let cause = told.strip_suffix(&format!(" at {place}")).unwrap_or(&told);
        Fault::new(place, cause)
    })
}

/// Whether the second value of a key, read into the first, is just the second. The empty string is
/// not: read into a kernel version, it leaves the one that was there.
pub(super) fn replaces(second: &Value, first: &Value) -> bool {
    let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    let whole = |value: &Value| {
        plain(value)
            || value
                .as_array()
                .is_some_and(|items| items.iter().all(plain))
    };
    whole(first) && whole(second) && second != ""
}

/// What a value must be. Null is everywhere the same as nothing.
pub(super) enum Shape {
    Text,
    Number,
    Texts,
    Object(&'static [(&'static str, Self)]),
    Objects(&'static [(&'static str, Self)]),
}

/// The same value with its known keys in their usual spelling, each once; refused where a known key
/// has a value of another shape.
pub(super) fn settled(value: Value, shape: &Shape, place: &str) -> Result<Value, Fault> {
    let each = |items: Vec<Value>, shape: &Shape| -> Result<Value, Fault> {
        let items = items.into_iter().enumerate();
        items
            .map(|(at, item)| settled(item, shape, &format!("{place}[{at}]")))
            .collect()
    };
    match (shape, value) {
        (_, Value::Null) => Ok(Value::Null),
        (Shape::Text, Value::String(text)) => Ok(Value::String(text)),
        (Shape::Number, Value::Number(number)) if number.is_u64() => Ok(Value::Number(number)),
        (Shape::Texts, Value::Array(items)) => each(items, &Shape::Text),
        (Shape::Objects(known), Value::Array(items)) => each(items, &Shape::Object(known)),
        (Shape::Object(known), Value::Object(object)) => settled_object(object, known, place),
        (Shape::Text, _) => Err(Fault::new(place, "not a string")),
        (Shape::Number, Value::Number(other)) => Err(Fault::new(
            place,
            format!("{other} is not a whole number from 0 to {}", u64::MAX),
        )),
        (Shape::Number, _) => Err(Fault::new(place, "not a number")),
        (Shape::Texts | Shape::Objects(_), _) => Err(Fault::new(place, "not a list")),
        (Shape::Object(_), _) => Err(Fault::new(place, "not an object")),
    }
}

fn settled_object(
    object: Map<String, Value>,
    known: &[(&'static str, Shape)],
    place: &str,
) -> Result<Value, Fault> {
    let mut result = Map::with_capacity(object.len());
    for (key, value) in object {
        let Some((name, shape)) = known.iter().find(|(name, _)| is_same_key_to_go(&key, name))
        else {
            result.insert(key, value);
            continue;
        };
        let place = if place.is_empty() {
            (*name).to_owned()
        } else {
            format!("{place}.{name}")
        };
        let value = settled(value, shape, &place)?;
        if result
            .get(*name)
            .is_some_and(|earlier| !replaces(&value, earlier))
        {
            return Err(Fault::new(place, MIXED));
        }
        result.insert((*name).to_owned(), value);
    }
    Ok(Value::Object(result))
}

pub(crate) fn string<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn number(entry: &Value, key: &str) -> Option<u64> {
    entry.get(key).and_then(Value::as_u64)
}

pub(crate) fn list<'a>(entry: &'a Value, key: &str) -> &'a [Value] {
    entry
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A list of strings; a null in it is to Go the empty one.
pub(crate) fn strings(entry: &Value, key: &str) -> Vec<String> {
    list(entry, key)
        .iter()
        .map(|text| text.as_str().unwrap_or_default().to_owned())
        .collect()
}

struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor).map(Self)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        let mut last: HashMap<String, usize> = HashMap::new();
        while let Some((key, Tree(value))) = object.next_entry::<String, Tree>()? {
            let earlier = last
                .insert(key.clone(), entries.len())
                .and_then(|at| entries.get(at));
            if earlier.is_some_and(|(_, earlier)| !replaces(&value, earlier)) {
                return Err(A::Error::custom(format_args!("a key {MIXED}")));
            }
            entries.push((key, value));
        }
        let entries = entries.into_iter().enumerate();
        let kept = entries
            .filter(|(at, (key, _))| last.get(key) == Some(at))
            .map(|(_, entry)| entry);
        Ok(Value::Object(kept.collect::<Map<_, _>>()))
    }
}
