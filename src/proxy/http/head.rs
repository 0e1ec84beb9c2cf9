//! The head of an HTTP/1 message, line by line, as it came. No I/O.
//!
//! Owns where a head ends, and which of its lines say what two readers must not understand
//! differently: the host, the length of the body, whether the connection stays HTTP. Such a line
//! must be in its strict form (RFC 9112 5); every other line is nobody's business here, however old
//! or odd its form.
//!
//! The lines are read by our own code, not by a parser of HTTP, because what passes must also be
//! what no other reader reads otherwise: a parser gives one reading.

use std::ops::Range;

/// A line that some reader could take for one of the fields that matter, and others not; or one
/// that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous(pub(super) &'static str);

/// The fields that decide what a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Upgrade,
    Trailer,
    Expect,
    /// Goes with an upgrade to HTTP/2, and is taken off with it.
    Http2Settings,
}

/// A field that matters, in strict form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) key: Key,
    /// Without the blanks around it.
    pub(super) value: &'a str,
    /// Where its line stands in the head, line end included.
    pub(super) line: Range<usize>,
}

/// A line of a head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Without its end.
    pub(super) text: &'a [u8],
    /// Where it begins in the head.
    pub(super) at: usize,
    /// With its end.
    pub(super) length: usize,
}

/// Where the first head in the bytes ends, the empty line included; leading empty lines belong to
/// it. `seen`: how many of the bytes were looked at before, in vain.
#[must_use]
pub(super) fn end(bytes: &[u8], seen: usize) -> Option<usize> {
    let begins = leading_line_ends(bytes);
    // The last three bytes could have been the beginning of the end.
    let mut from = seen.saturating_sub(3).max(begins);
    while let Some(at) = bytes
        .get(from..)?
        .iter()
        .position(|byte| *byte == b'\n')
        .map(|at| from + at)
    {
        match bytes.get(at + 1..)? {
            [b'\n', ..] => return Some(at + 2),
            [b'\r', b'\n', ..] => return Some(at + 3),
            _ => from = at + 1,
        }
    }
    None
}

/// How many bytes of line ends stand before the first line (RFC 9112 2.2).
#[must_use]
pub(super) fn leading_line_ends(bytes: &[u8]) -> usize {
    let is_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    bytes.iter().take_while(is_end).count()
}

/// The lines of a whole head, without leading and last empty lines.
pub(super) fn lines(head: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut at = leading_line_ends(head);
    std::iter::from_fn(move || {
        let rest = head.get(at..)?;
        let length = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length)?;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let begins = at;
        at += length;
        (!text.is_empty()).then_some(Line {
            text,
            at: begins,
            length,
        })
    })
}

/// The fields that matter of the lines behind the first of a request: what the policy decided about
/// is what any server reads.
///
/// # Errors
/// A line that some reader could take for one of them although it isn't in strict form, or that
/// could hide one.
pub(super) fn request_fields<'a>(
    lines: impl Iterator<Item = Line<'a>>,
) -> Result<Vec<Field<'a>>, Ambiguous> {
    let mut fields = Vec::new();
    let (mut before, mut hides) = (Before::Unjoinable, false);
    for line in lines {
        // Other bytes that some take for blanks begin no fold for all.
        let is_fold = matches!(line.text.first(), Some(b' ' | b'\t'));
        hides |= !is_fold && !has_plain_name(line.text);
        before = match read_line(line, before)? {
            // Some compare the value with the blanks behind it.
            Read::Matters(Field { key, .. })
                if key == Key::TransferEncoding
                    && matches!(line.text.last(), Some(b' ' | b'\t')) =>
            {
                return Err(Ambiguous(key.ambiguous()));
            }
            Read::Matters(_) if hides => {
                return Err(Ambiguous(
                    "a line behind one that ends the head for some servers",
                ));
            }
            Read::Matters(field) => {
                fields.push(field);
                Before::Unjoinable
            }
            Read::Nothing(before) => before,
        };
        few(&fields)?;
    }
    Ok(fields)
}

/// The same of a response: odd lines elsewhere don't matter, since who reads it is the container.
///
/// # Errors
/// A field that matters isn't in strict form.
pub(super) fn response_fields<'a>(
    lines: impl Iterator<Item = Line<'a>>,
) -> Result<Vec<Field<'a>>, Ambiguous> {
    let mut fields = Vec::new();
    let mut before = Before::Plain;
    for line in lines {
        before = match read_line(line, before)? {
            Read::Matters(field) => {
                fields.push(field);
                Before::Unjoinable
            }
            Read::Nothing(_) => Before::Plain,
        };
        few(&fields)?;
    }
    Ok(fields)
}

/// The most fields that matter, and the most items in all of them: each costs more memory than its
/// bytes in the head.
const ITEMS: usize = 64;

