//! How long a body is, and where one in chunks ends. No I/O.
//!
//! Bytes pass as they came; this only counts. Invariant: a byte that is not part of a well-formed
//! body never counts as one, so a body can't end elsewhere for the server than for us (RFC 9112 6,
//! 7.1).

use super::head::{self, Ambiguous};
use crate::proxy::identify::http::is_token;

/// How the end of a body is told.
#[derive(Debug)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// By a chunk of length zero.
    Chunked(Chunks),
    /// By the end of the connection.
    UntilEnd,
}

impl Framing {
    /// No body.
    pub(super) const NONE: Self = Self::Length(0);

    /// How many of these bytes belong to the body.
    ///
    /// # Errors
    /// They can't be a body.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Ambiguous> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunks) => chunks.take(bytes),
            Self::UntilEnd => Ok(bytes.len()),
        }
    }

    /// Whether nothing more belongs to it.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.state == State::Over,
            Self::UntilEnd => false,
        }
    }

    /// How many bytes that come next needn't be looked at; `u64::MAX`: all.
    pub(super) fn unseen(&self) -> u64 {
        match self {
            Self::Length(left) => *left,
            Self::Chunked(chunks) if chunks.state == State::Data => chunks.left,
            Self::Chunked(_) => 0,
            Self::UntilEnd => u64::MAX,
        }
    }

    /// So many of them have passed.
    pub(super) fn passed(&mut self, bytes: u64) {
        match self {
            Self::Length(left) => *left = left.saturating_sub(bytes),
            Self::Chunked(chunks) => chunks.passed(bytes),
            Self::UntilEnd => {}
        }
    }
}

/// Whose body it is: what a request says must be read by any server in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    Request,
    Response,
}

/// The longest line between chunks, and the most that trailers may take, in bytes.
const LINES: usize = 16 * 1024;

/// How much of a trailer is kept to see its name, in bytes: none that matters is longer.
const NAME: usize = 64;

/// A body in chunks, as far as it was read.
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    strictness: Strictness,
    /// Of this chunk.
    left: u64,
    digits: u8,
    /// Bytes of lines since the last data.
    lines: usize,
    /// Of the line that is being read among the trailers, the beginning.
    trailer: Vec<u8>,
    after_cr: bool,
    /// Within quotes of an extension.
    quoted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// Blanks, or an extension.
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataEndLf,
    Trailer,
    Over,
}

impl Chunks {
    pub(super) fn new(strictness: Strictness) -> Self {
        Self {
            state: State::Size,
            strictness,
            left: 0,
            digits: 0,
            lines: 0,
            trailer: Vec::new(),
            after_cr: false,
            quoted: false,
        }
    }

