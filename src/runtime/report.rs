//! Says why a call failed: on stderr, where people and podman read it, and in `--log`, where containerd does.
//!
//! containerd shows the last line of level `error` in that file, and nothing at all if one line there is no JSON; so the
//! format asked for is kept to. The error's chain is joined here and nowhere else.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use super::invocation::Globals;

/// Reports a failure. Reporting may fail too: then there is nobody left to tell.
pub(super) fn failure(globals: &Globals, error: &anyhow::Error) {
    let message = one_line(error);
    let json = globals.log_format.as_deref().is_some_and(|format| format == "json");
    if let Some(log) = &globals.log {
        let _ = append(log, &entry(&message, json, SystemTime::now()));
    }
    let _ = writeln!(io::stderr(), "boundary-shim: {message}");
}

/// The chain of causes, joined, on one line.
fn one_line(error: &anyhow::Error) -> String {
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    format!("{error:#}").chars().map(clean).collect()
}

/// One line of the log, as logrus writes it for runc.
fn entry(message: &str, json: bool, now: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(now).to_string();
    if json {
        format!("{}\n", serde_json::json!({"level": "error", "msg": message, "time": time}))
    } else {
        format!("time={time:?} level=error msg={message:?}\n")
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    // Without waiting: a FIFO that nobody reads must not hang the engine.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(flags).open(path)?;
    file.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn causes_are_joined_on_one_line_whatever_they_contain() {
        let error = anyhow!("line one\nline two").context("can't read x");
        assert_eq!(one_line(&error), "can't read x: line one line two");
    }

    #[test]
    fn an_entry_is_one_line_in_the_format_asked_for() {
        let message = "can't \"read\" x";
        let json: serde_json::Value = serde_json::from_str(&entry(message, true, SystemTime::UNIX_EPOCH)).unwrap();
        assert_eq!(json, serde_json::json!({"level": "error", "msg": message, "time": "1970-01-01T00:00:00Z"}));
        let text = entry(message, false, SystemTime::UNIX_EPOCH);
        assert_eq!(text, "time=\"1970-01-01T00:00:00Z\" level=error msg=\"can't \\\"read\\\" x\"\n");
    }
}