fn few(fields: &[Field<'_>]) -> Result<(), Ambiguous> {
    let items = fields
        .iter()
        .map(|field| 1 + field.value.matches(',').count());
    if items.sum::<usize>() > ITEMS {
        return Err(Ambiguous("too many fields that decide what the message is"));
    }
    Ok(())
}

/// Whether a line is a field for every reader: Python's takes the first that isn't for the end of
/// the head (`email.feedparser`).
fn has_plain_name(line: &[u8]) -> bool {
    let name = line.iter().take_while(|byte| **byte != b':');
    let (length, graphic) = name.fold((0, true), |(length, graphic), byte| {
        (length + 1, graphic && byte.is_ascii_graphic())
    });
    length < line.len() && graphic
}

/// What a line that begins with a blank would be joined to (obs-fold, RFC 9112 5.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A field that doesn't matter: what is joined to its value doesn't, either.
    Plain,
    /// The first line, a field that matters, or one whose name may go on.
    Unjoinable,
}

enum Read<'a> {
    Matters(Field<'a>),
    Nothing(Before),
}

fn read_line<'a>(line: Line<'a>, before: Before) -> Result<Read<'a>, Ambiguous> {
    let text = line.text;
    if text.iter().any(|byte| matches!(byte, b'\r' | 0)) {
        return Err(Ambiguous("a line with a bare CR or a NUL"));
    }
    let (name, value) = match text.iter().position(|byte| *byte == b':') {
        Some(colon) => (text.get(..colon), text.get(colon + 1..)),
        None => (Some(text), None),
    };
    let name = name.unwrap_or_default();
    let meant = trimmed(name);
    let is_folded = text.first().is_some_and(|first| is_blank(*first));
    if is_folded && before == Before::Unjoinable {
        return Err(Ambiguous("a folded line that could belong to another"));
    }
    let Some(key) = key(meant) else {
        return Ok(Read::Nothing(if value.is_some() || is_folded {
            Before::Plain
        } else {
            Before::Unjoinable
        }));
    };
    match value.and_then(strict_value) {
        Some(value) if meant.len() == name.len() => Ok(Read::Matters(Field {
            key,
            value,
            line: line.at..line.at + line.length,
        })),
        _ => Err(Ambiguous(key.ambiguous())),
    }
}

/// Whether a line, by its beginning, may stand behind a body: a server may merge trailers into the
/// head (RFC 9110 6.5.1), so none of what matters there may come late.
pub(super) fn is_late_field(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    has_plain_name(line) && !decides(name)
}

/// Whether a field of this name decides what a message is.
pub(super) fn decides(name: &[u8]) -> bool {
    key(name).is_some()
}

fn key(name: &[u8]) -> Option<Key> {
    const KEYS: [(&str, Key); 8] = [
        ("host", Key::Host),
        ("content-length", Key::ContentLength),
        ("transfer-encoding", Key::TransferEncoding),
        ("connection", Key::Connection),
        ("upgrade", Key::Upgrade),
        ("trailer", Key::Trailer),
        ("expect", Key::Expect),
        ("http2-settings", Key::Http2Settings),
    ];
    KEYS.iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
        .map(|(_, key)| *key)
}

impl Key {
    fn ambiguous(self) -> &'static str {
        match self {
            Self::Host => "a Host line that can be read in several ways",
            Self::ContentLength => "a Content-Length line that can be read in several ways",
            Self::TransferEncoding => "a Transfer-Encoding line that can be read in several ways",
            Self::Connection => "a Connection line that can be read in several ways",
            Self::Upgrade => "an Upgrade line that can be read in several ways",
            Self::Trailer => "a Trailer line that can be read in several ways",
            Self::Expect => "an Expect line that can be read in several ways",
            Self::Http2Settings => "an HTTP2-Settings line that can be read in several ways",
        }
    }
}

/// Visible characters with blanks between them (RFC 9110 5.5), nothing else.
fn strict_value(value: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    let text = std::str::from_utf8(value).ok()?;
    value
        .iter()
        .all(is_plain)
        .then(|| text.trim_matches([' ', '\t']))
}

/// What some reader removes around a name: controls and blanks, those of Latin-1 included (Python's
/// `str.strip`).
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | 0x7f | 0x85 | 0xa0)
}

fn trimmed(name: &[u8]) -> &[u8] {
    let begins = name.iter().take_while(|byte| is_blank(**byte)).count();
    let ends = name
        .iter()
        .rev()
        .take_while(|byte| is_blank(**byte))
        .count();
    name.get(begins..name.len() - ends.min(name.len() - begins))
        .unwrap_or_default()
}

