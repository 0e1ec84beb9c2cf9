//! The life of one captured TCP connection: identify, decide, dial, move the bytes, record.
//!
//! Owns the order of these steps and the choice of the name that is decided about. Invariant:
//! before the verdict no byte of the client's leaves, however long it is silent. After it the bytes
//! go to the *decided* name, resolved by us, on the port that the client addressed; the address
//! that the client addressed proves nothing.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::ahead::{Ahead, Unidentified};
use super::budget::used_up;
use super::close::{self, reset};
use super::flow::Flow;
use super::http::origin::Origin;
use super::http::{self, Said};
use super::http2;
use super::identify::{self, Answer, Identity};
use super::in_force::Footing;
use super::passing::{Basis, Closed, Passing, unreachable};
use super::reading::{self, Fits, Heard, MOMENT, Next};
use super::stream::Stream;
use super::tls::intercept;
use crate::audit::line::Side;
use crate::audit::{End, Entry, Kind};
use crate::policy::{Denial, Denials, Hostname, Permit, Protocol};

/// What there is of a connection when its client has been accepted.
#[derive(Debug)]
pub(super) struct Begun {
    /// Its record.
    pub(super) entry: Entry,
    /// The connection to its server, where that was asked first.
    pub(super) ahead: Option<Ahead>,
}

impl Begun {
    /// One that begins now.
    pub(super) fn now(flow: &Flow) -> Self {
        Self {
            entry: flow.begin(Kind::Tcp),
            ahead: None,
        }
    }
}

/// Serves one captured connection from its first byte to its record. Port 53 is not for here.
pub(super) async fn serve(flow: Flow, client: Stream, begun: Begun) {
    let footing = flow.footing();
    let Begun { entry, ahead } = begun;
    // One that was made under an earlier policy could not be made any more, perhaps.
    let ahead = ahead.filter(|ahead| ahead.is_of_now(&flow));
    let begun = Begun { entry, ahead };
    match flow.fits() {
        Fits::AnyBytes(permit) => {
            Box::pin(pass_unread(&flow, footing, client, *permit, begun)).await
        }
        fits => read(&flow, footing, client, &fits, begun).await,
    }
}

/// Nothing that is said could decide anything.
async fn pass_unread(flow: &Flow, footing: Footing, client: Stream, permit: Permit, begun: Begun) {
    let Begun { mut entry, ahead } = begun;
    let mut passing = Passing {
        flow,
        footing,
        basis: Basis::Unread,
    };
    let server = Box::pin(passing.open(Ok(permit), &mut entry, ahead)).await;
    passing
        .tunnel_or_reset(client, server, Vec::new(), entry)
        .await;
}

/// Reads what the client says first, and serves it as what that is.
async fn read(flow: &Flow, mut footing: Footing, client: Stream, fits: &Fits, begun: Begun) {
    let Begun { mut entry, ahead } = begun;
    let heard = match fits {
        Fits::AnyProtocol(_) => flow.decide_unnamed(Protocol::Tcp, None).1.ok(),
        _ => None,
    };
    let mut said = Said {
        bytes: Vec::new(),
        room: flow.streams().budget.nothing(),
        sent: 0,
    };
    // Boxed: what lives on doesn't carry the room that this took.
    let identifying = Box::pin(identify(flow, &client, fits, ahead, &mut said, &mut entry));
    let still = || reads_as_before(flow, fits, heard.as_ref());
    let (mut ahead, identity) = match footing.hold(still, identifying).await {
        Ok(identified) => identified,
        Err(denial) => {
            entry.revoke(&denial);
            return reset(client);
        }
    };
    said.sent = ahead.as_mut().map_or(0, Ahead::end_sending);
    match identity {
        // Boxed: a spliced connection doesn't carry the room that HTTP takes.
        Ok(Identity::Http) if ahead.as_ref().is_none_or(Ahead::is_silent) => {
            // Each request stands on a footing of its own.
            drop(footing);
            Box::pin(http::serve(flow, client, Origin::Clear, said, entry, ahead)).await;
        }
        Ok(Identity::Http2) if ahead.as_ref().is_none_or(Ahead::has_passed_nothing) => {
            drop(footing);
            Box::pin(http2::serve(
                flow,
                client,
                Origin::Clear,
                said,
                entry,
                ahead,
            ))
            .await;
        }
        Ok(Identity::Http | Identity::Http2) => {
            entry.deny(&Denial::because(
                "the server sent data before the client's HTTP request",
            ));
            reset(client);
        }
        Ok(Identity::Tls(hello)) => {
            Box::pin(tunnel_tls(
                flow, footing, client, said, hello.sni, entry, ahead,
            ))
            .await
        }
        Ok(Identity::Opaque) => {
            let basis = fits.pretences();
            Box::pin(tunnel_opaque(
                flow, footing, basis, client, said, entry, ahead,
            ))
            .await
        }
        Err(Unidentified::Denied(denial)) => {
            entry.deny(&denial);
            reset(client);
        }
        Err(Unidentified::Broken(end)) => {
            entry.finish(end);
            reset(client);
        }
        Err(Unidentified::NothingSaid) => entry.finish(End::closed(Side::Client)),
    }
}

