//! One stream of a client's: decided, sent on, answered, recorded.
//!
//! Owns the order of these steps, and what an end on one side means for the other: a stream that is
//! reset is reset there with the same reason.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::body::{Body, Broken, Direction, Piece};
use super::request::{self, Asked, Tunnel, kept, size};
use super::servers::{Answer, Found};
use super::{
    answer,
    limits::{LONGEST_HEAD, STREAM},
    relay::Relay,
};
use crate::audit::line::Side;
use crate::audit::{End, Entry, Traffic};
use crate::policy::{Denial, Denials, Permit};
use crate::proxy::budget::used_up;
use crate::proxy::dial::DialError;
use crate::proxy::http::NO_CONNECT;
use crate::proxy::http::origin::Judged;
use crate::proxy::http::ours::{self, Asker, Form, Ours};
use crate::proxy::http::request::NamedHost;
use crate::proxy::in_force::Footing;

/// A stream as the client began it.
pub(super) struct Begun {
    pub(super) head: Parts,
    /// None: nothing follows the head.
    pub(super) upload: Option<RecvStream>,
    pub(super) respond: SendResponse<Piece>,
    pub(super) entry: Entry,
}

/// Serves one stream to its end.
pub(super) async fn serve(relay: Arc<Relay>, mut begun: Begun) {
    // As it came, and as it is sent on.
    let room = STREAM + 2 * kept(&begun.head.headers);
    let room = relay.flow.streams().budget.take(room);
    let asked = request::read(&begun.head, relay.flow.destination());
    let asked = match asked {
        Ok(asked) => asked,
        Err(bad) => {
            let subject = begun.entry.subject();
            subject.method = Some(begun.head.method.to_string());
            (subject.name, subject.path) = request::claimed(&begun.head);
            return begun.refuse(&bad.to_string(), ours::bad_request);
        }
    };
    let subject = begun.entry.subject();
    subject.method = Some(asked.method.clone());
    subject.path = Some(asked.path.clone());
    if let Some(why) = relay.misdirected(&asked) {
        subject.name = request::claimed(&begun.head).0;
        return begun.refuse(why, ours::misdirected);
    }
    let footing = relay.flow.footing();
    let (name, permit) = relay.decide(&asked);
    let judged = relay.judged(&asked, name.clone());
    let host = match (&asked.host, &name) {
        (NamedHost::Address, _) | (_, None) => relay.flow.destination().ip().to_string(),
        (_, Some(name)) => name.to_string(),
    };
    begun.entry.subject().name = Some(host.clone());
    let stream = Exchange { asked, host, begun };
    let note = relay.flow.denied_note();
    let permit = match permit {
        _ if room.is_none() => return stream.deny(&used_up(), note),
        Ok(permit) => permit,
        // A rule may be for the path that this one could be understood as.
        Err(_) if stream.asked.plain_path.is_none() && relay.flow.reads_requests() => {
            let why = "the path can be understood in several ways";
            return stream.begun.refuse(why, ours::bad_request);
        }
        Err(denial) => return stream.deny(&denial, note),
    };
    match judged {
        Some(judged) => Box::pin(stream.forward(&relay, &permit, (footing, judged))).await,
        None => stream.deny(&used_up(), note),
    }
}

impl Begun {
    /// Nobody can decide about it: recorded as denied.
    fn refuse(mut self, why: &str, ours: fn(Form, &str) -> Ours) {
        self.entry.deny(&Denial::because(why));
        let ours = ours(request::form(&self.head), why);
        answer::send(&mut self.respond, &ours, self.head.method == Method::HEAD);
    }
}

/// A stream that was understood.
struct Exchange {
    asked: Asked,
    host: String,
    begun: Begun,
}

/// How an exchange ended.
enum Outcome {
    Whole,
    /// The client broke it off, or is gone.
    ClientGone(Option<Reason>),
    /// The server did, before it was given an answer to.
    NoAnswer(h2::Error),
    /// The server did, within its answer.
    Part(h2::Error),
}

