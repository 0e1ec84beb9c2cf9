//! The protocol of a gateway's control socket: length-prefixed, bounded frames of JSON, one request
//! and one response.
//!
//! Owns the messages of both sides and the client; the server is the keeper's
//! (`supervisor/control.rs`).
//!
//! A gateway speaks the protocol version of the program that created it, and keeps running when
//! that program is replaced. Only four calls are made: by the hook of a container that has
//! something to say in the record, and by `policy`, which asks for the generation first, or for what is pending or
//! never open: words that a gateway of before there were such doesn't understand, and says so; by `start`, shortly after
//! `create`; and by `status`. Stopping or deleting a container needs none. So older versions are not
//! supported here.
//! A keeper from before there were frames hangs up on one: if an upgrade falls between `create` and
//! `start`, the container is not started, its engine reports that, and it has to be created again;
//! `status` reports that such a gateway does not respond.

mod approvals;

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

pub use approvals::{Approval, Approved, PendingAttempt, PendingList};

use crate::audit::journal::JournalStatus;
use crate::audit::record::MAX_TEXT;
use crate::escape::clean;
use crate::policy::{ApprovalId, PolicySource};

/// The protocol version. Grows when a message changes its meaning.
const VERSION: u32 = 1;
/// The longest answer, in bytes, without the four of its length: all that can be pending.
const LONGEST: usize = 1 << 20;
/// The longest question: a policy's file, and the ceiling's, of the longest there are.
pub const LONGEST_REQUEST: usize = 4 << 20;

/// A request to a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// Adopt the interfaces that the container's network has by now, and respond when all of it is
    /// filtered.
    Settle,
    /// Report the status.
    Status,
    /// Write this into the record, as a notice: it is about a container whose network this one's
    /// is.
    Notice(String),
    /// Say which of its policies is in force. Gateways of before policies could be changed don't
    /// understand it.
    Generation,
    /// Say which addresses are never open to the container, besides those that are to none. Gateways of
    /// before it was asked for don't understand it.
    Own,
    /// Put this policy in the place of the one in force.
    Policy(Box<NewPolicy>),
    /// Say what was denied and may be approved, to somebody who is shown it. Gateways of before there were
    /// approvals understand neither this nor the next three.
    Pending,
    /// Say what is pending under this ID, if anything is.
    Find(ApprovalId),
    /// Allow what is pending under this ID.
    Approve(Approval),
    /// What is pending under this ID isn't to be shown any more.
    Dismiss(ApprovalId),
}

/// A policy that is to be put in the place of the one in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPolicy {
    /// It.
    pub source: PolicySource,
    /// The file that it was read from, where that isn't the container's own.
    pub file: Option<PathBuf>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Which of the gateway's policies is in force now.
    pub generation: u64,
    /// Open flows that it denied, and that were cut.
    pub cut: u64,
}

/// Its response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// It is done.
    Done,
    /// It can't be done; one sentence.
    Failed(String),
    /// The request is not one of this version; one sentence.
    NotUnderstood(String),
    /// The status; none if its filter doesn't report.
    Status(Option<FilterReport>),
    /// Which policy is in force, by its place among all of the gateway's.
    Generation(u64),
    /// The addresses that are never open to the container.
    Own(Vec<IpAddr>),
    /// The policy is in force.
    Policy(Changed),
    /// What is pending.
    Pending(PendingList),
    /// The approval is in force.
    Approved(Approved),
}

/// What a filter reports of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterReport {
    /// Its attempts.
    pub tally: JournalStatus,
    /// Bytes of its budget that are taken.
    pub held: u64,
}

impl FilterReport {
    /// The same with its texts escaped: the filter may have been taken over.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        self.tally.last_denial = self
            .tally
            .last_denial
            .map(|sentence| clean(&sentence, MAX_TEXT));
        self
    }
}

impl Response {
    /// The response to a request that succeeded or failed.
    #[must_use]
    pub fn of(outcome: &anyhow::Result<()>) -> Self {
        match outcome {
            Ok(()) => Self::Done,
            Err(error) => Self::Failed(clean(&format!("{error:#}"), MAX_TEXT)),
        }
    }

