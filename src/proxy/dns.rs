//! DNS: answers every query that the container sends to port 53, by UDP or TCP, to any address.
//!
//! Owns the steps of one query: read, judge, ask our own resolvers, answer, record. It doesn't
//! matter which server the container addressed: an attacker's server must not get labels to read,
//! so the proxy asks the resolvers it was given, and the answer comes from the address that was
//! asked. Invariant: a denied name causes no packet, and the policy decides before anything else
//! looks at the name.
//!
//! Answers may contain addresses that the container may not reach (loopback, metadata). They are
//! passed on unfiltered: the dialler checks each address that it dials, and a filtered answer would
//! explain nothing.

mod denied;
mod learned;
pub mod message;
pub mod question;
mod rate_limit;
pub mod reply;
mod resolver;
pub mod upstream;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

pub use denied::DeniedAnswers;
pub use learned::Learned;
pub use resolver::{LookupError, Resolver};

use self::denied::Has;
use self::message::framed;
use self::question::{Judgement, Malformed, Question};
use self::rate_limit::RateLimit;
use self::reply::ReplyTransport;
use self::upstream::ResolverAnswer;
use super::budget::{Budget, used_up};
use super::inside::Inside;
use super::judge::Judge;
use super::stream::Stream;
use crate::audit::line::Side;
use crate::audit::{Direction, End, Entry, Kind, Subject};
use crate::policy::{Denial, Grounds, Hostname};

/// How long a connection may be silent, or take to bring one question or to take one answer.
const IDLE: Duration = Duration::from_secs(10);
/// Questions on one connection.
const QUESTIONS_A_CONNECTION: usize = 100;
/// The longest question, in bytes: a name is at most 255, and all else in it is ignored.
const MAX_QUESTION: usize = 4096;

/// What one question takes while it waits for its answer, besides its bytes.
const QUESTION: usize = 8 * 1024;

/// Answers the container's questions.
#[derive(Debug)]
pub struct DnsServer {
    judge: Judge,
    resolver: Arc<Resolver>,
    inside: Arc<Inside>,
    budget: Budget,
    rate: RateLimit,
    denied: DeniedAnswers,
}

impl DnsServer {
    /// One that asks this resolver what the judge allows, for so many questions a second over a
    /// longer time. `denied`: how it answers what the judge denies.
    #[must_use]
    pub fn new(
        judge: Judge,
        resolver: Arc<Resolver>,
        inside: Arc<Inside>,
        budget: Budget,
        rate_limit: NonZeroU32,
        denied: DeniedAnswers,
    ) -> Self {
        Self {
            judge,
            resolver,
            inside,
            budget,
            rate: RateLimit::of(rate_limit),
            denied,
        }
    }

    /// Gives back the memory of answers that are too old to be used again.
    pub async fn tend(&self) -> Infallible {
        self.resolver.tend().await
    }

    /// Takes one datagram, where there is room for it. Of a longer one than any question, the rest is
    /// nothing to anybody.
    pub fn take_datagram(
        self: &Arc<Self>,
        message: &[u8],
        source: SocketAddr,
        destination: SocketAddr,
    ) {
        let message = message.get(..MAX_QUESTION).unwrap_or(message);
        let Some(room) = self.budget.take(QUESTION + message.len()) else {
            if self.admitted(source, destination) {
                self.judge
                    .begin(subject(source, destination))
                    .deny(&used_up());
            }
            return;
        };
        let (server, message) = (Arc::clone(self), message.to_vec());
        tokio::spawn(async move {
            server.serve_datagram(message, source, destination).await;
            drop(room);
        });
    }

    /// Answers one datagram. A lost answer is like any lost packet: the client asks again.
    async fn serve_datagram(
        self: Arc<Self>,
        message: Vec<u8>,
        source: SocketAddr,
        destination: SocketAddr,
    ) {
        let Some(reply) = self
            .answer(&message, source, destination, ReplyTransport::Udp)
            .await
        else {
            return;
        };
        if let Ok(answerer) = self.inside.answerer(destination) {
            answerer.send(&reply, source);
        }
    }

    /// Answers a connection's questions, one after the other (RFC 7766), until it is silent, ends or
    /// has had its share.
    pub async fn serve_stream(
        self: Arc<Self>,
        stream: Stream,
        source: SocketAddr,
        destination: SocketAddr,
    ) {
        if self.answer_stream(stream, source, destination).await == 0 {
            let nothing = Denial::because("no query on the DNS connection");
            self.judge
                .begin(subject(source, destination))
                .deny(&nothing);
        }
    }

