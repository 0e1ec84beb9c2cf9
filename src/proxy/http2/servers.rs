//! The connections to servers that one client's streams share: one for each name and address, kept
//! as long as the client's own, until it ends, or until a changed policy allows nothing more on it.
//!
//! Owns how one is made and driven. Invariant: a stream goes only where its own permit leads, so a
//! connection serves those alone by whose permit it would have been made, too. The client's own stays: it is
//! to no server, and its next stream may lead to another, or is told why not.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::body::Piece;
use super::io::{Greeting, Io};
use super::limits::{CONNECTION, as_client};
use super::usage::{UnderWay, Usage};
use super::window::Window;
use crate::policy::{Hostname, Permit};
use crate::proxy::ahead::{Ahead, Connected};
use crate::proxy::budget::{Share, used_up};
use crate::proxy::close::reset;
use crate::proxy::dial::{DialError, Upstream};
use crate::proxy::flow::{Flow, Lead};
use crate::proxy::http::origin::{Judged, Origin};
use crate::proxy::in_force::Footing;
use crate::proxy::stream::Stream;

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
    greeting: Arc<Greeting>,
    window: Arc<Window>,
    usage: Arc<Usage>,
}

/// A connection for one request.
#[derive(Debug)]
pub(super) struct Found {
    send: SendRequest<Piece>,
    /// The route of the permit that leads there.
    pub(super) route: Permit,
    pub(super) greeting: Arc<Greeting>,
    /// Of the connection.
    pub(super) window: Arc<Window>,
    /// Whether it has served another request before.
    pub(super) is_used: bool,
    under_way: UnderWay,
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

    /// The connection for a permit of what is asked: one that is there, or a new one. Who asks in the same
    /// name waits for the same. `fresh`: nobody is to have been served by it before.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn find(
        &self,
        flow: &Flow,
        origin: &Origin,
        (permit, asked): (&Permit, &Arc<Judged>),
        fresh: bool,
    ) -> Result<Found, DialError> {
        let of_name = self.of_name(permit.name());
        let mut servers = of_name.lock().await;
        servers.retain(|server| !server.usage.is_over());
        if !fresh {
            let mut found = servers.iter().filter_map(|server| {
                let Lead { name, address } = server.usage.lead();
                let route = flow.route(permit, name.as_ref(), *address)?;
                Some(server.found(route.alone(), server.usage.begin(asked)?, true))
            });
            if let Some(found) = found.next() {
                return Ok(found);
            }
        }
        let (connected, sent) = self.connect(flow, origin, permit).await?;
        let (server, found) = self.begin(flow, connected, sent, asked).await?;
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
                let is_there = |server: &Server| !server.usage.is_over();
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
        asked: &Arc<Judged>,
    ) -> Result<(Server, Found), DialError> {
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
        let (io, greeting) = Io::server(stream.clone(), connected.unpassed, sent);
        let (send, connection) = as_client()
            .handshake(io)
            .await
            .map_err(|error| DialError::Unreachable(error.to_string()))?;
        let lead = Lead {
            // By which it was made: one to an address that the client chose never serves a name.
            name: permit.name().cloned(),
            address,
        };
        let (usage, under_way) = Usage::begun(lead, Arc::clone(asked));
        let server = Server {
            send,
            greeting,
            window: Arc::new(window),
            usage,
        };
        let mut footing = flow.footing();
        footing.decided_by(permit.generation());
        let found = server.found(*permit, under_way, false);
        let driver = Driver {
            connection,
            stream,
            flow: flow.clone(),
            footing,
            greeting: Arc::clone(&server.greeting),
            window: Arc::clone(&server.window),
            usage: Arc::clone(&server.usage),
            websockets: Arc::clone(&self.websockets),
            _room: room,
        };
        let mut driven = locked(&self.driven);
        while driven.try_join_next().is_some() {}
        driven.spawn(driver.drive());
        Ok((server, found))
    }
}

impl Server {
    fn found(&self, route: Permit, under_way: UnderWay, is_used: bool) -> Found {
        Found {
            send: self.send.clone(),
            route,
            greeting: Arc::clone(&self.greeting),
            window: Arc::clone(&self.window),
            is_used,
            under_way,
        }
    }
}

impl Found {
    /// Where it leads.
    pub(super) fn lead(&self) -> &Lead {
        self.under_way.usage().lead()
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
        self.under_way.usage().end();
    }

    /// Whether the server has said that it takes WebSockets; waits until it has said something.
    pub(super) async fn takes_websockets(&self) -> bool {
        self.greeting.takes_websockets().await && self.send.is_extended_connect_protocol_enabled()
    }
}

/// What moves the bytes of a connection to a server.
struct Driver {
    connection: Connection<Io, Piece>,
    /// What it moves them on.
    stream: Stream,
    flow: Flow,
    /// What the connection stands on while nothing is under way.
    footing: Footing,
    greeting: Arc<Greeting>,
    window: Arc<Window>,
    usage: Arc<Usage>,
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
                // At once, and whole: an end in order would have packets follow.
                () = self.usage.shut(&mut self.footing, &self.flow) => break reset(&self.stream),
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
        self.usage.end();
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
    use crate::proxy::http::request::NamedHost;
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
            let asked = ("GET", Some("/"));
            let host = NamedHost::Name(name.clone());
            let (name, permit) = Origin::Clear.decide(&flow, &host, asked);
            let judged = Judged::of(&Origin::Clear, &flow, (&host, name), asked).unwrap();
            let wanted = (&permit.unwrap(), &Arc::new(judged));
            let found = servers.find(&flow, &Origin::Clear, wanted, false).await;
            assert!(found.is_err());
        }
        assert_eq!(locked(&servers.kept).len(), 1);
    }
}
