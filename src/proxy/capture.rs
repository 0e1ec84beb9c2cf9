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
use super::inside::{Inside, RawAnswers};
use super::judge::Judge;
use super::told::{Datagram, Said, Told, ToldConnections, ToldDatagrams};
use super::{close, connection, held, kernel_log, udp};
use crate::audit::Kind;
use crate::packets::agreed::{HELD_BYTES, HELD_GROUP, LOG_GROUP, PROXY_PORTS, ProxyPorts};
use crate::packets::nflog;
use crate::policy::{Denial, Protocol};
use crate::sys::netlink::Netfilter;
use crate::sys::socket;

/// The port of DNS, whatever the server.
const DNS: u16 = 53;
/// The largest datagram there is.
const DATAGRAM: usize = 65_535;
/// Room for reports of refused packets that we have not read yet: about a thousand.
const REPORTS: usize = 512 * 1024;

/// Everything by which a filter comes by connections and datagrams. Opened where these are captured,
/// used from wherever the filter lives.
#[derive(Debug)]
pub struct Sockets {
    pub(super) streams: Vec<std::net::TcpListener>,
    pub(super) datagrams: Vec<std::net::UdpSocket>,
    pub(super) icmp: Vec<(bool, socket2::Socket)>,
    /// Answer datagrams in anybody's name, where nobody of ours lives where they are captured.
    pub(super) answering: RawAnswers,
    /// What the kernel tells, where it is the kernel that captures.
    pub(super) kernel: Option<KernelReports>,
    /// What is told of connections and datagrams, where a supervisor captures instead.
    pub(super) told: Option<Told>,
}

/// What a ruleset reports, and what answers it.
#[derive(Debug)]
pub(super) struct KernelReports {
    pub(super) reports: Netfilter,
    pub(super) held: Netfilter,
    pub(super) senders: PacketSenders,
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
        let mut senders = PacketSenders::default();
        let mut sockets = Self::none();
        sockets.open_family(v4, &mut senders)?;
        match sockets.open_family(v6, &mut senders) {
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            opened => opened?,
        }
        sockets.kernel = Some(KernelReports {
            reports: reports_of(LOG_GROUP, 128)?,
            held: reports_of(HELD_GROUP, HELD_BYTES)?,
            senders,
        });
        Ok(sockets)
    }

    /// The same, for a filter that has no thread there: it answers datagrams by raw sockets, which
    /// need none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for_outsider() -> io::Result<Self> {
        let sockets = Self::open()?;
        let answering = sockets
            .icmp
            .iter()
            .map(|(is_v4, _)| RawAnswers::open(*is_v4));
        Ok(Self {
            answering: RawAnswers::by(answering.collect::<io::Result<_>>()?),
            ..sockets
        })
    }

    /// Those of a filter that is told, by a supervisor, where connections are to lead that arrive at
    /// these listeners, and is given datagrams by it.
    #[must_use]
    pub fn told(listeners: Vec<std::net::TcpListener>, told: Told) -> Self {
        Self {
            streams: listeners,
            told: Some(told),
            ..Self::none()
        }
    }

    pub(super) fn none() -> Self {
        Self {
            streams: Vec::new(),
            datagrams: Vec::new(),
            icmp: Vec::new(),
            answering: RawAnswers::default(),
            kernel: None,
            told: None,
        }
    }

    fn open_family(&mut self, any: IpAddr, senders: &mut PacketSenders) -> io::Result<()> {
        let ProxyPorts { tcp, udp } = PROXY_PORTS;
        self.streams.push(socket::listen_captured(any, tcp)?);
        self.datagrams.push(socket::receive_captured_on(any, udp)?);
        self.icmp.push((any.is_ipv4(), socket::icmp(any)?));
        senders.open(any)
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
        let kernel = self.kernel.iter().flat_map(|kernel| {
            let reports = [kernel.reports.as_fd(), kernel.held.as_fd()];
            kernel.senders.descriptors().chain(reports)
        });
        streams
            .chain(datagrams)
            .chain(icmp)
            .chain(self.answering.each().map(|(_, socket)| socket))
            .chain(kernel)
            .chain(self.told.iter().flat_map(Told::descriptors))
    }

    /// The way back for datagrams, for a filter that has no thread where they are captured.
    pub(super) fn way_back(&self) -> Inside {
        match &self.told {
            Some(told) => Inside::Told(Arc::clone(&told.datagrams)),
            None if self.answering.is_none() => Inside::Here,
            None => Inside::Raw(self.answering.clone()),
        }
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
        told: sockets
            .told
            .as_ref()
            .map(|told| Arc::clone(&told.datagrams)),
        dns: Arc::clone(&dns),
    });
    let handshakes = Arc::new(Handshakes::new());
    let (senders, reports) = match sockets.kernel {
        Some(kernel) => (kernel.senders, Some((kernel.reports, kernel.held))),
        None => (PacketSenders::default(), None),
    };
    let held = Arc::new(Held::new(
        Arc::clone(&connections),
        Arc::clone(&handshakes),
        senders,
    ));
    let destinations = Arc::new(match &sockets.told {
        Some(told) => Destinations::Told(Arc::clone(&told.connections)),
        None => Destinations::Kernel,
    });
    let mut loops = tokio::task::JoinSet::new();
    for listener in sockets.streams {
        let to = Listener {
            connections: Arc::clone(&connections),
            dns: Arc::clone(&dns),
            handshakes: Arc::clone(&handshakes),
            held: Arc::clone(&held),
            destinations: Arc::clone(&destinations),
        };
        loops.spawn(to.accept(TcpListener::from_std(listener)?));
    }
    for socket in sockets.datagrams {
        loops.spawn(receive(
            Arc::clone(&datagrams),
            UdpSocket::from_std(socket)?,
        ));
    }
    if let Some(told) = sockets.told {
        loops.spawn(receive_told(
            datagrams,
            Arc::clone(&connections),
            told.datagrams,
        ));
    }
    if let Some((reports, kept_back)) = reports {
        loops.spawn(held::serve(Arc::clone(&held), kept_back));
        loops.spawn(kernel_log::record(judge, handshakes, held, reports));
    }
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
    destinations: Arc<Destinations>,
}

