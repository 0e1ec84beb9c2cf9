//! `linux.namespaces` of a spec.

use std::path::PathBuf;

use serde_json::Value;

use super::error::SpecError;
use super::json::{Object, array, object, object_mut};

/// The one entry of a namespace type.
pub(super) fn namespace<'a>(
    spec: &'a Value,
    kind: &'static str,
) -> Result<Option<&'a Object>, SpecError> {
    let Some(linux) = object(spec, "linux")? else {
        return Ok(None);
    };
    let of_kind = |entry: &&Value| entry.get("type").and_then(Value::as_str) == Some(kind);
    let mut found = array(linux, "namespaces")?.iter().filter(of_kind);
    let first = found.next().and_then(Value::as_object);
    if found.next().is_some() {
        Err(SpecError::TwiceListed(kind))
    } else {
        Ok(first)
    }
}

/// The path that a namespace entry names. An empty one means a new namespace, as none does.
pub(super) fn namespace_path(
    spec: &Value,
    kind: &'static str,
) -> Result<Option<PathBuf>, SpecError> {
    match namespace(spec, kind)?.and_then(|entry| entry.get("path")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(path)) if path.is_empty() => Ok(None),
        Some(Value::String(path)) => Ok(Some(PathBuf::from(path))),
        Some(_) => Err(SpecError::Type("path", "a string")),
    }
}

/// The list of namespaces, to be edited.
pub(super) fn namespaces_mut(spec: &mut Value) -> Result<&mut Vec<Value>, SpecError> {
    let list = object_mut(spec, "linux")?
        .entry("namespaces")
        .or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut()
        .ok_or(SpecError::Type("namespaces", "a list"))
}
