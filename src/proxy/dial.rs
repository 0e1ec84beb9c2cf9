//! The only place that opens connections to the outside. Takes an `UpstreamAddr`, which only the
//! policy makes.
//!
//! Resolves a permitted *name* itself, whatever address the client chose, and connects to nothing
//! that the permit didn't pass, address by address.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::budget::used_up;
use super::connect::tcp_connected;
use super::dns::Resolver;
use super::egress::Egress;
use super::stream::{Stream, Streams};
use crate::policy::{Denial, Permit, UpstreamAddr};
use crate::sys::socket::Source;

/// A connection to the outside.
#[derive(Debug)]
pub struct Upstream {
    /// It.
    pub stream: Stream,
    /// Where it goes.
    pub address: UpstreamAddr,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// The name leads only to addresses that may not be reached, or there is no room for another
    /// connection.
    Denied(Denial),
    /// It was permitted, but couldn't be resolved or connected to. In words for the record and the
    /// client.
    Unreachable(String),
}

/// The way out, so that a test can stand a server of its own in for the internet: loopback is never
/// permitted.
pub(super) trait Outside: fmt::Debug + Send + Sync {
    /// Connects to what the permit is for. `client` asked, and had addressed its packets to
    /// `destination`.
    fn dial<'a>(
        &'a self,
        permit: &'a Permit,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Upstream, DialError>> + Send + 'a>>;
}

/// The dialler of one gateway.
#[derive(Debug)]
pub struct Dialler {
    /// What a connection takes its memory from.
    pub streams: Streams,
    /// Resolves.
    pub resolver: Arc<Resolver>,
    /// Says from where to connect, and where not to.
    pub egress: Arc<Egress>,
}

impl Outside for Dialler {
    // Boxed: a connection in use doesn't carry the room that its dialling took.
    fn dial<'a>(
        &'a self,
        permit: &'a Permit,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Upstream, DialError>> + Send + 'a>> {
        Box::pin(self.connect(permit, client, destination))
    }
}

/// Addresses tried for one name. Most have one to four; more would only draw out a failure.
const ADDRESSES: usize = 6;
/// For one address: three SYNs (1 + 2 + 4 s) and some.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// For all of it, looking up included.
const DIAL_WITHIN: Duration = Duration::from_secs(30);

impl Dialler {
    async fn connect(
        &self,
        permit: &Permit,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Upstream, DialError> {
        let dialling = async {
            let addresses = self
                .permitted_addresses(permit, client, destination)
                .await?;
            self.connect_first(client, &addresses).await
        };
        let late =
            || DialError::Unreachable(format!("not connected within {} s", DIAL_WITHIN.as_secs()));
        timeout(DIAL_WITHIN, dialling)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    /// The addresses to try, in order, each passed by the permit. Never empty.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn permitted_addresses(
        &self,
        permit: &Permit,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Vec<UpstreamAddr>, DialError> {
        let mut candidates = self.candidates(permit, client, destination).await?;
        // The address that the client chose, if the name has it: servers behind one name may not share
        // their state. Then its family, which works for it.
        let chosen = destination.ip();
        candidates
            .sort_by_key(|address| (*address != chosen, address.is_ipv4() != chosen.is_ipv4()));
        let interfaces = self.egress.interfaces();
        let mut denial = None;
        let mut permitted = Vec::with_capacity(1);
        for address in candidates {
            match permit.upstream(address, &interfaces.own) {
                Ok(address) => permitted.push(address),
                Err(denied) => denial = denial.or(Some(denied)),
            }
        }
        permitted.truncate(ADDRESSES);
        match denial {
            _ if !permitted.is_empty() => Ok(permitted),
            Some(denial) => Err(DialError::Denied(denial)),
            None => Err(DialError::Unreachable("the name has no address".to_owned())),
        }
    }

    /// The addresses that the permit's target has.
    async fn candidates(
        &self,
        permit: &Permit,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Vec<IpAddr>, DialError> {
        // Names of one label are the engine's own (`db`), and only its resolver inside the container
        // knows them. The address that it gave is taken where it is a neighbour's; anywhere else it
        // would be the client's free choice.
        let single_label = permit
            .name()
            .is_some_and(|name| !name.as_str().contains('.'));
        if single_label && self.is_on_link(destination.ip()) {
            return Ok(vec![destination.ip()]);
        }
        let unknown = |error| DialError::Unreachable(format!("looking up the name: {error}"));
        self.resolver
            .lookup(permit, client.ip())
            .await
            .map_err(unknown)
    }

    fn is_on_link(&self, address: IpAddr) -> bool {
        self.egress
            .interfaces()
            .on_link
            .iter()
            .any(|prefix| prefix.contains(&address))
    }

    /// Connects to the first address that answers.
    async fn connect_first(
        &self,
        client: SocketAddr,
        addresses: &[UpstreamAddr],
    ) -> Result<Upstream, DialError> {
        let room = self
            .streams
            .room()
            .ok_or_else(|| DialError::Denied(used_up()))?;
        let receive = room.receive_size();
        let mut failure = String::new();
        for address in addresses {
            let target = address.socket_addr();
            match connect(
                self.egress.source_for(client.ip(), target.ip()),
                *address,
                receive,
            )
            .await
            {
                Ok(tcp) => {
                    let stream = room
                        .of(tcp)
                        .map_err(|error| DialError::Unreachable(error.to_string()))?;
                    return Ok(Upstream {
                        stream,
                        address: *address,
                    });
                }
                Err(error) => failure = format!("connecting to {target}: {error}"),
            }
        }
        Err(DialError::Unreachable(failure))
    }
}

async fn connect(
    source: Option<Source>,
    address: UpstreamAddr,
    receive: usize,
) -> io::Result<TcpStream> {
    let connecting = tcp_connected(source, address.socket_addr(), receive);
    timeout(CONNECT_WITHIN, connecting)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
