//! The one escaper of foreign text: whatever a container, an engine or a file may have written is
//! passed through here before it reaches a record, a message, a terminal or an answer.
//!
//! Invariant: readers (people, terminals, agents) take a line at its word, so what comes out is one
//! line, bounded, and holds nothing that moves a cursor, turns the reading direction or hides
//! letters.
//!
//! All of Unicode but ASCII is escaped, rather than a list of known-bad characters: invisible,
//! direction-turning and look-alike characters are too many to list, and names on the wire are
//! ASCII.

/// Ends a text that was cut.
const CUT: char = '…';
/// The longest piece of foreign text in a message, in bytes.
const EXCERPT: usize = 64;
/// The longest path, profile or label in a message, in bytes: whoever reads it has to find the
/// thing by it.
pub const MAX_PATH_SHOWN: usize = 1024;

/// A text as it may stand in a record or on a terminal: printable ASCII as it is (and `…`, `«`,
/// `»`, which are in our own sentences), every other character as `\u{…}`; at most `limit` bytes,
/// the last of them `…` where something was cut off. Cleaning a clean text changes nothing.
#[must_use]
pub fn clean(text: &str, limit: usize) -> String {
    escape(text, limit, |_| false)
}

/// A name as it may stand there: without blanks, too, by which it could be taken for the words behind it.
#[must_use]
pub fn clean_name(name: &str, limit: usize) -> String {
    escape(name, limit, |character| character == ' ')
}

/// A piece of a text, for a message.
#[must_use]
pub fn excerpt(text: &str) -> String {
    clean(text, EXCERPT)
}

/// A piece of a text in quotation marks, for a message; marks within it are escaped, so that its
/// end can be told.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        escape(text, EXCERPT, |character| character == '"')
    )
}

fn escape(text: &str, limit: usize, also: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    let mut kept = 0;
    for character in text.chars() {
        if matches!(character, ' '..='~' | '«' | '»' | CUT) && !also(character) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_deceive_a_reader_is_spelled_out() {
        for (what, text, expected) in [
            ("plain text", "a.test/b?c=\\", "a.test/b?c=\\"),
            ("nothing", "", ""),
            ("the marks of our own sentences", "rule «x»…", "rule «x»…"),
            ("a cursor's move", "a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("the end of a line", "a\r\nb", "a\\u{d}\\u{a}b"),
            ("a tab", "a\tb", "a\\u{9}b"),
            ("a zero", "\0", "\\u{0}"),
            ("the last control of ASCII", "\u{7f}", "\\u{7f}"),
            ("a control beyond ASCII", "\u{9b}2J", "\\u{9b}2J"),
            ("another end of a line", "\u{2028}", "\\u{2028}"),
            ("the other reading direction", "\u{202e}", "\\u{202e}"),
            ("an isolated direction", "\u{2067}", "\\u{2067}"),
            ("an invisible letter", "\u{200b}", "\\u{200b}"),
            ("an invisible tag", "\u{e0041}", "\\u{e0041}"),
            ("a letter that looks like another", "\u{430}", "\\u{430}"),
        ] {
            assert_eq!(clean(text, 99), expected, "{what}");
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(clean(&"a".repeat(300), 10), "aaaaaaa…");
        assert_eq!(clean("0123456789", 10), "0123456789");
        assert_eq!(clean("\u{1b}\u{1b}", 10), "\\u{1b}…");
        assert_eq!(excerpt(&"a".repeat(65)), format!("{}…", "a".repeat(61)));
    }

    #[test]
    fn a_name_is_one_word() {
        assert_eq!(clean_name("a b.test", 99), "a\\u{20}b.test");
        assert_eq!(clean_name("a\\u{20}b.test", 99), "a\\u{20}b.test");
        assert_eq!(clean_name("a.test\n", 99), "a.test\\u{a}");
    }

    #[test]
    fn the_end_of_a_quoted_text_can_be_told() {
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted("a\" is fine"), "\"a\\u{22} is fine\"");
        assert_eq!(quoted(&"a".repeat(65)), format!("\"{}…\"", "a".repeat(61)));
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
