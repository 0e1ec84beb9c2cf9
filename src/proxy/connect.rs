//! Waits until a TCP connection to the outside is established. Used only by the dialler and by DNS
//! over TCP, each with an address that the policy or the administrator gave.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;

use crate::sys::socket::{self, IcmpError, Source, tcp_from};

/// What the far end, or the network before it, says instead of an answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// Nobody listens there.
    Reset,
    /// It can't be reached.
    Icmp(IcmpError),
    /// Nothing.
    Silence,
    /// It wasn't asked: this gateway lacks something.
    NotAsked,
}

impl NoAnswer {
    /// The same, not in the name of any of these.
    pub(super) fn not_said_by(self, own: &[IpAddr]) -> Self {
        match self {
            Self::Icmp(error) => Self::Icmp(IcmpError {
                from: error.from.filter(|from| !own.contains(from)),
                ..error
            }),
            other => other,
        }
    }

    /// What an attempt to connect gave, and the ICMP error, if there was one.
    fn of(error: &io::Error, said: Option<IcmpError>, to: IpAddr) -> Self {
        match (error.raw_os_error(), said) {
            (_, Some(said)) => Self::Icmp(said),
            (Some(libc::ECONNREFUSED | libc::ECONNRESET), _) => Self::Reset,
            (Some(libc::ETIMEDOUT), _) => Self::Silence,
            // The last: of a route that is a black hole (ip-route(8)).
            (Some(libc::ENETUNREACH | libc::ENETDOWN | libc::EINVAL), _) => {
                Self::Icmp(unreachable(to, 0, 0))
            }
            (Some(libc::EHOSTUNREACH | libc::EHOSTDOWN), _) => Self::Icmp(unreachable(to, 1, 3)),
            (Some(libc::EACCES | libc::EPERM), _) => Self::Icmp(unreachable(to, 13, 1)),
            _ => Self::NotAsked,
        }
    }
}

/// "Destination unreachable" of this kernel's own making, by its code in ICMP (RFC 792, RFC 1812)
/// and in ICMPv6 (RFC 4443, 3.1).
fn unreachable(to: IpAddr, v4: u8, v6: u8) -> IcmpError {
    let (kind, code) = if to.is_ipv4() { (3, v4) } else { (1, v6) };
    IcmpError {
        kind,
        code,
        from: None,
    }
}

/// What an ICMP error says: "destination unreachable" and its codes (as in [`unreachable()`]).
fn words(error: IcmpError) -> Option<&'static str> {
    Some(match (error.kind, error.code) {
        (3, 0) | (1, 0) => "network unreachable",
        (3, 1) | (1, 3) => "host unreachable",
        (3, 3) | (1, 4) => "connection refused: port unreachable",
        (3, 9 | 10 | 13) | (1, 1) => "administratively prohibited",
        _ => return None,
    })
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("connection refused"),
            Self::Icmp(error) => {
                match words(*error) {
                    Some(words) => f.write_str(words)?,
                    None => write!(f, "ICMP type {}, code {}", error.kind, error.code)?,
                }
                error.from.map_or(Ok(()), |from| write!(f, ", says {from}"))
            }
            Self::Silence => f.write_str("no answer while the client waited"),
            Self::NotAsked => f.write_str("not tried"),
        }
    }
}

/// Waits for the far end's answer, to be passed on as it came.
///
/// # Errors
/// What it answered, or didn't.
pub(super) async fn tcp_answered(
    source: Option<Source>,
    to: SocketAddr,
    receive: usize,
) -> Result<TcpStream, NoAnswer> {
    let unsaid = |error: io::Error| NoAnswer::of(&error, None, to.ip());
    let socket = socket::tcp_hearing_icmp(source, to, receive).map_err(unsaid)?;
    let stream = TcpStream::from_std(socket).map_err(unsaid)?;
    stream.writable().await.map_err(unsaid)?;
    if let Some(error) = stream.take_error().map_err(unsaid)? {
        return Err(NoAnswer::of(&error, socket::icmp_error(&stream), to.ip()));
    }
    socket::hear_icmp(&stream, to.ip(), false).map_err(unsaid)?;
    Ok(stream)
}

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
