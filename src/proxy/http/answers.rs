//! What a server answers: how long its body is, and whether the connection goes on.
//!
//! Whatever it says passes as it came: the one who reads it is the container. What is read here
//! only decides where the next answer begins, so what is unclear ends the connection instead.

use super::framing::{Chunks, Framing, Strictness, ends_in_chunks};
use super::head::{self, Field, Key};

/// What the bytes of a server begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// An answer in HTTP/1 with a head of this length.
    Head(usize),
    /// It may be one; these bytes don't tell yet.
    NeedMore,
    /// Something else (HTTP/0.9, `ICY 200 OK`): bytes to the end.
    NotHttp,
}

/// The head of an answer, understood.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// Whether the server keeps the connection open.
    pub(super) persists: bool,
    /// It asks for what would authorise the connection (NTLM, Negotiate).
    pub(super) asks_for_authority: bool,
    /// Where lines stand that say that it is kept open.
    keeping: Vec<std::ops::Range<usize>>,
    /// Whether there is a line that says it is closed.
    says_close: bool,
}

/// An answer that nobody could pass on: the length of its body is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undecidable;

/// Tells what the bytes begin. `seen`: how many of them were looked at before, in vain.
pub(super) fn begins(bytes: &[u8], seen: usize) -> Beginning {
    const VERSION: &[u8] = b"HTTP/1.";
    let text = bytes
        .get(head::leading_line_ends(bytes)..)
        .unwrap_or_default();
    let common = text.len().min(VERSION.len());
    if text.get(..common) != VERSION.get(..common) {
        return Beginning::NotHttp;
    }
    match head::end(bytes, seen) {
        Some(end) => Beginning::Head(end),
        None => Beginning::NeedMore,
    }
}

/// Reads a head. `bodiless`: it answers a request whose answers have no body.
///
/// # Errors
/// [`Undecidable`].
pub(super) fn read(head: &[u8], bodiless: bool) -> Result<Answer, Undecidable> {
    let mut lines = head::lines(head);
    let first = lines.next().map(|line| line.text).unwrap_or_default();
    let is_11 = first.starts_with(b"HTTP/1.1");
    let status = status(first);
    let (mut keeping, mut asks_for_authority) = (Vec::new(), false);
    let lines = lines.inspect(|line| {
        if starts_with(line.text, b"keep-alive:") {
            keeping.push(line.at..line.at + line.length);
        }
        asks_for_authority |= [&b"www-authenticate:"[..], b"proxy-authenticate:"]
            .iter()
            .any(|name| starts_with(line.text, name) && names_a_connections_scheme(line.text));
    });
    let fields = head::response_fields(lines).ok();
    let clear = fields.is_some();
    let fields = fields.unwrap_or_default();
    let items = head::items(&fields, Key::Connection);
    let says = |item: &str| items.iter().any(|said| said == item);
    let says_close = says("close");
    let framing = match status {
        Some(100..=199 | 204 | 304) => Framing::NONE,
        _ if bodiless => Framing::NONE,
        Some(_) if clear => framing(&fields, is_11)?,
        _ => Framing::UntilEnd,
    };
    let persists = clear && !says_close && (is_11 || says("keep-alive"));
    keeping.extend(
        fields
            .iter()
            .filter(|field| field.key == Key::Connection)
            .map(|field| field.line.clone()),
    );
    Ok(Answer {
        status: status.unwrap_or_default(),
        persists: persists && !matches!(framing, Framing::UntilEnd),
        framing,
        asks_for_authority,
        keeping,
        says_close,
    })
}

fn starts_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Schemes that authorise the connection instead of the request (RFC 4559, MS-NTHT).
fn names_a_connections_scheme(line: &[u8]) -> bool {
    let line = line.to_ascii_lowercase();
    [&b"ntlm"[..], b"negotiate", b"kerberos"]
        .iter()
        .any(|scheme| line.windows(scheme.len()).any(|window| window == *scheme))
}

