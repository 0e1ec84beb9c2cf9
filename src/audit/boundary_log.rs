//! The wire format of Coder's workspace agent for audit logs of coder/boundary: what it listens for on
//! its socket.
//!
//! ```text
//! 8 bits: 2   24 bits: length   BoundaryMessage { 1: ReportBoundaryLogsRequest, or 2: BoundaryStatus }
//! ReportBoundaryLogsRequest { 1: BoundaryLog…, 2: session_id, 3: confined_process_name }
//! BoundaryLog { 1: allowed, 2: time, 3: HttpRequest { 1: method, 2: url, 3: matched_rule }, 4: sequence_number }
//! BoundaryStatus { 1: dropped_channel_full, 2: dropped_batch_full }
//! ```
//!
//! Protocol buffers, written by hand: two of their types (numbers, and what has a length), nothing is
//! read, and a crate for them would bring a build script and three more crates for these forty lines.

use super::line::{Line, RecordedVerdict};
use super::requested::Requested;

/// The longest message that the agent takes, in bytes.
pub const LONGEST: usize = 32 * 1024;
/// The longest log of ours, in bytes: the limits in `record`, and what is around them.
pub const LONGEST_LOG: usize = 4096;

/// The kind of message that has an envelope.
const ENVELOPE: u8 = 2;

/// The log of a judged request, with its number in its session; none of anything else, for which the
/// format has no place.
pub(super) fn log(line: &Line, number: i32) -> Option<Vec<u8>> {
    let asked = Requested::of(line)?;
    let allowed = line.verdict == Some(RecordedVerdict::Allow);
    let mut request = Message::default();
    request.bytes(1, asked.method.as_bytes());
    request.bytes(2, asked.url.as_bytes());
    if let Some(rule) = line.rule.as_deref().filter(|_| allowed) {
        request.bytes(3, rule.as_bytes());
    }
    let mut log = Message::default();
    log.number(1, u64::from(allowed));
    if let Some(time) = timestamp(&line.time) {
        log.bytes(2, &time.0);
    }
    log.bytes(3, &request.0);
    log.number(4, u64::from(number.unsigned_abs()));
    Some(log.0)
}

/// The frame of these logs, in order. They have to be so few that it isn't too long.
#[must_use]
pub fn report(logs: &[Vec<u8>], session: &str, process: &str) -> Vec<u8> {
    let mut report = Message::default();
    for log in logs {
        report.bytes(1, log);
    }
    report.bytes(2, session.as_bytes());
    report.bytes(3, process.as_bytes());
    framed(1, &report)
}

/// The frame that says how many logs were lost, because they came faster than they were sent.
#[must_use]
pub fn status(lost: u64) -> Vec<u8> {
    let mut status = Message::default();
    status.number(1, lost);
    framed(2, &status)
}

fn framed(field: u8, message: &Message) -> Vec<u8> {
    let mut envelope = Message::default();
    envelope.bytes(field, &message.0);
    let length = u32::try_from(envelope.0.len()).unwrap_or(u32::MAX);
    let [_, length @ ..] = length.to_be_bytes();
    [&[ENVELOPE][..], &length, &envelope.0].concat()
}

/// `google.protobuf.Timestamp`.
fn timestamp(text: &str) -> Option<Message> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    let mut message = Message::default();
    message.number(1, since.as_secs());
    message.number(2, u64::from(since.subsec_nanos()));
    Some(message)
}

/// A message of protocol buffers that is being written.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    /// A number, which isn't negative. A zero isn't written: it is what a reader takes for nothing.
    fn number(&mut self, field: u8, value: u64) {
        if value != 0 {
            self.0.push(field << 3);
            self.varint(value);
        }
    }

    /// Bytes, a text or a message.
    fn bytes(&mut self, field: u8, value: &[u8]) {
        self.0.push(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Event;
    use super::super::record::{Kind, MAX_METHOD, MAX_NAME, MAX_PATH, MAX_TEXT};
    use super::*;

    fn line() -> Line {
        Line {
            protocol: Some(Kind::Http),
            verdict: Some(RecordedVerdict::Allow),
            name: Some("a.dev".to_owned()),
            port: Some(80),
            method: Some("GET".to_owned()),
            path: Some("/".to_owned()),
            rule: Some("r".to_owned()),
            ..Line::new(Event::Open, "1970-01-01T00:05:00.000Z".to_owned(), "c")
        }
    }

    #[test]
    fn a_log_is_these_bytes() {
        let request = b"\x0a\x03GET\x12\x0dhttp://a.dev/\x1a\x01r";
        let mut expected = b"\x08\x01\x12\x03\x08\xac\x02\x1a".to_vec();
        expected.push(u8::try_from(request.len()).unwrap());
        expected.extend_from_slice(request);
        expected.extend_from_slice(b"\x20\x07");
        assert_eq!(log(&line(), 7), Some(expected));
    }

    #[test]
    fn a_denial_tells_no_rule() {
        let denied = Line {
            verdict: Some(RecordedVerdict::Deny),
            ..line()
        };
        let log = log(&denied, 0).unwrap();
        assert!(!log.ends_with(b"\x1a\x01r") && !log.starts_with(b"\x08\x01"));
    }

    #[test]
    fn a_frame_begins_with_its_kind_and_length() {
        let frame = report(&[b"xy".to_vec()], "s", "p");
        assert_eq!(
            frame,
            b"\x02\x00\x00\x0c\x0a\x0a\x0a\x02xy\x12\x01s\x1a\x01p"
        );
        assert_eq!(status(300), b"\x02\x00\x00\x05\x12\x03\x08\xac\x02");
    }

    #[test]
    fn the_longest_log_is_within_its_limit() {
        let longest = |length| Some("x".repeat(length));
        let line = Line {
            protocol: Some(Kind::Https),
            name: longest(MAX_NAME),
            method: longest(MAX_METHOD),
            path: longest(MAX_PATH),
            rule: longest(MAX_TEXT),
            port: Some(65535),
            ..line()
        };
        assert!(log(&line, i32::MAX).unwrap().len() <= LONGEST_LOG);
    }
}
