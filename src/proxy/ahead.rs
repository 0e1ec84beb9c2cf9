//! A connection to the server that is made before the client has sent anything, because any
//! protocol may be allowed there.
//!
//! Owns that connection until the client is identified, and meanwhile passes on what the server
//! sends. Of the client's bytes it is given only those that are sent on before it is clear what
//! they are; the others wait for the verdict.

use std::io;
use std::pin::Pin;

use bytes::BufMut;

use super::dial::{DialError, Upstream};
use super::flow::Flow;
use super::stream::Stream;
use crate::audit::line::Side;
use crate::audit::{End, Entry, Traffic};
use crate::policy::{Denial, Permit, Protocol};

/// How much of the server's is read at once: a greeting fits.
const READ_AT_ONCE: usize = 16 * 1024;

/// A connection to a server, and what it has said already.
#[derive(Debug)]
pub(super) struct Connected {
    /// The connection.
    pub(super) upstream: Upstream,
    /// What it said that the client has not been given yet.
    pub(super) unpassed: Vec<u8>,
    /// Whether the client has been given some of it.
    has_passed: bool,
}

/// Why a connection was not identified.
pub(super) enum Unidentified {
    /// It isn't allowed.
    Denied(Denial),
    /// The connection to the server, made ahead, failed or broke.
    Broken(End),
    /// The client ended without a word, and its server was there.
    NothingSaid,
}

/// A connection that is being made, or is there.
pub(super) struct Ahead {
    permit: Permit,
    /// Whether opaque bytes would be let pass on it.
    passes_any: bool,
    state: DialState,
    /// What the server is to be sent of the client's.
    unsent: Vec<u8>,
    /// How much of the client's it has been sent.
    sent: usize,
}

enum DialState {
    Dialling(Pin<Box<dyn Future<Output = Result<Upstream, DialError>> + Send>>),
    Connected { connected: Connected, ended: bool },
}

impl std::fmt::Debug for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ahead")
            .field("permit", &self.permit)
            .finish_non_exhaustive()
    }
}

impl Ahead {
    /// Begins to connect, where opaque bytes would be let pass.
    pub(super) fn begin(flow: &Flow) -> Option<Self> {
        let permit = flow.decide_unnamed(Protocol::Tcp, None).1.ok()?;
        let dialling = flow.dial(permit.clone());
        Some(Self {
            permit,
            passes_any: true,
            state: DialState::Dialling(Box::pin(dialling)),
            unsent: Vec::new(),
            sent: 0,
        })
    }

    /// One that is there: its far end was asked before its client was accepted. `passes_any`: whether
    /// the permit is for any bytes; else it serves only what is identified and allowed by then.
    pub(super) fn made(permit: Permit, upstream: Upstream, passes_any: bool) -> Self {
        Self {
            permit,
            passes_any,
            state: DialState::Connected {
                connected: fresh(upstream),
                ended: false,
            },
            unsent: Vec::new(),
            sent: 0,
        }
    }

    /// Whether its permit is of the policy in force.
    pub(super) fn is_of_now(&self, flow: &Flow) -> bool {
        flow.is_of_now(&self.permit)
    }

    /// Whether the server may be heard, and sent what is no request, before the client is identified.
    pub(super) fn passes_any(&self) -> bool {
        self.passes_any
    }