/// Whether a connection is still read in the way that was begun, and its server, if that was heard
/// already under the permit `heard`, may still be.
fn reads_as_before(flow: &Flow, fits: &Fits, heard: Option<&Permit>) -> Result<(), Denial> {
    let as_before = match (fits, flow.fits()) {
        (Fits::AnyProtocol(before), Fits::AnyProtocol(now)) => *before == now,
        (Fits::Web, Fits::Web) => true,
        _ => false,
    };
    let may_be_heard = match heard {
        Some(before) => flow
            .decide_unnamed(Protocol::Tcp, None)
            .1?
            .is_as_before(before),
        None => true,
    };
    if as_before && may_be_heard {
        Ok(())
    } else {
        Err(Denial::because("it had not shown yet what it is"))
    }
}

/// How long a client may take to show what it is, where nothing else would be allowed: clients
/// connect ahead of need, and say nothing for minutes.
const SHOWN_WITHIN: Duration = Duration::from_secs(300);
/// The same where any protocol would be, but not in a name that is known for the address: so that
/// one which waits for its server's words isn't kept waiting for long.
const UNKNOWN_SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// Reads until it is clear what the connection is. Where any protocol may be allowed, the server is
/// dialled at once and heard meanwhile, and the client may take its time. One that is there already and
/// may not be heard yet is left alone, and given only if it has said nothing. Bounded by the parsers'
/// limits.
async fn identify(
    flow: &Flow,
    client: &Stream,
    fits: &Fits,
    mut ahead: Option<Ahead>,
    said: &mut Said,
    entry: &mut Entry,
) -> (Option<Ahead>, Result<Identity, Unidentified>) {
    let (pretences, patience) = match fits {
        Fits::AnyProtocol(pretences) => (*pretences, UNKNOWN_SHOWN_WITHIN),
        _ => (fits.pretences(), SHOWN_WITHIN),
    };
    let mut heard_meanwhile = match reading::next(fits, Heard::Nothing) {
        Next::DialAndHear => ahead
            .take_if(|ahead| ahead.passes_any())
            .or_else(|| Ahead::begin(flow)),
        _ => None,
    };
    let (until, mut sent) = (Instant::now() + patience, 0);
    let identity = loop {
        let answer = identify::identify(&said.bytes, pretences);
        let unclear = heard(&answer, &said.bytes) == Heard::Unclear;
        if let Some(identity) = shown(fits, answer, &said.bytes) {
            break identity;
        }
        let waits = heard_meanwhile.is_some() && unclear && said.bytes.len() > sent;
        tokio::select! {
            biased;
            read = read_some(client, said) => match read {
                Ok(0) if said.bytes.is_empty() && ahead.is_some() => {
                    break Err(Unidentified::NothingSaid);
                }
                Ok(0) => {
                    let ended = identify::identify_ended(&said.bytes, pretences);
                    break shown(fits, ended, &said.bytes).unwrap_or(Ok(Identity::Opaque));
                }
                // What comes at once is part of the connection's room; what is kept until there is
                // more is not.
                Ok(_) if !said.room.grow_to(KEPT * said.bytes.len().saturating_sub(READ_AT_ONCE)) => {
                    break Err(Unidentified::Denied(used_up()));
                }
                Ok(_) => {}
                Err(error) => {
                    let mut connections = heard_meanwhile.iter().chain(&ahead);
                    let reached = connections.any(Ahead::is_connected);
                    break Err(Unidentified::Denied(broke(&error, reached)));
                }
            },
            broken = converse(&mut heard_meanwhile, client, entry) => break Err(broken),
            () = sleep(MOMENT), if waits => {
                if let (Next::SendOn, Some(ahead)) = (reading::next(fits, Heard::UnclearForAMoment), &mut heard_meanwhile) {
                    ahead.send(said.bytes.get(sent..).unwrap_or_default());
                    sent = said.bytes.len();
                }
            }
            // The words for nothing are those for opaque bytes.
            () = sleep_until(until), if heard_meanwhile.is_none() => break Ok(Identity::Opaque),
        }
    };
    (
        heard_meanwhile.or_else(|| ahead.filter(Ahead::is_quiet)),
        identity,
    )
}

fn heard(answer: &Answer<Identity>, bytes: &[u8]) -> Heard {
    match answer {
        // Its record types are no text (RFC 8446 5.1).
        Answer::NeedMore if matches!(bytes.first(), Some(20..=22)) => Heard::PartOfHello,
        Answer::NeedMore if bytes.is_empty() => Heard::Nothing,
        Answer::NeedMore => Heard::Unclear,
        Answer::Found(Identity::Tls(_)) => Heard::Tls,
        Answer::Found(Identity::Http | Identity::Http2) => Heard::Request,
        Answer::Found(Identity::Opaque) | Answer::Not => Heard::Neither,
        Answer::Refused(_) => Heard::Refused,
    }
}

