//! Sockets with the options that a transparent proxy needs. (founder implements; these signatures are fixed)

use std::io;
use std::net::{IpAddr, SocketAddr};

/// A non-blocking TCP socket that will connect to an address of `to`'s family. With `source`, it is transparent and bound
/// to that (foreign) address, port chosen at connect.
pub fn tcp_from(_source: Option<IpAddr>, to: SocketAddr) -> io::Result<std::net::TcpStream> {
    let s = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM.nonblocking(), None)?;
    Ok(s.into())
}

/// A non-blocking UDP socket connected to `to`; with `source`, transparent and bound to that address. Port random.
pub fn udp_from(_source: Option<IpAddr>, _to: SocketAddr) -> io::Result<std::net::UdpSocket> {
    todo!()
}

/// A non-blocking UDP socket that sends from `from` (an address that is not ours: the one the client wrote to) to `to`.
/// Several may exist for one `from`.
pub fn udp_answering(_from: SocketAddr, _to: SocketAddr) -> io::Result<std::net::UdpSocket> {
    todo!()
}

/// Receives one datagram from a listening transparent socket: length, sender, and the address it was sent to.
/// `WouldBlock` where there is none.
pub fn receive_captured(
    _socket: &impl std::os::fd::AsFd,
    _buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr, SocketAddr)> {
    todo!()
}

/// Makes the close of this connection a reset (`SO_LINGER` 0): the peer fails at once instead of reading an end.
pub fn reset_on_close(stream: &impl std::os::fd::AsFd) -> io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO))
}
