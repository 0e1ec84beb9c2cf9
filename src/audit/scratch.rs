//! A bounded text buffer that needs no heap, for the last line of a process that panics.

use std::fmt::{self, Write};

/// How long it gets, in bytes.
const LENGTH: usize = 2048;
/// What is kept for its end.
const END: usize = 16;

/// A text. What doesn't fit is cut.
pub(super) struct Scratch {
    bytes: [u8; LENGTH],
    used: usize,
    room: usize,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            bytes: [0; LENGTH],
            used: 0,
            room: LENGTH - END,
        }
    }

    /// Adds what may be anything, as it may stand within quotes in JSON.
    pub(super) fn quoted(&mut self, text: fmt::Arguments<'_>) {
        // Never fails: what doesn't fit is cut.
        let _ = Quoted(self).write_fmt(text);
    }

    /// Adds the end, for which there is always room.
    pub(super) fn end(&mut self, text: &str) {
        self.room = LENGTH;
        let _ = self.write_str(text);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

impl Write for Scratch {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.used < self.room
                && let Some(place) = self.bytes.get_mut(self.used)
            {
                *place = byte;
                self.used += 1;
            }
        }
        Ok(())
    }
}

struct Quoted<'a>(&'a mut Scratch);

impl Write for Quoted<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character {
            '"' | '\\' => self.0.write_str("'"),
            ' '..='~' => self.0.write_char(character),
            '\n' => self.0.write_str(" "),
            _ => self.0.write_str("?"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_put_in_it_is_json_within_bounds() {
        let mut text = Scratch::new();
        write!(text, "{{\"a\":\"").unwrap();
        text.quoted(format_args!("{}\n\"\\\u{1b}é{}", 7, "x".repeat(5000)));
        text.end("\"}\n");
        let value: serde_json::Value = serde_json::from_slice(text.bytes()).unwrap();
        assert!(
            value["a"].as_str().unwrap().starts_with("7 ''??xxx"),
            "{value}"
        );
        assert!(text.bytes().len() <= LENGTH);
    }
}
