//! Refuses containers that can act through the host, which no filtering of their packets prevents.
//!
//! Nor would taking their capabilities (`pod-capabilities = "drop"`): without a single one, root in
//! a privileged container opens the host's disks, whose nodes it has and whose owner it is, and
//! writes `/proc/sys`, which asks for the user alone (`core_pattern` names a program that the
//! kernel runs as the host's root).

use serde_json::Value;

use super::capabilities;
use super::error::SpecError;
use super::input::RewriteInput;
use super::json::{Object, object};
use super::namespaces::namespace;
use super::pod;
use crate::settings::Privileged;

/// Refuses containers that see the host's devices, processes or mounts, through which they can act.
pub(super) fn refuse(spec: &Value, input: &RewriteInput) -> Result<(), SpecError> {
    if input.privileged == Privileged::Allow {
        return Ok(());
    }
    if namespace(spec, "pid")?.is_none() || input.host_processes {
        return Err(SpecError::HostProcesses);
    }
    if namespace(spec, "mount")?.is_none() {
        return Err(SpecError::HostMounts);
    }
    let linux = object(spec, "linux")?;
    let unset = |key: &str| {
        linux
            .and_then(|linux| linux.get(key))
            .is_none_or(Value::is_null)
    };
    let everything = spec
        .get("process")
        .is_some_and(capabilities::holds_everything);
    if everything
        && unset("seccomp")
        && (unset("maskedPaths") || linux.is_some_and(allows_every_device))
    {
        return Err(match pod::namespace(spec) {
            Some(_) => SpecError::PrivilegedPod,
            None => SpecError::Privileged,
        });
    }
    Ok(())
}

/// Whether a rule of the device cgroup opens all devices.
fn allows_every_device(linux: &Object) -> bool {
    let rules = linux
        .get("resources")
        .and_then(|resources| resources.get("devices"))
        .and_then(Value::as_array);
    rules.into_iter().flatten().any(|rule| {
        let any = |key: &str, wild: &Value| {
            rule.get(key)
                .is_none_or(|value| value.is_null() || value == wild)
        };
        rule.get("allow") == Some(&Value::Bool(true))
            && any("type", &"a".into())
            && any("major", &(-1).into())
            && any("minor", &(-1).into())
    })
}
