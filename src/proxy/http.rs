//! HTTP/1 whose requests are judged: each by itself, to the connection's end, and passed on as it
//! came.
//!
//! Owns the order of steps for one request and what is kept between requests (the connection to the
//! last server, and the pool that it goes to). Invariant: no byte of a request passes before its
//! head has been judged, and a head that two servers could understand differently never does
//! ([`request`]). What hop by hop means is changed in one case only: where the connection to the
//! server goes on although the client's is to end.

mod answers;
mod exchange;
mod framing;
mod head;
mod incoming;
pub(super) mod origin;
pub(super) mod ours;
pub mod request;

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::pending;

use tokio::io::AsyncWriteExt;

use self::exchange::{Asked, Exchanged, Failure, MORE_FOLLOWS};
use self::incoming::{Incoming, NoHead};
use self::origin::{Judged, Origin};
use self::ours::{Asker, Form, Ours};
use self::request::{BadRequest, NamedHost, Request, Scheme, Version};
use super::ahead::Ahead;
use super::budget::{Share, used_up};
use super::close::{close_gently, reset};
use super::dial::{DialError, Upstream};
use super::flow::{Flow, Lead};
use super::in_force::Footing;
use super::pool::IdleConnection;
use super::splice::{Early, Ends, splice_both};
use super::stream::Stream;
use super::tls::wants_certificate;
use crate::audit::line::Side;
use crate::audit::{End, Entry};
use crate::policy::{Denial, Denials, Hostname, Permit, UpstreamAddr};

/// What a conversation takes while it lasts, besides its sockets and what was read: its own state,
/// the record of a request, and the names in it.
pub const CONVERSATION: usize = 4 * 1024;

/// What a client said before it was clear that it speaks HTTP.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) bytes: Vec<u8>,
    /// What they take.
    pub(super) room: Share,
    /// How many of them the server that was dialled ahead has been sent.
    pub(super) sent: usize,
}

/// Serves a connection from its first request on. `first` becomes the record of that; `ahead`
/// serves it, where it leads to what the request is for.
pub(super) async fn serve(
    flow: &Flow,
    client: Stream,
    origin: Origin,
    said: Said,
    mut first: Entry,
    ahead: Option<Ahead>,
) {
    first.subject().kind = origin.kind();
    let Some(_room) = flow.streams().budget.take(CONVERSATION) else {
        first.deny(&used_up());
        return reset(client);
    };
    let mut conversation = Conversation {
        flow,
        origin,
        client: Incoming::new(client, said.bytes, said.room),
        sent: said.sent,
        first: Some(first),
        ahead,
        server: None,
        stood_on: None,
    };
    let end = loop {
        match conversation.next().await {
            Then::GoOn => {}
            end => break end,
        }
    };
    Box::pin(conversation.end(end)).await;
}

/// What lasts from one request to the next.
struct Conversation<'a> {
    flow: &'a Flow,
    origin: Origin,
    client: Incoming,
    /// Of the first request, how many bytes the server that was dialled ahead has been sent.
    sent: usize,
    /// The record that was begun with the connection, until a request takes it.
    first: Option<Entry>,
    /// The connection that was made before the first request, until one wants to connect.
    ahead: Option<Ahead>,
    /// The connection to the last server. It may be given up, for want of memory, while the client's waits.
    server: Option<Server>,
    /// What the last request stood on, while none is under way. In a box: each conversation has room for it.
    stood_on: Option<Box<Stood>>,
}

/// A connection to a server, and what it was made for.
#[derive(Debug)]
struct Server {
    side: Incoming,
    name: Option<Hostname>,
    address: UpstreamAddr,
    /// Whether it may serve other connections of the container's afterwards.
    may_be_pooled: bool,
    /// Who has been served by it.
    served: Served,
}

/// What a request stood on, and where it led.
#[derive(Debug)]
struct Stood {
    footing: Footing,
    judged: Judged,
    lead: Lead,
}

impl Server {
    fn lead(&self) -> Lead {
        Lead {
            name: self.name.clone(),
            address: self.address,
        }
    }

