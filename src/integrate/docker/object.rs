//! A JSON object as it was written: what isn't changed keeps its exact text, and every key its
//! place. Must not know what the keys mean.
//!
//! A key may occur twice, and parsers differ in which one they use: check for that before reading
//! ([`JsonObject::twice`]).

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::{RawValue, to_raw_value};

/// A JSON object in the order of its text.
#[derive(Debug, Default)]
pub(super) struct JsonObject(Vec<(String, JsonNode)>);

/// A value: its text as it was, or an object that we changed.
#[derive(Debug)]
pub(super) enum JsonNode {
    Verbatim(Box<RawValue>),
    Object(JsonObject),
}

impl JsonObject {
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    pub(super) fn get(&self, key: &str) -> Option<&JsonNode> {
        self.0
            .iter()
            .find(|(found, _)| found == key)
            .map(|(_, node)| node)
    }

    pub(super) fn value<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.get(key).and_then(JsonNode::value)
    }

    pub(super) fn set(&mut self, key: &str, value: JsonNode) {
        match self.0.iter_mut().find(|(found, _)| found == key) {
            Some((_, node)) => *node = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.retain(|(found, _)| found != key);
    }

    /// A key that is there more than once.
    pub(super) fn twice(&self) -> Option<&str> {
        let mut seen = HashSet::new();
        self.keys().find(|key| !seen.insert(*key))
    }

    /// Its text, with what we changed spread over lines.
    pub(super) fn render(&self, indent: &str, depth: usize, text: &mut String) {
        if self.0.is_empty() {
            return text.push_str("{}");
        }
        for (index, (key, node)) in self.0.iter().enumerate() {
            text.push_str(if index == 0 { "{\n" } else { ",\n" });
            text.push_str(&indent.repeat(depth + 1));
            text.push_str(&serde_json::Value::from(key.as_str()).to_string());
            text.push_str(": ");
            node.render(indent, depth + 1, text);
        }
        text.push('\n');
        text.push_str(&indent.repeat(depth));
        text.push('}');
    }
}

impl JsonNode {
    pub(super) fn of<T: serde::Serialize + ?Sized>(value: &T) -> Self {
        Self::Verbatim(to_raw_value(value).expect("strings and lists of strings are JSON"))
    }

    /// None where the value isn't a `T`.
    pub(super) fn value<T: DeserializeOwned>(&self) -> Option<T> {
        let mut text = String::new();
        self.render("", 0, &mut text);
        serde_json::from_str(&text).ok()
    }

    fn render(&self, indent: &str, depth: usize, text: &mut String) {
        match self {
            Self::Verbatim(raw) => text.push_str(raw.get()),
            Self::Object(object) => object.render(indent, depth, text),
        }
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = JsonObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
                let mut members = Vec::new();
                while let Some((key, raw)) = map.next_entry()? {
                    members.push((key, JsonNode::Verbatim(raw)));
                }
                Ok(JsonObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
