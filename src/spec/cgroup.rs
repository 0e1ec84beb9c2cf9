//! The control group that the engine asks for. Read, never edited: the filter's is made beside what came of it.

use serde_json::Value;

use super::{SpecError, object};

/// `linux.cgroupsPath`, as it stands there: a path, or what systemd is to be asked for.
///
/// # Errors
/// [`SpecError::Type`] for what is no text.
pub fn path(spec: &Value) -> Result<Option<String>, SpecError> {
    let linux = object(spec, "linux")?;
    match linux.and_then(|linux| linux.get("cgroupsPath")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(path)) => Ok(Some(path.clone())),
        Some(_) => Err(SpecError::Type("cgroupsPath", "a text")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_text_is_refused() {
        let of = |value: Value| path(&json!({"linux": {"cgroupsPath": value}}));
        assert_eq!(of(json!("../x")), Ok(Some("../x".to_owned())));
        assert_eq!((of(json!(null)), path(&json!({}))), (Ok(None), Ok(None)));
        assert!(of(json!(["/x"])).is_err());
    }
}
