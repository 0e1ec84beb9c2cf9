//! A profile in Docker's form, as a file for `--security-opt seccomp=` has it: read as dockerd
//! reads it, and checked further.
//!
//! dockerd's reader is Go's `encoding/json`: keys in any case, null for nothing, unknown keys
//! ignored. A file that it would take is taken with the same meaning, or refused; never with
//! another. Refused beyond what dockerd refuses is what runc would refuse at create (words that it
//! doesn't know), in rules that the container at hand doesn't get, too.
//!
//! The tree is kept beside the reading, unknown fields included, for whoever edits and writes the
//! file. Invariant: in it known keys have their usual spelling and stand once, so that an edit of
//! `syscalls` is an edit of what Docker reads.

use serde_json::{Map, Value, json};

use super::conditions::Conditions;
use super::go_json::{self, Shape, list, number, string, strings};
use crate::seccomp::Fault;
use crate::seccomp::filter::Filter;

/// The most bytes that a profile may have. The longest that is known has 18 KiB.
pub const LONGEST: usize = 1 << 20;

/// A profile, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    tree: Value,
    /// Empty where it is missing.
    pub(crate) default_action: String,
    pub(crate) default_errno: Option<u64>,
    /// For every machine. Either this or `arch_map` is empty.
    pub(crate) architectures: Vec<String>,
    /// By the machine's own architecture.
    pub(crate) arch_map: Vec<ArchMapping>,
    pub(crate) flags: Vec<String>,
    pub(crate) listener_path: String,
    pub(crate) listener_metadata: String,
    pub(crate) rules: Vec<ConditionalRule>,
}

/// The architectures of one kind of machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ArchMapping {
    pub(crate) own: String,
    pub(crate) further: Vec<String>,
}

/// One rule, and which containers get it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConditionalRule {
    /// The rule without its conditions, as the OCI specification has it.
    pub(crate) plain: Value,
    pub(crate) conditions: Conditions,
}

impl Profile {
    /// Reads a profile's text.
    ///
    /// # Errors
    /// The first [`Fault`], at `line L column C` where it isn't JSON.
    pub fn read(text: &[u8]) -> Result<Self, Fault> {
        if text.len() > LONGEST {
            return Err(Fault::new(
                "profile",
                format!("longer than {LONGEST} bytes"),
            ));
        }
        Self::of(go_json::tree(text)?)
    }

    /// Reads a profile's JSON tree.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn of(tree: Value) -> Result<Self, Fault> {
        if !tree.is_object() {
            return Err(Fault::new("profile", "not an object"));
        }
        let tree = go_json::settled(tree, &PROFILE, "")?;
        let entries = list(&tree, "syscalls").iter().enumerate();
        let rules = entries
            .map(|(at, entry)| rule(entry, &format!("syscalls[{at}]")))
            .collect::<Result<_, _>>()?;
        let machine = |entry: &Value| ArchMapping {
            own: string(entry, "architecture").to_owned(),
            further: strings(entry, "subArchitectures"),
        };
        let profile = Self {
            default_action: string(&tree, "defaultAction").to_owned(),
            default_errno: number(&tree, "defaultErrnoRet"),
            architectures: strings(&tree, "architectures"),
            arch_map: list(&tree, "archMap").iter().map(machine).collect(),
            flags: strings(&tree, "flags"),
            listener_path: string(&tree, "listenerPath").to_owned(),
            listener_metadata: string(&tree, "listenerMetadata").to_owned(),
            rules,
            tree,
        };
        profile.check()?;
        Ok(profile)
    }

    /// The whole file, unknown fields included; known keys in their usual spelling, each
    /// once.
    #[must_use]
    pub fn tree(&self) -> &Value {
        &self.tree
    }

    /// The tree with `names` in the place of every `name`, which Docker takes for the same: then its
    /// rules have the keys of the OCI form.
    pub(crate) fn tree_with_names(&self) -> Value {
        let mut tree = self.tree.clone();
        let rules = tree.get_mut("syscalls").and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
            with_names(rule);
        }
        tree
    }

    /// Whether it says nothing at all, which means to dockerd **no filter**: the container is
    /// unconfined.
    #[must_use]
    pub fn is_unconfined(&self) -> bool {
        self.default_action.is_empty() && self.rules.is_empty()
    }

    /// Every capability that a rule depends on.
    pub(crate) fn capabilities(&self) -> impl Iterator<Item = &String> {
        let limits = self.rules.iter().flat_map(|rule| rule.conditions.limits());
        limits.flat_map(|limits| &limits.capabilities)
    }

    fn check(&self) -> Result<(), Fault> {
        if !self.architectures.is_empty() && !self.arch_map.is_empty() {
            return Err(Fault::new(
                "archMap",
                "stands beside architectures; only one of them may",
            ));
        }
        if self.is_unconfined() {
            return Ok(());
        }
        // Actions, comparisons, names and error numbers have the same keys in both forms.
        Filter::read(&self.tree_with_names()).map(drop)
    }
}

