//! What is this connection? Bytes in, an answer out: found, certainly not, or need more. No I/O.
//!
//! Owns the order of the questions (TLS, then HTTP) and nothing else. The parsers under it never
//! index, never panic, and say "need more" only while they are below their own byte limit, so a
//! caller that reads until an answer is bounded.

mod answer;
pub mod http;
pub mod pretence;
pub mod tls;

pub use answer::Answer;

use crate::policy::Denials;

/// What a connection turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// TLS, with what its ClientHello says.
    Tls(tls::Hello),
    /// Something that says it is HTTP/1.
    Http,
    /// HTTP/2, by prior knowledge.
    Http2,
    /// None of these.
    Opaque,
}

/// Why bytes that nobody can read for certain don't pass.
const HIDDEN: &str = "some servers could find TLS or a request behind it";
/// Why the beginning of a request doesn't pass at the client's end.
const CUT_SHORT: &str = "some servers could read it as a request";

/// Identifies a connection by its first bytes. Never answers [`Answer::Not`]. `pretences`: what
/// must not pass as opaque, because a server could take it for a request that a rule would have to
/// look at.
#[must_use]
pub fn identify(bytes: &[u8], pretences: Denials) -> Answer<Identity> {
    // The two can't both need more: TLS begins with a byte that no HTTP method has.
    match tls::read(bytes) {
        Answer::Found(hello) => return Answer::Found(Identity::Tls(hello)),
        Answer::NeedMore => return Answer::NeedMore,
        Answer::Refused(why) => return Answer::Refused(why),
        Answer::Not => {}
    }
    match http::read(bytes) {
        Answer::Found(http::Version::One) => Answer::Found(Identity::Http),
        Answer::Found(http::Version::Two) => Answer::Found(Identity::Http2),
        Answer::NeedMore => Answer::NeedMore,
        Answer::Refused(why) => Answer::Refused(why),
        Answer::Not => match pretence::read(bytes, pretences) {
            Answer::Found(pretence::Pretence::Request) => Answer::Found(Identity::Http),
            Answer::Found(pretence::Pretence::Hidden) => Answer::Refused(HIDDEN),
            Answer::NeedMore => Answer::NeedMore,
            Answer::Refused(why) => Answer::Refused(why),
            Answer::Not => Answer::Found(Identity::Opaque),
        },
    }
}

/// The same when the client has ended and nothing more will come: to a server, the end ends a line,
/// too.
#[must_use]
pub fn identify_ended(bytes: &[u8], pretences: Denials) -> Answer<Identity> {
    match pretence::read(&[bytes, b"\n"].concat(), pretences) {
        Answer::Found(_) | Answer::Refused(_) => Answer::Refused(CUT_SHORT),
        Answer::Not | Answer::NeedMore => Answer::Found(Identity::Opaque),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn server_first_and_binary_protocols_are_opaque_at_their_first_bytes() {
        for bytes in [
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"EHLO me\r\n",
            b"\x00\x00\x00\x08",
            b"*1\r\n$4\r\nPING\r\n",
            b"\xff\xfb\x03",
        ] {
            assert_eq!(
                identify(bytes, Denials::ByRequest),
                Answer::Found(Identity::Opaque),
                "{bytes:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_the_verdict_on_them_is_never_not(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_ne!(identify(&bytes, Denials::None), Answer::Not);
        }

        #[test]
        fn more_bytes_never_change_an_answer(bytes in near_miss(), split in 0usize..600) {
            let early = identify(bytes.get(..split).unwrap_or(&bytes), Denials::ByRequest);
            if early != Answer::NeedMore {
                prop_assert_eq!(early, identify(&bytes, Denials::ByRequest));
            }
        }
    }

    /// Bytes that get deep into the parsers before they go wrong.
    fn near_miss() -> impl Strategy<Value = Vec<u8>> {
        let tail = proptest::collection::vec(any::<u8>(), 0..300);
        let start = prop_oneof![
            Just(vec![22, 3, 1]),
            Just(vec![22, 3, 1, 0, 60, 1, 0, 0, 56, 3, 3]),
            Just(b"GET /x HTTP/1".to_vec()),
            Just(b"PRI * HT".to_vec()),
            Just(vec![0x80, 46, 1, 3, 1]),
        ];
        (start, tail).prop_map(|(start, tail)| [start, tail].concat())
    }
}
