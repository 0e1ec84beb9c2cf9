//! What an attempt in a record asks for, as the policy is suggested that allows it.
//!
//! A record's lines may be anybody's words: what can't be part of a rule is left out, and what is told is
//! escaped.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::reader::{RecordedAttempt, Standing};
use super::record::Kind;
use crate::escape::clean;
use crate::policy::rule::{is_method, plain_path};
use crate::policy::suggest::{Asked, Seen, Session};
use crate::policy::{Hostname, Protocol};

/// Longest reason of a denial, in bytes.
const MAX_REASON: usize = 512;

/// Adds it to a session. What no rule could be for is left out.
pub fn add(attempt: &RecordedAttempt, session: &mut Session) {
    let line = &attempt.line;
    let reason = || clean(line.reason.as_deref().unwrap_or("denied"), MAX_REASON);
    let is_answered = match attempt.standing {
        Standing::Over => line.bytes_in.is_some_and(|bytes| bytes > 0),
        // Its first line doesn't say, and a later one may be to come, or was never written.
        Standing::Open | Standing::Cut => line.bytes_in.is_none_or(|bytes| bytes > 0),
    };
    let seen = Seen {
        count: attempt.count(),
        first: line.first.as_ref().unwrap_or(&line.time).clone(),
        answered: is_answered,
        denied: attempt.denied().then(reason),
    };
    let name = line
        .name
        .as_deref()
        .and_then(|name| Hostname::parse(name).ok());
    let protocol = match line.protocol {
        Some(Kind::Http) => Protocol::Http,
        Some(Kind::Https) => Protocol::Https,
        Some(Kind::Tcp) => Protocol::Tcp,
        Some(Kind::Udp) => Protocol::Udp,
        Some(Kind::Dns) => {
            if let Some(name) = name.filter(|_| !attempt.denied()) {
                session.add_lookup(name, seen);
            }
            return;
        }
        Some(Kind::Icmp | Kind::Other) | None => return,
    };
    // A rule for what has a name that can't be one would be for its address.
    if name.is_none() && line.name.is_some() {
        return;
    }
    let address = line.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let asked = Asked {
        name,
        address: SocketAddr::new(address.to_canonical(), line.port.unwrap_or_default()),
        protocol,
        method: line
            .method
            .clone()
            .filter(|method| is_method(method) && !method.contains('*')),
        path: line.path.as_deref().and_then(plain_path),
    };
    session.add(asked, seen);
}
