//! From groups to Docker's format: one entry for all that is allowed whatever the conditions, then
//! one for each set of conditions, with sorted names and no empty fields.
//!
//! Invariant: the order of a call's rules is kept, since libseccomp goes by order where rules of a
//! call overlap.

use serde_json::{Map, Value, json};

use super::profile_file::{Architecture, Condition, Group, Limits, ProfileFile};
use super::release::Release;

/// What is said of calls, apart from their names. The default one allows them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Terms<'a> {
    errno: Option<u16>,
    conditions: &'a [Condition],
    includes: Option<&'a Limits>,
    excludes: Option<&'a Limits>,
}

/// The profile of a release: what is common, then the engine's own.
pub(super) fn profile(common: &ProfileFile, own: &ProfileFile, release: Release) -> Value {
    let mut profile = Map::new();
    profile.insert("defaultAction".to_owned(), json!("SCMP_ACT_ERRNO"));
    if let Some(default) = own
        .default_errno
        .as_ref()
        .filter(|default| default.versions.hold(release))
    {
        profile.insert("defaultErrnoRet".to_owned(), json!(default.number));
    }
    let architectures = own
        .architectures
        .iter()
        .filter(|architecture| architecture.versions.hold(release));
    profile.insert(
        "archMap".to_owned(),
        architectures.map(architecture).collect(),
    );
    let groups = common
        .groups
        .iter()
        .chain(&own.groups)
        .filter(|group| group.versions.hold(release));
    profile.insert(
        "syscalls".to_owned(),
        entries(groups).into_iter().map(entry).collect(),
    );
    Value::Object(profile)
}

fn architecture(architecture: &Architecture) -> Value {
    let mut written = Map::new();
    written.insert("architecture".to_owned(), json!(architecture.name));
    insert_list(&mut written, "subArchitectures", &architecture.also);
    Value::Object(written)
}

/// The names of all calls that are under the same terms, for each terms that there are.
fn entries<'a>(groups: impl Iterator<Item = &'a Group>) -> Vec<(Terms<'a>, Vec<&'static str>)> {
    let mut entries = vec![(Terms::default(), Vec::new())];
    for group in groups {
        for terms in terms(group) {
            match entries.iter_mut().find(|(known, _)| *known == terms) {
                Some((_, names)) => names.extend(&group.calls),
                None => entries.push((terms, group.calls.clone())),
            }
        }
    }
    entries
}

fn terms(group: &Group) -> Vec<Terms<'_>> {
    let terms = |conditions| Terms {
        errno: group.errno,
        conditions,
        includes: group.includes.as_ref(),
        excludes: group.excludes.as_ref(),
    };
    match group.alternatives[..] {
        [] => vec![terms(&[])],
        ref alternatives => alternatives
            .iter()
            .map(|conditions| terms(&conditions.0))
            .collect(),
    }
}

fn entry((terms, mut names): (Terms<'_>, Vec<&'static str>)) -> Value {
    let mut entry = Map::new();
    names.sort_unstable();
    entry.insert("names".to_owned(), json!(names));
    entry.insert(
        "action".to_owned(),
        json!(terms.errno.map_or("SCMP_ACT_ALLOW", |_| "SCMP_ACT_ERRNO")),
    );
    if let Some(errno) = terms.errno {
        entry.insert("errnoRet".to_owned(), json!(errno));
    }
    if !terms.conditions.is_empty() {
        entry.insert(
            "args".to_owned(),
            terms.conditions.iter().map(condition).collect(),
        );
    }
    for (key, limits) in [("includes", terms.includes), ("excludes", terms.excludes)] {
        if let Some(limits) = limits {
            entry.insert(key.to_owned(), self::limits(limits));
        }
    }
    Value::Object(entry)
}

fn condition(condition: &Condition) -> Value {
    let mut written = Map::new();
    written.insert("index".to_owned(), json!(condition.index));
    written.insert("value".to_owned(), json!(condition.value));
    if condition.value_two != 0 {
        written.insert("valueTwo".to_owned(), json!(condition.value_two));
    }
    written.insert("op".to_owned(), json!(condition.op));
    Value::Object(written)
}

fn limits(limits: &Limits) -> Value {
    let mut written = Map::new();
    insert_list(&mut written, "caps", &limits.caps);
    insert_list(&mut written, "arches", &limits.arches);
    if let Some(kernel) = limits.kernel {
        written.insert("minKernel".to_owned(), json!(kernel));
    }
    Value::Object(written)
}

fn insert_list(into: &mut Map<String, Value>, key: &str, list: &[&str]) {
    if !list.is_empty() {
        into.insert(key.to_owned(), json!(list));
    }
}
