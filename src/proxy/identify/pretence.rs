//! Bytes that the strict parsers take for neither TLS nor HTTP, although some server would answer
//! them as one or the other.
//!
//! Owns what the most lenient server could read as a hello or a request line. Only asked where a
//! deny rule could apply: there, such bytes must not pass unread. Servers that were examined:
//! Python's `http.server` splits the line at any white space, also before the method, and answers
//! `GET` without a version (HTTP/0.9), like nginx and Apache; nginx, Apache and Node skip line ends
//! before the method; most accept any token as a method (RFC 9110 5.6.2), of any length. Go and the
//! JDK accept a ClientHello in a record of any version, and after warning alerts, GnuTLS after a
//! ChangeCipherSpec. Servers behind a load balancer may expect the PROXY protocol's header and read
//! on behind it.

use super::answer::Answer;
use super::http::{LINE_LIMIT, is_token};
use crate::policy::Denials;

/// What a server could take bytes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pretence {
    /// A request, however it is written.
    Request,
    /// Something behind which TLS or a request stands.
    Hidden,
}

/// Whether the bytes begin what could be read as something that `denials` would have to look at. At
/// the end of the client's bytes, give them with a line end behind.
#[must_use]
pub fn read(bytes: &[u8], denials: Denials) -> Answer<Pretence> {
    if denials == Denials::None {
        return Answer::Not;
    }
    match tls_record(bytes) {
        Answer::Not => {}
        answer => return answer,
    }
    if PROXY_2.starts_with(bytes) && bytes.len() < PROXY_2.len() {
        return Answer::NeedMore;
    }
    if bytes.starts_with(PROXY_2) {
        return Answer::Found(Pretence::Hidden);
    }
    let start = bytes
        .iter()
        .take_while(|byte| is_blank(**byte) || **byte == b'\n')
        .count();
    let text = bytes.get(start..).unwrap_or_default();
    let method = text.iter().take_while(|byte| is_token(**byte)).count();
    match text.get(method) {
        Some(byte) if method == 0 || !is_blank(*byte) => return Answer::Not,
        _ => {}
    }
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.len() < text.len() {
        return match request(line, denials) {
            Some(pretence) => Answer::Found(pretence),
            None => Answer::Not,
        };
    }
    // What stands behind the limit counts for nothing, or the answer would depend on how much was
    // read at once.
    if bytes.len() >= LINE_LIMIT {
        Answer::Refused("the first line is over 16 KiB, and might be an HTTP request")
    } else {
        Answer::NeedMore
    }
}

/// What a whole line could be.
fn request(line: &[u8], denials: Denials) -> Option<Pretence> {
    let mut words = line
        .split(|byte| is_blank(*byte))
        .filter(|word| !word.is_empty());
    let (method, target) = (words.next()?, words.next()?);
    if method == PROXY_1 {
        return Some(Pretence::Hidden);
    }
    let has_version = words.any(|word| begins(word, b"HTTP/"));
    // Node and the JDK answer any scheme, RTSP's version too; Node reads a Host where there is no
    // version.
    let names_host = target.windows(3).any(|window| window == b"://");
    let unversioned = (target.starts_with(b"/") && is_method(method))
        || (denials == Denials::ByRequest && begins(line, b"GET"));
    (has_version || names_host || unversioned).then_some(Pretence::Request)
}

/// Whether some server answers it as a method where no version follows: those that llhttp (Node)
/// knows. Others' first lines (git's `003egit-upload-pack /x.git`, FTP's) are none.
fn is_method(word: &[u8]) -> bool {
    const METHODS: [&str; 34] = [
        "DELETE",
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "CONNECT",
        "OPTIONS",
        "TRACE",
        "COPY",
        "LOCK",
        "MKCOL",
        "MOVE",
        "PROPFIND",
        "PROPPATCH",
        "SEARCH",
        "UNLOCK",
        "BIND",
        "REBIND",
        "UNBIND",
        "ACL",
        "REPORT",
        "MKACTIVITY",
        "CHECKOUT",
        "MERGE",
        "M-SEARCH",
        "NOTIFY",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "PATCH",
        "PURGE",
        "MKCALENDAR",
        "LINK",
        "UNLINK",
        "SOURCE",
    ];
    METHODS
        .iter()
        .any(|method| word.eq_ignore_ascii_case(method.as_bytes()))
}

/// A record that begins as those which may precede a ClientHello, or hold one, whatever its version
/// (RFC 8446 5.1, types 20 to 22). A hello that the strict reader understands doesn't come here.
fn tls_record(bytes: &[u8]) -> Answer<Pretence> {
    let longest = match bytes.first() {
        Some(20) => 1,
        Some(21) => 2,
        Some(22) => 1 << 14,
        _ => return Answer::Not,
    };
    match (bytes.get(3), bytes.get(4)) {
        (Some(high), Some(low)) if u16::from_be_bytes([*high, *low]) <= longest => {
            Answer::Found(Pretence::Hidden)
        }
        (Some(_), Some(_)) => Answer::Not,
        _ => Answer::NeedMore,
    }
}