    /// Ends it at once, and whole: an end in order would have packets follow.
    fn reset(self) {
        reset(self.side.stream);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Served {
    Nobody,
    /// A request before, of this connection of the client's.
    ThisClient,
    /// Another connection of the client's.
    Another,
}

/// What follows on a request.
#[derive(Debug)]
enum Then {
    /// The next one.
    GoOn,
    /// The client's connection ends in order.
    Close,
    /// It breaks off.
    Break,
    /// It has ended.
    Over,
}

impl Conversation<'_> {
    /// One request: heard, understood, decided, sent on, answered, recorded.
    async fn next(&mut self) -> Then {
        if self.client.bytes().is_empty()
            && let Some(end) = Box::pin(self.idle()).await
        {
            return end;
        }
        let head = tokio::select! {
            biased;
            () = shut(&mut self.stood_on, self.flow) => return self.give_up(),
            head = self.client.head(request::end) => head,
        };
        let head = match head {
            Ok(head) => head,
            Err(no_head) => return Box::pin(self.no_request(&no_head)).await,
        };
        let mut entry = self.entry();
        let bytes = self.client.bytes().get(..head).unwrap_or_default();
        let is_last = head == self.client.bytes().len();
        match request::read(bytes, self.flow.destination()) {
            Ok(request) if request.version == Version::V09 && !is_last => {
                Box::pin(refuse(
                    &self.client.stream,
                    request.form,
                    MORE_FOLLOWS,
                    entry,
                ))
                .await
            }
            // Boxed, as all that takes room: a connection in waiting doesn't carry it.
            Ok(request) => Box::pin(self.exchange(request, entry)).await,
            Err(bad) => {
                let subject = entry.subject();
                (subject.name, subject.path) = request::claimed(bytes);
                let form = request::form(bytes);
                Box::pin(refuse(&self.client.stream, form, bad, entry)).await
            }
        }
    }

    /// Waits for the next request. Gives the end, where the server's comes first (directly, the
    /// client would see it now), or a changed policy allows nothing more there.
    async fn idle(&mut self) -> Option<Then> {
        // None has been answered yet.
        self.stood_on.as_ref()?;
        loop {
            tokio::select! {
                biased;
                () = shut(&mut self.stood_on, self.flow) => return Some(self.give_up()),
                heard = self.client.read() => return match heard {
                    Ok(0) | Err(_) => Some(Then::Close),
                    Ok(_) => None,
                },
                () = says_something(&mut self.server) => {
                    self.server = None;
                    return Some(Then::Close);
                }
                () = self.flow.streams().shortage() => self.server = None,
            }
        }
    }

    /// Nothing more is allowed on it: the server's side ends at once, the client's as if by the server.
    fn give_up(&mut self) -> Then {
        self.server.take().into_iter().for_each(Server::reset);
        Then::Close
    }

    /// The record for the request that has just begun.
    fn entry(&mut self) -> Entry {
        self.first
            .take()
            .unwrap_or_else(|| self.flow.begin(self.origin.kind()))
    }

    async fn no_request(&mut self, why: &NoHead) -> Then {
        let first = self.first.take();
        let (flow, kind) = (self.flow, self.origin.kind());
        let begun = |entry: Option<Entry>| entry.unwrap_or_else(|| flow.begin(kind));
        match why {
            NoHead::Ended => {
                match (first, self.origin.unasked()) {
                    (Some(entry), Some(end)) => entry.finish(end),
                    (Some(entry), None) => entry.deny(&Denial::because(INCOMPLETE)),
                    (None, _) => {}
                }
                Then::Close
            }
            NoHead::Incomplete(_) => {
                begun(first).deny(&Denial::because(INCOMPLETE));
                Then::Close
            }
            NoHead::TooLong => {
                let entry = begun(first);
                let why = BadRequest("the request's head is over 1 MiB");
                refuse(&self.client.stream, Form::default(), why, entry).await
            }
            NoHead::NoRoom => {
                begun(first).deny(&used_up());
                Then::Close
            }
        }
    }

    /// A request that was understood.
    async fn exchange(&mut self, mut request: Request, mut entry: Entry) -> Then {
        entry.subject().method = Some(request.method.clone());
        entry.subject().path = Some(request.path.clone());
        let scheme = request.scheme.map(Scheme::name);
        if let Some(why) = self.origin.misdirected(self.flow, &request.host, scheme) {
            return misdirected(&self.client.stream, &request, why, entry).await;
        }
        let footing = self.flow.footing();
        let (name, permit) = self.decide(&request);
        let plain_path = request.plain_path.take();
        let is_plain = plain_path.is_some();
        let host = match (&request.host, &name) {
            (NamedHost::Address, _) | (_, None) => self.flow.destination().ip().to_string(),
            (_, Some(name)) => name.to_string(),
        };
        entry.subject().name = Some(host.clone());
        let permit = match permit {
            Ok(permit) => permit,
            // A rule may be for the path that this one could be understood as.
            Err(_) if !is_plain && self.flow.reads_requests() => {
                let why = BadRequest("the path can be understood in several ways");
                return refuse(&self.client.stream, request.form, why, entry).await;
            }
            Err(denial) => return self.deny(&request, &host, &denial, entry).await,
        };
        let asked = (request.method.as_str(), plain_path.as_deref());
        let judged = Judged::of(&self.origin, self.flow, (&request.host, name), asked);
        drop(plain_path);
        let Some(judged) = judged else {
            return self.deny(&request, &host, &used_up(), entry).await;
        };
        entry.allowed(permit.grounds(), None);
        if let Err(denial) = entry.open() {
            return self.deny(&request, &host, &denial, entry).await;
        }
        let standing = (footing, judged);
        Box::pin(self.forward(request, &host, &permit, standing, entry)).await
    }

    /// Decides about a request.
    fn decide(&self, request: &Request) -> (Option<Hostname>, Result<Permit, Denial>) {
        if request.is_connect() {
            return (None, Err(Denial::because(NO_CONNECT)));
        }
        let asked = (request.method.as_str(), request.plain_path.as_deref());
        self.origin.decide(self.flow, &request.host, asked)
    }

    /// The policy denies it. What is given lives on by itself.
    fn deny(
        &self,
        request: &Request,
        host: &str,
        denial: &Denial,
        entry: Entry,
    ) -> impl Future<Output = Then> + Send + use<> {
        entry.deny(denial);
        let asker = Asker {
            method: &request.method,
            host,
            path: &request.path,
            form: request.form,
        };
        let ours = ours::forbidden(asker, denial, self.flow.denied_note());
        let (client, bodiless) = (self.client.stream.clone(), request.is_head());
        async move { answer(&client, &ours, bodiless).await }
    }

    /// Sends a permitted request on, and the answer back. A connection of others that turns out to
    /// have ended costs one more try, on a new one.
    async fn forward(
        &mut self,
        mut request: Request,
        host: &str,
        permit: &Permit,
        (mut footing, mut judged): (Footing, Judged),
        mut entry: Entry,
    ) -> Then {
        let flow = self.flow;
        let traffic = entry.traffic();
        let mut may_reuse = true;
        loop {
            let mut head = request.head_length();
            let still = || judged.decide(flow).map(drop);
            let finding = self.server_for(permit, &request, may_reuse);
            let found = footing.hold(still, finding).await;
            let found = found.map_err(DialError::Denied).flatten();
            let (mut server, route) = match found {
                Ok(found) => found,
                Err(DialError::Denied(denial)) => {
                    return self.deny(&request, host, &denial, entry).await;
                }
                Err(DialError::Unreachable(problem)) => {
                    entry.finish(End::unreachable(problem.as_str()));
                    let ours = ours::bad_gateway(request.form, host, &problem);
                    return answer(&self.client.stream, &ours, request.is_head()).await;
                }
            };
            let address = server.address;
            entry.allowed(&route.grounds_at(address), Some(address.socket_addr().ip()));
            let only_websocket = route.reads_request() || self.flow.denials() == Denials::ByRequest;
            server.may_be_pooled &= request.may_be_pooled();
            let bytes = self.client.bytes().get(..head).unwrap_or_default();
            // To send it again, should the server have gone meanwhile.
            let again = match server.served {
                Served::Another => match self.flow.streams().budget.take(head) {
                    Some(room) => Some((bytes.to_vec(), room)),
                    None => {
                        self.release(server);
                        may_reuse = false;
                        continue;
                    }
                },
                _ => None,
            };
            let asked = Asked {
                bodiless: request.is_head(),
                may_switch: request.upgrades(only_websocket),
                closing: server.may_be_pooled && !request.goes_on,
            };
            if let Some(rewritten) = request.rewritten(bytes, asked.closing, only_websocket) {
                let length = rewritten.len();
                self.client.replace(head, rewritten);
                head = length;
            }
            let sent = std::mem::take(&mut self.sent);
            self.client.forget(sent);
            let meters = (
                self.client.stream.meter().from_now(),
                server.side.stream.meter(),
            );
            traffic.measure_by(match server.served {
                Served::Nobody => Ends::of(meters.0, meters.1),
                _ => Ends::of(meters.0, meters.1.from_now()),
            });
            let before = traffic.out();
            let lead = server.lead();
            let (client, side) = (&mut self.client, &mut server.side);
            // Whether it may lead there was asked of the policy that this permit is of.
            footing.decided_by(permit.generation());
            judged.may_become_anything(asked.may_switch && !request.upgrades(true));
            let passing = exchange::pass(client, side, head - sent, &mut request, asked, &traffic);
            let passed = footing.hold(|| judged.still_leads(flow, &lead), passing);
            let outcome = match passed.await {
                Ok(outcome) => outcome,
                Err(denial) => return self.cut(server, &denial, entry),
            };
            match (outcome, again) {
                (Err(Failure::Nothing), Some((again, _room))) => {
                    let written = traffic.out() - before;
                    traffic.take_back_out(written);
                    let written = usize::try_from(written).unwrap_or(usize::MAX);
                    self.client
                        .replace((head - sent).saturating_sub(written), again);
                    may_reuse = false;
                }
                (outcome, _) => {
                    let standing = (footing, judged);
                    return self
                        .conclude(outcome, server, &request, host, standing, entry)
                        .await;
                }
            }
        }
    }

    /// The connection for a permit, with the route that it is of: the last one, the one made ahead,
    /// one of the pool, or a new one.
    async fn server_for<'p>(
        &mut self,
        permit: &'p Permit,
        request: &Request,
        may_reuse: bool,
    ) -> Result<(Server, Cow<'p, Permit>), DialError> {
        let flow = self.flow;
        let verified = self.origin.verifies();
        let route = |name: Option<&Hostname>, address| flow.route(permit, name, address);
        let local = |stream: &Stream| stream.tcp().local_addr().map(|local| local.ip());
        // This request stands on its own.
        self.stood_on = None;
        if let Some(server) = self.server.take() {
            match route(server.name.as_ref(), server.address) {
                Some(route) => return Ok((server, Cow::Borrowed(route))),
                None => self.release(server),
            }
        }
        if may_reuse
            && self.ahead.is_none()
            && request.may_be_repeated()
            && let Some(idle) = flow.pool().take(|idle| {
                let from = local(&idle.stream);
                // Servers behind one name may not share their state: the client's choice is kept.
                idle.verified.as_ref() == verified
                    && idle.address.socket_addr().ip() == flow.destination().ip()
                    && route(idle.name.as_ref(), idle.address).is_some()
                    && from.is_ok_and(|from| flow.would_dial_from(from, idle.address))
            })
            && let Some(route) = route(idle.name.as_ref(), idle.address)
        {
            let server = Server {
                side: Incoming::silent(idle.stream, &flow.streams().budget),
                name: idle.name,
                address: idle.address,
                may_be_pooled: true,
                served: Served::Another,
            };
            return Ok((server, Cow::Borrowed(route)));
        }
        let connected = self.origin.connect(flow, permit, self.ahead.take()).await?;
        let budget = &flow.streams().budget;
        let Upstream {
            stream,
            address,
            permit,
        } = connected.upstream;
        let server = Server {
            side: Incoming::new(stream, connected.unpassed, budget.nothing()),
            // By which it was made: one to an address that the client chose never serves a name.
            name: permit.name().cloned(),
            address,
            may_be_pooled: true,
            served: Served::Nobody,
        };
        Ok((server, Cow::Owned(*permit)))
    }