    /// Its frame.
    ///
    /// # Errors
    /// None that is known: all texts in it are bounded.
    pub fn frame(&self) -> io::Result<Vec<u8>> {
        frame("answer", self, LONGEST)
    }

    fn read(body: &[u8]) -> io::Result<Self> {
        let (version, answer) = opened(body, "answer").map_err(invalid)?;
        if version != VERSION {
            return Err(invalid(format!(
                "the gateway speaks version {version} of the protocol, this program version {VERSION}"
            )));
        }
        serde_json::from_value(answer).map_err(invalid)
    }
}

impl Request {
    /// Parses one; on failure returns the response to send.
    ///
    /// # Errors
    /// [`Response::NotUnderstood`].
    pub fn read(body: &[u8]) -> Result<Self, Response> {
        let understood = match opened(body, "request") {
            Err(error) => Err(error),
            Ok((VERSION, request)) => {
                serde_json::from_value(request).map_err(|error| error.to_string())
            }
            Ok((version, _)) => Err(format!(
                "unknown protocol version {version}: this gateway speaks version {VERSION}"
            )),
        };
        understood.map_err(|why| Response::NotUnderstood(clean(&why, MAX_TEXT)))
    }
}

/// The socket of a gateway, by its state directory.
#[must_use]
pub fn socket(state: &Path) -> PathBuf {
    state.join("control")
}

/// Asks a gateway, and waits at most so long for all of the answer.
///
/// # Errors
/// What connecting, writing and reading give: `TimedOut` or `WouldBlock` where it took longer,
/// `UnexpectedEof` if it hung up, `InvalidData` if the response is not one of this version.
pub fn ask(state: &Path, request: &Request, patience: Duration) -> io::Result<Response> {
    let deadline = Instant::now() + patience;
    let mut socket_to_it = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Bounds `connect` too: a stopped keeper's backlog may be full.
    socket_to_it.set_write_timeout(Some(patience))?;
    socket_to_it.connect(&SockAddr::unix(socket(state))?)?;
    socket_to_it.write_all(&frame("request", request, LONGEST_REQUEST)?)?;
    let mut head = [0; 4];
    read_by(&mut socket_to_it, &mut head, deadline)?;
    let mut body = vec![0; length(head, LONGEST)?];
    read_by(&mut socket_to_it, &mut body, deadline)?;
    Response::read(&body)
}

/// How long the frame is that begins like this.
///
/// # Errors
/// `InvalidData` for one that is longer than the `longest` of its kind.
pub fn length(head: [u8; 4], longest: usize) -> io::Result<usize> {
    let length = usize::try_from(u32::from_be_bytes(head)).map_err(invalid)?;
    if length <= longest {
        Ok(length)
    } else {
        Err(invalid(format!("a frame of {length} bytes")))
    }
}

fn frame(kind: &str, word: &impl Serialize, longest: usize) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(&serde_json::json!({"v": VERSION, kind: word}))?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= longest);
    let head = length
        .ok_or_else(|| invalid("a frame that is too long"))?
        .to_be_bytes();
    Ok([&head[..], &body].concat())
}

/// A frame's version and what it holds, whichever version that is of.
fn opened(body: &[u8], kind: &str) -> Result<(u32, Value), String> {
    let mut whole: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let version = whole.get("v").cloned().unwrap_or_default();
    let word = whole.get_mut(kind).map(Value::take).unwrap_or_default();
    Ok((
        serde_json::from_value(version).map_err(|_| "missing version".to_owned())?,
        word,
    ))
}

