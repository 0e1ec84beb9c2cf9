//! The control group that the engine asks for. The filter's own is created beside it.
//!
//! An empty path is removed: libcontainer reads it as its caller's own group, and it kills every
//! process in a container's group when it removes that. For the same reason a path that leads to
//! the root group is refused: every process is in it, and there is no place beside it.

use std::path::{Component, Path};

use serde_json::Value;

use super::checked::Spec;
use super::error::SpecError;
use super::json::{object, object_mut};

/// Checks `linux.cgroupsPath`, and removes an empty one.
pub(super) fn edit(spec: &mut Value) -> Result<(), SpecError> {
    match stated(spec)? {
        Some(path) if path.is_empty() => {
            object_mut(spec, "linux")?.shift_remove("cgroupsPath");
            Ok(())
        }
        Some(path) if names_the_root(&path) => Err(SpecError::RootGroup),
        _ => Ok(()),
    }
}

/// `linux.cgroupsPath`, unchanged: a path, or the slice and scope to request from systemd.
///
/// # Errors
/// [`SpecError::Type`] for what is not a string.
pub fn path(spec: &Spec) -> Result<Option<String>, SpecError> {
    stated(spec)
}

fn stated(spec: &Value) -> Result<Option<String>, SpecError> {
    let linux = object(spec, "linux")?;
    match linux.and_then(|linux| linux.get("cgroupsPath")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(path)) => Ok(Some(path.clone())),
        Some(_) => Err(SpecError::Type("cgroupsPath", "a string")),
    }
}

/// Whether nothing is left of a path once it is cleaned.
fn names_the_root(path: &str) -> bool {
    let depth = Path::new(path)
        .components()
        .fold(0_usize, |depth, part| match part {
            Component::Normal(_) => depth + 1,
            Component::ParentDir => depth.saturating_sub(1),
            _ => depth,
        });
    depth == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn edited(value: &Value) -> Result<Value, SpecError> {
        let mut spec = json!({"linux": {"cgroupsPath": value}});
        edit(&mut spec).map(|()| spec["linux"].clone())
    }

    #[test]
    fn what_is_not_a_string_is_refused() {
        assert!(edited(&json!(["/x"])).is_err() && edited(&json!(7)).is_err());
    }

    #[test]
    fn an_empty_path_is_removed_and_any_other_stays() {
        assert_eq!(edited(&json!("")), Ok(json!({})));
        for path in [
            "x",
            "/docker/ID",
            "../x",
            "/a/../b",
            "system.slice:docker:ID",
            "::",
            "...",
        ] {
            assert_eq!(edited(&json!(path)), Ok(json!({"cgroupsPath": path})));
        }
        let mut without = json!({});
        assert_eq!(edit(&mut without), Ok(()));
        assert_eq!(without, json!({}));
    }

    #[test]
    fn the_root_is_refused_in_every_spelling() {
        for path in [
            "/",
            "//",
            ".",
            "./",
            "..",
            "/..",
            "/a/..",
            "a/b/../../..",
            "/../../",
        ] {
            assert_eq!(edited(&json!(path)), Err(SpecError::RootGroup), "{path}");
        }
    }
}