impl Exchange {
    /// The policy denies it.
    fn deny(self, denial: &Denial, note: Option<&str>) {
        let asker = Asker {
            method: &self.asked.method,
            host: &self.host,
            path: &self.asked.path,
            form: request::form(&self.begun.head),
        };
        let ours = ours::forbidden(asker, denial, note);
        let Begun {
            mut respond, entry, ..
        } = self.begun;
        entry.deny(denial);
        answer::send(&mut respond, &ours, self.asked.is_head());
    }

    /// There is no answer of a server's.
    fn fail(self, end: End, problem: &str) {
        let ours = ours::bad_gateway(request::form(&self.begun.head), &self.host, problem);
        let Begun {
            mut respond, entry, ..
        } = self.begun;
        entry.finish(end);
        answer::send(&mut respond, &ours, self.asked.is_head());
    }

    /// Sends a permitted request on, and the answer back.
    async fn forward(
        mut self,
        relay: &Relay,
        permit: &Permit,
        (mut footing, judged): (Footing, Judged),
    ) {
        let flow = &relay.flow;
        self.begun.entry.allowed(permit.grounds(), None);
        if let Err(denial) = self.begun.entry.open() {
            return self.deny(&denial, relay.flow.denied_note());
        }
        let traffic = self.begun.entry.traffic();
        let is_whole = self.begun.upload.is_none();
        let repeatable = self.asked.may_be_repeated(is_whole);
        let mut fresh = false;
        let judged = Arc::new(judged);
        loop {
            let found = tokio::select! {
                biased;
                reason = poll_fn(|cx| self.begun.respond.poll_reset(cx)) => {
                    return self.begun.entry.finish(client_gone(reason.ok()));
                }
                found = footing.hold(
                    || judged.decide(flow).map(drop),
                    relay.servers.find(flow, &relay.origin, (permit, &judged), fresh),
                ) => found.map_err(DialError::Denied).flatten(),
            };
            let mut found = match found {
                Ok(found) => found,
                Err(DialError::Denied(denial)) => {
                    return self.deny(&denial, relay.flow.denied_note());
                }
                Err(DialError::Unreachable(problem)) => {
                    return self.fail(End::unreachable(problem.as_str()), &problem);
                }
            };
            let address = found.lead().address;
            let grounds = found.route.grounds_at(address);
            self.begun
                .entry
                .allowed(&grounds, Some(address.socket_addr().ip()));
            let no_tunnel = tokio::select! {
                biased;
                reason = poll_fn(|cx| self.begun.respond.poll_reset(cx)) => {
                    return self.begun.entry.finish(client_gone(reason.ok()));
                }
                denial = no_tunnel(self.asked.tunnel, relay, &found) => denial,
            };
            if let Some(denial) = no_tunnel {
                return self.deny(&denial, relay.flow.denied_note());
            }
            let Some(request) = request::forwarded(&self.begun.head, relay.own_name()) else {
                let why = "the request has no form that could be sent on";
                return self.begun.refuse(why, ours::bad_request);
            };
            let (response, target) = match found.send(request, is_whole) {
                Ok(sent) => sent,
                // It takes no more: nothing was sent.
                Err(_) if found.is_used => continue,
                Err(error) => {
                    let problem = no_answer(&found, &error);
                    return self.fail(End::unreachable(problem.as_str()), &problem);
                }
            };
            traffic.add_out(size(&self.begun.head.headers));
            // Whether it may lead there was asked of the policy that this permit is of.
            footing.decided_by(permit.generation());
            let passing = self.pass(relay, &found, (response, target), &traffic);
            let passed = footing.hold(|| judged.still_leads(flow, found.lead()), passing);
            let outcome = match passed.await {
                Ok(outcome) => outcome,
                Err(denial) => return self.cut(&denial),
            };
            match outcome {
                Outcome::NoAnswer(error)
                    if found.is_used && repeatable && !fresh && !error.is_remote() =>
                {
                    found.give_up();
                    fresh = true;
                }
                outcome => return self.conclude(outcome, &found),
            }
        }
    }

    /// A changed policy denies what is under way. (To the server, what is dropped is a reset.)
    fn cut(mut self, denial: &Denial) {
        self.begun.respond.send_reset(Reason::CANCEL);
        self.begun.entry.revoke(denial);
    }

