//! `features` and `--version`: the real runtime's answers, with ours added.
//!
//! Engines read both when they start (dockerd and containerd the standard output alone, CRI-O
//! standard error too), so nothing but the answer is written. The features are edited as raw JSON:
//! `oci-spec`'s type `Features` drops fields that it doesn't know.
//!
//! Invariant: where the real runtime fails, its own error and exit code are passed on.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context;
use serde_json::Value;

use super::embedded;
use super::runtimes::RealRuntime;
use crate::sys::process;

/// Annotations that begin so choose what a container may reach (OCI features.md, "Unsafe
/// annotations in `config.json`"): engines that care let nobody set them who isn't trusted to.
const PREFIX: &str = "boundary.";

/// The most that a runtime may answer.
const LIMIT: u64 = 1 << 20;

/// What the real runtime can do, and the annotations that we read.
pub(super) fn features(runtime: &RealRuntime, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    answer(
        runtime,
        arguments,
        &embedded::features().to_string(),
        |said| {
            // With `--help` or from a wrapper it may say something else than JSON: that is handed
            // on.
            let with_ours = serde_json::from_slice(said).ok().and_then(add_prefix);
            with_ours.map_or_else(
                || said.to_vec(),
                |features| format!("{features:#}\n").into_bytes(),
            )
        },
    )
}

/// Both versions, ours first. Engines look for the line with `version` in it (dockerd's
/// `parseRuntimeVersion`), which ours hasn't, or show all of it (podman, CRI-O).
pub(super) fn version(runtime: &RealRuntime, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    answer(runtime, arguments, &embedded::version(), |said| {
        let own = concat!("boundary-shim ", env!("CARGO_PKG_VERSION"), "\n");
        [own.as_bytes(), said].concat()
    })
}

/// Writes the runtime's answer (our own for the embedded one) after `change`.
fn answer(
    runtime: &RealRuntime,
    arguments: &[OsString],
    embedded: &str,
    change: impl Fn(&[u8]) -> Vec<u8>,
) -> anyhow::Result<ExitCode> {
    let (said, code) = match runtime {
        RealRuntime::Program(path) => ask(path, arguments)?,
        RealRuntime::Embedded => (embedded.as_bytes().to_vec(), ExitCode::SUCCESS),
    };
    let said = if code == ExitCode::SUCCESS {
        change(&said)
    } else {
        said
    };
    io::stdout()
        .write_all(&said)
        .context("can't write to standard output")?;
    Ok(code)
}

fn ask(program: &Path, arguments: &[OsString]) -> anyhow::Result<(Vec<u8>, ExitCode)> {
    let answered = process::capture(program, arguments, LIMIT);
    let (said, status) = answered.with_context(|| format!("can't run {}", program.display()))?;
    Ok((said, exit_code(status)))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

/// None where the value isn't a runtime's features.
fn add_prefix(mut features: Value) -> Option<Value> {
    let unsafe_ones = features
        .as_object_mut()?
        .entry("potentiallyUnsafeConfigAnnotations")
        .or_insert(Value::Null);
    if unsafe_ones.is_null() {
        *unsafe_ones = Value::Array(Vec::new());
    }
    let list = unsafe_ones.as_array_mut()?;
    if !list.iter().any(|known| known == PREFIX) {
        list.push(PREFIX.into());
    }
    Some(features)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn our_prefix_is_added_once_and_nothing_else_changes() {
        let key = "potentiallyUnsafeConfigAnnotations";
        for list in [json!(null), json!([]), json!(["boundary."])] {
            let features = json!({"ociVersionMin": "1.0.0", key: list});
            assert_eq!(
                add_prefix(features),
                Some(json!({"ociVersionMin": "1.0.0", key: ["boundary."]}))
            );
        }
        let runc =
            add_prefix(json!({key: ["bundle", "org.criu.config"], "hooks": ["prestart"]})).unwrap();
        assert_eq!(
            runc,
            json!({key: ["bundle", "org.criu.config", "boundary."], "hooks": ["prestart"]})
        );
    }

    #[test]
    fn what_is_not_a_runtimes_features_is_left_alone() {
        for other in [
            json!([]),
            json!("x"),
            json!({"potentiallyUnsafeConfigAnnotations": "x"}),
        ] {
            assert_eq!(add_prefix(other), None);
        }
    }
}
