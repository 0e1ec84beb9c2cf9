//! The sockets that captured packets are handed to, and the loops that take from them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::accept::accepted;
use super::budget::used_up;
use super::connection::Begun;
use super::dns::DnsServer;
use super::flow::{ConnectionServices, Flow};
use super::handshakes::Handshakes;
use super::held::{Expected, Held, PacketSenders};
use super::judge::Judge;
use super::{close, connection, held, kernel_log, udp};
use crate::packets::agreed::{HELD_BYTES, HELD_GROUP, LOG_GROUP, PROXY_PORTS, ProxyPorts};
use crate::packets::nflog;
use crate::policy::Denial;
use crate::sys::netlink::Netfilter;
use crate::sys::socket;

/// The port of DNS, whatever the server.
const DNS: u16 = 53;
/// The largest datagram there is.
const DATAGRAM: usize = 65_535;
/// Room for reports of refused packets that we have not read yet: about a thousand.
const REPORTS: usize = 512 * 1024;

/// Everything that the gateway's packets come in by. Opened inside the gateway, used from wherever
/// the proxy lives.
#[derive(Debug)]
pub struct Sockets {
    streams: Vec<std::net::TcpListener>,
    datagrams: Vec<std::net::UdpSocket>,
    icmp: Vec<(bool, socket2::Socket)>,
    reports: Netfilter,
    held: Netfilter,
    senders: PacketSenders,
}

impl Sockets {
    /// Opens them in the namespace of this thread, a gateway's: both families on [`PROXY_PORTS`],
    /// IPv6 where the kernel has it.
    ///
    /// # Errors
    /// What opening gives, but for a kernel without IPv6.
    pub fn open() -> io::Result<Self> {
        let v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let ProxyPorts { tcp, udp } = PROXY_PORTS;
        let mut senders = PacketSenders::default();
        senders.open(v4)?;
        let mut sockets = Self {
            streams: vec![socket::listen_captured(v4, tcp)?],
            datagrams: vec![socket::receive_captured_on(v4, udp)?],
            icmp: vec![(true, socket::icmp(v4)?)],
            reports: reports_of(LOG_GROUP, 128)?,
            held: reports_of(HELD_GROUP, HELD_BYTES)?,
            senders,
        };
        match socket::listen_captured(v6, tcp) {
            Ok(stream) => {
                sockets.streams.push(stream);
                sockets
                    .datagrams
                    .push(socket::receive_captured_on(v6, udp)?);
                sockets.icmp.push((false, socket::icmp(v6)?));
                sockets.senders.open(v6)?;
            }
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            Err(error) => return Err(error),
        }
        Ok(sockets)
    }
}

/// The socket on which a log group's packets are reported, the first `bytes` of each.
fn reports_of(group: u16, bytes: u32) -> io::Result<Netfilter> {
    let reports = Netfilter::open()?;
    let (subscription, acknowledged) = nflog::subscription(group, bytes);
    reports.transact(&subscription, acknowledged)?;
    reports.listen(REPORTS)?;
    Ok(reports)
}

impl Sockets {
    /// All of them.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let streams = self.streams.iter().map(AsFd::as_fd);
        let datagrams = self.datagrams.iter().map(AsFd::as_fd);
        let icmp = self.icmp.iter().map(|(_, socket)| socket.as_fd());
        streams
            .chain(datagrams)
            .chain(icmp)
            .chain(self.senders.descriptors())
            .chain([self.reports.as_fd(), self.held.as_fd()])
    }
}

/// Who serves what is captured.
#[derive(Debug)]
pub(super) struct Handlers {
    pub(super) connections: Arc<ConnectionServices>,
    pub(super) dns: Arc<DnsServer>,
    pub(super) relay: udp::Relay,
    pub(super) judge: Judge,
}

