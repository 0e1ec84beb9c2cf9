//! What becomes of a connection's SYN, before anything is said on it. Decides; `held` does it.
//!
//! | what rules and known names say | |
//! |---|---|
//! | nothing that could be said on it is allowed | refused |
//! | rules for its address allow any bytes | its far end is asked |
//! | any protocol may be allowed, in a name that is known for its address or by the address | its far end is asked |
//! | something may be allowed in a name that is known for its address | its far end is asked, unless a connection to that is kept |
//! | only what will be said can decide | accepted |
//!
//! Invariant: what is asked is exactly the address and the port that the client chose, and only
//! where a permit passes that address: it is a name's only while the answer that said so holds.

use super::flow::Flow;
use super::reading::Fits;
use crate::policy::{Denial, Hostname, Permit, Protocol, UpstreamAddr};

/// What becomes of it.
#[derive(Debug)]
pub(super) enum Opening {
    /// It is refused, decided about this name.
    Refused(Option<Hostname>, Denial),
    /// It is accepted.
    Accepted,
    /// Its far end is asked.
    Asked(Box<Question>),
}

/// Whom to ask, and on what grounds.
#[derive(Debug)]
pub(super) struct Question {
    /// What may be said on the connection, as far as that can be known.
    pub(super) permit: Permit,
    /// The route of it that leads to the address.
    pub(super) route: Permit,
    /// The client's own choice.
    pub(super) address: UpstreamAddr,
    /// Whether nothing that is said can change that it is allowed.
    pub(super) is_decided: bool,
}

/// Decides.
pub(super) fn decide(flow: &Flow) -> Opening {
    match flow.fits() {
        Fits::AnyBytes(permit) => any_bytes(flow, *permit),
        Fits::AnyProtocol(_) => match flow.decide_unnamed(Protocol::Tcp, None) {
            (_, Ok(permit)) => question(flow, permit, false).map_or_else(|| web(flow), asked),
            (_, Err(_)) => web(flow),
        },
        Fits::Web => web(flow),
    }
}

fn any_bytes(flow: &Flow, permit: Permit) -> Opening {
    let refused = flow.upstream(&permit).err();
    match question(flow, permit, true) {
        Some(question) => asked(question),
        None => refused.map_or(Opening::Accepted, |denial| Opening::Refused(None, denial)),
    }
}

/// What its client says decides, and so far its address alone is known.
fn web(flow: &Flow) -> Opening {
    if let Some(question) = in_a_known_name(flow) {
        let name = question.route.name();
        return if flow.has_idle(name, question.address) {
            Opening::Accepted
        } else {
            asked(question)
        };
    }
    match flow.decide_unnamed(Protocol::Tcp, None) {
        (name, Err(denial)) if !flow.may_allow() => Opening::Refused(name, denial),
        _ => Opening::Accepted,
    }
}

fn in_a_known_name(flow: &Flow) -> Option<Question> {
    let mut permits = flow.known_names().into_iter();
    permits.find_map(|name| question(flow, flow.may_allow_in_name(&name)?, false))
}

fn question(flow: &Flow, permit: Permit, is_decided: bool) -> Option<Question> {
    let (route, address) = flow.way_to_chosen(&permit)?;
    Some(Question {
        route: route.alone(),
        permit,
        address,
        is_decided,
    })
}

fn asked(question: Question) -> Opening {
    Opening::Asked(Box::new(question))
}