/// The three digits behind the version (RFC 9112 4).
fn status(line: &[u8]) -> Option<u16> {
    let digits = line.get("HTTP/1.1 ".len()..)?.get(..3)?;
    let text = std::str::from_utf8(digits).ok()?;
    text.parse()
        .ok()
        .filter(|status| (100..1000).contains(status))
}

/// How long the body is (RFC 9112 6.3): what is clear in no reading lasts until the end.
fn framing(fields: &[Field<'_>], is_11: bool) -> Result<Framing, Undecidable> {
    let codings = head::items(fields, Key::TransferEncoding);
    if codings.iter().any(|coding| coding != "identity") {
        let chunked = is_11 && ends_in_chunks(&codings);
        return Ok(if chunked {
            Framing::Chunked(Chunks::new(Strictness::Response))
        } else {
            Framing::UntilEnd
        });
    }
    let mut lengths = fields
        .iter()
        .filter(|field| field.key == Key::ContentLength)
        .map(|field| field.value);
    match lengths.next() {
        None => Ok(Framing::UntilEnd),
        Some(first) if lengths.any(|other| other != first) => Err(Undecidable),
        Some(first) => Ok(head::length(first).map_or(Framing::UntilEnd, Framing::Length)),
    }
}

impl Answer {
    /// The head for a client that wants its connection closed, where the server was not asked to.
    pub(super) fn closing(&self, head: &[u8]) -> Option<Vec<u8>> {
        if self.says_close {
            return None;
        }
        let mut edits: Vec<_> = self
            .keeping
            .iter()
            .map(|line| (line.clone(), String::new()))
            .collect();
        edits.sort_by_key(|(line, _)| line.start);
        let last = head::lines(head)
            .last()
            .map_or(0, |line| line.at + line.length);
        edits.push((last..last, "Connection: close\r\n".to_owned()));
        Some(head::edited(head, &edits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(head: &str) -> Answer {
        read(head.as_bytes(), false).unwrap()
    }

    #[test]
    fn the_length_of_a_body_is_what_is_clear_to_any_reader() {
        let head = |lines: &str| answer(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
        assert!(matches!(
            head("Content-Length: 5\r\n").framing,
            Framing::Length(5)
        ));
        assert!(matches!(
            head("Content-Length: 5\r\nContent-Length: 5\r\n").framing,
            Framing::Length(5)
        ));
        for chunked in [
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, Chunked\r\n",
            "X-Odd : v\r\nX: a\r\n b\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert!(
                matches!(head(chunked).framing, Framing::Chunked(_)),
                "{chunked}"
            );
        }
        for unclear in [
            "",
            "Content-Length : 5\r\n",
            "Content-Length: +5\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Content-Length: 5\r\n 5\r\n",
        ] {
            let answer = head(unclear);
            assert!(matches!(answer.framing, Framing::UntilEnd), "{unclear}");
            assert!(!answer.persists);
        }
        let two = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n";
        assert_eq!(read(two, false).err(), Some(Undecidable));
    }

    #[test]
    fn answers_without_a_body_have_none_whatever_their_lengths_say() {
        for head in [
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ] {
            assert!(answer(head).framing.is_over(), "{head}");
        }
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
        assert!(read(head, true).unwrap().framing.is_over());
    }

    #[test]
    fn what_is_not_http_is_told_at_its_first_bytes() {
        assert_eq!(begins(b"ICY 200 OK\r\n\r\n", 0), Beginning::NotHttp);
        assert_eq!(begins(b"<html>", 0), Beginning::NotHttp);
        assert_eq!(begins(b"HTT", 0), Beginning::NeedMore);
        assert_eq!(
            begins(b"\r\nHTTP/1.1 200 OK\r\n\r\nx", 0),
            Beginning::Head(21)
        );
    }

    #[test]
    fn a_client_that_wants_its_end_is_told_of_it() {
        let head =
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nA: b\r\nKeep-Alive: timeout=5\r\n\r\n";
        let answer = read(head, false).unwrap();
        assert_eq!(
            answer.closing(head).unwrap(),
            b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n"
        );
        let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        assert!(read(head, false).unwrap().closing(head).is_none());
    }
}
