//! A `config.json` whose keys and types were checked, so that reading it is unambiguous. Only this
//! file constructs one.

use std::ops::Deref;

use serde_json::Value;

use super::error::SpecError;
use super::json::{array, object};
use super::{capabilities, keys};

/// A container's specification, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec(Value);

impl Spec {
    /// Checks the keys and types of all that is read here, before anything is believed.
    ///
    /// # Errors
    /// [`SpecError::AmbiguousKey`], [`SpecError::Type`].
    pub fn check(value: Value) -> Result<Self, SpecError> {
        check(&value)?;
        Ok(Self(value))
    }

    /// The tree, to be edited by what keeps its types.
    pub(super) fn tree(&mut self) -> &mut Value {
        &mut self.0
    }

    /// The tree, to be written.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.0
    }
}

impl Deref for Spec {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

fn check(spec: &Value) -> Result<(), SpecError> {
    let top = spec
        .as_object()
        .ok_or(SpecError::Type("config.json", "an object"))?;
    keys::check(top)?;
    // Annotations are free words; Go reads them into a map, in which case counts.
    object(spec, "annotations")?;
    for section in ["hooks", "linux", "process", "root"] {
        if let Some(found) = object(spec, section)? {
            keys::check(found)?;
        }
    }
    let linux = spec.get("linux").unwrap_or(&Value::Null);
    let resources = object(linux, "resources")?;
    if let Some(found) = resources {
        keys::check(found)?;
    }
    for (holder, list) in [
        (Some(top), "mounts"),
        (linux.as_object(), "namespaces"),
        (linux.as_object(), "devices"),
        (resources, "devices"),
    ] {
        for entry in holder.map_or(Ok(&[][..]), |holder| array(holder, list))? {
            keys::check(
                entry
                    .as_object()
                    .ok_or(SpecError::Type(list, "a list of objects"))?,
            )?;
        }
    }
    if let Some(seccomp) = object(linux, "seccomp")? {
        keys::check_deep(seccomp)?;
    }
    capabilities::check(spec.get("process").unwrap_or(&Value::Null))
}