/// The items of fields whose values are lists (RFC 9110 5.6.1), in lower case.
pub(super) fn items(fields: &[Field<'_>], key: Key) -> Vec<String> {
    fields
        .iter()
        .filter(|field| field.key == key)
        .flat_map(|field| field.value.split(','))
        .map(|item| item.trim_matches([' ', '\t']).to_ascii_lowercase())
        .filter(|item| !item.is_empty())
        .collect()
}

/// The length that a Content-Length says: 1 to 18 digits, without a leading zero.
pub(super) fn length(value: &str) -> Option<u64> {
    let plain = value.len() <= 18 && value.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (value == "0" || !value.starts_with('0')))
        .then(|| value.parse().ok())
        .flatten()
}

/// The text with these parts of it replaced.
pub(super) fn edited(text: &[u8], edits: &[(Range<usize>, String)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for (line, replacement) in edits {
        out.extend_from_slice(text.get(at..line.start).unwrap_or_default());
        out.extend_from_slice(replacement.as_bytes());
        at = line.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines_text: &str) -> Result<Vec<(Key, String)>, Ambiguous> {
        let head = format!("GET / HTTP/1.1\r\n{lines_text}\r\n");
        let found = request_fields(lines(head.as_bytes()).skip(1))?;
        Ok(found
            .into_iter()
            .map(|field| (field.key, field.value.to_owned()))
            .collect())
    }

    #[test]
    fn fields_that_matter_are_found_in_strict_form() {
        assert_eq!(
            read("HOST: a.test \r\nX: y\r\ncontent-length:5\r\n"),
            Ok(vec![
                (Key::Host, "a.test".to_owned()),
                (Key::ContentLength, "5".to_owned())
            ])
        );
    }

    #[test]
    fn what_some_reader_could_take_for_one_of_them_is_ambiguous() {
        for line in [
            "Host : a.test\r\n",
            " Host: a.test\r\n",
            "X: y\r\n Host: a.test\r\n",
            "X: y\r\n\tTransfer-Encoding: chunked\r\n",
            "\x0bHost: a.test\r\n",
            "Host\x0b: a.test\r\n",
            "Host\r\n",
            "Host: a.test\r\n folded\r\n",
            "Content-Length: 5\r\n 5\r\n",
            "Content\r\n -Length: 5\r\n",
            "Host: a\rb\r\n",
            "X: a\rHost: b\r\n",
            "X: a\0b\r\n",
            "Host: \u{e9}.test\r\n",
            "Host: a\x01b\r\n",
            &format!("Connection: {}\r\n", "a,".repeat(64)),
            &"Connection: a\r\n".repeat(65),
            "X-Odd : v\r\nHost: a.test\r\n",
            "no colon\r\nContent-Length: 5\r\n",
            "\u{e9}: v\r\nContent-Length: 5\r\n",
            "X: y\r\n\x0bodd: v\r\nContent-Length: 5\r\n",
            "X: y\r\n\x7fodd: v\r\nHost: a.test\r\n",
            "Transfer-Encoding: chunked \r\n",
            "Transfer-Encoding: chunked\t\r\n",
            "HTTP2-Settings: AAM\r\n folded\r\n",
        ] {
            assert!(read(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn other_lines_pass_however_odd() {
        for line in [
            "X: 1\r\n folded\r\n\tmore\r\n",
            "X-Odd : v\r\n",
            "X[odd]: v\r\n",
            "no colon\r\n",
            ": no name\r\n",
            "X: \u{1}\u{e9}\r\n",
            "X-Host: b\r\nHosts: c\r\n",
        ] {
            assert_eq!(read(line), Ok(Vec::new()), "{line:?}");
        }
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest"[..], Some(24)),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Some(22)),
            (b"GET / HTTP/1.1\n\nrest", Some(16)),
            (b"GET / HTTP/1.1\r\n\nrest", Some(17)),
            (b"GET / HTTP/1.1\r\nA: b\r\n", None),
            (b"\r\n\r\n", None),
        ] {
            assert_eq!(end(bytes, 0), expected, "{bytes:?}");
        }
    }

    #[test]
    fn lengths_are_plain_numbers() {
        assert_eq!((length("0"), length("42")), (Some(0), Some(42)));
        for text in ["", "+1", "-1", "01", "0x1", "1,1", "9999999999999999999"] {
            assert_eq!(length(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_end_is_found_however_the_bytes_come(
            bytes in "(\r\n){0,2}[A-Z]{1,3}( ?[a-z:]{0,4}\r?\n){0,5}\r?\n?[a-z]{0,4}", split in 0usize..40,
        ) {
            let bytes = bytes.as_bytes();
            let seen = split.min(bytes.len());
            if end(&bytes[..seen], 0).is_none() {
                prop_assert_eq!(end(bytes, seen), end(bytes, 0));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = request_fields(lines(&bytes));
            let _ = response_fields(lines(&bytes));
            let _ = end(&bytes, bytes.len() / 2);
        }
    }
}
