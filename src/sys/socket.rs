//! Sockets with the options that a transparent proxy needs.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::sys::socket::{
    ControlMessageOwned, LinkAddr, MsgFlags, SockaddrStorage, recvfrom, recvmsg, sendto,
    setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, TcpKeepalive, Type};

use super::buffers::{self, Queue};

/// A non-blocking TCP socket that begins to connect to this port of the loopback, in the namespace of
/// this thread.
///
/// # Errors
/// What `socket(2)` and `connect(2)` give, but for `EINPROGRESS`, which is success.
pub fn to_own_port(port: u16) -> io::Result<std::net::TcpStream> {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = tcp_socket(None, to)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// A non-blocking listener on this port of the loopback, in the namespace of this thread.
///
/// # Errors
/// What `bind(2)` gives.
pub fn listen_on_own_port(port: u16) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connections that wait to be accepted, at most.
pub const BACKLOG: i32 = 256;
/// What a connection that waits to be accepted may hold unread, in bytes.
pub const WAITING: usize = 4608;
/// Captured datagrams that wait to be taken, in bytes, of each family.
pub const DATAGRAMS: usize = 256 * 1024;

/// How long the other end of a connection may be silent before the kernel asks whether it is still
/// there, and how often it asks again.
pub const KEEPALIVE: Duration = Duration::from_secs(60);

/// Whom a socket speaks for, where that isn't this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The address that it sends from, which needn't be one of ours (`IP_TRANSPARENT`, ip(7)).
    pub address: IpAddr,
    /// The mark of what it sends, by which routing and rules know it (`SO_MARK`, socket(7)).
    pub mark: u32,
}

/// A non-blocking TCP socket that begins to connect to `to`. With `source`, it is transparent and
/// bound to that address, the port chosen at connect. Its receive buffer has `receive` bytes, and
/// may be made larger later.
///
/// # Errors
/// What `bind(2)` and `connect(2)` give, but for `EINPROGRESS`, which is success.
pub fn tcp_from(
    source: Option<Source>,
    to: SocketAddr,
    receive: usize,
) -> io::Result<std::net::TcpStream> {
    connected(tcp_socket(source, to)?, to, receive)
}

/// The same, of which it is told, too, which ICMP error ended the attempt ([`icmp_error`]). When it
/// is connected, [`hear_icmp`] is to be taken back: a connection would end by such an error, too
/// (RFC 1122 4.2.3.9 doesn't want that).
///
/// # Errors
/// As [`tcp_from`].
pub fn tcp_hearing_icmp(
    source: Option<Source>,
    to: SocketAddr,
    receive: usize,
) -> io::Result<std::net::TcpStream> {
    let socket = tcp_socket(source, to)?;
    hear_icmp(&socket, to.ip(), true)?;
    connected(socket, to, receive)
}

/// Whether ICMP errors about a socket's packets are kept for it (`IP_RECVERR`, ip(7)).
///
/// # Errors
/// What `setsockopt(2)` gives.
pub fn hear_icmp(socket: &impl AsFd, peer: IpAddr, hear: bool) -> io::Result<()> {
    let set = if peer.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4RecvErr, &hear)
    } else {
        setsockopt(socket, sockopt::Ipv6RecvErr, &hear)
    };
    Ok(set?)
}

/// The ICMP error that was kept first; none where there is none.
#[must_use]
pub fn icmp_error(socket: &impl AsFd) -> Option<IcmpError> {
    let mut quoted = [0; 128];
    let mut parts = [IoSliceMut::new(&mut quoted)];
    let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    let message = recvmsg::<SockaddrStorage>(
        socket.as_fd().as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
    );
    let notice = |error: libc::sock_extended_err, from: Option<IpAddr>| {
        let is_icmp =
            [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&error.ee_origin);
        is_icmp.then_some(IcmpError {
            kind: error.ee_type,
            code: error.ee_code,
            from,
        })
    };
    message.ok()?.cmsgs().ok()?.find_map(|cmsg| match cmsg {
        ControlMessageOwned::Ipv4RecvErr(error, from) => {
            let from = from.map(|from| Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)));
            notice(error, from.map(IpAddr::V4))
        }
        ControlMessageOwned::Ipv6RecvErr(error, from) => {
            let from = from.map(|from| Ipv6Addr::from(from.sin6_addr.s6_addr));
            notice(error, from.map(IpAddr::V6))
        }
        _ => None,
    })
}

