//! What the program reports about itself: errors, warnings, and what an administrator wants to know
//! of a process that runs for weeks. What a container attempted belongs into the record (`audit/`),
//! never here.
//!
//! Messages are logged with the macros of the crate `log`; each personality chooses once where they
//! go ([`to`]). Owns the format: one line, foreign text escaped, bounded, beginning with `warning:
//! `, `info: `, `debug: ` or `error: `. Only an error that ends a command has no such word:
//! `boundary-shim: …`.

mod engine;
mod seldom;
mod system;
mod terminal;

use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::escape::clean;
pub use engine::Engine;
pub use seldom::Seldom;
pub use system::System;
pub use terminal::Terminal;

/// The longest message, in bytes, where it leaves this process: a datagram of syslog has as many
/// (RFC 3164 4.1).
pub const LONGEST: usize = 1024;
/// The longest on a terminal and in an engine's file: all mistakes of a configuration are told at
/// once.
const LONGEST_REPORT: usize = 16 * 1024;

/// Where messages go. Never waits.
pub trait Sink: Send {
    /// Takes one, and says whether it got through.
    fn write(&mut self, level: Level, text: &str) -> bool;
}

/// From now on, what is at least as grave as `level` goes to `sink`.
pub fn to(sink: impl Sink + 'static, level: LevelFilter) {
    OUTLET.lock().replace(Open {
        sink: Box::new(sink),
        lost: 0,
    });
    // Fails where it was set before: it is the same.
    let _ = log::set_logger(&OUTLET);
    log::set_max_level(level);
}

/// Has panics said like all else, for a process whose standard error nobody reads.
pub fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| log::error!("{panic}")));
}

/// Its word, as engines have it too.
fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

/// One line of at most `longest` bytes, whatever the text.
fn one_line(text: &str, longest: usize) -> String {
    clean(&text.replace(['\n', '\t'], " "), longest)
}

/// The one logger of the process. A filter, forked from its keeper, puts its own sink into it.
static OUTLET: Outlet = Outlet(Mutex::new(None));

struct Outlet(Mutex<Option<Open>>);

struct Open {
    sink: Box<dyn Sink>,
    /// Messages that didn't get through since the last that did.
    lost: u64,
}

impl Outlet {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn write(&mut self, level: Level, text: &str) {
        let written = match self.lost {
            0 => self.sink.write(level, text),
            lost => self.sink.write(
                level,
                &format!("({lost} messages before this one were lost) {text}"),
            ),
        };
        self.lost = if written {
            0
        } else {
            self.lost.saturating_add(1)
        };
    }
}

impl Log for Outlet {
    /// Libraries say what they like by the same macros; nobody has looked at whether it is for
    /// others' eyes.
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.level() <= log::max_level()
            && about.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // Not while the lock is held: it is anybody's code, and what it says when it panics comes
        // by here.
        let text = record.args().to_string();
        if let Some(open) = self.lock().as_mut() {
            open.write(record.level(), &text);
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Keeps what it takes; takes nothing while it is shut.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<(bool, Vec<String>)>>);

    impl Sink for Kept {
        fn write(&mut self, level: Level, text: &str) -> bool {
            let mut kept = self.0.lock().unwrap();
            let open = !kept.0;
            kept.1
                .extend(open.then(|| format!("{}: {text}", word(level))));
            open
        }
    }

    #[test]
    fn what_did_not_get_through_is_counted_and_said_with_the_next() {
        let kept = Kept::default();
        let mut open = Open {
            sink: Box::new(kept.clone()),
            lost: 0,
        };
        open.write(Level::Info, "one");
        kept.0.lock().unwrap().0 = true;
        open.write(Level::Info, "two");
        open.write(Level::Error, "three");
        kept.0.lock().unwrap().0 = false;
        open.write(Level::Warn, "four");
        open.write(Level::Debug, "five");
        let said = [
            "info: one",
            "warning: (2 messages before this one were lost) four",
            "debug: five",
        ];
        assert_eq!(kept.0.lock().unwrap().1, said);
    }

    #[test]
    fn a_library_is_not_listened_to_and_neither_is_what_is_less_grave_than_wanted() {
        log::set_max_level(LevelFilter::Warn);
        let enabled = |level, target| {
            OUTLET.enabled(&Metadata::builder().level(level).target(target).build())
        };
        assert!(
            enabled(Level::Error, "boundary_shim::supervisor")
                && enabled(Level::Warn, "boundary_shim")
        );
        assert!(!enabled(Level::Info, "boundary_shim"));
        assert!(!enabled(Level::Error, "hyper::proto") && !enabled(Level::Error, "boundary_shims"));
    }

    #[test]
    fn a_message_is_one_bounded_line_whatever_it_contains() {
        assert_eq!(
            one_line("can't read x\nnor\ty", LONGEST),
            "can't read x nor y"
        );
        let hostile = one_line("\u{1b}[2J\r\u{202e}\0", LONGEST);
        assert_eq!(hostile, "\\u{1b}[2J\\u{d}\\u{202e}\\u{0}");
        let long = one_line(&"\u{7}x\n".repeat(10_000), LONGEST);
        assert!(
            long.len() <= LONGEST && long.ends_with('…'),
            "{} bytes",
            long.len()
        );
    }
}
