//! A runtime's entry in one of containerd's files: what makes it ours, and what it takes over from
//! runc's entry. Must not know files.
//!
//! Invariant: all runtimes of a node use the same cgroup driver, so our entry follows runc's.

use toml_edit::{InlineTable, Item, Table, TableLike, Value, value};

use super::malformed::MalformedToml;

/// Of what the runtime is for containerd: runc's own shim, which runs the program in `BinaryName`.
const RUNTIME_TYPE: &str = "io.containerd.runc.v2";
/// What users may say with annotations, as containerd hands it on (Go's `path.Match`).
const ANNOTATIONS: &str = "boundary.*";
/// Stands above the entry for runc that an entry for us needs.
const STAND_IN: &str =
    "# What containerd 1.x has by itself, and drops where any other runtime is written.";

/// An entry for us which is like runc's but for what makes it ours.
pub(super) fn like(runc: Option<Table>, binary: &str) -> Result<Table, MalformedToml> {
    let mut entry = Item::Table(runc.unwrap_or_default());
    let systemd_cgroup = entry.as_table_like().and_then(systemd_cgroup);
    fit(&mut entry, binary, systemd_cgroup)?;
    entry
        .into_table()
        .map_err(|_| MalformedToml::NotATable("runtimes".to_owned()))
}

/// runc as it is without an entry.
pub(super) fn stand_in() -> Table {
    let mut entry = Table::new();
    entry.insert("runtime_type", value(RUNTIME_TYPE));
    entry.decor_mut().set_prefix(format!("\n{STAND_IN}\n"));
    entry
}

pub(super) fn is_stand_in(entry: &Table) -> bool {
    entry
        .decor()
        .prefix()
        .and_then(|prefix| prefix.as_str())
        .is_some_and(|prefix| prefix.contains(STAND_IN))
}

pub(super) fn is_runtime(entry: &dyn TableLike) -> bool {
    entry.get("runtime_type").and_then(Item::as_str) == Some(RUNTIME_TYPE)
}

/// The program that a runtime's entry names.
pub(super) fn binary_name(entry: &(impl TableLike + ?Sized)) -> Option<&str> {
    entry.get("options")?.get("BinaryName")?.as_str()
}

/// Who makes the cgroups; the same for all runtimes of a node, or the kubelet loses sight of some.
pub(super) fn systemd_cgroup(entry: &(impl TableLike + ?Sized)) -> Option<bool> {
    entry.get("options")?.get("SystemdCgroup")?.as_bool()
}

/// Adds what `from` says, over what `into` says, without its comments.
pub(super) fn merge(into: &mut Table, from: &dyn TableLike) {
    for (key, item) in from.iter() {
        if let Some(from) = item.as_table_like() {
            if !into.get(key).is_some_and(Item::is_table) {
                into.insert(key, Item::Table(Table::new()));
            }
            into.get_mut(key)
                .and_then(Item::as_table_mut)
                .into_iter()
                .for_each(|into| merge(into, from));
        } else if let Some(found) = item.as_value() {
            let mut found = found.clone();
            found.decor_mut().clear();
            into.insert(key, Item::Value(found));
        }
    }
}

pub(super) fn fit(
    entry: &mut Item,
    binary: &str,
    systemd_cgroup: Option<bool>,
) -> Result<bool, MalformedToml> {
    let mut changed = set(entry, "runtime_type", Some(RUNTIME_TYPE.into()))?;
    for key in ["pod_annotations", "container_annotations"] {
        changed |= allow_annotations(entry, key)?;
    }
    let options = child(entry, "options")?;
    changed |= set(options, "BinaryName", Some(binary.into()))?;
    changed |= set(options, "SystemdCgroup", systemd_cgroup.map(Value::from))?;
    Ok(changed)
}

/// Gives a key its value, or takes the key away; says whether it was different.
fn set(item: &mut Item, key: &str, wanted: Option<Value>) -> Result<bool, MalformedToml> {
    let table = item
        .as_table_like_mut()
        .ok_or_else(|| MalformedToml::NotATable(key.to_owned()))?;
    let same = table.get(key).and_then(Item::as_value).map(meaning) == wanted.as_ref().map(meaning);
    if same {
        return Ok(false);
    }
    match wanted {
        Some(wanted) => table.insert(key, value(wanted)),
        None => table.remove(key),
    };
    Ok(true)
}

/// Strings and booleans without how they are written.
fn meaning(value: &Value) -> (Option<String>, Option<bool>) {
    (value.as_str().map(str::to_owned), value.as_bool())
}

fn allow_annotations(entry: &mut Item, key: &str) -> Result<bool, MalformedToml> {
    let table = entry
        .as_table_like_mut()
        .ok_or_else(|| MalformedToml::NotATable("runtimes".to_owned()))?;
    match table.get_mut(key).and_then(Item::as_array_mut) {
        Some(list)
            if list
                .iter()
                .any(|pattern| pattern.as_str() == Some(ANNOTATIONS)) =>
        {
            return Ok(false);
        }
        Some(list) => list.push(ANNOTATIONS),
        None => drop(table.insert(key, value(Value::from_iter([ANNOTATIONS])))),
    }
    Ok(true)
}

/// A table in a table, made where it isn't there, in the way that the outer one is written.
pub(super) fn child<'a>(item: &'a mut Item, key: &str) -> Result<&'a mut Item, MalformedToml> {
    let inline = item.is_inline_table();
    let table = item
        .as_table_like_mut()
        .ok_or_else(|| MalformedToml::NotATable(key.to_owned()))?;
    let made = || {
        let mut made = Table::new();
        made.set_implicit(true);
        if inline {
            value(InlineTable::new())
        } else {
            Item::Table(made)
        }
    };
    let found = table.entry(key).or_insert_with(made);
    if found.is_table_like() {
        Ok(found)
    } else {
        Err(MalformedToml::NotATable(key.to_owned()))
    }
}