/// An ICMP or ICMPv6 error that a socket heard of (`struct sock_extended_err`, ip(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// Who sent it.
    pub from: Option<IpAddr>,
}

fn tcp_socket(source: Option<Source>, to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(to),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if let Some(source) = source {
        bind_foreign(&socket, source)?;
    }
    Ok(socket)
}

fn connected(socket: Socket, to: SocketAddr, receive: usize) -> io::Result<std::net::TcpStream> {
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    // Not before: the window's scale, which a connection keeps (RFC 7323 2.2), is chosen by what
    // the buffer may grow to.
    buffers::bound(&socket, Queue::Received, receive)?;
    Ok(socket.into())
}

/// How much the queues of a socket may hold, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queues {
    /// That came, and was not taken.
    pub received: usize,
    /// That was sent, and has not left.
    pub sent: usize,
}

/// A non-blocking UDP socket connected to `to`; with `source`, transparent, bound to that address
/// and marked. Its port is random, and each of its queues holds at most so many bytes, or one
/// datagram.
///
/// # Errors
/// What `bind(2)` and `connect(2)` give.
pub fn udp_from(
    source: Option<Source>,
    to: SocketAddr,
    queues: Queues,
) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(to),
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    if let Some(source) = source {
        bind_foreign(&socket, source)?;
    }
    buffers::bound(&socket, Queue::Received, queues.received)?;
    buffers::bound(&socket, Queue::Sent, queues.sent)?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// Sends one datagram, and gives the first that comes back from there.
