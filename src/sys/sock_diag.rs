//! What the kernel tells of sockets (sock_diag(7)): Unix ones that have a name, and those of TCP that listen.
//! `/proc/net` tells, too, but goes through all connections that there could be to do so, which takes
//! milliseconds.

use std::io;
use std::net::{self, IpAddr};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};

use super::netlink::{
    NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, attributes, error_code, raw_messages, receive,
};

/// A Unix socket of this process's network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixSocket {
    /// The number of its file.
    pub number: u32,
    /// What no other socket has, nor will have ([`super::stand_in::cookie`]).
    pub cookie: u64,
    /// The name that it was bound to: a path, or after a zero any bytes.
    pub name: Vec<u8>,
    /// The file that it was bound to: the lower half of its number, and the device of its file system
    /// as the kernel has it itself.
    pub file: Option<(u32, u32)>,
}

/// Tells of the Unix sockets of one network namespace (sock_diag(7)): the one that it was opened in.
#[derive(Debug)]
pub struct UnixSockets(Socket);

impl UnixSockets {
    /// For this thread's.
    ///
    /// # Errors
    /// What opening gives.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        Ok(Self(socket))
    }

    /// One that another process opened and sent here.
    #[must_use]
    #[expect(unsafe_code, reason = "netlink_sys takes descriptors as numbers")]
    pub fn from_descriptor(descriptor: OwnedFd) -> Self {
        // SAFETY: the descriptor is open, and nobody else's from now on.
        Self(unsafe { Socket::from_raw_fd(descriptor.into_raw_fd()) })
    }

    /// All that have a name.
    ///
    /// # Errors
    /// What asking gives; `Interrupted` where the kernel says that some may be missing.
    pub fn named(&self) -> io::Result<Vec<UnixSocket>> {
        const ANY_STATE: u32 = u32::MAX;
        const SHOW_NAME_AND_FILE: u32 = 0x3;
        let words = [ANY_STATE, 0, SHOW_NAME_AND_FILE, 0, 0];
        let answer = ask_of_sockets(&self.0, [family(libc::AF_UNIX), 0], &words)?;
        Ok(answer.iter().filter_map(|one| unix_socket(one)).collect())
    }
}

fn family(number: libc::c_int) -> u8 {
    u8::try_from(number).unwrap_or_default()
}

/// What the kernel tells of sockets of a family and a protocol (sock_diag(7)), one after the other, as it came.
fn ask_of_sockets(
    socket: &Socket,
    [family, protocol]: [u8; 2],
    words: &[u32],
) -> io::Result<Vec<Vec<u8>>> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    let mut request = vec![0; 4];
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request.extend([0; 8]);
    request.extend([family, protocol, 0, 0]);
    request.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    let length = u32::try_from(request.len()).unwrap_or_default();
    if let Some(first) = request.first_chunk_mut() {
        *first = length.to_ne_bytes();
    }
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    let (mut all, mut interrupted) = (Vec::new(), false);
    loop {
        let datagram = receive(socket, 0)?;
        for message in raw_messages(&datagram) {
            interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.kind {
                // Only then, so that nothing of this answer is left for the next question.
                NLMSG_DONE if interrupted => return Err(io::ErrorKind::Interrupted.into()),
                NLMSG_DONE => return Ok(all),
                NLMSG_ERROR => {
                    let code = error_code(&message).unwrap_or(-libc::EINVAL);
                    return Err(io::Error::from_raw_os_error(-code));
                }
                _ => all.push(message.payload.to_vec()),
            }
        }
    }
}

/// A listening socket of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpListening {
    /// Where.
    pub address: net::SocketAddr,
    /// The number of its file.
    pub number: u64,
}

