//! `exec`'s process file (`--process`): read once, and handed on as a file of our own.
//!
//! The caller's file may be anything that can be read: a link, a pipe, `/dev/stdin`. It stays as it
//! is, and what the runtime reads is what was looked at here, whatever becomes of it meanwhile.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use crate::sys::process;
use crate::sys::sealed::Sealed;

/// The most that is read: 16 MiB, some 500 times what Docker writes.
const LIMIT: u64 = 16 << 20;

/// Reads what a process file says.
pub(super) fn read(path: &Path) -> anyhow::Result<Value> {
    let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
    parse(file, LIMIT).with_context(|| format!("{} is not valid JSON", path.display()))
}

/// Parses the first value of a file, as runc does: a pipe need not end there.
fn parse(file: impl Read, limit: u64) -> Result<Value, serde_json::Error> {
    let mut bounded = file.take(limit);
    let parsed = Value::deserialize(&mut serde_json::Deserializer::from_reader(BufReader::new(
        &mut bounded,
    )));
    match parsed {
        Err(error) if error.is_eof() && bounded.limit() == 0 => {
            Err(serde_json::Error::io(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("larger than {limit} bytes"),
            )))
        }
        parsed => parsed,
    }
}

/// The file that the runtime gets instead. `preserved`: `--preserve-fds`; its descriptor lies
/// behind those that the process is given, so that the runtime keeps it from the process.
pub(super) fn seal(document: &Value, preserved: u32) -> anyhow::Result<Sealed> {
    const STANDARD_STREAMS: u32 = 3;
    let given = preserved.saturating_add(process::handed_by_systemd());
    Sealed::data(document.to_string().as_bytes())
        .and_then(|file| file.numbered_from(STANDARD_STREAMS.saturating_add(given)))
        .context("can't make the process file that the runtime gets")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_value_is_read_and_no_more_is_waited_for() {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b" {\"args\": [\"sh\"]}").unwrap();
        // The writer is still there: to its end, this would never come back.
        assert_eq!(parse(reader, LIMIT).unwrap(), json!({"args": ["sh"]}));
        drop(writer);
        assert_eq!(parse(&b"{} rest"[..], LIMIT).unwrap(), json!({}));
    }

    #[test]
    fn what_never_ends_is_read_to_a_limit() {
        let error = parse(io::repeat(b' '), 1000).unwrap_err();
        assert!(error.to_string().contains("larger than 1000 bytes"));
        let text = format!("{{\"a\": \"{}\"}}", "x".repeat(1000));
        assert!(parse(text.as_bytes(), 1000).is_err());
        assert!(parse(text.as_bytes(), 2000).is_ok());
        let error = parse(&b"{"[..], 1000).unwrap_err();
        assert!(error.is_eof(), "{error}");
    }
}