fn rule(entry: &Value, place: &str) -> Result<ConditionalRule, Fault> {
    let name = string(entry, "name");
    if !name.is_empty() && !list(entry, "names").is_empty() {
        return Err(Fault::new(
            format!("{place}.name"),
            "stands beside names; only one of them may",
        ));
    }
    Ok(ConditionalRule {
        plain: plain(entry, name),
        conditions: Conditions::read(entry, place)?,
    })
}

/// Puts `names` in the place of a rule's `name`, where it has one.
fn with_names(rule: &mut Map<String, Value>) {
    let name = match rule.get("name") {
        Some(Value::String(name)) if !name.is_empty() => json!([name]),
        _ => return,
    };
    *rule = std::mem::take(rule)
        .into_iter()
        .filter(|(key, _)| key != "names")
        .map(|(key, value)| match key.as_str() {
            "name" => ("names".to_owned(), name.clone()),
            _ => (key, value),
        })
        .collect();
}

/// A rule as Go writes it: `names` always, null if there was none; other lists only where something
/// is in them.
fn plain(entry: &Value, name: &str) -> Value {
    let names = match entry.get("names") {
        _ if !name.is_empty() => json!([name]),
        Some(Value::Array(_)) => json!(strings(entry, "names")),
        _ => Value::Null,
    };
    let mut plain = Map::from_iter([
        ("names".to_owned(), names),
        ("action".to_owned(), string(entry, "action").into()),
    ]);
    plain.extend(number(entry, "errnoRet").map(|errno| ("errnoRet".to_owned(), errno.into())));
    let arguments: Vec<Value> = list(entry, "args").iter().map(argument).collect();
    if !arguments.is_empty() {
        plain.insert("args".to_owned(), arguments.into());
    }
    plain.into()
}

fn argument(entry: &Value) -> Value {
    let or_zero = |key| number(entry, key).unwrap_or_default();
    let second = number(entry, "valueTwo").filter(|second| *second != 0);
    let mut argument = Map::new();
    argument.insert("index".to_owned(), or_zero("index").into());
    argument.insert("value".to_owned(), or_zero("value").into());
    argument.extend(second.map(|second| ("valueTwo".to_owned(), second.into())));
    argument.insert("op".to_owned(), string(entry, "op").into());
    argument.into()
}

/// All that dockerd reads of a profile (type `Seccomp` of github.com/moby/profiles/seccomp).
const PROFILE: Shape = Shape::Object(&[
    ("defaultAction", Shape::Text),
    ("defaultErrnoRet", Shape::Number),
    ("architectures", Shape::Texts),
    (
        "archMap",
        Shape::Objects(&[
            ("architecture", Shape::Text),
            ("subArchitectures", Shape::Texts),
        ]),
    ),
    ("flags", Shape::Texts),
    ("listenerPath", Shape::Text),
    ("listenerMetadata", Shape::Text),
    ("syscalls", Shape::Objects(RULE)),
]);

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

const ARGUMENT: &[(&str, Shape)] = &[
    ("index", Shape::Number),
    ("value", Shape::Number),
    ("valueTwo", Shape::Number),
    ("op", Shape::Text),
];

const CONDITIONS: &[(&str, Shape)] = &[
    ("caps", Shape::Texts),
    ("arches", Shape::Texts),
    ("minKernel", Shape::Text),
];

#[cfg(test)]
mod tests;
