//! Keys as Go's `encoding/json` reads them: in any case. A key that only Go would take for a known one is refused.
//!
//! What must not be forgotten: Go folds two letters beyond ASCII as well, `ſ` (U+017F) to s and `K` (U+212A) to k
//! (`foldFunc` in encoding/json), so `hooKs` with a Kelvin sign is `hooks` to runc and a stranger to us.

use super::{Object, SpecError};

/// Every key that this program reads or writes, at whatever level it stands.
const KNOWN: &[&str] = &[
    "allow",
    "ambient",
    "annotations",
    "args",
    "bounding",
    "capabilities",
    "containerID",
    "createRuntime",
    "destination",
    "devices",
    "effective",
    "env",
    "gidMappings",
    "hooks",
    "hostID",
    "inheritable",
    "linux",
    "major",
    "maskedPaths",
    "minor",
    "mounts",
    "namespaces",
    "path",
    "permitted",
    "process",
    "resources",
    "seccomp",
    "size",
    "source",
    "timeout",
    "type",
    "uidMappings",
];

/// Refuses keys that differ from a known one only in case.
pub(super) fn check(object: &Object) -> Result<(), SpecError> {
    for key in object.keys() {
        if let Some(known) = KNOWN.iter().find(|known| key != *known && folds_to(key, known)) {
            return Err(SpecError::AmbiguousKey { found: key.escape_debug().collect(), known });
        }
    }
    Ok(())
}

/// Whether Go's reader takes `key` for `known`.
fn folds_to(key: &str, known: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(known.chars().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(key: &str) -> Result<(), SpecError> {
        check(&[(key.to_owned(), serde_json::Value::Null)].into_iter().collect())
    }

    #[test]
    fn a_known_key_in_another_case_is_refused() {
        for key in ["Namespaces", "NAMESPACES", "uidmappings", "hoo\u{212a}s", "mount\u{17f}"] {
            assert!(matches!(verdict(key), Err(SpecError::AmbiguousKey { .. })), "{key}");
        }
    }

    #[test]
    fn known_and_strange_keys_pass() {
        for key in ["namespaces", "uidMappings", "x-vendor", "namespace", ""] {
            assert_eq!(verdict(key), Ok(()), "{key}");
        }
    }
}