/// Who says where the client of an accepted connection addressed it to.
#[derive(Debug)]
enum Destinations {
    /// The kernel, which captured it: the connection's own end (`IP_TRANSPARENT`, ip(7)).
    Kernel,
    /// A supervisor, before it connected.
    Told(Arc<ToldConnections>),
}

impl Destinations {
    /// Of this connection; none for one that nobody knows.
    fn of(&self, stream: &TcpStream, source: SocketAddr) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Kernel => Ok(stream.local_addr().ok()),
            Self::Told(told) => told.take(source),
        }
    }
}

impl Listener {
    async fn accept(self, socket: TcpListener) -> anyhow::Result<()> {
        loop {
            let (stream, source) = accepted(|| socket.accept()).await?;
            let Some(destination) = self.destinations.of(&stream, source)? else {
                close::reset(stream);
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
    told: Option<Arc<ToldDatagrams>>,
}

/// Takes what a supervisor hands on.
async fn receive_told(
    to: Arc<Datagrams>,
    connections: Arc<ConnectionServices>,
    from: Arc<ToldDatagrams>,
) -> anyhow::Result<()> {
    loop {
        match from.next().await? {
            Said::Datagram(Datagram {
                source,
                destination,
                payload,
            }) => to.take(&payload, source, destination),
            Said::Refused {
                source,
                destination,
            } => record_refused(&Flow::new(Arc::clone(&connections), source, destination)),
        }
    }
}

/// Records a connection that a supervisor refused by the same rules.
fn record_refused(flow: &Flow) {
    let mut entry = flow.begin(Kind::Tcp);
    let (name, permit) = flow.decide_unnamed(Protocol::Tcp, None);
    entry.subject().name = name.map(|name| name.to_string());
    entry.deny(&permit.err().unwrap_or_else(|| {
        // A name that became known since would have it allowed.
        Denial::because("no rule could allow it when it was opened")
    }));
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
        if let Some(told) = &self.told {
            return told.refuse(source, destination);
        }
        let message = crate::packets::icmp::prohibited(source, destination, length);
        let socket = self.icmp.iter().find(|(v4, _)| *v4 == source.is_ipv4());
        if let Some((_, socket)) = socket {
            let _ = socket.send_to(&message, &SocketAddr::new(source.ip(), 0).into());
        }
    }
}
