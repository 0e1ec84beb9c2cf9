//! The connections to servers that one client's streams share: one for each name and address, kept
//! as long as the client's own, or until it ends.
//!
//! Owns how one is made and driven. Invariant: a stream goes only where its own permit leads, so a
//! connection serves those alone by whose permit it would have been made, too.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::body::Piece;
use super::io::{Greeting, Io};
use super::limits::{CONNECTION, as_client};
use super::window::Window;
use crate::policy::{Hostname, Permit, UpstreamAddr};
use crate::proxy::ahead::{Ahead, Connected};
use crate::proxy::budget::{Share, used_up};
use crate::proxy::dial::{DialError, Upstream};
use crate::proxy::flow::{Flow, Lead};
use crate::proxy::http::origin::Origin;

/// The connections.
#[derive(Debug)]
pub(super) struct Servers {
    kept: Mutex<HashMap<Option<Hostname>, OfName>>,
    made: Mutex<Made>,
    driven: Mutex<JoinSet<()>>,
    websockets: Arc<Notify>,
}

/// Those that were made in one name. Locked while one is made.
type OfName = Arc<tokio::sync::Mutex<Vec<Server>>>;

/// The connection that was made before the first request.
#[derive(Debug)]
pub(super) struct Made {
    /// It, until one wants to connect.
    pub(super) ahead: Option<Ahead>,
    /// How many bytes of the client's its server has been sent.
    pub(super) sent: usize,
}

/// A connection to a server.
#[derive(Debug)]
struct Server {
    send: SendRequest<Piece>,
    name: Option<Hostname>,
    address: UpstreamAddr,
    greeting: Arc<Greeting>,
    window: Arc<Window>,
    over: Arc<AtomicBool>,
}

/// A connection for one request.
#[derive(Debug)]
pub(super) struct Found {
    send: SendRequest<Piece>,
    /// The route of the permit that leads there.
    pub(super) route: Permit,
    /// The name in which the connection was made, if in one.
    name: Option<Hostname>,
    pub(super) address: UpstreamAddr,
    pub(super) greeting: Arc<Greeting>,
    /// Of the connection.
    pub(super) window: Arc<Window>,
    /// Whether it has served another request before.
    pub(super) is_used: bool,
    over: Arc<AtomicBool>,
}

impl Servers {
    pub(super) fn new(made: Made) -> Self {
        Self {
            kept: Mutex::default(),
            made: Mutex::new(made),
            driven: Mutex::default(),
            websockets: Arc::default(),
        }
    }

    /// Waits until it is known of a server that it takes WebSockets.
    pub(super) async fn takes_websockets(&self) {
        self.websockets.notified().await;
    }

    /// The connection for a permit: one that is there, or a new one. Who asks in the same name waits
    /// for the same. `fresh`: nobody is to have been served by it before.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn find(
        &self,
        flow: &Flow,
        origin: &Origin,
        permit: &Permit,
        fresh: bool,
    ) -> Result<Found, DialError> {
        let of_name = self.of_name(permit.name());
        let mut servers = of_name.lock().await;
        servers.retain(|server| !server.over.load(Relaxed));
        if !fresh {
            let mut found = servers.iter().filter_map(|server| {
                let route = flow.route(permit, server.name.as_ref(), server.address)?;
                Some(server.found(route.alone(), true))
            });
            if let Some(found) = found.next() {
                return Ok(found);
            }
        }
        let (connected, sent) = self.connect(flow, origin, permit).await?;
        let (server, route) = self.begin(flow, connected, sent).await?;
        let found = server.found(route, false);
        servers.push(server);
        Ok(found)
    }

    /// The connections that were made in a name. Names in which there is none, and nobody waits for one,
    /// are forgotten: a client could go on to name others.
    fn of_name(&self, name: Option<&Hostname>) -> OfName {
        let mut kept = locked(&self.kept);
        let name = name.cloned();
        if !kept.contains_key(&name) {
            kept.retain(|_, of_name| {
                let is_there = |server: &Server| !server.over.load(Relaxed);
                Arc::strong_count(of_name) > 1
                    || of_name
                        .try_lock()
                        .is_ok_and(|servers| servers.iter().any(is_there))
            });
        }
        Arc::clone(kept.entry(name).or_default())
    }

    /// Connects, or takes what was connected before. Gives how many bytes it has been sent, too.
    async fn connect(
        &self,
        flow: &Flow,
        origin: &Origin,
        permit: &Permit,
    ) -> Result<(Connected, usize), DialError> {
        let (ahead, sent) = {
            let mut made = locked(&self.made);
            (made.ahead.take(), std::mem::take(&mut made.sent))
        };
        Ok((origin.connect(flow, permit, ahead).await?, sent))
    }

    /// Begins to speak HTTP/2 on a connection.
    async fn begin(
        &self,
        flow: &Flow,
        connected: Connected,
        sent: usize,
    ) -> Result<(Server, Permit), DialError> {
        let budget = &flow.streams().budget;
        let room = budget.take(CONNECTION);
        let (Some(room), Some(window)) = (room, Window::new(budget)) else {
            return Err(DialError::Denied(used_up()));
        };
        let Upstream {
            stream,
            address,
            permit,
        } = connected.upstream;
        let (io, greeting) = Io::server(stream, connected.unpassed, sent);
        let (send, connection) = as_client()
            .handshake(io)
            .await
            .map_err(|error| DialError::Unreachable(error.to_string()))?;
        let server = Server {
            send,
            // By which it was made: one to an address that the client chose never serves a name.
            name: permit.name().cloned(),
            address,
            greeting,
            window: Arc::new(window),
            over: Arc::default(),
        };
        let driver = Driver {
            connection,
            greeting: Arc::clone(&server.greeting),
            window: Arc::clone(&server.window),
            over: Arc::clone(&server.over),
            websockets: Arc::clone(&self.websockets),
            _room: room,
        };
        let mut driven = locked(&self.driven);
        while driven.try_join_next().is_some() {}
        driven.spawn(driver.drive());
        Ok((server, *permit))
    }
}

