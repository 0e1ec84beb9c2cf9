//! Which types of jail can be had: by jailing a command that does nothing.

use std::time::Duration;

use crate::cli::doctor::facts::{JailKind, JailTrial};
use crate::sys::process;

/// How long a jail may take that is made and ends at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tries all types.
pub(super) fn tried() -> Vec<JailTrial> {
    let trial = |jail: JailKind| JailTrial {
        jail,
        outcome: attempt(jail),
    };
    JailKind::ALL.into_iter().map(trial).collect()
}

/// The command is this program, which there is wherever this runs, with words that it doesn't take for a
/// runtime's under any name.
fn attempt(jail: JailKind) -> Result<Vec<String>, String> {
    let before: &[&str] = &["jail"];
    let after: &[&str] = &["--", "/proc/self/exe", "doctor", "--help"];
    let arguments = [before, jail.options(), after].concat();
    let (worked, said) = process::run_ourselves(&arguments, PATIENCE)
        .map_err(|error| format!("it can't be tried: {error}"))?;
    judge(worked, &said)
}

/// By what the jail said, beside its record's lines. What ended it, it says without a word before it.
fn judge(worked: bool, said: &str) -> Result<Vec<String>, String> {
    let lines = said
        .lines()
        .filter_map(|line| line.strip_prefix("boundary-shim: "));
    if worked {
        let warnings = lines.filter(|line| line.starts_with("warning: "));
        return Ok(warnings.map(str::to_owned).collect());
    }
    let words = ["warning: ", "info: ", "debug: "];
    let mut errors = lines.filter(|line| !words.iter().any(|word| line.starts_with(word)));
    let why = errors.next_back().unwrap_or("it failed without a word");
    Err(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_jail_said_is_told_from_its_record() {
        let said =
            "{\"v\":2}\nboundary-shim: warning: a\nboundary-shim: nsjail can't be had: x; y\n";
        assert_eq!(
            judge(false, said),
            Err("nsjail can't be had: x; y".to_owned())
        );
        assert_eq!(judge(true, said), Ok(vec!["warning: a".to_owned()]));
        assert_eq!(
            judge(false, "{}\n"),
            Err("it failed without a word".to_owned())
        );
    }
}