///
/// # Errors
/// What the network gives; `WouldBlock` where nothing comes within `patience`.
pub fn ask(server: SocketAddr, question: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    /// DNS over UDP without extensions (RFC 1035).
    const LONGEST: usize = 512;
    let socket = Socket::new(
        Domain::for_address(server),
        Type::DGRAM.cloexec(),
        Some(Protocol::UDP),
    )?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(&server.into())?;
    socket.send(question)?;
    let mut answer = vec![0; LONGEST];
    let length = loop {
        match io::Read::read(&mut &socket, &mut answer) {
            // So it ends, too, when the process was stopped and goes on (signal(7)).
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    answer.truncate(length);
    Ok(answer)
}

/// A non-blocking UDP socket that sends from `from` (an address that is not ours: the one the
/// client wrote to), with `send_to`. Several may exist for one `from`.
///
/// It must not be connected: `tproxy` gives a packet to a socket *connected* to its two ends before
/// it gives it to the listener, so the client's next datagram would end up in here (seen on kernel
/// 6.18; `NF_TPROXY_LOOKUP_ESTABLISHED`).
///
/// # Errors
/// What `bind(2)` gives.
pub fn udp_answering(from: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(from),
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    socket.set_reuse_address(true)?;
    set_transparent(&socket, from.ip())?;
    socket.bind(&from.into())?;
    Ok(socket.into())
}

/// A listener on a free port of every address, for connections that a `tproxy` rule hands over. At
/// most [`BACKLOG`] wait, with [`WAITING`] bytes each. They are [`prompt`] already: Linux has an
/// accepted socket inherit that.
///
/// # Errors
/// What `socket(2)`, `setsockopt(2)` (`EPERM` without `CAP_NET_ADMIN`) and `bind(2)` give.
pub fn listen_captured(any: IpAddr, port: u16) -> io::Result<std::net::TcpListener> {
    let socket = captured_socket(any, Type::STREAM, Protocol::TCP)?;
    buffers::bound(&socket, Queue::Received, WAITING)?;
    prompt(&socket);
    socket.bind(&SocketAddr::new(any, port).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Small writes leave at once (`TCP_NODELAY`), and a peer that vanished is noticed
/// ([`KEEPALIVE`]). Best effort: neither decides anything.
pub fn prompt(socket: &impl AsFd) {
    let socket = SockRef::from(socket);
    let _ = socket.set_tcp_nodelay(true);
    let alive = TcpKeepalive::new().with_time(KEEPALIVE);
    let _ = socket.set_tcp_keepalive(&alive.with_interval(KEEPALIVE));
}

/// A UDP socket on every address, for datagrams that a `tproxy` rule hands over; see
/// [`receive_captured`]. At most [`DATAGRAMS`] bytes of them wait.
///
/// # Errors
/// As [`listen_captured`].
pub fn receive_captured_on(any: IpAddr, port: u16) -> io::Result<std::net::UdpSocket> {
    let socket = captured_socket(any, Type::DGRAM, Protocol::UDP)?;
    buffers::bound(&socket, Queue::Received, DATAGRAMS)?;
    // Replies leave by sockets bound to the very address that was asked (udp_answering): both must
    // fit on one port.
    socket.set_reuse_address(true)?;
    if any.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4OrigDstAddr, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv6OrigDstAddr, &true)?;
    }
    socket.bind(&SocketAddr::new(any, port).into())?;
    Ok(socket.into())
}

/// Receives one datagram from such a socket: its length, its sender, and the address it was sent
/// to.
///
/// # Errors
/// `WouldBlock` where there is none; `InvalidData` where the kernel didn't say whereto.
pub fn receive_captured(
    socket: &impl AsFd,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr, SocketAddr)> {
    let mut control = nix::cmsg_space!(libc::sockaddr_in6);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_fd().as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let source = message.address.as_ref().and_then(socket_address);
    let destination = message.cmsgs()?.find_map(|cmsg| match cmsg {
        ControlMessageOwned::Ipv4OrigDstAddr(raw) => Some(SocketAddr::new(
            Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr)).into(),
            u16::from_be(raw.sin_port),
        )),
        ControlMessageOwned::Ipv6OrigDstAddr(raw) => Some(SocketAddr::new(
            Ipv6Addr::from(raw.sin6_addr.s6_addr).into(),
            u16::from_be(raw.sin6_port),
        )),
        _ => None,
    });
    match (source, destination) {
        (Some(source), Some(destination)) => Ok((message.bytes, source, destination)),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

/// Makes the close of this connection a reset (`SO_LINGER` 0, socket(7)): the peer fails at once
/// instead of reading an end.
///
/// # Errors
/// What `setsockopt(2)` gives.
pub fn reset_on_close(stream: &impl AsFd) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// The protocol whose questions a [`questions`] socket receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighbourProtocol {
    /// ARP packets.
    Arp,
    /// IPv6 neighbour solicitations.
    Ndp,
}

/// A packet socket on one interface that receives the questions for neighbours that arrive there,
/// without their link-layer header, non-blocking (packet(7)).
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`.
pub fn questions(interface: u32, asked: NeighbourProtocol) -> io::Result<Socket> {
    const ETH_P_ARP: u16 = 0x0806;
    const ETH_P_IPV6: u16 = 0x86dd;
    let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), None)?;
    match asked {
        NeighbourProtocol::Arp => socket.bind(&link_address(interface, ETH_P_ARP)?)?,
        NeighbourProtocol::Ndp => {
            // Without it, every IPv6 packet on the link would be copied to us.
            socket.attach_filter(&solicitations_only())?;
            socket.bind(&link_address(interface, ETH_P_IPV6)?)?;
        }
    }
    Ok(socket)
}

/// Receives one of those packets, and from which station.
///
/// # Errors
/// `WouldBlock` where there is none; `ENETDOWN` where the interface went.
pub fn receive_question(socket: &Socket, buffer: &mut [u8]) -> io::Result<(usize, LinkAddr)> {
    let (length, asker) = recvfrom::<LinkAddr>(socket.as_raw_fd(), buffer)?;
    Ok((length, asker.ok_or(io::ErrorKind::InvalidData)?))
}

/// Sends an answer to the station that asked.
///
/// # Errors
/// What `sendto(2)` gives.
pub fn answer_question(socket: &Socket, answer: &[u8], asker: &LinkAddr) -> io::Result<()> {
    Ok(sendto(socket.as_raw_fd(), answer, asker, MsgFlags::MSG_DONTWAIT).map(drop)?)
}

/// A classic BPF program: IPv6's next header is ICMPv6 (58) and ICMPv6's type is 135, or the packet
/// is not for us.
fn solicitations_only() -> [SockFilter; 6] {
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 6),
        SockFilter::new(JUMP_IF_EQUAL, 0, 3, 58),
        SockFilter::new(LOAD_BYTE, 0, 0, 40),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, 135),
        SockFilter::new(RETURN, 0, 0, 0xffff),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// Everything of a protocol on one interface.
fn link_address(interface: u32, protocol: u16) -> io::Result<socket2::SockAddr> {
    raw_address(&libc::sockaddr_ll {
        sll_family: libc::AF_PACKET
            .unsigned_abs()
            .try_into()
            .unwrap_or_default(),
        sll_protocol: protocol.to_be(),
        sll_ifindex: interface.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    })
}

/// The first descriptor that is a socket of another kind than AF_UNIX, of the standard streams and
/// the `given` ones behind them. AF_UNIX leads to a process of this machine, and engines hand such
/// sockets on all the time.
///
/// # Errors
/// `/proc` can't be read, or a socket not be asked.
#[expect(
    unsafe_code,
    reason = "descriptors that we inherited belong to no value"
)]
pub fn network_socket_among(given: u32) -> io::Result<Option<i32>> {
    const STANDARD_STREAMS: u32 = 3;
    let end = STANDARD_STREAMS.saturating_add(given);
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
            .unwrap_or(i32::MAX);
        if number.unsigned_abs() >= end {
            continue;
        }
        // SAFETY: the kernel has just listed it as open, and nobody here closes any meanwhile:
        // there is one thread.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        match SockRef::from(&descriptor).domain() {
            Ok(Domain::UNIX) => {}
            Ok(_) => return Ok(Some(number)),
            Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => {}
            // Opened without any right to it (O_PATH), or the list's own, which is gone by now.
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// A raw ICMP (or ICMPv6) socket that only sends, for errors in answer to datagrams.
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`.
pub fn icmp(any: IpAddr) -> io::Result<Socket> {
    let protocol = if any.is_ipv4() {
        Protocol::ICMPV4
    } else {
        Protocol::ICMPV6
    };
    let socket = Socket::new(
        Domain::for_address(SocketAddr::new(any, 0)),
        Type::RAW.nonblocking().cloexec(),
        Some(protocol),
    )?;
    socket.set_recv_buffer_size(0)?;
    Ok(socket)
}

/// A raw socket that sends whole IP packets, marked or not, and receives none (`IPPROTO_RAW`, raw(7);
/// for IPv6 likewise, `inet6_create`).
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`.
pub fn whole_packets(any: IpAddr, mark: Option<u32>) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(SocketAddr::new(any, 0)),
        Type::RAW.nonblocking().cloexec(),
        Some(Protocol::from(libc::IPPROTO_RAW)),
    )?;
    socket.set_recv_buffer_size(0)?;
    mark.map_or(Ok(()), |mark| socket.set_mark(mark))?;
    Ok(socket)
}

fn captured_socket(any: IpAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(SocketAddr::new(any, 0)),
        kind.nonblocking().cloexec(),
        Some(protocol),
    )?;
    if any.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    set_transparent(&socket, any)?;
    Ok(socket)
}

fn bind_foreign(socket: &Socket, source: Source) -> io::Result<()> {
    let Source { address, mark } = source;
    set_transparent(socket, address)?;
    socket.set_mark(mark)?;
    // The port is chosen when the peer is known (ip(7)), else 28,000 connections in all would use
    // up the range.
    setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?;
    socket.bind(&SocketAddr::new(address, 0).into())
}

fn set_transparent(socket: &Socket, address: IpAddr) -> io::Result<()> {
    if address.is_ipv4() {
        socket.set_ip_transparent_v4(true)
    } else {
        socket.set_ip_transparent_v6(true)
    }
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    storage
        .as_sockaddr_in()
        .map(|v4| SocketAddr::new(v4.ip().into(), v4.port()))
        .or_else(|| {
            storage
                .as_sockaddr_in6()
                .map(|v6| SocketAddr::new(v6.ip().into(), v6.port()))
        })
}

#[expect(
    unsafe_code,
    reason = "socket2 has no safe constructor for link-layer addresses"
)]
fn raw_address(address: &libc::sockaddr_ll) -> io::Result<socket2::SockAddr> {
    let fill = |storage: *mut socket2::SockAddrStorage, length: *mut libc::socklen_t| {
        // SAFETY: `try_init` hands out zeroed storage that holds, and is aligned for, an address of
        // any family.
        unsafe { storage.cast::<libc::sockaddr_ll>().write(*address) };
        // SAFETY: `try_init` hands out a valid place for the length.
        unsafe {
            length.write(
                size_of::<libc::sockaddr_ll>()
                    .try_into()
                    .unwrap_or_default(),
            )
        };
        Ok(())
    };
    // SAFETY: `fill` writes a whole address and its true length, as `try_init` demands.
    let ((), address) = unsafe { socket2::SockAddr::try_init(fill) }?;
    Ok(address)
}