    fn passed(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
        if self.left == 0 {
            self.state = State::DataEnd;
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<usize, Ambiguous> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..)
            && let Some(byte) = rest.first()
            && self.state != State::Over
        {
            if self.state == State::Data {
                let data = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(rest.len());
                self.passed(data as u64);
                taken += data;
            } else {
                self.line_byte(*byte)?;
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// A byte outside of the data.
    fn line_byte(&mut self, byte: u8) -> Result<(), Ambiguous> {
        self.lines += 1;
        if self.lines > LINES {
            return Err(Ambiguous("lines between chunks are over 16 KiB"));
        }
        self.state = match (self.state, byte) {
            (State::Size, byte) if byte.is_ascii_hexdigit() => self.digit(byte)?,
            (State::Size, b'\r') if self.digits > 0 => State::SizeEnd,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            // Some servers fill the line up with blanks.
            (State::Size, b' ' | b'\t')
                if self.digits > 0 && self.strictness == Strictness::Response =>
            {
                State::Extension
            }
            // Some read on to the quote's end, over the line's.
            (State::Extension, b'\r') if self.quoted && self.strictness == Strictness::Request => {
                return Err(MALFORMED);
            }
            (State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, b'\t' | b' '..=b'~') => {
                self.quoted ^= byte == b'"';
                State::Extension
            }
            (State::SizeEnd, b'\n') => self.size_read(),
            (State::DataEnd, b'\r') => State::DataEndLf,
            (State::DataEndLf, b'\n') => State::Size,
            (State::Trailer, byte) => self.trailer_byte(byte)?,
            _ => return Err(MALFORMED),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<State, Ambiguous> {
        // Sixteen fill a u64.
        if self.digits == 16 {
            return Err(MALFORMED);
        }
        let value = char::from(byte).to_digit(16).unwrap_or_default();
        (self.left, self.digits) = (self.left << 4 | u64::from(value), self.digits + 1);
        Ok(State::Size)
    }

    fn size_read(&mut self) -> State {
        (self.digits, self.quoted) = (0, false);
        if self.left == 0 {
            return State::Trailer;
        }
        self.lines = 0;
        State::Data
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<State, Ambiguous> {
        if byte == 0 || (self.after_cr && byte != b'\n') || (!self.after_cr && byte == b'\n') {
            return Err(MALFORMED);
        }
        self.after_cr = byte == b'\r';
        if byte != b'\n' {
            if self.trailer.len() < NAME {
                self.trailer.push(byte);
            }
            return Ok(State::Trailer);
        }
        let line = std::mem::take(&mut self.trailer);
        if line == b"\r" {
            return Ok(State::Over);
        }
        if self.strictness == Strictness::Request && !head::is_late_field(&line) {
            return Err(Ambiguous(
                "a trailer that belongs into the head, or can be read in several ways",
            ));
        }
        Ok(State::Trailer)
    }
}

const MALFORMED: Ambiguous = Ambiguous("a body whose chunks can't be told apart");

/// Whether `chunked` is the last coding and no other (RFC 9112 6.1). Others are the two ends' own.
pub(super) fn ends_in_chunks(codings: &[String]) -> bool {
    match codings.split_last() {
        Some((last, others)) => {
            last == "chunked"
                && others
                    .iter()
                    .all(|one| one != "chunked" && one.bytes().all(is_token))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(strictness: Strictness, bytes: &[u8]) -> Result<(usize, bool), Ambiguous> {
        let mut framing = Framing::Chunked(Chunks::new(strictness));
        let count = framing.take(bytes)?;
        Ok((count, framing.is_over()))
    }

    #[test]
    fn a_body_in_chunks_ends_with_its_last_line() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "3;x=\"y\"\r\nabc\r\n00\r\nX-T: v\r\n\r\n",
            "000A\r\n0123456789\r\n0;last\r\n\r\n",
        ] {
            let bytes = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(
                taken(Strictness::Request, bytes.as_bytes()),
                Ok((body.len(), true)),
                "{body:?}"
            );
        }
    }

    #[test]
    fn what_two_readers_end_elsewhere_is_refused() {
        for body in [
            "\r\n",
            "3\nabc\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "0x3\r\nabc\r\n",
            "+3\r\nabc\r\n",
            "-0\r\n\r\n",
            " 3\r\nabc\r\n",
            "3 \r\nabc\r\n",
            "3;a\nb\r\nabc\r\n",
            "3;a\rb\r\nabc\r\n",
            "3;a=\"b\r\nabc\r\n",
            "0;a=\"\r\n\r\n",
            "11111111111111111\r\n",
            "g\r\n",
            "0\r\nHost: b.test\r\n\r\n",
            "0\r\nContent-Length : 5\r\n\r\n",
            "0\r\n Host: b.test\r\n\r\n",
            "0\r\nX: y\n\r\n",
        ] {
            assert!(
                taken(Strictness::Request, body.as_bytes()).is_err(),
                "{body:?}"
            );
        }
    }

    #[test]
    fn servers_may_fill_the_size_up_with_blanks() {
        let body = b"3  \r\nabc\r\n0\r\n\r\n";
        assert_eq!(taken(Strictness::Response, body), Ok((body.len(), true)));
    }

    #[test]
    fn endless_lines_are_not_read() {
        let body = [b"3;".to_vec(), vec![b'a'; LINES]].concat();
        assert!(taken(Strictness::Response, &body).is_err());
    }

    #[test]
    fn data_may_pass_unseen() {
        let mut framing = Framing::Chunked(Chunks::new(Strictness::Request));
        assert_eq!(framing.take(b"10\r\nab"), Ok(6));
        assert_eq!(framing.unseen(), 14);
        framing.passed(14);
        assert_eq!(framing.take(b"\r\n0\r\n\r\n"), Ok(7));
        assert!(framing.is_over());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            body in "([0-4]{1}\r\n[a-z]{0,4}\r\n){0,3}0\r\n(X: y\r\n)?\r\n[a-z]{0,5}", split in 0usize..60,
        ) {
            let bytes = body.as_bytes();
            let (first, rest) = bytes.split_at(split.min(bytes.len()));
            let mut framing = Framing::Chunked(Chunks::new(Strictness::Request));
            let pieces = framing
                .take(first)
                .and_then(|count| Ok(count + if count == first.len() { framing.take(rest)? } else { 0 }));
            let whole = Framing::Chunked(Chunks::new(Strictness::Request)).take(bytes);
            prop_assert_eq!(pieces.is_err(), whole.is_err());
            prop_assert_eq!(pieces.ok(), whole.ok());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = taken(Strictness::Response, &bytes);
        }
    }
}