    /// What is left to do when an exchange is over.
    async fn conclude(
        &mut self,
        outcome: Result<Exchanged, Failure>,
        mut server: Server,
        request: &Request,
        host: &str,
        (mut footing, judged): (Footing, Judged),
        mut entry: Entry,
    ) -> Then {
        let exchanged = match outcome {
            Ok(exchanged) => exchanged,
            Err(failure) => {
                return failed(&self.client.stream, failure, &server, request, host, entry).await;
            }
        };
        if exchanged.switched {
            let early = Early {
                out: self.client.take(),
                back: server.side.take(),
            };
            let traffic = entry.traffic();
            let (client, to_server) = (self.client.stream.clone(), server.side.stream.clone());
            let (flow, lead) = (self.flow, server.lead());
            let splicing = splice_both(client, to_server, early, &traffic);
            let spliced = footing.hold(|| judged.still_leads(flow, &lead), splicing);
            match spliced.await {
                Ok(end) => entry.finish(end),
                Err(denial) => entry.revoke(&denial),
            }
            return Then::Over;
        }
        entry.finish(End::closed(Side::Server));
        server.may_be_pooled &= exchanged.may_be_pooled;
        server.served = Served::ThisClient;
        self.stood_on = Some(Box::new(Stood {
            footing,
            judged,
            lead: server.lead(),
        }));
        if exchanged.goes_on && server.side.bytes().is_empty() {
            self.server = Some(server);
        }
        if exchanged.goes_on && request.goes_on {
            Then::GoOn
        } else {
            Then::Close
        }
    }

