//! The log file that engines pass as `--log`, written as runc does.
//!
//! containerd shows the last line of level `error` in that file, and nothing at all if a single
//! line is not valid JSON, so the requested format is kept to strictly. At `create`, standard error
//! is the container's own: as with runc, only an error, after which there is no container, is also
//! written there; other messages only if there is no log file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use log::Level;

use super::terminal::Terminal;
use super::{LONGEST_REPORT, Sink, one_line, word};

/// The engine that called the runtime.
#[derive(Debug)]
pub struct Engine {
    /// Its `--log`.
    pub log: Option<PathBuf>,
    /// Whether `--log-format` is `json`.
    pub json: bool,
}

impl Sink for Engine {
    fn write(&mut self, level: Level, text: &str) -> bool {
        let entry = entry(
            level,
            &one_line(text, LONGEST_REPORT),
            self.json,
            SystemTime::now(),
        );
        let filed = self.log.as_ref().map(|log| append(log, &entry).is_ok());
        let shown = (level == Level::Error || filed.is_none()) && Terminal.write(level, text);
        shown || filed == Some(true)
    }
}

/// One line of the log, as logrus writes it for runc.
fn entry(level: Level, message: &str, json: bool, now: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(now).to_string();
    let level = word(level);
    if json {
        format!(
            "{}\n",
            serde_json::json!({"level": level, "msg": message, "time": time})
        )
    } else {
        format!("time={time:?} level={level} msg={message:?}\n")
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    // Without waiting: a FIFO that nobody reads must not hang the engine.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .custom_flags(flags)
        .open(path)?;
    file.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_in_the_format_asked_for() {
        let message = "can't \"read\" x";
        let json = entry(Level::Error, message, true, SystemTime::UNIX_EPOCH);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"level": "error", "msg": message, "time": "1970-01-01T00:00:00Z"})
        );
        let text = entry(Level::Warn, message, false, SystemTime::UNIX_EPOCH);
        assert_eq!(
            text,
            "time=\"1970-01-01T00:00:00Z\" level=warning msg=\"can't \\\"read\\\" x\"\n"
        );
    }

    #[test]
    fn what_is_said_is_in_the_file_whatever_it_contains() {
        let directory = tempfile::tempdir().unwrap();
        let mut engine = Engine {
            log: Some(directory.path().join("log")),
            json: true,
        };
        assert!(engine.write(Level::Warn, &"\n\u{1b}".repeat(10_000)));
        assert!(engine.write(Level::Info, "then"));
        let text = std::fs::read_to_string(directory.path().join("log")).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!((lines.len(), &lines[1]["msg"]), (2, &"then".into()));
        assert!(lines[0]["msg"].as_str().unwrap().len() <= LONGEST_REPORT);
        let mut nowhere = Engine {
            log: Some("/no/such/log".into()),
            json: true,
        };
        assert!(!nowhere.write(Level::Warn, "lost"));
    }
}