fn read_by(socket: &mut Socket, mut into: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !into.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        match socket.read(into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => into = into.split_at_mut(read).1,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A gateway that answers one question with these bytes, piece by piece. Gives what it was
    /// asked.
    fn answered(pieces: &'static [&'static [u8]], patience: Duration) -> io::Result<Response> {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket(directory.path())).unwrap();
        let gateway = std::thread::spawn(move || {
            let (mut caller, _) = listener.accept().unwrap();
            for piece in pieces {
                caller.write_all(piece).unwrap();
            }
            // Whoever asks hangs up when it has seen enough.
            let mut question = Vec::new();
            caller.read_to_end(&mut question).ok();
            question
        });
        let answer = ask(directory.path(), &Request::Settle, patience);
        assert_eq!(
            gateway.join().unwrap(),
            frame("request", &Request::Settle, LONGEST_REQUEST).unwrap()
        );
        answer
    }

    #[test]
    fn an_answer_may_come_in_pieces() {
        let pieces: &[&[u8]] = &[b"\0\0", b"\0\x17{\"v\":1,", b"\"answer\":\"done\"}"];
        assert_eq!(
            answered(pieces, Duration::from_secs(60)).unwrap(),
            Response::Done
        );
    }

    #[test]
    fn what_is_too_long_slow_or_nonsense_is_no_answer() {
        let kind = |pieces, patience| answered(pieces, patience).unwrap_err().kind();
        let minute = Duration::from_secs(60);
        assert_eq!(
            kind(&[b"\0\x10\0\x01"], minute),
            io::ErrorKind::InvalidData,
            "a byte more than the longest"
        );
        assert_eq!(kind(&[b"\0\0\0\x02[]"], minute), io::ErrorKind::InvalidData);
        assert_eq!(
            kind(&[b"\0\0\0\x17{\"v\":2,\"answer\":\"done\"}"], minute),
            io::ErrorKind::InvalidData
        );
        let late = kind(&[b"\0\0"], Duration::from_millis(20));
        assert!(
            matches!(late, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock),
            "{late}"
        );
    }

    #[test]
    fn a_gateway_that_hangs_up_gives_no_answer() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket(directory.path())).unwrap();
        // As a keeper from before there were frames.
        let gateway = std::thread::spawn(move || {
            listener
                .accept()
                .unwrap()
                .0
                .read_exact(&mut [0; 7])
                .unwrap()
        });
        let error = ask(directory.path(), &Request::Settle, Duration::from_secs(60)).unwrap_err();
        gateway.join().unwrap();
        assert!(
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
            ),
            "{error}"
        );
    }

    #[test]
    fn questions_of_other_versions_and_unknown_ones_are_told_so() {
        let read = |text: &str| match Request::read(text.as_bytes()) {
            Ok(request) => format!("{request:?}"),
            Err(Response::NotUnderstood(why)) => why,
            Err(answer) => panic!("{answer:?}"),
        };
        assert_eq!(read(r#"{"v":1,"request":"settle"}"#), "Settle");
        assert_eq!(read(r#"{"v":1,"request":"status","more":1}"#), "Status");
        assert!(
            read(r#"{"v":2,"request":"settle"}"#)
                .contains("unknown protocol version 2: this gateway speaks version 1")
        );
        assert!(read(r#"{"v":1,"request":"fly"}"#).contains("unknown variant `fly`"));
        assert!(read(r#"{"request":"settle"}"#).contains("missing version"));
        assert!(read(r#"{"v":-1}"#).contains("missing version"));
        for nonsense in ["", "settle\n", "\u{1b}[2J", "[[[[", "{\"v\":1}", "1"] {
            assert!(
                !["Settle", "Status"].contains(&read(nonsense).as_str()),
                "{nonsense}"
            );
        }
    }

    #[test]
    fn what_a_filter_says_is_cleaned_and_fits_a_frame() {
        let hostile = "\u{1b}]0;x\u{7}".repeat(10_000);
        let tally = JournalStatus {
            last_denial: Some(hostile.clone()),
            ..JournalStatus::default()
        };
        let report = FilterReport {
            tally,
            held: u64::MAX,
        }
        .cleaned();
        let sentence = report.tally.last_denial.clone().unwrap();
        assert!(
            sentence.len() <= MAX_TEXT && !sentence.contains('\u{1b}'),
            "{sentence}"
        );
        assert!(Response::Status(Some(report)).frame().is_ok());
        assert!(
            Response::of(&Err(anyhow::Error::msg(hostile)))
                .frame()
                .is_ok()
        );
    }
}
