//! Writes decisions into the JSON tree, which was read without fault and has its keys in their
//! usual spelling.
//!
//! It must not decide anything.
//!
//! Invariant: each alternative gets an entry of its own. Two conditions on one argument in a single
//! entry mean "or" to runc and crun, and are an error to others.

use serde_json::{Map, Value, json};

use super::allowances::{Allowance, Alternative};
use super::plan::{Decision, Edit};
use super::variants::{Place, S390};
use crate::seccomp::docker::go_json::strings;
use crate::seccomp::filter::{Condition, Test};
use crate::seccomp::tier::Grant;

/// Carries out what was decided for one grant.
pub(super) fn apply(tree: &mut Value, grant: &Grant, decisions: &[Decision]) {
    let Some(tree) = tree.as_object_mut() else {
        return;
    };
    let mut entries = Vec::new();
    if let Some(Value::Array(old)) = tree.get_mut("syscalls").map(Value::take) {
        for (at, entry) in old.into_iter().enumerate() {
            let edits = decisions
                .iter()
                .filter_map(|decision| Some((decision.place, decision.edits.get(&at)?)));
            let edits: Vec<(Place, &Edit)> = edits.collect();
            match entry {
                Value::Object(entry)
                    if edits
                        .iter()
                        .any(|(_, edit)| matches!(edit, Edit::Replace(_))) =>
                {
                    replace(&mut entries, entry, grant.syscall, &edits);
                }
                entry => entries.push(entry),
            }
        }
    }
    let added = decisions
        .iter()
        .filter_map(|decision| Some((decision.place, decision.added?)));
    entries.extend(
        added.map(|(place, allowance)| Value::Object(allowing(grant.syscall, place, allowance))),
    );
    tree.insert("syscalls".to_owned(), Value::Array(entries));
}

/// Puts in an entry's place the entry without the call, and what is left of it for the call.
fn replace(
    entries: &mut Vec<Value>,
    mut entry: Map<String, Value>,
    call: &str,
    edits: &[(Place, &Edit)],
) {
    let mut names = entry
        .insert("names".to_owned(), json!([call]))
        .unwrap_or_default();
    if let Some(names) = names.as_array_mut() {
        names.retain(|name| name != call);
        if !names.is_empty() {
            let mut others = entry.clone();
            others.insert("names".to_owned(), json!(names));
            entries.push(Value::Object(others));
        }
    }
    for (place, edit) in edits {
        let mut own = entry.clone();
        restrict(&mut own, *place);
        match edit {
            Edit::Keep | Edit::Free => entries.push(Value::Object(own)),
            Edit::Replace(left) => entries.extend(
                left.iter()
                    .map(|alternative| with_conditions(&own, alternative)),
            ),
        }
    }
}

/// The entry with other conditions. Those that it had stay as they stood there.
fn with_conditions(entry: &Map<String, Value>, alternative: &Alternative) -> Value {
    let known = entry
        .get("args")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let written = |condition: &Condition| {
        let there = known.iter().find(|arg| same(arg, condition)).cloned();
        there.unwrap_or_else(|| json_of(condition))
    };
    let conditions: Vec<Value> = alternative.iter().map(written).collect();
    let mut entry = entry.clone();
    entry.insert("args".to_owned(), Value::Array(conditions));
    Value::Object(entry)
}

/// A rule for the granted calls, as Docker writes its own.
fn allowing(call: &str, place: Place, allowance: Allowance) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("names".to_owned(), json!([call]));
    entry.insert("action".to_owned(), json!("SCMP_ACT_ALLOW"));
    if let Some(condition) = allowance.condition() {
        entry.insert("args".to_owned(), json!([json_of(&condition)]));
    }
    restrict(&mut entry, place);
    entry
}

fn json_of(condition: &Condition) -> Value {
    let (value, second, operator) = parts(condition.test);
    let mut written = Map::new();
    written.insert("index".to_owned(), json!(condition.argument));
    written.insert("value".to_owned(), json!(value));
    if second != 0 {
        written.insert("valueTwo".to_owned(), json!(second));
    }
    written.insert("op".to_owned(), json!(operator));
    Value::Object(written)
}

/// Whether a condition stands there so.
fn same(arg: &Value, condition: &Condition) -> bool {
    let (value, second, operator) = parts(condition.test);
    let number = |key: &str| arg.get(key).and_then(Value::as_u64).unwrap_or_default();
    number("index") == u64::from(condition.argument)
        && number("value") == value
        && (number("valueTwo") == second || !matches!(condition.test, Test::Masked { .. }))
        && arg.get("op").and_then(Value::as_str) == Some(operator)
}

/// What a test is in files: `value`, `valueTwo`, `op`.
fn parts(test: Test) -> (u64, u64, &'static str) {
    match test {
        Test::NotEqual(value) => (value, 0, "SCMP_CMP_NE"),
        Test::Less(value) => (value, 0, "SCMP_CMP_LT"),
        Test::LessOrEqual(value) => (value, 0, "SCMP_CMP_LE"),
        Test::Equal(value) => (value, 0, "SCMP_CMP_EQ"),
        Test::GreaterOrEqual(value) => (value, 0, "SCMP_CMP_GE"),
        Test::Greater(value) => (value, 0, "SCMP_CMP_GT"),
        Test::Masked { mask, value } => (mask, value, "SCMP_CMP_MASKED_EQ"),
    }
}

/// Restricts an entry to these machines. It must hold on one of them.
fn restrict(entry: &mut Map<String, Value>, place: Place) {
    let included = arches(entry, "includes");
    let holds =
        |names: &[String]| !names.is_empty() && names.iter().all(|name| place.has(Some(name)));
    match place {
        _ if place == Place::Any || holds(&included) => {}
        Place::S390 => {
            let both = S390.map(str::to_owned).to_vec();
            let named: Vec<_> = included
                .into_iter()
                .filter(|name| place.has(Some(name)))
                .collect();
            set_arches(
                entry,
                "includes",
                if named.is_empty() { both } else { named },
            );
        }
        _ => {
            let mut excluded = arches(entry, "excludes");
            let missing: Vec<_> = S390
                .iter()
                .filter(|name| !excluded.iter().any(|there| there == *name))
                .collect();
            excluded.extend(missing.into_iter().map(|name| (*name).to_owned()));
            set_arches(entry, "excludes", excluded);
        }
    }
}

fn arches(entry: &Map<String, Value>, key: &str) -> Vec<String> {
    entry
        .get(key)
        .map(|limits| strings(limits, "arches"))
        .unwrap_or_default()
}

fn set_arches(entry: &mut Map<String, Value>, key: &str, arches: Vec<String>) {
    let limits = entry.entry(key).or_insert(Value::Null);
    match limits {
        Value::Object(limits) => drop(limits.insert("arches".to_owned(), json!(arches))),
        _ => *limits = json!({ "arches": arches }),
    }
}
