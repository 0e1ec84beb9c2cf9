//! For tests: the attempts of a record, each put together from all of its lines.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::line::{Ended, Event, Line, RecordedVerdict, Side};
use super::reader::{self, Told};
use super::record::Kind;

/// An attempt, as its lines together tell it.
#[derive(Debug, Clone)]
pub(crate) struct AttemptSummary {
    pub(crate) events: Vec<Event>,
    pub(crate) protocol: Kind,
    pub(crate) source: SocketAddr,
    pub(crate) name: Option<String>,
    pub(crate) address: IpAddr,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) verdict: String,
    pub(crate) rule: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) suggestion: Option<String>,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) ended: Option<Ended>,
    pub(crate) by: Option<Side>,
    pub(crate) count: Option<u64>,
}

/// Every line of a file, each of which must be one of ours.
pub(crate) fn lines(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The attempts of a file, in the order of their first lines.
pub(crate) fn attempts(path: &Path) -> Vec<AttemptSummary> {
    let lines = lines(path);
    for line in lines.iter().filter(|line| line.flow.is_some()) {
        let first = lines.iter().find(|first| first.flow == line.flow).unwrap();
        assert!(
            line.seq >= first.seq && line.flow == Some(first.seq),
            "{line:?}"
        );
    }
    let events = |told: &reader::RecordedAttempt| match told.line.flow {
        Some(flow) => lines
            .iter()
            .filter(|line| line.flow == Some(flow))
            .map(|line| line.event)
            .collect(),
        None => vec![told.line.event],
    };
    let mut told = Vec::new();
    let record = reader::LineStream::at(path).unwrap();
    record
        .tell_all(|one| {
            if let Told::Attempt(one) = one {
                told.push(one)
            }
        })
        .unwrap();
    told.sort_by_key(|one| one.line.seq);
    told.into_iter()
        .map(|one| attempt(events(&one), *one.line))
        .collect()
}

fn attempt(events: Vec<Event>, line: Line) -> AttemptSummary {
    AttemptSummary {
        events,
        protocol: line.protocol.unwrap(),
        source: line.source.unwrap(),
        name: line.name,
        address: line.address.unwrap(),
        method: line.method,
        path: line.path,
        verdict: if line.verdict.unwrap() == RecordedVerdict::Allow {
            "allow"
        } else {
            "deny"
        }
        .to_owned(),
        rule: line.rule,
        reason: line.reason,
        suggestion: line.suggestion,
        bytes_out: line.bytes_out.unwrap_or(0),
        bytes_in: line.bytes_in.unwrap_or(0),
        ended: line.ended,
        by: line.by,
        count: line.count,
    }
}
