//! Standard error, for people at a terminal and for programs that started this one and show it.

use std::io::{self, Write};

use log::Level;

use super::{LONGEST_REPORT, Sink, one_line, word};

/// Standard error.
#[derive(Debug, Clone, Copy)]
pub struct Terminal;

impl Sink for Terminal {
    fn write(&mut self, level: Level, text: &str) -> bool {
        io::stderr().write_all(line(level, text).as_bytes()).is_ok()
    }
}

/// An error ends the command; that it is one needs no word.
fn line(level: Level, text: &str) -> String {
    let word = if level == Level::Error {
        String::new()
    } else {
        format!("{}: ", word(level))
    };
    format!("boundary-shim: {word}{}\n", one_line(text, LONGEST_REPORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_stands_alone_and_a_warning_says_that_it_is_one() {
        assert_eq!(
            line(Level::Error, "can't read x"),
            "boundary-shim: can't read x\n"
        );
        assert_eq!(
            line(Level::Warn, "x\u{1b}"),
            "boundary-shim: warning: x\\u{1b}\n"
        );
    }
}