/// What follows on an answer, once there is one.
fn shown(
    fits: &Fits,
    answer: Answer<Identity>,
    bytes: &[u8],
) -> Option<Result<Identity, Unidentified>> {
    match (reading::next(fits, heard(&answer, bytes)), answer) {
        (Next::JudgeName | Next::JudgeRequests | Next::JudgeAddress, Answer::Found(identity)) => {
            Some(Ok(identity))
        }
        (Next::Deny, Answer::Refused(why)) => Some(Err(Unidentified::Denied(Denial::because(why)))),
        _ => None,
    }
}

async fn converse(ahead: &mut Option<Ahead>, client: &Stream, entry: &mut Entry) -> Unidentified {
    match ahead {
        Some(ahead) => ahead.converse(client, entry).await,
        None => pending().await,
    }
}

/// `reached`: its server has seen a connection, whatever is denied by now.
fn broke(error: &io::Error, reached: bool) -> Denial {
    let server = if reached {
        "; its server had been connected to"
    } else {
        ""
    };
    Denial::because(format!(
        "the connection broke before its protocol was identified: {error}{server}"
    ))
}

/// What bytes take that are kept to be understood: a vector that grew has up to half of its room
/// empty.
const KEPT: usize = 2;
/// How much is read at once: a hello with a post-quantum key share, a request head.
const READ_AT_ONCE: usize = 2048;

async fn read_some(client: &Stream, said: &mut Said) -> io::Result<usize> {
    loop {
        client.tcp().readable().await?;
        said.bytes.reserve(READ_AT_ONCE);
        match client.tcp().try_read_buf(&mut said.bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
        if said.bytes.is_empty() {
            // Whoever waits long keeps no room for what may come.
            said.bytes = Vec::new();
        }
    }
}

/// TLS: decided by its server name, spliced unread; or intercepted, where a rule asks for that.
async fn tunnel_tls(
    flow: &Flow,
    footing: Footing,
    client: Stream,
    said: Said,
    sni: Option<Hostname>,
    mut entry: Entry,
    ahead: Option<Ahead>,
) {
    if let Some(name) = sni.as_ref().map(|said| flow.meant(said))
        && flow.intercepts(&name)
    {
        // It stands on a footing of its own, by what its requests are decided by.
        drop(footing);
        return Box::pin(intercept::serve(flow, client, said, name, entry, ahead)).await;
    }
    let has_name = sni.is_some();
    let (name, permit) = decide_tls(flow, sni);
    entry.subject().kind = Kind::Https;
    entry.subject().name = name.as_ref().map(Hostname::to_string);
    let mut passing = Passing {
        flow,
        footing,
        basis: match name {
            Some(name) if has_name => Basis::Hello(name),
            name => Basis::HelloWithoutName(name),
        },
    };
    match Box::pin(passing.open(permit, &mut entry, ahead)).await {
        Ok(server) => passing.tunnel(client, server, unsent(said), entry).await,
        Err(Closed::Denied(denial)) => {
            entry.deny(&denial);
            close::alert(client).await;
        }
        Err(Closed::Revoked(denial)) => {
            entry.revoke(&denial);
            close::alert(client).await;
        }
        Err(Closed::Unreachable(problem)) => unreachable(client, &problem, entry),
    }
}

/// Decides about a hello: by the name in it; where there is none, as any TCP, by the name that the
/// container resolved to the address, which a rule for the web alone doesn't allow.
fn decide_tls(flow: &Flow, sni: Option<Hostname>) -> (Option<Hostname>, Result<Permit, Denial>) {
    if let Some(name) = sni {
        let name = flow.meant(&name);
        let permit = flow.decide(Protocol::Https, Some(&name), None);
        return (Some(name), permit);
    }
    let (name, as_tls) = flow.decide_unnamed(Protocol::Https, None);
    if as_tls.as_ref().is_err_and(|denial| denial.rule.is_some()) {
        return (name, as_tls);
    }
    match flow.decide_unnamed(Protocol::Tcp, None) {
        (name, Ok(permit)) => (name, Ok(permit)),
        (_, Err(_)) => (None, flow.decide(Protocol::Https, None, None)),
    }
}

/// Anything else: decided by the names that this container resolved to the address, else by the
/// address. `pretences`: what it was made sure that it isn't.
async fn tunnel_opaque(
    flow: &Flow,
    footing: Footing,
    pretences: Denials,
    client: Stream,
    said: Said,
    mut entry: Entry,
    ahead: Option<Ahead>,
) {
    let (name, permit) = flow.decide_unnamed(Protocol::Tcp, None);
    entry.subject().name = name.as_ref().map(Hostname::to_string);
    let mut passing = Passing {
        flow,
        footing,
        basis: Basis::Opaque(name, pretences),
    };
    let server = Box::pin(passing.open(permit, &mut entry, ahead)).await;
    passing
        .tunnel_or_reset(client, server, unsent(said), entry)
        .await;
}

/// What the server has not been sent yet.
fn unsent(said: Said) -> Vec<u8> {
    let Said {
        mut bytes, sent, ..
    } = said;
    bytes.drain(..sent.min(bytes.len()));
    bytes
}

#[cfg(test)]
mod tests;
