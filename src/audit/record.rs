//! What stands in a line, and how hostile text is kept from breaking it.
//!
//! Everything textual passes [`clean`] on its way into a line, whoever it came from. Invariant:
//! readers (people, terminals, agents) take the line at its word, so what could move a cursor, turn
//! the reading direction or hide letters must never be in it. Query strings are cut off: they carry
//! secrets.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What kind of attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Plain HTTP: one record a request.
    Http,
    /// TLS, by its SNI: one record a connection.
    Https,
    /// Other TCP: one record a connection.
    Tcp,
    /// One record a flow (the four of addresses and ports).
    Udp,
    /// One record a query.
    Dns,
    /// ICMP and ICMPv6: one record a flow.
    Icmp,
    /// Another IP protocol.
    Other,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the container.
    Out,
    /// To the container (a published port, a neighbour).
    In,
}

/// What is known when an attempt is seen.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What kind.
    pub kind: Kind,
    /// Which way.
    pub direction: Direction,
    /// Who asked.
    pub source: SocketAddr,
    /// Where the packets were addressed to.
    pub destination: SocketAddr,
    /// The name asked for, where known; hostile text as it came (cleaned when written).
    pub name: Option<String>,
    /// HTTP method (or DNS query type), where known.
    pub method: Option<String>,
    /// HTTP path, where known.
    pub path: Option<String>,
    /// The type of an ICMP message; of another protocol than those that [`Kind`] names, its number
    /// (IANA).
    pub number: Option<u8>,
}

impl Kind {
    /// Its word in the record.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Dns => "dns",
            Self::Icmp => "icmp",
            Self::Other => "other",
        }
    }
}

impl Subject {
    /// An attempt of which no more than this is known.
    #[must_use]
    pub fn new(
        kind: Kind,
        direction: Direction,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Self {
        Self {
            kind,
            direction,
            source,
            destination,
            name: None,
            method: None,
            path: None,
            number: None,
        }
    }
}

/// Longest name in a record, in bytes: a DNS name has at most 253.
pub const MAX_NAME: usize = 255;
/// Longest path, in bytes.
pub const MAX_PATH: usize = 2048;
/// Longest method or query type, in bytes.
pub const MAX_METHOD: usize = 32;
/// Longest rule, reason or suggestion, in bytes.
pub const MAX_TEXT: usize = 1024;

/// Ends a text that was cut.
const CUT: char = '…';

/// A text as it may stand in a record or on a terminal: printable ASCII (and the few marks of our
/// own sentences) as it is, every other character as `\u{…}`, at most `limit` bytes, the last of
/// them `…` where something was cut off.
///
/// All of Unicode but ASCII is escaped, rather than a list of known-bad characters: invisible,
/// direction-turning and look-alike characters are too many to list, and names on the wire are
/// ASCII. Cleaning a clean text changes nothing.
#[must_use]
pub fn clean(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    let mut kept = 0;
    for character in text.chars() {
        if matches!(character, ' '..='~' | '«' | '»' | CUT) {
            out.push(character);
        } else {
            out.extend(character.escape_unicode());
        }
        if out.len() > limit {
            out.truncate(kept);
            out.push(CUT);
            return out;
        }
        // The longest end that still leaves room for the mark.
        if out.len() + CUT.len_utf8() <= limit {
            kept = out.len();
        }
    }
    out
}

/// A path without its query and fragment.
pub(super) fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_that_move_the_cursor_or_turn_the_text_are_spelled_out() {
        assert_eq!(clean("a\x1b[2Jb\r\n", 99), "a\\u{1b}[2Jb\\u{d}\\u{a}");
        assert_eq!(
            clean("\u{202e}\u{200b}\u{e0041}", 99),
            "\\u{202e}\\u{200b}\\u{e0041}"
        );
        assert_eq!(
            clean("rule «allow domain=a.test»", 99),
            "rule «allow domain=a.test»"
        );
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(clean(&"a".repeat(300), 10), "aaaaaaa…");
        assert_eq!(clean("0123456789", 10), "0123456789");
        assert_eq!(clean("\u{1b}\u{1b}", 10), "\\u{1b}…");
    }

    #[test]
    fn the_query_is_cut_off_with_its_secrets() {
        assert_eq!(without_query("/a/b?token=x#y"), "/a/b");
        assert_eq!(without_query("/a#?"), "/a");
        assert_eq!(without_query(""), "");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_what_comes_out_is_short_visible_and_stays_as_it_is(
            text in any::<String>(), limit in 3usize..300,
        ) {
            let cleaned = clean(&text, limit);
            prop_assert!(cleaned.len() <= limit);
            prop_assert!(cleaned.chars().all(|c| matches!(c, ' '..='~' | '«' | '»' | '…')));
            prop_assert_eq!(clean(&cleaned, limit), cleaned);
        }
    }
}
