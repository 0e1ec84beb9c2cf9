//! Is this HTTP? Looks at the request line only, or at the first line of HTTP/2's preface.
//!
//! Generous on purpose: whatever claims to be HTTP/1 goes to the HTTP server (`proxy::http`), which
//! parses it strictly and answers 400 to what is malformed, so it can't slip through as opaque
//! bytes. HTTP/2 has one spelling, and `proxy::http2` sees to what follows.

use super::answer::Answer;

/// The longest request line that is waited for. Servers commonly stop at 8 KiB; twice that leaves
/// nobody out.
pub const LINE_LIMIT: usize = 16 * 1024;

/// The longest method that is believed (the longest registered one, `UPDATEREDIRECTREF`, has 17
/// letters). Keeps opaque protocols that start with letters from being waited for.
const METHOD_LIMIT: usize = 32;

/// The version of HTTP that bytes are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1, or what claims to be it.
    One,
    /// HTTP/2, by prior knowledge.
    Two,
}

/// The first line of HTTP/2's preface (RFC 9113 3.4), without its end.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Whether the bytes begin a request in HTTP/1, or HTTP/2's preface.
#[must_use]
pub fn read(bytes: &[u8]) -> Answer<Version> {
    // What stands behind the limit counts for nothing, or the answer would depend on how much was
    // read at once.
    let bytes = bytes.get(..LINE_LIMIT).unwrap_or(bytes);
    let start = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    let text = bytes.get(start..).unwrap_or_default();
    let end = text.iter().position(|byte| *byte == b'\n');
    let answer = match end.and_then(|end| text.get(..end)) {
        Some(line) if start == 0 && line.strip_suffix(b"\r") == Some(PREFACE) => {
            return Answer::Found(Version::Two);
        }
        Some(line) => whole_line(line),
        None => part_of_line(text),
    };
    match answer {
        Answer::NeedMore if bytes.len() >= LINE_LIMIT => {
            Answer::Refused("the request line is over 16 KiB")
        }
        answer => answer,
    }
}

fn whole_line(line: &[u8]) -> Answer<Version> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let early @ (Answer::Not | Answer::Refused(_)) = part_of_line(line) {
        return early;
    }
    let version = line
        .windows(VERSION.len())
        .rposition(|window| window.eq_ignore_ascii_case(VERSION));
    match version.and_then(|at| line.get(at + VERSION.len())) {
        Some(b'1') => Answer::Found(Version::One),
        Some(_) => Answer::Refused("HTTP, but neither version 1 nor 2"),
        None => Answer::Not,
    }
}

/// What precedes the version number. Any letter case: some servers don't mind either.
const VERSION: &[u8] = b" HTTP/";

/// What can be told while the line may go on: never `Found`.
fn part_of_line(line: &[u8]) -> Answer<Version> {
    let method = line.iter().take_while(|byte| is_token(**byte)).count();
    match line.get(method) {
        _ if method > METHOD_LIMIT => Answer::Not,
        None => Answer::NeedMore,
        Some(b' ') if method > 0 => target(line),
        Some(b'\r') if method > 0 && line.len() == method + 1 => Answer::NeedMore,
        Some(_) => Answer::Not,
    }
}

fn target(line: &[u8]) -> Answer<Version> {
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    if text.iter().any(u8::is_ascii_control) {
        Answer::Not
    } else {
        Answer::NeedMore
    }
}

/// RFC 9110 5.6.2.
pub(in crate::proxy) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEITHER: Answer<Version> = Answer::Refused("HTTP, but neither version 1 nor 2");

    #[test]
    fn whatever_claims_to_be_http_1_is_found() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.0\n",
            "\r\nGET / HTTP/1.1\r\n",
            "M-SEARCH * HTTP/1.1\r\n",
            "GET  /two  HTTP/1.1 \r\n",
            "get / http/1.1\r\n",
            "GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n",
            "CONNECT a.example:443 HTTP/1.1\r\n",
        ] {
            assert_eq!(
                read(line.as_bytes()),
                Answer::Found(Version::One),
                "{line:?}"
            );
        }
    }

    #[test]
    fn http_2_is_found_by_the_first_line_of_its_preface() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let line = PREFACE.len() + 2;
        for end in 0..line {
            assert_eq!(read(&preface[..end]), Answer::NeedMore, "{end}");
        }
        for end in line..=preface.len() {
            assert_eq!(read(&preface[..end]), Answer::Found(Version::Two), "{end}");
        }
    }

    #[test]
    fn other_versions_of_http_are_refused() {
        for line in [
            "GET / HTTP/2.0\r\n",
            "GET / HTTP/0.9\r\n",
            "PRI * HTTP/2.0\n",
            "PRI * HTTP/2.1\r\n",
            "\r\nPRI * HTTP/2.0\r\n",
            "PRI *  HTTP/2.0\r\n",
        ] {
            assert_eq!(read(line.as_bytes()), NEITHER, "{line:?}");
        }
    }

    #[test]
    fn other_protocols_are_not_http() {
        for line in [
            "GET /\r\n",
            "QUIT\r\n",
            "EHLO client.example\r\n",
            "OPTIONS rtsp://a.example RTSP/1.0\r\n",
            "\0\0\0",
            " GET / HTTP/1.1\r\n",
            "GET\t/ HTTP/1.1\r\n",
            "GET /\0 HTTP/1.1\r\n",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(matches!(read(line.as_bytes()), Answer::Not), "{line:?}");
        }
    }

    #[test]
    fn every_part_of_a_request_line_needs_more() {
        let line = b"GET /some/path?q=1 HTTP/1.1\r\n";
        for end in 0..line.len() {
            assert_eq!(read(&line[..end]), Answer::NeedMore, "{end}");
        }
    }

    #[test]
    fn the_limit_on_the_request_line_holds_to_the_byte() {
        let line = |length: usize| [b"GET /".to_vec(), vec![b'a'; length - 5]].concat();
        assert_eq!(read(&line(LINE_LIMIT - 1)), Answer::NeedMore);
        assert!(matches!(read(&line(LINE_LIMIT)), Answer::Refused(_)));
        assert!(matches!(read(&vec![b'\n'; LINE_LIMIT]), Answer::Refused(_)));
    }

    #[test]
    fn what_comes_behind_the_limit_changes_nothing_however_much_is_read_at_once() {
        let line = |blank: usize| {
            [
                vec![b'\n'; blank],
                b"GET /".to_vec(),
                vec![b'a'; LINE_LIMIT - 5],
            ]
            .concat()
        };
        for (blank, behind) in [(0, &b"\0"[..]), (1, b" HTTP/1.1\r\n")] {
            let bytes = [&line(blank), behind].concat();
            assert!(matches!(read(&bytes[..LINE_LIMIT]), Answer::Refused(_)));
            assert!(matches!(read(&bytes), Answer::Refused(_)), "{blank}");
        }
        let late_end = [
            &[b'\n'; 20][..],
            &b"GET /"[..],
            &vec![b'a'; LINE_LIMIT - 20],
            b" HTTP/1.1\r\n",
        ]
        .concat();
        assert!(matches!(read(&late_end), Answer::Refused(_)));
    }
}
