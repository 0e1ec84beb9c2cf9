//! JSON as Go's `encoding/json` reads it, where that differs from our own reader: what a key names,
//! and what it means when it stands twice.
//!
//! What must not be forgotten: Go doesn't replace the first value by the second, it reads the
//! second *into* the first. For a string, a number or a list of them that comes to the same; of
//! objects, lists of objects and nulls come mixtures, which nobody means and we refuse.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::seccomp::Fault;

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

/// Whether the second value of a key, read into the first, is just the second.
pub(super) fn replaces(second: &Value, first: &Value) -> bool {
    let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    let whole = |value: &Value| {
        plain(value)
            || value
                .as_array()
                .is_some_and(|items| items.iter().all(plain))
    };
    whole(first) && whole(second)
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
