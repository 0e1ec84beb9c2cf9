//! A profile in Docker's form, as a file for `--security-opt seccomp=` has it: read as dockerd
//! reads it, and checked further.
//!
//! dockerd's reader is Go's `encoding/json`: keys in any case, null for nothing, strange keys
//! passed over. A file that it would take is taken with the same meaning, or refused; never with
//! another. Refused beyond what dockerd refuses is what runc would refuse at create (words that it
//! doesn't know), in rules that the container at hand doesn't get, too.
//!
//! What must not be forgotten: the tree is kept beside the reading, with what we don't know in it,
//! for who edits and writes the file. In it known keys have their usual spelling and stand once, so
//! that an edit of `syscalls` is an edit of what Docker reads.

use serde_json::{Map, Value, json};

use super::go_json;
use crate::seccomp::Fault;
use crate::seccomp::filter::Filter;
use crate::text::is_same_key_to_go;

/// The most bytes that a profile may have. The longest that is known has 18 KiB.
pub const LONGEST: usize = 1 << 20;

/// A profile, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    tree: Value,
    /// Empty where it is missing.
    pub(in crate::seccomp) default_action: String,
    pub(in crate::seccomp) default_errno: Option<u64>,
    /// For every machine. Either this or `arch_map` is empty.
    pub(in crate::seccomp) architectures: Vec<String>,
    /// By the machine's own architecture.
    pub(in crate::seccomp) arch_map: Vec<Machine>,
    pub(in crate::seccomp) flags: Vec<String>,
    pub(in crate::seccomp) listener_path: String,
    pub(in crate::seccomp) listener_metadata: String,
    pub(in crate::seccomp) rules: Vec<Rule>,
}

/// The architectures of one kind of machine.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::seccomp) struct Machine {
    pub(in crate::seccomp) own: String,
    pub(in crate::seccomp) further: Vec<String>,
}

/// One rule, and which containers get it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::seccomp) struct Rule {
    /// The rule without its conditions, as the OCI specification has it.
    pub(in crate::seccomp) plain: Value,
    pub(in crate::seccomp) includes: Conditions,
    pub(in crate::seccomp) excludes: Conditions,
}

/// What a rule's being there depends on.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::seccomp) struct Conditions {
    pub(in crate::seccomp) capabilities: Vec<String>,
    /// By dockerd's own words (`amd64`, `x86`).
    pub(in crate::seccomp) architectures: Vec<String>,
    pub(in crate::seccomp) kernel: Option<(u32, u32)>,
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
        let tree = settled(tree, &PROFILE, "")?;
        let entries = list(&tree, "syscalls").iter().enumerate();
        let rules = entries
            .map(|(at, entry)| rule(entry, &format!("syscalls[{at}]")))
            .collect::<Result<_, _>>()?;
        let machine = |entry: &Value| Machine {
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

    /// The whole file, with what we don't know in it; known keys in their usual spelling, each
    /// once.
    #[must_use]
    pub fn tree(&self) -> &Value {
        &self.tree
    }

    /// Whether it says nothing at all, which means to dockerd **no filter**: the container is
    /// unconfined.
    #[must_use]
    pub fn is_unconfined(&self) -> bool {
        self.default_action.is_empty() && self.rules.is_empty()
    }

    /// Every capability that a rule depends on.
    pub(in crate::seccomp) fn capabilities(&self) -> impl Iterator<Item = &String> {
        self.rules.iter().flat_map(|rule| {
            [&rule.includes, &rule.excludes]
                .into_iter()
                .flat_map(|it| &it.capabilities)
        })
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
        Filter::read(&self.tree).map(drop)
    }
}

fn rule(entry: &Value, place: &str) -> Result<Rule, Fault> {
    let name = string(entry, "name");
    if !name.is_empty() && !list(entry, "names").is_empty() {
        return Err(Fault::new(
            format!("{place}.name"),
            "stands beside names; only one of them may",
        ));
    }
    Ok(Rule {
        plain: plain(entry, name),
        includes: conditions(entry, place, "includes")?,
        excludes: conditions(entry, place, "excludes")?,
    })
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

fn conditions(entry: &Value, place: &str, key: &str) -> Result<Conditions, Fault> {
    let entry = entry.get(key).unwrap_or(&Value::Null);
    let kernel = match entry.get("minKernel") {
        None | Some(Value::Null) => None,
        Some(_) => Some(version(string(entry, "minKernel")).ok_or_else(|| {
            Fault::new(
                format!("{place}.{key}.minKernel"),
                "not a kernel version of the form N.N, each up to 255",
            )
        })?),
    };
    Ok(Conditions {
        capabilities: strings(entry, "caps"),
        architectures: strings(entry, "arches"),
        kernel,
    })
}

/// A kernel's version. The empty one is to dockerd the version 0.0, which every kernel has reached:
/// a rule that *excludes* it is never there.
fn version(text: &str) -> Option<(u32, u32)> {
    if text.is_empty() {
        return Some((0, 0));
    }
    let number = |digits: &str| {
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u8>().ok().filter(|_| plain).map(u32::from)
    };
    let (kernel, major) = text.split_once('.')?;
    Some((number(kernel)?, number(major)?)).filter(|version| *version != (0, 0))
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

/// The same value with its known keys in their usual spelling, each once.
fn settled(value: Value, shape: &Shape, place: &str) -> Result<Value, Fault> {
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
            .is_some_and(|earlier| !go_json::replaces(&value, earlier))
        {
            return Err(Fault::new(place, go_json::MIXED));
        }
        result.insert((*name).to_owned(), value);
    }
    Ok(Value::Object(result))
}

fn string<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(entry: &Value, key: &str) -> Option<u64> {
    entry.get(key).and_then(Value::as_u64)
}

fn list<'a>(entry: &'a Value, key: &str) -> &'a [Value] {
    entry
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A list of strings; a null in it is to Go the empty one.
fn strings(entry: &Value, key: &str) -> Vec<String> {
    list(entry, key)
        .iter()
        .map(|text| text.as_str().unwrap_or_default().to_owned())
        .collect()
}

#[cfg(test)]
mod tests;
