//! Reading and editing a JSON tree as Go's `encoding/json` reads it: null and missing are the same.

use serde_json::{Map, Value};

use super::error::SpecError;

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// A sub-object; null and missing are the same, as for Go.
pub(super) fn object<'a>(
    parent: &'a Value,
    key: &'static str,
) -> Result<Option<&'a Object>, SpecError> {
    match parent.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(found)) => Ok(Some(found)),
        Some(_) => Err(SpecError::Type(key, "an object")),
    }
}

/// A sub-object to be edited, made where it is missing.
pub(super) fn object_mut<'a>(
    parent: &'a mut Value,
    key: &'static str,
) -> Result<&'a mut Object, SpecError> {
    let parent = parent
        .as_object_mut()
        .ok_or(SpecError::Type("config.json", "an object"))?;
    let found = parent.entry(key).or_insert(Value::Null);
    if found.is_null() {
        *found = Value::Object(Object::new());
    }
    found
        .as_object_mut()
        .ok_or(SpecError::Type(key, "an object"))
}

/// A list; null and missing are empty.
pub(super) fn array<'a>(parent: &'a Object, key: &'static str) -> Result<&'a [Value], SpecError> {
    match parent.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(found)) => Ok(found),
        Some(_) => Err(SpecError::Type(key, "a list")),
    }
}

/// A list to be edited, made where it is missing.
pub(super) fn list_mut<'a>(
    parent: &'a mut Value,
    key: &'static str,
) -> Result<&'a mut Vec<Value>, SpecError> {
    let parent = parent
        .as_object_mut()
        .ok_or(SpecError::Type("config.json", "an object"))?;
    let found = parent.entry(key).or_insert(Value::Null);
    if found.is_null() {
        *found = Value::Array(Vec::new());
    }
    found.as_array_mut().ok_or(SpecError::Type(key, "a list"))
}
