//! Explains denials: the reason, and the narrowest rule that would have allowed the attempt.
//!
//! Knows the rule language, but not how decisions are made. Invariant: a suggestion, added to
//! `allow`, allows the very attempt that it was made for (a property test checks this); if no rule
//! can, or only one that opens whatever is below, there is no suggestion. The attempt is anybody's,
//! and its words are pasted into policies.

use std::net::IpAddr;

use ipnet::IpNet;

use super::attempt::{Attempt, Protocol};
use super::denial::Denial;
use super::host::Hostname;
use super::net;
use super::path::with_slashes;
use super::rule::Rule;

/// The denial of an attempt that a `deny` rule forbids. `why_unread`: why its request wasn't read, if
/// it wasn't.
pub(super) fn forbidden(rule: &Rule, attempt: &Attempt<'_>, why_unread: &str) -> Denial {
    let text = rule.text();
    let unread = rule.reads_request() && (attempt.method.is_none() || attempt.path.is_none());
    let remark = if unread {
        format!(", because {why_unread}")
    } else {
        String::new()
    };
    Denial::by_rule(text, &remark)
}

/// The narrowest rule for this attempt at this name; with the request's method and path where
/// `with_request`.
pub(super) fn narrowest_for_name(
    name: &Hostname,
    attempt: &Attempt<'_>,
    with_request: bool,
) -> Option<String> {
    let port = attempt.destination.port();
    let words = match attempt.protocol {
        Protocol::Udp => format!("proto=udp domain={name}"),
        Protocol::Tcp => format!("proto=tcp domain={name}"),
        Protocol::Http | Protocol::Https => format!("domain={name}"),
    };
    let method = match attempt.method.filter(|_| with_request) {
        // A method of its own, and in a rule any.
        Some("*") => return None,
        Some(method) => format!("method={method} "),
        None => String::new(),
    };
    let path = match attempt.path.filter(|_| with_request) {
        Some(path) => format!(" path={}", patterns(path)?),
        None => String::new(),
    };
    with_port(format!("{method}{words}{path}"), attempt.protocol, port)
}

/// The narrowest rule for this attempt at an address; none where the address is never open.
pub(super) fn narrowest_for_address(address: IpAddr, attempt: &Attempt<'_>) -> Option<String> {
    let range = IpNet::from(address);
    let words = match attempt.protocol {
        Protocol::Udp => format!("proto=udp cidr={range}"),
        Protocol::Http | Protocol::Https | Protocol::Tcp => format!("cidr={range}"),
    };
    // A range allows any TCP: the port is always worth naming.
    with_port(words, Protocol::Tcp, attempt.destination.port())
        .filter(|_| net::can_be_named(&range))
}

fn with_port(words: String, protocol: Protocol, port: u16) -> Option<String> {
    match (protocol, port) {
        (_, 0) => None,
        (Protocol::Http, 80) | (Protocol::Https, 443) => Some(words),
        _ => Some(format!("{words} port={port}")),
    }
}

/// What has to stand in a rule for a canonical path: a pattern for each way in which servers read it.
pub(super) fn patterns(path: &str) -> Option<String> {
    let other = with_slashes(path);
    let all = std::iter::once(path).chain(other.as_deref());
    let all: Option<Vec<_>> = all.map(pattern).collect();
    Some(all?.join(","))
}

/// A pattern for one canonical path. A segment that can't be written in a rule becomes `*`; none where
/// that is the last, since `*` is all that is below there.
fn pattern(path: &str) -> Option<String> {
    let is_unwritable = |segment: &str| segment.contains([',', '*']);
    if path.rsplit('/').next().is_some_and(is_unwritable) {
        return None;
    }
    let segments = path
        .split('/')
        .map(|segment| if is_unwritable(segment) { "*" } else { segment });
    Some(segments.collect::<Vec<_>>().join("/"))
}