    /// A changed policy denies what is under way.
    fn cut(&self, server: Server, denial: &Denial, entry: Entry) -> Then {
        entry.revoke(denial);
        reset(server.side.stream);
        reset(&self.client.stream);
        Then::Over
    }

    /// Lets go of a connection: to the pool, where it may serve others.
    fn release(&self, server: Server) {
        if server.may_be_pooled {
            self.flow.pool().put(IdleConnection {
                stream: server.side.stream,
                name: server.name,
                verified: self.origin.verifies().cloned(),
                address: server.address,
            });
        }
    }

    /// What remains when no more requests come.
    async fn end(mut self, how: Then) {
        // A change waits for whoever stands on the policy before it; closing stands on none.
        self.stood_on = None;
        self.ahead = None;
        if let Some(server) = self.server.take() {
            self.release(server);
        }
        match how {
            Then::Close | Then::GoOn => close_gently(self.client.stream).await,
            Then::Break => reset(self.client.stream),
            Then::Over => {}
        }
    }
}

/// Waits until a changed policy allows nothing more on a connection on which no request is under way:
/// neither what was asked there last, nor anything else in its name.
async fn shut(stood_on: &mut Option<Box<Stood>>, flow: &Flow) {
    let Some(stood) = stood_on.as_deref_mut() else {
        return pending().await;
    };
    let Stood {
        footing,
        judged,
        lead,
    } = stood;
    let still = || judged.may_be_followed(flow, lead);
    if let Ok(never) = footing.hold(still, pending::<Infallible>()).await {
        match never {}
    }
}