/// The header of the PROXY protocol, version 2, and the first word of version 1's.
const PROXY_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const PROXY_1: &[u8] = b"PROXY";

fn begins(word: &[u8], with: &[u8]) -> bool {
    word.get(..with.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(with))
}

/// White space as Python's `str.split` knows it (in Latin-1), but for the line end.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x0b..=0x0d | 0x1c..=0x20 | 0x85 | 0xa0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_lenient_server_would_answer_is_found() {
        let long = format!("{} /secret HTTP/1.1\r\n", "A".repeat(33));
        for line in [
            " GET / HTTP/1.1\r\n",
            "\t\r\n\x0bGET / HTTP/1.1\n",
            "GET\t/\tHTTP/1.1\r\n",
            "GET /\rHTTP/1.1\n",
            "get \x1f/ http/1.0\r\n",
            "GET http://denied.test/\r\n",
            &long,
        ] {
            assert_eq!(
                read(line.as_bytes(), Denials::ByName),
                Answer::Found(Pretence::Request),
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_request_needs_no_version() {
        for line in [
            "GET /secret\r\n",
            "GET\t/secret\n",
            "POST /secret RTSP/1.0\r\n",
            "OPTIONS rtsp://b.test/ RTSP/1.0\n",
        ] {
            assert_eq!(
                read(line.as_bytes(), Denials::ByName),
                Answer::Found(Pretence::Request),
                "{line:?}"
            );
        }
        assert_eq!(read(b"get key\r\n", Denials::ByName), Answer::Not);
        assert_eq!(
            read(b"get key\r\n", Denials::ByRequest),
            Answer::Found(Pretence::Request)
        );
    }

    #[test]
    fn other_protocols_are_told_at_their_first_line_at_the_latest() {
        for bytes in [
            &b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"[..],
            b"EHLO client.test\r\n",
            b"USER anonymous\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"PING\r\n",
            b"set key 0 0 5\r\n",
            b"\0\0\0\x08\x04\xd2\x16\x2f",
            b"{\"jsonrpc\": \"2.0\"}\n",
        ] {
            assert_eq!(read(bytes, Denials::ByRequest), Answer::Not, "{bytes:?}");
        }
    }

    #[test]
    fn what_precedes_a_hello_or_hides_a_request_is_found() {
        for bytes in [
            &[21, 3, 1, 0, 2, 1, 0][..],
            &[20, 3, 3, 0, 1, 1],
            &[22, 9, 9, 0, 200, 1],
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21",
        ] {
            assert_eq!(
                read(bytes, Denials::ByName),
                Answer::Found(Pretence::Hidden),
                "{bytes:?}"
            );
            assert_eq!(
                read(&bytes[..3], Denials::ByName),
                Answer::NeedMore,
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn an_endless_line_is_not_waited_for() {
        let line = [b"GET\t/".to_vec(), vec![b'a'; LINE_LIMIT]].concat();
        assert_eq!(
            read(&line[..LINE_LIMIT - 1], Denials::ByName),
            Answer::NeedMore
        );
        assert!(matches!(
            read(&line[..LINE_LIMIT], Denials::ByName),
            Answer::Refused(_)
        ));
    }

    proptest! {
        #[test]
        fn more_bytes_never_change_an_answer(
            bytes in "[ \\t\\r\\n]{0,3}[A-Za-z]{0,40}[ \\t\\r]{0,2}[/a-z:]{0,12}[ \\t]{0,2}(HTTP/1.1)?[\\r\\n]{0,2}[a-z]{0,5}",
            split in 0usize..80,
            by_request: bool,
        ) {
            let denials = if by_request { Denials::ByRequest } else { Denials::ByName };
            let bytes = bytes.as_bytes();
            let early = read(bytes.get(..split).unwrap_or(bytes), denials);
            if early != Answer::NeedMore {
                prop_assert_eq!(early, read(bytes, denials));
            }
        }

        #[test]
        fn a_request_with_a_version_is_found_however_it_is_spaced(
            before in "[ \\t\\r\\n]{0,4}", method in "[A-Za-z!-]{1,50}", a in "[ \\t]{1,3}", b in "[ \\t\\r]{1,3}",
        ) {
            let line = format!("{before}{method}{a}/x{b}HTTP/1.1\r\n");
            prop_assert_eq!(read(line.as_bytes(), Denials::ByName), Answer::Found(Pretence::Request));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes, Denials::ByRequest);
        }
    }
}
