//! `daemon.json`: dockerd's configuration file, edited without touching what we don't know.
//!
//! Pure text in, text out. Every value that isn't ours keeps its very text (numbers too:
//! `serde_json::Value` would turn `1e2` into `100.0`), and every key its place. What dockerd itself
//! would refuse, or two readers could read differently, is an error: a key given twice (Go takes
//! the last or merges, others take the first), and `Runtimes` for `runtimes` (dockerd 20.10: "don't
//! match any configuration option").

use std::net::IpAddr;

use serde::de::DeserializeOwned;

use super::object::{JsonNode, JsonObject};
use crate::text::is_same_key_to_go;

/// A checked `daemon.json`.
#[derive(Debug)]
pub struct DaemonJson {
    root: JsonObject,
    indent: String,
}

/// Why a `daemon.json` is left alone.
#[derive(Debug, thiserror::Error)]
pub enum MalformedDaemonJson {
    /// Not JSON, or not an object.
    #[error("not a valid JSON object")]
    NotAnObject(#[source] serde_json::Error),
    /// A member of the wrong type.
    #[error("{key} is not {expected}")]
    WrongType {
        /// Its key, with dots.
        key: String,
        /// What dockerd wants there.
        expected: &'static str,
    },
    /// The same key twice in one object.
    #[error("duplicate key {0}")]
    Twice(String),
    /// A key that dockerd knows only in lower case.
    #[error("unknown key {found}: dockerd knows it only as {known}")]
    Case {
        /// As written.
        found: String,
        /// As dockerd wants it.
        known: &'static str,
    },
}

impl DaemonJson {
    /// Reads a file's text; nothing but white space counts as an empty object, as it does for newer
    /// dockerds.
    ///
    /// # Errors
    /// What dockerd would refuse in the parts that we read, and keys given twice there.
    pub fn parse(text: &str) -> Result<Self, MalformedDaemonJson> {
        let indent = indentation(text).to_owned();
        let text = if text.trim().is_empty() { "{}" } else { text };
        let root: JsonObject =
            serde_json::from_str(text).map_err(MalformedDaemonJson::NotAnObject)?;
        refuse_twice(&root)?;
        for known in ["runtimes", "dns", "default-runtime"] {
            if let Some(found) = root
                .keys()
                .find(|key| is_same_key_to_go(key, known) && *key != known)
            {
                return Err(MalformedDaemonJson::Case {
                    found: found.to_owned(),
                    known,
                });
            }
        }
        let config = Self { root, indent };
        let runtimes = config
            .check_type::<JsonObject>("runtimes", "an object")?
            .unwrap_or_default();
        refuse_twice(&runtimes)?;
        for name in runtimes.keys() {
            let wrong = || MalformedDaemonJson::WrongType {
                key: format!("runtimes.{name}"),
                expected: "an object",
            };
            refuse_twice(&runtimes.value(name).ok_or_else(wrong)?)?;
        }
        config.check_type::<Vec<String>>("dns", "a list of strings")?;
        config.check_type::<String>("default-runtime", "a string")?;
        Ok(config)
    }

    fn check_type<T: DeserializeOwned>(
        &self,
        key: &str,
        expected: &'static str,
    ) -> Result<Option<T>, MalformedDaemonJson> {
        let wrong = || MalformedDaemonJson::WrongType {
            key: key.to_owned(),
            expected,
        };
        self.root
            .get(key)
            .map(|node| node.value().ok_or_else(wrong))
            .transpose()
    }

    /// The path of a runtime: none where there is no such runtime, empty where it has no path (a
    /// `runtimeType`).
    #[must_use]
    pub fn runtime(&self, name: &str) -> Option<String> {
        let runtime = self.runtimes().value::<JsonObject>(name)?;
        Some(runtime.value("path").unwrap_or_default())
    }

    /// Whether some runtime's path is this.
    #[must_use]
    pub fn mentions(&self, path: &str) -> bool {
        self.runtimes()
            .keys()
            .any(|name| self.runtime(name).as_deref() == Some(path))
    }

    /// Adds a runtime, or changes the path of the one that has the name; its other members stay.
    pub fn set_runtime(&mut self, name: &str, path: &str) {
        let mut runtimes = self.runtimes();
        let mut runtime: JsonObject = runtimes.value(name).unwrap_or_default();
        runtime.set("path", JsonNode::of(path));
        runtimes.set(name, JsonNode::Object(runtime));
        self.root.set("runtimes", JsonNode::Object(runtimes));
    }

    /// Removes a runtime. The key `runtimes` stays, even empty: without it a reload removes nothing
    /// (dockerd takes an absent key for "as before"; tried with 20.10.24).
    pub fn remove_runtime(&mut self, name: &str) {
        let mut runtimes = self.runtimes();
        runtimes.remove(name);
        self.root.set("runtimes", JsonNode::Object(runtimes));
    }

    /// The DNS servers that are set; empty where none is, which for dockerd is the same as `[]`.
    #[must_use]
    pub fn dns(&self) -> Vec<String> {
        self.root.value("dns").unwrap_or_default()
    }

    /// Sets the DNS servers.
    pub fn set_dns(&mut self, servers: &[IpAddr]) {
        let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
        self.root.set("dns", JsonNode::of(&servers));
    }

    /// Takes the DNS servers out.
    pub fn remove_dns(&mut self) {
        self.root.remove("dns");
    }

    /// The text under a key that isn't ours; none where there is none, or something else.
    #[must_use]
    pub fn text_of(&self, key: &str) -> Option<String> {
        self.root.value(key)
    }

    /// The paths of all runtimes.
    pub fn programs(&self) -> impl Iterator<Item = String> {
        let runtimes = self.runtimes();
        let paths: Vec<_> = runtimes
            .keys()
            .filter_map(|name| self.runtime(name))
            .collect();
        paths.into_iter()
    }

    /// The runtime that counts where `docker run` names none.
    #[must_use]
    pub fn default_runtime(&self) -> Option<String> {
        self.root.value("default-runtime")
    }

    /// Sets it, or takes it out.
    pub fn set_default_runtime(&mut self, name: Option<&str>) {
        match name {
            Some(name) => self.root.set("default-runtime", JsonNode::of(name)),
            None => self.root.remove("default-runtime"),
        }
    }

    /// The file's text: indented as it was (two spaces where that can't be seen), a line break at
    /// the end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.root.render(&self.indent, 0, &mut text);
        text.push('\n');
        text
    }

    fn runtimes(&self) -> JsonObject {
        self.root.value("runtimes").unwrap_or_default()
    }
}

fn refuse_twice(object: &JsonObject) -> Result<(), MalformedDaemonJson> {
    match object.twice() {
        Some(key) => Err(MalformedDaemonJson::Twice(key.to_owned())),
        None => Ok(()),
    }
}

/// White space before the first key that stands on a line of its own.
fn indentation(text: &str) -> &str {
    let of_line = |line: &'_ str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let found = text.lines().map(|line| line.split_at(of_line(line)));
    found
        .skip(1)
        .find(|(white, rest)| !white.is_empty() && rest.starts_with('"'))
        .map_or("  ", |(white, _)| white)
}

#[cfg(test)]
mod tests;
