//! Waits until a TCP connection to the outside is established. Used only by the dialler and by DNS
//! over TCP, each with an address that the policy or the administrator gave.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::sys::socket::{Source, tcp_from};

/// Waits for what `sys::socket::tcp_from` began.
///
/// # Errors
/// Why the connection was not made, connect(2).
pub(super) async fn tcp_connected(
    source: Option<Source>,
    to: SocketAddr,
    receive: usize,
) -> io::Result<TcpStream> {
    let stream = TcpStream::from_std(tcp_from(source, to, receive)?)?;
    stream.writable().await?;
    stream.take_error()?.map_or(Ok(stream), Err)
}