    /// Passes the request's body on and the answer back, both at once.
    async fn pass(
        &mut self,
        relay: &Relay,
        found: &Found,
        (mut response, target): (ResponseFuture, SendStream<Piece>),
        traffic: &Arc<Traffic>,
    ) -> Outcome {
        let mut up = match self.begun.upload.take() {
            None => Upload::over(target),
            Some(source) => Upload::Body(Box::new(Body::new(
                source,
                target,
                Arc::clone(&relay.window),
                Direction::Out,
                Arc::clone(traffic),
            ))),
        };
        let respond = &mut self.begun.respond;
        let mut interim = Interim::default();
        let answer = poll_fn(|cx| {
            if let Poll::Ready(Err(reason)) = up.poll(cx) {
                return Poll::Ready(Err(Outcome::ClientGone(reason)));
            }
            if let Poll::Ready(reason) = respond.poll_reset(cx) {
                return Poll::Ready(Err(Outcome::ClientGone(reason.ok())));
            }
            ready!(interim.poll(cx, &mut response, respond, traffic))?;
            let answer = ready!(Pin::new(&mut response).poll(cx));
            Poll::Ready(answer.map_err(Outcome::NoAnswer))
        });
        let outcome = match answer.await {
            Ok(answer) => match relay.flow.streams().budget.take(kept(answer.headers())) {
                Some(_room) => answered(answer, respond, &mut up, found, traffic).await,
                None => Outcome::Part(Reason::ENHANCE_YOUR_CALM.into()),
            },
            Err(outcome) => outcome,
        };
        if let Outcome::ClientGone(reason) = outcome {
            up.reset(reason.unwrap_or(Reason::CANCEL));
        }
        outcome
    }

    /// What is left to do when an exchange is over.
    fn conclude(mut self, outcome: Outcome, found: &Found) {
        let respond = &mut self.begun.respond;
        let (error, by_server) = match outcome {
            Outcome::Whole => return self.begun.entry.finish(End::closed(Side::Server)),
            Outcome::ClientGone(reason) => return self.begun.entry.finish(client_gone(reason)),
            Outcome::NoAnswer(error) if error.is_remote() => {
                // Of a connection that ends, a stream that was not looked at (RFC 9113 6.8).
                let refused = error.is_go_away().then_some(Reason::REFUSED_STREAM);
                let reason = refused.or_else(|| error.reason());
                respond.send_reset(reason.unwrap_or(Reason::INTERNAL_ERROR));
                (error, true)
            }
            Outcome::NoAnswer(error) => {
                let problem = no_answer(found, &error);
                let end = End::reset(Side::Server, Some(problem.clone()));
                return self.fail(end, &problem);
            }
            Outcome::Part(error) => {
                respond.send_reset(error.reason().unwrap_or(Reason::INTERNAL_ERROR));
                let by_server = error.is_remote() || error.is_io();
                (error, by_server)
            }
        };
        let by = if by_server {
            Side::Server
        } else {
            Side::Gateway
        };
        let end = End::reset(by, Some(error.to_string()));
        self.begun.entry.finish(end);
    }
}

/// Why a tunnel that a request asks for is not made, where it is not.
async fn no_tunnel(tunnel: Tunnel, relay: &Relay, found: &Found) -> Option<Denial> {
    let only_websocket = found.route.reads_request() || relay.flow.denials() == Denials::ByRequest;
    let why = match tunnel {
        Tunnel::None => return None,
        Tunnel::Other if only_websocket => {
            "under rules for requests only a WebSocket is let through"
        }
        Tunnel::Websocket | Tunnel::Other if found.takes_websockets().await => return None,
        Tunnel::Websocket | Tunnel::Other => "the server takes no WebSockets over HTTP/2",
        Tunnel::Unread => NO_CONNECT,
    };
    Some(Denial::because(why))
}

