//! The sockets that captured packets are handed to, and the loops that take from them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::{TcpListener, UdpSocket};

use super::accept::accepted;
use super::budget::used_up;
use super::handshakes::Handshakes;
use super::{Gate, connection, dns, refusals, udp};
use crate::gateway::nflog;
use crate::gateway::ruleset::{LOG_GROUP, ProxyPorts};
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
}

impl Sockets {
    /// Opens them in the namespace of this thread: both families on one port each, IPv6 where the
    /// kernel has it.
    ///
    /// # Errors
    /// What opening gives, but for a kernel without IPv6.
    pub fn open() -> io::Result<Self> {
        let v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let stream = socket::listen_captured(v4, 0)?;
        let datagram = socket::receive_captured_on(v4, 0)?;
        let (tcp, udp) = (stream.local_addr()?.port(), datagram.local_addr()?.port());
        let mut sockets = Self {
            streams: vec![stream],
            datagrams: vec![datagram],
            icmp: vec![(true, socket::icmp(v4)?)],
            reports: Netfilter::open()?,
        };
        match socket::listen_captured(v6, tcp) {
            Ok(stream) => {
                sockets.streams.push(stream);
                sockets
                    .datagrams
                    .push(socket::receive_captured_on(v6, udp)?);
                sockets.icmp.push((false, socket::icmp(v6)?));
            }
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            Err(error) => return Err(error),
        }
        let (subscription, acknowledged) = nflog::subscription(LOG_GROUP, 128);
        sockets.reports.transact(&subscription, acknowledged)?;
        sockets.reports.listen(REPORTS)?;
        Ok(sockets)
    }

    /// The ports that rules hand packets to.
    ///
    /// # Errors
    /// What `getsockname(2)` gives.
    pub fn ports(&self) -> io::Result<ProxyPorts> {
        let none = || io::Error::from(io::ErrorKind::NotConnected);
        Ok(ProxyPorts {
            tcp: self.streams.first().ok_or_else(none)?.local_addr()?.port(),
            udp: self
                .datagrams
                .first()
                .ok_or_else(none)?
                .local_addr()?
                .port(),
        })
    }
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
            .chain([self.reports.as_fd()])
    }
}

/// Takes connections, datagrams and reports until one of them fails for good.
pub(super) async fn serve(gate: Arc<Gate>, sockets: Sockets) -> anyhow::Result<()> {
    let datagrams = Arc::new(Datagrams {
        relay: udp::Relay::new(Arc::clone(&gate)),
        icmp: sockets.icmp,
        gate: Arc::clone(&gate),
    });
    let handshakes = Arc::new(Handshakes::new());
    let mut loops = tokio::task::JoinSet::new();
    for listener in sockets.streams {
        loops.spawn(accept(
            Arc::clone(&gate),
            TcpListener::from_std(listener)?,
            Arc::clone(&handshakes),
        ));
    }
    for socket in sockets.datagrams {
        loops.spawn(receive(
            Arc::clone(&datagrams),
            UdpSocket::from_std(socket)?,
        ));
    }
    loops.spawn(refusals::record(gate, handshakes, sockets.reports));
    match loops.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}

async fn accept(
    gate: Arc<Gate>,
    listener: TcpListener,
    handshakes: Arc<Handshakes>,
) -> anyhow::Result<()> {
    loop {
        let (stream, source) = accepted(|| listener.accept()).await?;
        let Ok(destination) = stream.local_addr() else {
            continue;
        };
        handshakes.accepted(source, destination);
        let Some(room) = gate.streams.room() else {
            connection::deny(&gate, source, destination, &used_up());
            connection::reset(stream);
            continue;
        };
        let stream = match room.of(stream) {
            Ok(stream) => stream,
            Err(error) => {
                let why = format!("what it keeps can't be bounded: {error}");
                connection::deny(&gate, source, destination, &Denial::because(why));
                continue;
            }
        };
        let (gate, handshakes) = (Arc::clone(&gate), Arc::clone(&handshakes));
        tokio::spawn(async move {
            // Boxed: neither carries the room that the other takes.
            if destination.port() == DNS {
                Box::pin(dns::serve_stream(gate, stream, source, destination)).await;
            } else {
                Box::pin(connection::serve(gate, stream, source, destination)).await;
            }
            // What is still under way of it is no new attempt.
            handshakes.accepted(source, destination);
        });
    }
}

#[derive(Debug)]
struct Datagrams {
    gate: Arc<Gate>,
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
            dns::take_datagram(&self.gate, payload, source, destination);
        } else if self.relay.datagram(payload, source, destination).is_err() {
            self.refuse(source, destination, payload.len());
        }
    }

    /// Tells the sender. Best effort: a lost ICMP error costs the client its own time-out, and
    /// nothing opens.
    fn refuse(&self, source: SocketAddr, destination: SocketAddr, length: usize) {
        let message = crate::gateway::icmp::prohibited(source, destination, length);
        let socket = self.icmp.iter().find(|(v4, _)| *v4 == source.is_ipv4());
        if let Some((_, socket)) = socket {
            let _ = socket.send_to(&message, &SocketAddr::new(source.ip(), 0).into());
        }
    }
}
