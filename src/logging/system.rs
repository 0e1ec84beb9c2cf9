//! The system log of the host whose mount namespace this process is in: systemd's journal if there
//! is one, else `/dev/log`.
//!
//! A socket is opened by its path for each message (messages are rare), so the log daemon can be
//! restarted at any time and a filter inherits no open socket. Invariant: nothing in here waits;
//! what the daemon can't take now is lost, and the caller counts it.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use log::Level;

use super::{LONGEST, Sink, one_line, word};
use crate::sys::clock::{self, Local};

/// Where systemd's journal takes messages by its own protocol.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Where every other daemon does (RFC 3164, without a host's name, as the C library writes it).
const SYSLOG: &str = "/dev/log";

/// The system's log, for the keeper of one container.
#[derive(Debug)]
pub struct System {
    journal: PathBuf,
    syslog: PathBuf,
    container: String,
}

impl System {
    /// Says of each message which container it is about.
    #[must_use]
    pub fn about(container: &str) -> Self {
        let container = one_line(container, LONGEST / 4);
        Self {
            journal: JOURNAL.into(),
            syslog: SYSLOG.into(),
            container,
        }
    }

    fn send(&self, level: Level, message: &str) -> io::Result<()> {
        match send_to(
            &self.journal,
            native(level, &self.container, message).as_bytes(),
        ) {
            // It is there, and has no room just now.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(_) => send_to(
                &self.syslog,
                classic(level, message, clock::local(SystemTime::now())).as_bytes(),
            ),
            sent => sent,
        }
    }
}

impl Sink for System {
    fn write(&mut self, level: Level, text: &str) -> bool {
        let message = one_line(
            &format!("container {}: {}: {text}", self.container, word(level)),
            LONGEST,
        );
        self.send(level, &message).is_ok()
    }
}

fn send_to(path: &Path, datagram: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(datagram, path).map(drop)
}

/// The journal's protocol: a line for each field. Values have no newlines, so none needs the form
/// with a length.
fn native(level: Level, container: &str, message: &str) -> String {
    format!(
        "MESSAGE={message}\nPRIORITY={}\nSYSLOG_IDENTIFIER=boundary-shim\nSYSLOG_PID={}\nBOUNDARY_CONTAINER={container}\n",
        severity(level),
        std::process::id()
    )
}

fn classic(level: Level, message: &str, now: Option<Local>) -> String {
    /// Of system daemons.
    const FACILITY: u8 = 3;
    let priority = FACILITY * 8 + severity(level);
    // Without a time, the daemon takes its own.
    let time = now.map_or_else(String::new, stamp);
    format!(
        "<{priority}>{time}boundary-shim[{}]: {message}",
        std::process::id()
    )
}

/// `Nov  8 09:03:02 `.
fn stamp(now: Local) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let Local {
        month,
        day,
        hour,
        minute,
        second,
    } = now;
    let month = MONTHS.get(usize::from(month)).copied().unwrap_or_default();
    format!("{month} {day:2} {hour:02}:{minute:02}:{second:02} ")
}

/// syslog(3)'s numbers.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A daemon's socket.
    fn daemon(path: &Path) -> UnixDatagram {
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        socket
    }

    fn next(daemon: &UnixDatagram) -> String {
        let mut datagram = [0; 4096];
        let length = daemon.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    }

    fn system(directory: &Path) -> System {
        System {
            journal: directory.join("journal"),
            syslog: directory.join("log"),
            ..System::about("c1")
        }
    }

    #[test]
    fn the_journal_is_told_in_its_own_words_and_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let mut system = system(directory.path());
        let (journal, syslog) = (daemon(&system.journal), daemon(&system.syslog));
        assert!(system.write(Level::Warn, "first\nPRIORITY=0\u{1b}"));
        let said = next(&journal);
        let pid = format!("SYSLOG_PID={}", std::process::id());
        let fields = [
            "MESSAGE=container c1: warning: first PRIORITY=0\\u{1b}",
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=boundary-shim",
            &pid,
            "BOUNDARY_CONTAINER=c1",
        ];
        assert_eq!(said.lines().collect::<Vec<_>>(), fields);
        assert!(said.ends_with('\n'));
        syslog.set_nonblocking(true).unwrap();
        assert_eq!(
            syslog.recv(&mut [0]).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }

    #[test]
    fn without_a_journal_syslog_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let mut system = system(directory.path());
        let syslog = daemon(&system.syslog);
        assert!(system.write(Level::Error, "the end"));
        let said = next(&syslog);
        assert!(said.starts_with("<27>"), "{said}");
        let tag = format!(
            "boundary-shim[{}]: container c1: error: the end",
            std::process::id()
        );
        assert!(said.ends_with(&format!(" {tag}")), "{said}");
    }

    #[test]
    fn a_daemon_that_was_restarted_is_found_again_and_one_that_is_gone_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let mut system = system(directory.path());
        let before = daemon(&system.syslog);
        assert!(system.write(Level::Info, "one"));
        assert!(next(&before).ends_with("one"));
        drop(before);
        assert!(!system.write(Level::Info, "two"));
        std::fs::remove_file(&system.syslog).unwrap();
        assert!(!system.write(Level::Info, "three"));
        let after = daemon(&system.syslog);
        assert!(system.write(Level::Info, "four"));
        assert!(next(&after).ends_with("four"));
    }

    #[test]
    fn a_daemon_that_reads_nothing_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let mut system = system(directory.path());
        let _stuck = daemon(&system.journal);
        let mut written = 0;
        while system.write(Level::Info, "again") {
            written += 1;
            assert!(written < 100_000, "its queue has no end");
        }
        assert!(written > 0);
    }

    #[test]
    fn a_classic_message_has_the_time_as_rfc_3164_writes_it() {
        let now = Local {
            month: 10,
            day: 8,
            hour: 9,
            minute: 3,
            second: 2,
        };
        let said = classic(Level::Info, "x", Some(now));
        assert_eq!(
            said,
            format!(
                "<30>Nov  8 09:03:02 boundary-shim[{}]: x",
                std::process::id()
            )
        );
        assert_eq!(
            classic(Level::Debug, "x", None),
            format!("<31>boundary-shim[{}]: x", std::process::id())
        );
    }

    #[test]
    fn a_message_of_ten_kilobytes_of_anything_is_one_line_of_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut system = system(directory.path());
        let journal = daemon(&system.journal);
        assert!(system.write(Level::Info, &"a\0\n\u{85}".repeat(2500)));
        let said = next(&journal);
        let message = said
            .lines()
            .next()
            .unwrap()
            .strip_prefix("MESSAGE=")
            .unwrap();
        assert!(message.len() <= LONGEST && message.is_char_boundary(message.len()));
        assert_eq!(said.lines().count(), 5);
    }
}