impl Server {
    fn found(&self, route: Permit, is_used: bool) -> Found {
        Found {
            send: self.send.clone(),
            route,
            name: self.name.clone(),
            address: self.address,
            greeting: Arc::clone(&self.greeting),
            window: Arc::clone(&self.window),
            is_used,
            over: Arc::clone(&self.over),
        }
    }
}

impl Found {
    /// Where it leads.
    pub(super) fn lead(&self) -> Lead {
        Lead {
            name: self.name.clone(),
            address: self.address,
        }
    }

    /// Begins a request on it. None: it takes no more, and the next request finds another.
    pub(super) fn send(
        &mut self,
        request: Request<()>,
        is_whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Piece>), h2::Error> {
        let sent = self.send.send_request(request, is_whole);
        if sent.is_err() {
            self.give_up();
        }
        sent
    }

    /// Has the next request find another.
    pub(super) fn give_up(&self) {
        self.over.store(true, Relaxed);
    }

    /// Whether the server has said that it takes WebSockets; waits until it has said something.
    pub(super) async fn takes_websockets(&self) -> bool {
        self.greeting.takes_websockets().await && self.send.is_extended_connect_protocol_enabled()
    }
}

/// What moves the bytes of a connection to a server.
struct Driver {
    connection: Connection<Io, Piece>,
    greeting: Arc<Greeting>,
    window: Arc<Window>,
    over: Arc<AtomicBool>,
    websockets: Arc<Notify>,
    _room: Share,
}

impl Driver {
    async fn drive(mut self) {
        let greeting = Arc::clone(&self.greeting);
        let mut greeted = pin!(greeting.takes_websockets());
        let mut is_greeted = false;
        loop {
            tokio::select! {
                biased;
                // Whoever waits for an answer on it hears of its end.
                _ = &mut self.connection => break,
                takes = &mut greeted, if !is_greeted => {
                    is_greeted = true;
                    if takes {
                        self.websockets.notify_one();
                    }
                }
                (connection, stream) = self.window.grown() => {
                    self.connection.set_target_window_size(connection);
                    // Not while the last change has not been heard: the next one is.
                    let _ = self.connection.set_initial_window_size(stream);
                }
            }
        }
        self.over.store(true, Relaxed);
        self.greeting.end();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body that a server sends.
pub(super) type Answer = http::Response<RecvStream>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Protocol;
    use crate::proxy::rig::{Rig, SERVER};

    #[tokio::test]
    async fn names_that_lead_nowhere_are_forgotten() {
        let (rig, outside) = Rig::new(&["domain=*.example"], &[]).await;
        drop(outside);
        let at = ([127, 0, 0, 1], 9).into();
        let flow = rig.flow(at, (SERVER, 80).into());
        let servers = Servers::new(Made {
            ahead: None,
            sent: 0,
        });
        for number in 0..100 {
            let name = Hostname::parse(&format!("n{number}.example")).unwrap();
            let asked = Some(("GET", Some("/")));
            let permit = flow.decide(Protocol::Http, Some(&name), asked).unwrap();
            let found = servers.find(&flow, &Origin::Clear, &permit, false).await;
            assert!(found.is_err());
        }
        assert_eq!(locked(&servers.kept).len(), 1);
    }
}