/// Passes an answer on.
async fn answered(
    answer: Answer,
    respond: &mut SendResponse<Piece>,
    up: &mut Upload,
    found: &Found,
    traffic: &Arc<Traffic>,
) -> Outcome {
    let (head, body) = answer.into_parts();
    traffic.add_back(size(&head.headers));
    let is_whole = body.is_end_stream();
    let target = match respond.send_response(Response::from_parts(head, ()), is_whole) {
        Ok(target) => target,
        Err(error) => return Outcome::ClientGone(error.reason()),
    };
    let window = Arc::clone(&found.window);
    let mut down =
        (!is_whole).then(|| Body::new(body, target, window, Direction::Back, Arc::clone(traffic)));
    poll_fn(|cx| {
        let uploaded = match up.poll(cx) {
            Poll::Ready(Err(reason)) => return Poll::Ready(Outcome::ClientGone(reason)),
            uploaded => uploaded.is_ready(),
        };
        if let Some(body) = &mut down {
            match ready!(body.poll_pass(cx)) {
                Ok(()) => down = None,
                Err(Broken::Source(error)) => return Poll::Ready(Outcome::Part(error)),
                Err(Broken::Target(reason)) => return Poll::Ready(Outcome::ClientGone(reason)),
            }
        }
        // After an early answer, what follows of the request still goes where it was meant for.
        if uploaded {
            Poll::Ready(Outcome::Whole)
        } else {
            Poll::Pending
        }
    })
    .await
}

/// The request's body.
enum Upload {
    /// Under way.
    Body(Box<Body>),
    /// Over, or not wanted any more.
    Over(SendStream<Piece>),
}

impl Upload {
    fn over(target: SendStream<Piece>) -> Self {
        Self::Over(target)
    }

    /// Passes on what there is. Fails where the client broke it off, with its reason.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Option<Reason>>> {
        match self {
            Self::Over(_) => Poll::Ready(Ok(())),
            Self::Body(body) => match ready!(body.poll_pass(cx)) {
                Err(Broken::Source(error)) => Poll::Ready(Err(error.reason())),
                // What the server says decides, if it is only that it needs no more.
                Ok(()) | Err(Broken::Target(_)) => Poll::Ready(Ok(())),
            },
        }
    }

    fn reset(&mut self, reason: Reason) {
        match self {
            Self::Over(target) => target.send_reset(reason),
            Self::Body(body) => body.target.send_reset(reason),
        }
    }
}

/// The answers before the answer (RFC 9110 15.2).
#[derive(Debug, Default)]
struct Interim {
    /// What they took so far.
    bytes: u64,
    over: bool,
}

impl Interim {
    /// Passes on what there is of them. Ready: the next is the answer.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        response: &mut ResponseFuture,
        respond: &mut SendResponse<Piece>,
        traffic: &Traffic,
    ) -> Poll<Result<(), Outcome>> {
        while !self.over {
            let interim = match ready!(response.poll_informational(cx)) {
                None => {
                    self.over = true;
                    break;
                }
                Some(Ok(interim)) => interim,
                Some(Err(error)) => return Poll::Ready(Err(Outcome::NoAnswer(error))),
            };
            let bytes = size(interim.headers());
            traffic.add_back(bytes);
            self.bytes += bytes + LEAST_HEAD;
            if interim.status() == StatusCode::SWITCHING_PROTOCOLS {
                let error = Reason::PROTOCOL_ERROR.into();
                return Poll::Ready(Err(Outcome::NoAnswer(error)));
            }
            if self.bytes > u64::from(LONGEST_HEAD) {
                let error = Reason::ENHANCE_YOUR_CALM.into();
                return Poll::Ready(Err(Outcome::NoAnswer(error)));
            }
            // A client that is gone is found by its reset.
            let _ = respond.send_informational(interim);
        }
        Poll::Ready(Ok(()))
    }
}

/// What an interim answer takes besides its fields.
const LEAST_HEAD: u64 = 64;

fn client_gone(reason: Option<Reason>) -> End {
    let why = reason.filter(|reason| ![Reason::CANCEL, Reason::NO_ERROR].contains(reason));
    End::reset(Side::Client, why.map(|reason| reason.to_string()))
}

/// Why a server gave no answer.
fn no_answer(found: &Found, error: &h2::Error) -> String {
    if found.greeting.is_not_http2() {
        return "no answer: the server doesn't speak HTTP/2".to_owned();
    }
    format!("no answer: {error}")
}