    /// Gives the number of questions that were heard.
    async fn answer_stream(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> usize {
        for asked in 0..QUESTIONS_A_CONNECTION {
            let Ok(Some(message)) = timeout(IDLE, read_question(&mut stream)).await else {
                return asked;
            };
            let reply = self
                .answer(&message, source, destination, ReplyTransport::Tcp)
                .await;
            let Some(reply) = reply else { return asked + 1 };
            if !matches!(
                timeout(IDLE, stream.write_all(&framed(&reply))).await,
                Ok(Ok(()))
            ) {
                return asked + 1;
            }
        }
        QUESTIONS_A_CONNECTION
    }

    /// The story of one question. Gives the answer to send, if there is to be one.
    async fn answer(
        &self,
        message: &[u8],
        source: SocketAddr,
        destination: SocketAddr,
        transport: ReplyTransport,
    ) -> Option<Vec<u8>> {
        if !self.admitted(source, destination) {
            return None;
        }
        let mut entry = self.judge.begin(subject(source, destination));
        let question = match Question::read(message) {
            Ok(question) => question,
            Err(malformed) => return refuse_malformed(entry, &malformed),
        };
        entry.subject().name = Some(question.name());
        entry.subject().method = Some(question.kind());
        let encoded = |reply: &Message| reply::encode(reply, question.payload, transport);
        let mut footing = self.judge.footing();
        match question.judge(&self.judge.policy()) {
            Judgement::Deny(denial) => {
                entry.deny(&denial);
                encoded(&match self.denied.of(&question) {
                    Has::Nothing => reply::denied(&question, &denial),
                    Has::NoneOfFamily => reply::denied_at(&question, None, &denial),
                    Has::Address(address) => reply::denied_at(&question, Some(address), &denial),
                })
            }
            Judgement::Unsupported(denial) => {
                entry.deny(&denial);
                encoded(&reply::unsupported(&question, &denial))
            }
            Judgement::Empty(grounds) => {
                entry.allowed(&grounds, None);
                let why = format!("{} records are answered as empty", question.kind());
                let reply = encoded(&reply::empty(&question));
                let asked_nobody = &[];
                answered(
                    entry,
                    asked_nobody,
                    reply.as_deref(),
                    End::closed(Side::Gateway).because(why),
                );
                reply
            }
            Judgement::Forward(name, grounds) => {
                entry.allowed(&grounds, None);
                if let Err(denial) = entry.open() {
                    entry.deny(&denial);
                    return encoded(&reply::denied(&question, &denial));
                }
                let still = || self.judge.policy().decide_lookup(&name).map(drop);
                let forwarding = self.forward(&mut entry, &question, &name, &grounds, source.ip());
                // Nothing is remembered of an answer that isn't given.
                let (forwarded, end) = match footing.hold(still, forwarding).await {
                    Ok(forwarded) => forwarded,
                    Err(denial) => {
                        entry.revoke(&denial);
                        return encoded(&reply::denied(&question, &denial));
                    }
                };
                let reply = encoded(&forwarded);
                answered(entry, message, reply.as_deref(), end);
                reply
            }
        }
    }

    /// Asks our resolvers. Gives the answer for the container, and how that ended.
    async fn forward(
        &self,
        entry: &mut Entry,
        question: &Question,
        name: &Hostname,
        grounds: &Grounds,
        client: IpAddr,
    ) -> (Message, End) {
        match self
            .resolver
            .ask(name, question.asked.query_type, client)
            .await
        {
            Ok(answer) => {
                entry.allowed(grounds, Some(answer.server.ip()));
                self.remember(name, &answer);
                let end = End::closed(Side::Server);
                let end = if answer.exists {
                    end
                } else {
                    end.because(LookupError::NoSuchName.to_string())
                };
                (reply::answered(question, &answer), end)
            }
            Err(error) => (
                reply::failed(question, &error.to_string()),
                End::unreachable(error.to_string()),
            ),
        }
    }

    /// Whether a question is heard at all.
    fn admitted(&self, source: SocketAddr, destination: SocketAddr) -> bool {
        let admitted = self.rate.admits();
        if !admitted {
            let reason = format!("more than {} DNS queries a second", self.rate.limit);
            self.judge
                .begin(subject(source, destination))
                .deny(&Denial::because(reason));
        }
        admitted
    }

    /// Remembers what the container is about to be told.
    fn remember(&self, name: &Hostname, answer: &ResolverAnswer) {
        let held = Duration::from_secs(answer.ttl.into());
        let ttl = held.saturating_sub(answer.received.elapsed());
        for address in answer.addresses() {
            self.judge.learned.remember(address, name, ttl);
        }
    }
}

async fn read_question(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = usize::from(stream.read_u16().await.ok()?);
    if length > MAX_QUESTION {
        return None;
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

fn answered(mut entry: Entry, message: &[u8], reply: Option<&[u8]>, end: End) {
    let traffic = entry.traffic();
    traffic.add_out(size(message));
    traffic.add_back(reply.map_or(0, size));
    entry.finish(end);
}

fn refuse_malformed(entry: Entry, malformed: &Malformed) -> Option<Vec<u8>> {
    entry.deny(&Denial::because(malformed.reason));
    let (id, operation, code) = malformed.answer?;
    reply::encode(
        &reply::malformed(id, operation, code),
        None,
        ReplyTransport::Udp,
    )
}

fn subject(source: SocketAddr, destination: SocketAddr) -> Subject {
    Subject::new(Kind::Dns, Direction::Out, source, destination)
}

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
