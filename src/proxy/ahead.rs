//! A connection to the server that is made before the client has sent anything, because it is
//! allowed whatever the client sends.
//!
//! Owns that connection until the client is identified, and meanwhile passes on what the server
//! sends. Nothing from the client goes through here: its bytes wait for the verdict.

use std::io;
use std::pin::Pin;

use bytes::BufMut;

use super::dial::{DialError, Upstream};
use super::flow::Flow;
use super::identify::Identity;
use super::stream::Stream;
use crate::audit::line::Side;
use crate::audit::{End, Entry, Traffic};
use crate::policy::{Denial, Permit};

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
}

/// A connection that is being made, or is there.
pub(super) struct Ahead {
    permit: Permit,
    state: DialState,
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
        if !flow.may_be_anything() {
            return None;
        }
        let permit = flow.decide_opaque().1.ok()?;
        let dialling = flow.dial(permit.clone());
        Some(Self {
            permit,
            state: DialState::Dialling(Box::pin(dialling)),
        })
    }

    /// Whether the server has neither said anything nor ended.
    pub(super) fn is_unused(&self) -> bool {
        match &self.state {
            DialState::Dialling(_) => true,
            DialState::Connected { connected, ended } => {
                !ended && !connected.has_passed && connected.unpassed.is_empty()
            }
        }
    }

    /// Passes on what the server says until the client is identified.
    pub(super) async fn hear_server_until(
        &mut self,
        client: &Stream,
        entry: &mut Entry,
        identified: impl Future<Output = Result<Identity, Denial>>,
    ) -> Result<Identity, Unidentified> {
        tokio::select! {
            // A client that speaks at once is judged by what it says, whatever became of the
            // server.
            biased;
            identity = identified => identity.map_err(Unidentified::Denied),
            broken = self.pass_back(client, entry) => Err(broken),
        }
    }

    /// Gives the connection for a permit, waiting for it to be made; none where that permit is for
    /// something else.
    ///
    /// # Errors
    /// Where it could not be made; and a denial where the permit is for something else and the
    /// client has already heard this server: the words of two servers aren't mixed.
    async fn serve(self, flow: &Flow, permit: &Permit) -> Result<Option<Connected>, DialError> {
        let unused = self.is_unused();
        if self.permit.name() == permit.name() && self.permit.address() == permit.address() {
            let connected = match self.state {
                DialState::Dialling(dialling) => fresh(dialling.await?),
                DialState::Connected { connected, .. } => connected,
            };
            if flow.would_dial(permit, connected.upstream.address) {
                return Ok(Some(connected));
            }
        }
        if unused {
            Ok(None)
        } else {
            Err(DialError::Denied(Denial::because(
                "a different server had already sent data on it",
            )))
        }
    }

    /// Passes bytes back until something breaks. May be dropped at any await: what was read and not
    /// passed is kept.
    async fn pass_back(&mut self, client: &Stream, entry: &mut Entry) -> Unidentified {
        if let DialState::Dialling(dialling) = &mut self.state {
            let dialled = dialling.await;
            entry.allowed(self.permit.grounds(), None);
            match dialled {
                Ok(upstream) => {
                    entry.allowed(
                        self.permit.grounds(),
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
            let moved = match ended {
                // Only the client can go on from here.
                true => std::future::pending().await,
                false if connected.unpassed.is_empty() => connected.hear(client, ended).await,
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