    /// Whether the server has seen a connection.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.state, DialState::Connected { .. })
    }

    /// Whether the server has not said anything yet, nor ended.
    pub(super) fn is_quiet(&self) -> bool {
        match &self.state {
            DialState::Dialling(_) => true,
            DialState::Connected { connected, .. } => connected.upstream.stream.is_quiet(),
        }
    }

    /// Has the server be sent these bytes of the client's as soon as it can be.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// How many bytes of the client's the server has been sent. From now on it is sent no more of
    /// them from here.
    pub(super) fn end_sending(&mut self) -> usize {
        self.unsent = Vec::new();
        self.sent
    }

    /// Whether the server has neither said anything nor ended.
    pub(super) fn is_silent(&self) -> bool {
        match &self.state {
            DialState::Dialling(_) => true,
            DialState::Connected { connected, ended } => {
                !ended && !connected.has_passed && connected.unpassed.is_empty()
            }
        }
    }

    /// Whether the client has not been given a word of the server's: one of HTTP/2 may speak first.
    pub(super) fn has_passed_nothing(&self) -> bool {
        match &self.state {
            DialState::Dialling(_) => true,
            DialState::Connected { connected, ended } => !ended && !connected.has_passed,
        }
    }

    /// Gives the connection for a permit, waiting for it to be made; none where that permit is for
    /// something else.
    ///
    /// # Errors
    /// Where it could not be made; and a denial where the permit is for something else and the
    /// client has already heard this server: the words of two servers aren't mixed.
    async fn serve(self, flow: &Flow, permit: &Permit) -> Result<Option<Connected>, DialError> {
        let unused = self.has_passed_nothing() && self.sent == 0;
        let tried = |wanted: &Permit| self.permit.routes().any(|one| one.leads_where(wanted));
        if self.permit.leads_where(permit) {
            let dialled = match self.state {
                DialState::Dialling(dialling) => dialling.await.map(fresh),
                DialState::Connected { connected, .. } => Ok(connected),
            };
            match dialled {
                Ok(mut connected) => {
                    let Upstream {
                        address,
                        permit: made_by,
                        ..
                    } = &mut connected.upstream;
                    if let Some(route) = flow.route(permit, made_by.name(), *address) {
                        **made_by = route.alone();
                        return Ok(Some(connected));
                    }
                }
                Err(error) if permit.routes().all(tried) => return Err(error),
                // There are other ways than those that failed.
                Err(_) => {}
            }
        }
        if unused {
            Ok(None)
        } else {
            Err(DialError::Denied(Denial::because(
                "data had already been exchanged with a different server on it",
            )))
        }
    }

    /// Passes bytes back, and on what it was given, until something breaks. May be dropped at any
    /// await: what was read and not passed is kept.
    pub(super) async fn converse(&mut self, client: &Stream, entry: &mut Entry) -> Unidentified {
        if let DialState::Dialling(dialling) = &mut self.state {
            let dialled = dialling.await;
            entry.allowed(self.permit.grounds(), None);
            match dialled {
                Ok(upstream) => {
                    entry.allowed(
                        &upstream.permit.grounds_at(upstream.address),
                        Some(upstream.address.socket_addr().ip()),
                    );
                    self.state = DialState::Connected {
                        connected: fresh(upstream),
                        ended: false,
                    };
                }
                Err(DialError::Denied(denial)) => return Unidentified::Denied(denial),
                Err(DialError::Unreachable(problem)) => {
                    return Unidentified::Broken(End::unreachable(problem));
                }
            }
        }
        // It may stay open and silent for as long as it likes.
        if let Err(denial) = entry.open() {
            return Unidentified::Denied(denial);
        }
        let traffic = entry.traffic();
        let DialState::Connected { connected, ended } = &mut self.state else {
            return std::future::pending().await;
        };
        loop {
            if !self.unsent.is_empty() {
                match connected.send(&mut self.unsent, &traffic).await {
                    Ok(sent) => self.sent += sent,
                    Err(end) => return Unidentified::Broken(end),
                }
                continue;
            }
            let moved = match ended {
                // Only the client can go on from here.
                true => std::future::pending().await,
                false if connected.unpassed.is_empty() => connected.hear(client, ended).await,
                // Of a client that was given them, the requests could not be read any more.
                false if !connected.has_passed && are_settings(&connected.unpassed) => {
                    std::future::pending().await
                }
                false => connected.pass(client, &traffic).await,
            };
            if let Err(end) = moved {
                return Unidentified::Broken(end);
            }
        }
    }
}

/// Gives a flow its connection to what a permit is for: the one made ahead, where it is to just
/// that; else a new one.
pub(super) async fn connect(
    flow: &Flow,
    permit: &Permit,
    ahead: Option<Ahead>,
) -> Result<Connected, DialError> {
    if let Some(ahead) = ahead
        && let Some(connected) = ahead.serve(flow, permit).await?
    {
        return Ok(connected);
    }
    flow.dial(permit.clone()).await.map(fresh)
}

/// A connection on which nothing has happened.
fn fresh(upstream: Upstream) -> Connected {
    Connected {
        upstream,
        unpassed: Vec::new(),
        has_passed: false,
    }
}

/// Whether these are the first words of a server of HTTP/2 (RFC 9113, 3.4): a SETTINGS frame of at most 16 KiB, whose
/// entries take six bytes each (4.1, 4.2, 6.5). Its client doesn't wait for them.
fn are_settings(bytes: &[u8]) -> bool {
    match bytes {
        [0, high, low, 4, 0, 0, 0, 0, 0, ..] => {
            let length = u16::from_be_bytes([*high, *low]);
            length <= 0x4000 && length % 6 == 0
        }
        _ => false,
    }
}

fn broken(by: Side, error: &io::Error) -> End {
    End::reset(by, Some(error.to_string()))
}

impl Connected {
    async fn hear(&mut self, client: &Stream, ended: &mut bool) -> Result<(), End> {
        let server = &self.upstream.stream;
        server
            .tcp()
            .readable()
            .await
            .map_err(|error| broken(Side::Server, &error))?;
        let most = server.at_once().min(READ_AT_ONCE);
        match server
            .tcp()
            .try_read_buf(&mut (&mut self.unpassed).limit(most))
        {
            Ok(0) => {
                *ended = true;
                client.end().map_err(|error| broken(Side::Client, &error))
            }
            Ok(heard) => {
                server.received(heard);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(broken(Side::Server, &error)),
        }
    }

    /// Sends some of the client's bytes. Gives how many.
    async fn send(&self, bytes: &mut Vec<u8>, traffic: &Traffic) -> Result<usize, End> {
        let server = &self.upstream.stream;
        let gone = |error: io::Error| broken(Side::Server, &error);
        server.tcp().writable().await.map_err(gone)?;
        match server.tcp().try_write(bytes) {
            Ok(written) => {
                server.sent(written);
                bytes.drain(..written);
                traffic.add_out(written as u64);
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(gone(error)),
        }
    }

    async fn pass(&mut self, client: &Stream, traffic: &Traffic) -> Result<(), End> {
        client
            .tcp()
            .writable()
            .await
            .map_err(|error| broken(Side::Client, &error))?;
        match client.tcp().try_write(&self.unpassed) {
            Ok(written) => {
                client.sent(written);
                self.unpassed.drain(..written);
                self.has_passed = true;
                traffic.add_back(written as u64);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(broken(Side::Client, &error)),
        }
    }
}