/// Takes connections, datagrams and reports until one of them fails for good.
pub(super) async fn serve(handlers: Handlers, sockets: Sockets) -> anyhow::Result<()> {
    let Handlers {
        connections,
        dns,
        relay,
        judge,
    } = handlers;
    let datagrams = Arc::new(Datagrams {
        relay,
        icmp: sockets.icmp,
        dns: Arc::clone(&dns),
    });
    let handshakes = Arc::new(Handshakes::new());
    let held = Arc::new(Held::new(
        Arc::clone(&connections),
        Arc::clone(&handshakes),
        sockets.senders,
    ));
    let mut loops = tokio::task::JoinSet::new();
    for listener in sockets.streams {
        let to = Listener {
            connections: Arc::clone(&connections),
            dns: Arc::clone(&dns),
            handshakes: Arc::clone(&handshakes),
            held: Arc::clone(&held),
        };
        loops.spawn(to.accept(TcpListener::from_std(listener)?));
    }
    for socket in sockets.datagrams {
        loops.spawn(receive(
            Arc::clone(&datagrams),
            UdpSocket::from_std(socket)?,
        ));
    }
    loops.spawn(held::serve(Arc::clone(&held), sockets.held));
    loops.spawn(kernel_log::record(judge, handshakes, held, sockets.reports));
    match loops.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}

/// What one listening socket's connections are given to.
#[derive(Debug)]
struct Listener {
    connections: Arc<ConnectionServices>,
    dns: Arc<DnsServer>,
    handshakes: Arc<Handshakes>,
    held: Arc<Held>,
}

impl Listener {
    async fn accept(self, socket: TcpListener) -> anyhow::Result<()> {
        loop {
            let (stream, source) = accepted(|| socket.accept()).await?;
            let Ok(destination) = stream.local_addr() else {
                continue;
            };
            self.handshakes.accepted(source, destination);
            self.take(stream, source, destination);
        }
    }

    /// Serves a connection in a task of its own, where there is room for it.
    fn take(&self, stream: TcpStream, source: SocketAddr, destination: SocketAddr) {
        let flow = Flow::new(Arc::clone(&self.connections), source, destination);
        let (begun, room) = match self.held.expected(source, destination) {
            Some(Expected { begun, room }) => (begun, Some(room)),
            None => (Begun::now(&flow), self.connections.streams.room()),
        };
        let Some(room) = room else {
            begun.entry.deny(&used_up());
            return close::reset(stream);
        };
        let stream = match room.of_accepted(stream) {
            Ok(stream) => stream,
            Err(error) => {
                let why = format!("can't limit its socket buffers: {error}");
                return begun.entry.deny(&Denial::because(why));
            }
        };
        let handshakes = Arc::clone(&self.handshakes);
        // Each future is boxed: neither carries the room that the other takes.
        let served: Pin<Box<dyn Future<Output = ()> + Send>> = if destination.port() == DNS {
            // Each of its questions has a record.
            begun.entry.withdraw();
            Box::pin(Arc::clone(&self.dns).serve_stream(stream, source, destination))
        } else {
            Box::pin(connection::serve(flow, stream, begun))
        };
        tokio::spawn(async move {
            served.await;
            // What is still under way of it is no new attempt.
            handshakes.accepted(source, destination);
        });
    }
}

#[derive(Debug)]
struct Datagrams {
    dns: Arc<DnsServer>,
    relay: udp::Relay,
    icmp: Vec<(bool, socket2::Socket)>,
}

async fn receive(to: Arc<Datagrams>, socket: UdpSocket) -> anyhow::Result<()> {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        socket.readable().await?;
        let taken = socket.try_io(Interest::READABLE, || {
            socket::receive_captured(&socket.as_fd(), &mut buffer)
        });
        match taken {
            Ok((length, source, destination)) => {
                to.take(
                    buffer.get(..length).unwrap_or_default(),
                    source,
                    destination,
                );
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // An ICMP error about an earlier answer, or a datagram without its address: nothing to
            // do with the next one.
            Err(_) => {}
        }
    }
}

impl Datagrams {
    fn take(&self, payload: &[u8], source: SocketAddr, destination: SocketAddr) {
        if destination.port() == DNS {
            // It bounds itself, and records what it drops.
            self.dns.take_datagram(payload, source, destination);
        } else if self.relay.datagram(payload, source, destination).is_err() {
            self.refuse(source, destination, payload.len());
        }
    }

    /// Tells the sender. Best effort: a lost ICMP error costs the client its own time-out, and
    /// nothing opens.
    fn refuse(&self, source: SocketAddr, destination: SocketAddr, length: usize) {
        let message = crate::packets::icmp::prohibited(source, destination, length);
        let socket = self.icmp.iter().find(|(v4, _)| *v4 == source.is_ipv4());
        if let Some((_, socket)) = socket {
            let _ = socket.send_to(&message, &SocketAddr::new(source.ip(), 0).into());
        }
    }
}
