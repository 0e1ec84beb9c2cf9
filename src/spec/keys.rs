//! Keys as Go's `encoding/json` reads them: in any case. A key that only Go would take for a known
//! one is refused.
//!
//! Go folds two letters beyond ASCII as well ([`is_same_key_to_go`]), so `hooKs` with a Kelvin sign
//! is `hooks` to runc and an unknown key to serde.

use serde_json::Value;

use super::error::SpecError;
use super::json::Object;
use crate::escape::quoted;
use crate::text::is_same_key_to_go;

/// Every key that this program reads or writes, at any level.
const KNOWN: &[&str] = &[
    "access",
    "action",
    "allow",
    "ambient",
    "annotations",
    "apparmorProfile",
    "architectures",
    "args",
    "bounding",
    "capabilities",
    "cgroupsPath",
    "containerID",
    "createRuntime",
    "defaultAction",
    "defaultErrnoRet",
    "destination",
    "devices",
    "effective",
    "env",
    "errnoRet",
    "gidMappings",
    "hooks",
    "hostID",
    "index",
    "inheritable",
    "linux",
    "major",
    "maskedPaths",
    "minor",
    "mounts",
    "names",
    "namespaces",
    "netDevices",
    "op",
    "options",
    "path",
    "permitted",
    "poststop",
    "process",
    "rdma",
    "resources",
    "root",
    "seccomp",
    "selinuxLabel",
    "size",
    "source",
    "syscalls",
    "timeout",
    "type",
    "uid",
    "uidMappings",
    "user",
    "value",
    "valueTwo",
];

/// Refuses keys that differ from a known one only in case.
pub(super) fn check(object: &Object) -> Result<(), SpecError> {
    for key in object.keys() {
        if let Some(known) = KNOWN
            .iter()
            .find(|known| key != *known && is_same_key_to_go(key, known))
        {
            return Err(SpecError::AmbiguousKey {
                found: quoted(key),
                known,
            });
        }
    }
    Ok(())
}

/// The same for an object and all objects in it, which are as deep as JSON may be nested.
pub(super) fn check_deep(object: &Object) -> Result<(), SpecError> {
    check(object)?;
    object.values().try_for_each(check_value)
}

fn check_value(value: &Value) -> Result<(), SpecError> {
    match value {
        Value::Object(object) => check_deep(object),
        Value::Array(list) => list.iter().try_for_each(check_value),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(key: &str) -> Result<(), SpecError> {
        check(&[(key.to_owned(), Value::Null)].into_iter().collect())
    }

    #[test]
    fn a_known_key_in_another_case_is_refused() {
        for key in [
            "Namespaces",
            "NAMESPACES",
            "uidmappings",
            "hoo\u{212a}s",
            "mount\u{17f}",
        ] {
            assert!(
                matches!(verdict(key), Err(SpecError::AmbiguousKey { .. })),
                "{key}"
            );
        }
    }

    #[test]
    fn known_and_strange_keys_pass() {
        for key in ["namespaces", "uidMappings", "x-vendor", "namespace", ""] {
            assert_eq!(verdict(key), Ok(()), "{key}");
        }
    }
}
