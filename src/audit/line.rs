//! One line of the record, as it is written and read. RECORD.md describes it for users,
//! `record.schema.json` for programs.
//!
//! One struct for all events, so that a line is read in one pass; RECORD.md's table says which
//! fields an event has. Whoever writes a text passes it through [`crate::escape::clean`] first;
//! whoever shows it does so again, because the file may have been written by anybody.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::record::{Direction, Kind};

/// The version of the line's form. Grows when a field changes its meaning or goes.
pub const SCHEMA: u32 = 2;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// [`SCHEMA`].
    pub v: u32,
    /// Counts the lines of a container, from 1; a gap is a lost line.
    pub seq: u64,
    /// When the attempt was seen, or, of other lines and later ones of a flow, when it was written:
    /// RFC 3339, UTC, milliseconds.
    pub time: String,
    /// The container's ID.
    pub container: String,
    /// What the line is.
    pub event: Event,
    /// The attempt's number: the `seq` of its first line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flow: Option<u64>,
    /// What kind of attempt.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub protocol: Option<Kind>,
    /// Which way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub direction: Option<Direction>,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<SocketAddr>,
    /// The name asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The address asked for; later, the one that was connected to, where that is another.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<IpAddr>,
    /// Its port; 0 where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub port: Option<u16>,
    /// HTTP method or DNS query type.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// HTTP path, without its query.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// The type of an ICMP message, or the number of another IP protocol.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<u8>,
    /// What was decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verdict: Option<RecordedVerdict>,
    /// The rule that decided, where one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// Why it was denied; how an allowed attempt failed; why the gateway ended. For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The rule that would allow what was, or would have been, denied, where one can be written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suggestion: Option<String>,
    /// Bytes from the container that the other end's kernel has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes_out: Option<u64>,
    /// Bytes to the container that its kernel has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes_in: Option<u64>,
    /// From seen to now, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<u64>,
    /// How an allowed attempt ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended: Option<Ended>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<Side>,
    /// The line stands for so many attempts in a flood: alike in direction, verdict, protocol and
    /// port (0: several ports); all else is of the first of them. Such a line has no `flow`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u64>,
    /// When the first of them was seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first: Option<String>,
    /// When the last of them was seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<String>,
    /// Whom the lines are about, and by what they were judged. In `start` and `stop` lines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gateway: Option<Box<About>>,
    /// All of the gateway's attempts together. In `stop` lines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub totals: Option<Totals>,
    /// One sentence for people. In `notice` lines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub notice: Option<String>,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A gateway begins, or goes on in this file: the first line of each.
    Start,
    /// Something to know about the container that is not an attempt.
    Notice,
    /// An attempt was allowed, and is under way.
    Open,
    /// What came of it so far: each minute in which bytes moved.
    Update,
    /// It is over. With a `verdict` it is the attempt's only line.
    End,
    /// The gateway has ended: its last line.
    Stop,
}

/// What was decided about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordedVerdict {
    /// It may pass.
    Allow,
    /// It may not.
    Deny,
}

/// How an allowed attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// In order: both directions ended, an answer came.
    Closed,
    /// One side broke it off.
    Reset,
    /// The server could not be reached.
    Unreachable,
    /// Nothing moved for long (UDP).
    Idle,
    /// The container or the gateway ended first.
    Cut,
    /// The kernel passes it on (connections from outside), and doesn't tell when it ends.
    Untracked,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Who began it.
    Client,
    /// Whom it went to.
    Server,
    /// This program.
    Gateway,
}

/// What can be said of a gateway before anything happens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// This program's version.
    pub program: String,
    /// When the gateway began; of a later file of the same gateway, the same.
    pub began: String,
    /// The policy's name.
    pub policy: String,
    /// SHA-256 of the policy in force, in hexadecimal: the same for the same rules, mode and name.
    pub policy_hash: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Whether TLS may be intercepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub intercepts: bool,
    /// Which of the gateway's policies it is, where it isn't the one that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Who the container is.
    #[serde(flatten)]
    pub identity: ContainerIdentity,
}

/// Who a container is, as its engine has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerIdentity {
    /// `docker`, `podman`, `containerd`, `cri-o`; none where none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The container's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The image it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The pod's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The pod's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Those of its labels that the host's setting `record-labels` lists.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl ContainerIdentity {
    /// What people call it: the container, or its pod.
    #[must_use]
    pub fn called(&self) -> Option<&str> {
        self.name.as_deref().or(self.pod.as_deref())
    }

    /// Its pod's: what is the container's alone is left out.
    #[must_use]
    pub fn of_pod(self) -> Self {
        Self {
            name: None,
            image: None,
            ..self
        }
    }
}

/// All of a gateway's attempts together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Attempts that were allowed.
    pub allowed: u64,
    /// Attempts that were denied.
    pub denied: u64,
    /// Bytes from the container.
    pub bytes_out: u64,
    /// Bytes to the container.
    pub bytes_in: u64,
}

impl Line {
    /// A line of which no more than this is known.
    #[must_use]
    pub fn new(event: Event, time: String, container: &str) -> Self {
        Self {
            v: SCHEMA,
            seq: 0,
            time,
            container: container.to_owned(),
            event,
            flow: None,
            protocol: None,
            direction: None,
            source: None,
            name: None,
            address: None,
            port: None,
            method: None,
            path: None,
            number: None,
            verdict: None,
            rule: None,
            reason: None,
            suggestion: None,
            bytes_out: None,
            bytes_in: None,
            duration_ms: None,
            ended: None,
            by: None,
            count: None,
            first: None,
            last: None,
            gateway: None,
            totals: None,
            notice: None,
        }
    }
}

/// A host with the target of a request to it, as people read them: apart where it doesn't begin with a slash,
/// and so could be taken for the host's end.
#[must_use]
pub fn with_path(host: &str, path: &str) -> String {
    let apart = if path.is_empty() || path.starts_with('/') {
        ""
    } else {
        " "
    };
    format!("{host}{apart}{path}")
}

/// A line as it stands in a file, without its end.
pub(super) fn render(line: Line) -> Vec<u8> {
    serde_json::to_vec(&line).expect("a line is strings and numbers, which always serialise")
}

/// A time as lines have it.
pub(super) fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// A duration as lines have it.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