/// All listening sockets of TCP of this thread's network namespace.
///
/// # Errors
/// What asking gives: `NotFound` where the kernel can't tell.
pub fn tcp_listening() -> io::Result<Vec<TcpListening>> {
    const LISTEN: u32 = 1 << 10;
    // Of which: no matter (`struct inet_diag_sockid`).
    let mut words = [0; 13];
    words[0] = LISTEN;
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    let mut all = Vec::new();
    for of in [libc::AF_INET, libc::AF_INET6] {
        let protocol = family(libc::IPPROTO_TCP);
        for one in ask_of_sockets(&socket, [family(of), protocol], &words)? {
            // One that can't be read could be anybody's.
            all.push(tcp_listening_of(&one).ok_or(io::ErrorKind::InvalidData)?);
        }
    }
    Ok(all)
}

/// Reads one (`struct inet_diag_msg`, linux/inet_diag.h).
fn tcp_listening_of(payload: &[u8]) -> Option<TcpListening> {
    const PORT: usize = 4;
    const ADDRESS: usize = 8;
    const FILE: usize = 68;
    let ip: IpAddr = match libc::c_int::from(*payload.first()?) {
        libc::AF_INET => (*payload.get(ADDRESS..)?.first_chunk::<4>()?).into(),
        libc::AF_INET6 => (*payload.get(ADDRESS..)?.first_chunk::<16>()?).into(),
        _ => return None,
    };
    let port = u16::from_be_bytes(*payload.get(PORT..)?.first_chunk()?);
    let number = u32::from_ne_bytes(*payload.get(FILE..)?.first_chunk()?);
    Some(TcpListening {
        address: net::SocketAddr::new(ip, port),
        number: number.into(),
    })
}

impl AsFd for UnixSockets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// All Unix sockets that have a name, of this thread's network namespace.
///
/// # Errors
/// As [`UnixSockets::named`].
pub fn unix_sockets() -> io::Result<Vec<UnixSocket>> {
    UnixSockets::open()?.named()
}

/// Reads one (`struct unix_diag_msg` and its attributes, linux/unix_diag.h); none for one without a
/// name.
fn unix_socket(payload: &[u8]) -> Option<UnixSocket> {
    const NUMBER: usize = 4;
    const COOKIE: usize = 8;
    const ATTRIBUTES: usize = 16;
    const NAME: u16 = 0;
    const FILE: u16 = 1;
    let word = |bytes: &[u8], at: usize| {
        let word = bytes.get(at..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*word))
    };
    let rest = payload.get(ATTRIBUTES..)?;
    let value = |kind| {
        let mut all = attributes(rest);
        all.find_map(|(one, value)| (one == kind).then_some(value))
    };
    let file = value(FILE).and_then(|file| Some((word(file, 0)?, word(file, 4)?)));
    Some(UnixSocket {
        number: word(payload, NUMBER)?,
        cookie: u64::from_ne_bytes(*payload.get(COOKIE..)?.first_chunk()?),
        name: value(NAME)?.to_vec(),
        file,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn listeners_are_told_by_address_and_number() {
        for at in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(at) else {
                continue; // no IPv6 here
            };
            let address = listener.local_addr().unwrap();
            let connected = TcpStream::connect(address).unwrap();
            let of = |address| move |one: &TcpListening| one.address == address;
            let all = tcp_listening().unwrap();
            let number =
                super::super::stand_in::number(&OwnedFd::from(listener.try_clone().unwrap()));
            let found: Vec<_> = all.iter().copied().filter(of(address)).collect();
            let number = number.unwrap();
            assert_eq!(found, [TcpListening { address, number }], "{at}");
            assert!(!all.iter().any(of(connected.local_addr().unwrap())), "{at}");
            drop(listener);
            assert!(!tcp_listening().unwrap().iter().any(of(address)), "{at}");
        }
    }

    #[test]
    fn what_is_cut_short_or_of_another_family_is_nothing() {
        let mut whole = [0; 72];
        whole[0] = family(libc::AF_INET);
        assert!(tcp_listening_of(&whole).is_some());
        assert!((0..72).all(|length| tcp_listening_of(&whole[..length]).is_none()));
        whole[0] = family(libc::AF_UNIX);
        assert!(tcp_listening_of(&whole).is_none());
    }
}
