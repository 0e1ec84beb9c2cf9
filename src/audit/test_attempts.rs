//! For tests: a record's attempts, each made of all of its lines.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::line::{Ended, Event, Line, Side, Verdict};
use super::record::Kind;

/// An attempt, as its lines together tell it.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
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
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The attempts of a file, in the order of their first lines.
pub(crate) fn attempts(path: &Path) -> Vec<Attempt> {
    let mut merged: Vec<(Vec<Event>, Line)> = Vec::new();
    for line in lines(path) {
        if line.flow.is_none() && line.count.is_none() {
            continue;
        }
        match merged.iter_mut().find(|(_, first)| line.flow.is_some() && first.flow == line.flow) {
            Some((events, first)) => {
                events.push(line.event);
                correct(first, line);
            }
            None => merged.push((vec![line.event], line)),
        }
    }
    merged.into_iter().map(|(events, line)| attempt(events, line)).collect()
}

fn correct(first: &mut Line, later: Line) {
    assert!(later.seq > first.seq && later.flow == Some(first.seq), "{later:?}");
    first.protocol = later.protocol.or(first.protocol);
    first.address = later.address.or(first.address);
    first.verdict = later.verdict.or(first.verdict);
    for (first, later) in [
        (&mut first.name, later.name),
        (&mut first.method, later.method),
        (&mut first.path, later.path),
        (&mut first.rule, later.rule),
        (&mut first.reason, later.reason),
        (&mut first.suggestion, later.suggestion),
    ] {
        *first = later.or_else(|| first.take());
    }
    (first.bytes_out, first.bytes_in) = (later.bytes_out, later.bytes_in);
    (first.ended, first.by) = (later.ended, later.by);
}

fn attempt(events: Vec<Event>, line: Line) -> Attempt {
    Attempt {
        events,
        protocol: line.protocol.unwrap(),
        source: line.source.unwrap(),
        name: line.name,
        address: line.address.unwrap(),
        method: line.method,
        path: line.path,
        verdict: if line.verdict.unwrap() == Verdict::Allow { "allow" } else { "deny" }.to_owned(),
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
