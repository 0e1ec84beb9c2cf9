//! Our hooks in `config.json`. The one makes the gateway after the namespaces have been created and
//! before the container's first instruction; the other puts the file back as it was when the
//! container has been deleted, by whichever verb.
//!
//! `createRuntime` hooks run after every `prestart` hook, in the host's namespaces (runtime-spec,
//! config.md, "POSIX-platform Hooks"): Docker's own `libnetwork-setkey` has put the interface in by
//! then.

use serde_json::{Value, json};

use super::error::SpecError;
use super::json::object_mut;

/// The arguments by which our hooks are recognised, also where an older version had another path.
const ARGUMENTS: [&str; 2] = ["boundary-shim", "hook"];

/// The word that follows them where the container has been deleted.
pub const POSTSTOP: &str = "poststop";

/// Seconds until the runtime gives up on us. The hook gives up by itself long before.
const TIMEOUT: u32 = 30;

/// Puts our hooks in, in the place of older ones of ours: behind all others that make the
/// container, and before all others that follow its end, since runc calls none after one that
/// failed.
pub(super) fn add(spec: &mut Value, program: &str) -> Result<(), SpecError> {
    let hook = |arguments: &[&str]| {
        json!({
        "path": program,
        "args": arguments,
        // Never empty: runc hands its own environment to a hook that lists none.
        "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        "timeout": TIMEOUT,
        })
    };
    let [program_name, word] = ARGUMENTS;
    others(spec, "createRuntime")?.push(hook(&ARGUMENTS));
    others(spec, "poststop")?.insert(0, hook(&[program_name, word, POSTSTOP]));
    Ok(())
}

/// Whether others have hooks that run in the container's namespaces, after ours and before its first
/// instruction.
pub(crate) fn others_run_inside(spec: &Value) -> bool {
    let listed = |stage: &str| match spec.get("hooks").and_then(|hooks| hooks.get(stage)) {
        None | Some(Value::Null) => false,
        Some(Value::Array(hooks)) => !hooks.is_empty(),
        // Whatever a runtime makes of it.
        Some(_) => true,
    };
    ["createContainer", "startContainer"]
        .into_iter()
        .any(listed)
}

/// The hooks of a stage that aren't ours.
fn others<'a>(spec: &'a mut Value, stage: &'static str) -> Result<&'a mut Vec<Value>, SpecError> {
    let list = object_mut(spec, "hooks")?
        .entry(stage)
        .or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    let list = list
        .as_array_mut()
        .ok_or(SpecError::Type(stage, "a list"))?;
    list.retain(|hook| !is_ours(hook));
    Ok(list)
}

fn is_ours(hook: &Value) -> bool {
    let argument = |index: usize| hook.get("args")?.get(index)?.as_str();
    ARGUMENTS
        .iter()
        .enumerate()
        .all(|(index, expected)| argument(index) == Some(expected))
}
