//! Plain HTTP/1: each request of a connection is judged by itself, and forwarded as we understood
//! it.
//!
//! Owns the order of steps for one request and what is kept between requests (one connection to the
//! last upstream). Invariant: bytes are never passed on as they came. The request is parsed
//! strictly and written anew, so the server can't understand it differently from the policy.

mod accounting;
mod client;
mod held;
mod hop;
mod response;
mod server;
pub mod target;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use hyper::{Method, Request};
use tokio::task::AbortHandle;

use self::client::{Sent, Tunnel, UpstreamConnection};
use self::held::{Held, Passage};
use self::response::Reply;
use self::server::{BrokenOff, Ended};
use self::target::{BadRequest, RequestTarget};
use super::ahead::{self, Ahead};
use super::budget::used_up;
use super::close::{close_gently, reset};
use super::dial::{DialError, Upstream};
use super::flow::Flow;
use super::splice::Ends;
use super::stream::{Meter, Stream};
use crate::audit::line::Side;
use crate::audit::{End, Entry, Kind};
use crate::policy::{Denial, Hostname, Permit, Protocol, UpstreamAddr};

/// Serves a connection that began with `early`. `first` becomes the record of its first request;
/// `ahead` serves it, where it leads to what that asks for.
pub(super) async fn serve(
    flow: &Flow,
    client: Stream,
    early: Vec<u8>,
    mut first: Entry,
    ahead: Option<Ahead>,
) {
    first.subject().kind = Kind::Http;
    let held = Held::take(&flow.streams().budget).map(Arc::new);
    let Some(held) = held else {
        first.deny(&used_up());
        return reset(client);
    };
    let session = Session {
        flow,
        client: client.meter(),
        held: Arc::clone(&held),
        first: Mutex::new(Some(first)),
        ahead: Mutex::new(ahead),
        kept: Mutex::default(),
        line: Mutex::default(),
        tunnel: Mutex::default(),
    };
    let ended = tokio::select! {
        ended = server::serve(client, held, early, |request| session.exchange(request)) => ended,
        never = session.spare() => match never {},
    };
    match ended {
        Some(ended) => session.finish(ended).await,
        None => session.abandon(),
    }
}

/// What lasts from one request to the next.
struct Session<'a> {
    flow: &'a Flow,
    /// Tells how much of what the client is sent has arrived.
    client: Meter,
    /// What is kept for the client here.
    held: Arc<Held>,
    /// The record that was begun with the connection, until a request takes it.
    first: Mutex<Option<Entry>>,
    /// The upstream connection that was made before the first request, until one wants to connect.
    ahead: Mutex<Option<Ahead>>,
    /// The upstream connection of the last request.
    kept: Mutex<Option<IdleConnection>>,
    /// What ends the last upstream connection.
    line: Mutex<Option<AbortHandle>>,
    /// What the connection becomes after a 101.
    tunnel: Mutex<Option<Tunnel>>,
}

/// An upstream connection, and what it was made for.
struct IdleConnection {
    name: Option<Hostname>,
    address: UpstreamAddr,
    line: UpstreamConnection,
}

