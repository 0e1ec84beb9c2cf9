//! Hooks: which files in the engines' folder have this program run.

use std::path::Path;

use serde_json::Value;

use crate::cli::doctor::facts::HookFacts;
use crate::cli::doctor::ways::HOOKS;
use crate::sys::file;

/// Where packages have ours (`scripts/package`).
const PACKAGED: &str = "/usr/share/doc/boundary-shim/examples/hooks/boundary.json";
/// More than any such file has.
const LARGEST: u64 = 64 * 1024;

/// Looks for them.
pub(super) fn look() -> HookFacts {
    let files = std::fs::read_dir(HOOKS).into_iter().flatten();
    let texts = files.filter_map(|entry| file::read_regular(&entry.ok()?.path(), LARGEST).ok());
    let programs = texts.filter_map(|text| ours(&text));
    HookFacts {
        programs: programs
            .map(|program| {
                let there = Path::new(&program).exists();
                (program, there)
            })
            .collect(),
        packaged: Path::new(PACKAGED).exists().then_some(PACKAGED),
    }
}

/// The program of a file that has it decide as this program does (oci-hooks(5)).
fn ours(text: &[u8]) -> Option<String> {
    let file: Value = serde_json::from_slice(text).ok()?;
    let words: Vec<&str> = file
        .pointer("/hook/args")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let program = file.pointer("/hook/path")?.as_str()?;
    matches!(words.as_slice(), [_, "hook", "decide"]).then(|| program.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_hooks_are_known_by_their_words_and_others_are_not_ours() {
        for text in [
            &include_bytes!("../../../../hooks/boundary.json")[..],
            include_bytes!("../../../../hooks/boundary-always.json"),
        ] {
            assert_eq!(ours(text).as_deref(), Some("/usr/local/bin/boundary-shim"));
        }
        for text in [
            "",
            "{}",
            r#"{"hook": {"path": "/usr/bin/other", "args": ["other"]}}"#,
            r#"{"hook": {"args": ["boundary-shim", "hook", "decide"]}}"#,
        ] {
            assert_eq!(ours(text.as_bytes()), None, "{text}");
        }
    }
}
