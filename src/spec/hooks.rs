//! Our hook in `config.json`: it makes the gateway after the namespaces have been created and
//! before the container's first instruction.
//!
//! `createRuntime` hooks run after every `prestart` hook, in the host's namespaces (runtime-spec,
//! config.md, "POSIX-platform Hooks"): Docker's own `libnetwork-setkey` has put the interface in by
//! then.

use serde_json::{Value, json};

use super::error::SpecError;
use super::json::object_mut;

/// The arguments by which our hook is recognised, also where an older version had another path.
const ARGUMENTS: [&str; 2] = ["boundary-shim", "hook"];

/// Seconds until the runtime gives up on us. The hook gives up by itself long before.
const TIMEOUT: u32 = 30;

/// Puts our hook behind all others, in place of an older one of ours.
pub(super) fn append(spec: &mut Value, program: &str) -> Result<(), SpecError> {
    let list = object_mut(spec, "hooks")?
        .entry("createRuntime")
        .or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    let list = list
        .as_array_mut()
        .ok_or(SpecError::Type("createRuntime", "a list"))?;
    list.retain(|hook| !is_ours(hook));
    list.push(json!({
        "path": program,
        "args": ARGUMENTS,
        // Never empty: runc hands its own environment to a hook that lists none.
        "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        "timeout": TIMEOUT,
    }));
    Ok(())
}

fn is_ours(hook: &Value) -> bool {
    let argument = |index: usize| hook.get("args")?.get(index)?.as_str();
    ARGUMENTS
        .iter()
        .enumerate()
        .all(|(index, expected)| argument(index) == Some(expected))
}