/// Waits until a server says something while nobody asks it. What it says besides its end answers no
/// request (`408 Request Timeout`).
async fn says_something(server: &mut Option<Server>) {
    match server {
        Some(server) => drop(server.side.read().await),
        None => pending().await,
    }
}

/// Reason given for a CONNECT to elsewhere.
pub(super) const NO_CONNECT: &str = "CONNECT would make a tunnel to a place that no rule sees";
/// Reason recorded where a client ended within a head.
const INCOMPLETE: &str = "the request's head never became complete";
/// Reason recorded where a server ended before it said a word.
const NO_ANSWER: &str = "no answer: the server closed the connection";

/// The request can't be decided about: recorded as denied.
async fn refuse(client: &Stream, form: Form, bad: BadRequest, entry: Entry) -> Then {
    entry.deny(&Denial::because(bad.to_string()));
    answer(client, &ours::bad_request(form, &bad.to_string()), false).await
}

/// It is for another server than its connection: recorded as denied.
async fn misdirected(client: &Stream, request: &Request, why: &'static str, entry: Entry) -> Then {
    entry.deny(&Denial::because(why));
    answer(
        client,
        &ours::misdirected(request.form, why),
        request.is_head(),
    )
    .await
}

/// There is no answer, or not all of one.
async fn failed(
    client: &Stream,
    failure: Failure,
    server: &Server,
    request: &Request,
    host: &str,
    entry: Entry,
) -> Then {
    let no_answer = |by, why: String, entry: Entry| {
        let ours = ours::bad_gateway(request.form, host, &why);
        entry.finish(End::reset(by, Some(why)));
        ours
    };
    let stream = &server.side.stream;
    match failure {
        // Asked directly, the client would have seen its own kept connection end, and known to
        // ask again.
        Failure::Nothing if server.served == Served::ThisClient => {
            entry.finish(End::reset(Side::Server, Some(NO_ANSWER.to_owned())));
            Then::Close
        }
        Failure::Nothing => {
            let refused = server.name.as_ref().filter(|_| stream.wants_certificate());
            let why = refused.map_or_else(
                || NO_ANSWER.to_owned(),
                |name| wants_certificate(name.as_str()),
            );
            let ours = no_answer(Side::Server, why, entry);
            answer(client, &ours, request.is_head()).await
        }
        Failure::NoAnswer(Side::Client, why) => {
            entry.finish(End::reset(Side::Client, Some(why)));
            reset(&server.side.stream);
            Then::Break
        }
        Failure::NoAnswer(by, why) => {
            let ours = no_answer(by, format!("no answer: {why}"), entry);
            answer(client, &ours, request.is_head()).await
        }
        Failure::Part { by, in_order, why } => {
            entry.finish(End::reset(by, why));
            if in_order {
                return Then::Close;
            }
            reset(&server.side.stream);
            Then::Break
        }
        Failure::Malformed(why) => {
            entry.finish(End::reset(Side::Gateway, Some(why.to_owned())));
            reset(&server.side.stream);
            Then::Break
        }
    }
}

/// Says something of our own last.
async fn answer(client: &Stream, ours: &Ours, bodiless: bool) -> Then {
    let mut client = client.clone();
    let written = client.write_all(&ours.bytes(bodiless)).await;
    match written.and(client.flush().await) {
        Ok(()) => Then::Close,
        Err(_) => Then::Break,
    }
}

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;