impl Session<'_> {
    /// One request: understand, decide, connect, forward, record.
    async fn exchange(&self, request: Request<Incoming>) -> Result<Reply, BrokenOff> {
        self.held.understood();
        let mut entry = self.entry();
        entry.subject().method = Some(request.method().to_string());
        let asked = match target::read(&request, self.flow.destination()) {
            Ok(asked) => asked,
            Err(bad) => return Ok(refuse(&request, bad, entry)),
        };
        entry.subject().name = Some(asked.host().to_owned());
        entry.subject().path = Some(asked.path.clone());
        let permit = match self.decide(request.method(), &asked) {
            Ok(permit) => permit,
            Err(denial) => return Ok(deny(request.method(), &asked, &denial, entry)),
        };
        self.forward(request, asked, &permit, entry).await
    }

    /// The record for the request that has just begun.
    fn entry(&self) -> Entry {
        take(&self.first).unwrap_or_else(|| self.flow.begin(Kind::Http))
    }

    fn decide(&self, method: &Method, asked: &RequestTarget) -> Result<Permit, Denial> {
        if method == Method::CONNECT {
            return Err(Denial::because(
                "CONNECT would make a tunnel to a place that no rule sees",
            ));
        }
        self.flow.decide(
            Protocol::Http,
            asked.name.as_ref(),
            Some((method.as_str(), &asked.path)),
        )
    }

    /// Sends a permitted request. A kept connection that turns out to have ended costs one more
    /// try, on a new one.
    async fn forward(
        &self,
        request: Request<Incoming>,
        asked: RequestTarget,
        permit: &Permit,
        mut entry: Entry,
    ) -> Result<Reply, BrokenOff> {
        let method = request.method().clone();
        let mut request = match target::rewrite(request, &asked) {
            Ok(request) => request,
            Err(bad) => return Ok(response::bad_request(bad, entry)),
        };
        entry.allowed(permit.grounds(), None);
        if let Err(denial) = entry.open() {
            return Ok(deny(&method, &asked, &denial, entry));
        }
        let traffic = entry.traffic();
        let mut kept = self.reuse(permit).await;
        loop {
            let reused = kept.is_some();
            let IdleConnection {
                name,
                address,
                mut line,
            } = match kept.take() {
                Some(kept) => kept,
                None => match self.dial(permit).await {
                    Ok(kept) => kept,
                    Err(DialError::Denied(denial)) => {
                        return Ok(deny(&method, &asked, &denial, entry));
                    }
                    Err(DialError::Unreachable(problem)) => {
                        entry.finish(End::unreachable(problem.as_str()));
                        return Ok(response::bad_gateway(asked.host(), &problem));
                    }
                },
            };
            entry.allowed(permit.grounds(), Some(address.socket_addr().ip()));
            traffic.measure_by(Ends::of(self.client.clone().from_now(), line.meter()));
            match line
                .send(request, &self.held, asked.upgrade, Arc::clone(&traffic))
                .await
            {
                Sent::Answered(response, accounting) => {
                    let passage = Passage {
                        from: line.held(),
                        to: Arc::clone(&self.held),
                    };
                    put(
                        &self.kept,
                        IdleConnection {
                            name,
                            address,
                            line,
                        },
                    );
                    return Ok(response::passed_on(response, passage, accounting, entry));
                }
                Sent::Switched(switched) => {
                    let (reply, tunnel) = *switched;
                    put(&self.tunnel, tunnel.recorded_by(entry));
                    return Ok(reply);
                }
                Sent::Unsent(unsent) if reused => request = unsent,
                Sent::Unsent(_) => {
                    entry.finish(End::reset(
                        Side::Server,
                        Some("the server closed at once".to_owned()),
                    ));
                    return Ok(response::bad_gateway(
                        asked.host(),
                        "the server closed at once",
                    ));
                }
                Sent::Failed((by, problem), accounting) => {
                    let reply = response::bad_gateway(asked.host(), &problem);
                    accounting.close(entry, End::reset(by, Some(problem)));
                    // Asked directly, the client would have seen its own kept connection end, and
                    // known to ask again.
                    return if reused { Err(BrokenOff) } else { Ok(reply) };
                }
            }
        }
    }

    /// The last upstream connection, where this permit would have made the same one.
    async fn reuse(&self, permit: &Permit) -> Option<IdleConnection> {
        let mut kept = take(&self.kept)?;
        let same =
            kept.name.as_ref() == permit.name() && self.flow.would_dial(permit, kept.address);
        (same && kept.line.is_ready().await).then_some(kept)
    }

    /// Gives up the server's connection whenever memory is short and no request needs it: the next
    /// one makes another.
    async fn spare(&self) -> Infallible {
        loop {
            self.flow.streams().shortage().await;
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.as_ref().is_some_and(|kept| kept.line.is_idle()) {
                *kept = None;
            }
        }
    }

    async fn dial(&self, permit: &Permit) -> Result<IdleConnection, DialError> {
        let Upstream { stream, address } = ahead::connect(self.flow, permit, take(&self.ahead))
            .await?
            .upstream;
        let held = Held::take(&self.flow.streams().budget).map(Arc::new);
        let held = held.ok_or_else(|| DialError::Denied(used_up()))?;
        let line = UpstreamConnection::over(stream, held)
            .await
            .map_err(|error| DialError::Unreachable(error.to_string()))?;
        put(&self.line, line.end());
        Ok(IdleConnection {
            name: permit.name().cloned(),
            address,
            line,
        })
    }

    /// Nobody is left to answer. What the server hasn't taken by now would wait for it, for as long
    /// as the server likes.
    fn abandon(self) {
        if let Some(line) = take(&self.line) {
            line.abort();
        }
    }

    /// What remains when no more requests come: a tunnel, an error response, or an orderly close.
    async fn finish(self, ended: Ended) {
        if let Some(tunnel) = take(&self.tunnel) {
            return tunnel.run(ended.client, ended.unread).await;
        }
        drop(take(&self.kept));
        let unserved = take(&self.first);
        if ended.short {
            unserved
                .unwrap_or_else(|| self.flow.begin(Kind::Http))
                .deny(&used_up());
        } else if let Some(problem) = ended.malformed {
            unserved
                .unwrap_or_else(|| self.flow.begin(Kind::Http))
                .deny(&Denial::because(problem));
        } else if let Some(entry) = unserved {
            entry.deny(&Denial::because("the request's head never became complete"));
        }
        close_gently(ended.client).await;
    }
}

fn deny(method: &Method, asked: &RequestTarget, denial: &Denial, entry: Entry) -> Reply {
    let reply = response::forbidden(method.as_str(), asked.host(), &asked.path, denial);
    entry.deny(denial);
    reply
}

fn refuse(request: &Request<Incoming>, bad: BadRequest, mut entry: Entry) -> Reply {
    entry.subject().name = target::claimed_host(request);
    entry.subject().path = Some(request.uri().path().to_owned());
    response::bad_request(bad, entry)
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn put<T>(slot: &Mutex<Option<T>>, value: T) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

#[cfg(test)]
mod tests;
