//! Sockets that are made, named and connected for other processes.

use std::ffi::c_int;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::buffers::{self, Queue};
use super::socket::{WAITING, prompt};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, recv, send, setsockopt, socketpair,
    sockopt,
};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// A socket of TCP's that nothing leads to and that leads nowhere but over the loopback interface: who
/// has no `CAP_NET_RAW` can't change that (`SO_BINDTODEVICE`, socket(7), Linux 5.7).
///
/// # Errors
/// What `socket(2)` and `setsockopt(2)` give.
pub fn tcp(v6: bool, nonblocking: bool) -> io::Result<OwnedFd> {
    let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.bind_device(Some(b"lo"))?;
    socket.set_nonblocking(nonblocking)?;
    Ok(socket.into())
}

/// A listener on a free port of this host's loopback, by IPv4 or IPv6, as
/// [`super::socket::listen_captured`] makes them.
///
/// # Errors
/// What `socket(2)` and `bind(2)` give.
pub fn listen_for_ourselves(v6: bool) -> io::Result<std::net::TcpListener> {
    const WAITING_AT_MOST: c_int = 1024;
    let (domain, ip): (_, std::net::IpAddr) = if v6 {
        (Domain::IPV6, std::net::Ipv6Addr::LOCALHOST.into())
    } else {
        (Domain::IPV4, std::net::Ipv4Addr::LOCALHOST.into())
    };
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(domain, kind, Some(Protocol::TCP))?;
    buffers::bound(&socket, Queue::Received, WAITING)?;
    prompt(&socket);
    socket.bind(&SocketAddr::new(ip, 0).into())?;
    socket.listen(WAITING_AT_MOST)?;
    Ok(socket.into())
}

/// A Unix socket of this type.
///
/// # Errors
/// What `socket(2)` gives.
pub fn unix(kind: c_int, nonblocking: bool) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::UNIX, Type::from(kind).cloexec(), None)?;
    socket.set_nonblocking(nonblocking)?;
    Ok(socket.into())
}

/// A pair of Unix sockets for datagrams. The first, which stands in for one of UDP's, blocks or not;
/// the second doesn't.
///
/// # Errors
/// What `socketpair(2)` and `bind(2)` give.
pub fn pair(nonblocking: bool) -> io::Result<(OwnedFd, OwnedFd)> {
    let (theirs, ours) = socketpair(
        AddressFamily::Unix,
        SockType::Datagram,
        None,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
    )?;
    SockRef::from(&theirs).set_nonblocking(nonblocking)?;
    // A name that the kernel chooses, so that the second can be connected to it again ([`fail`]). Who
    // isn't its peer can't send to it by that (unix(7)).
    nix::sys::socket::bind(theirs.as_raw_fd(), &UnixAddr::new_unnamed())?;
    Ok((theirs, ours))
}

/// Has whoever waits for a datagram at the first of a pair, or will, be told of an error instead, once: the
/// kernel's word for a peer that went away with unread datagrams (`ECONNRESET`). What the first has sent
/// and the second not taken is lost.
///
/// # Errors
/// What the system calls give.
pub fn fail(theirs: &OwnedFd, ours: &OwnedFd) -> io::Result<()> {
    let name: UnixAddr = nix::sys::socket::getsockname(theirs.as_raw_fd())?;
    // If there is no room for it, something unread is there.
    let _ = give(theirs, b"");
    disconnect(ours)?;
    Ok(nix::sys::socket::connect(ours.as_raw_fd(), &name)?)
}

/// The number of the file that a socket is.
///
/// # Errors
/// What `fstat(2)` gives.
pub fn number(socket: &OwnedFd) -> io::Result<u64> {
    Ok(nix::sys::stat::fstat(socket)?.st_ino)
}

/// What no other socket of this machine has, nor will have (`SO_COOKIE`, socket(7)): the number of its file
/// is one of 32 bits, and given again when all were.
///
/// # Errors
/// What `getsockopt(2)` gives.
#[expect(unsafe_code, reason = "neither nix nor socket2 has this option")]
pub fn cookie(socket: &OwnedFd) -> io::Result<u64> {
    let mut cookie: u64 = 0;
    let mut length = u32::try_from(size_of_val(&cookie)).unwrap_or_default();
    // SAFETY: the option is eight bytes, for which there is room, and both live during the call.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    Errno::result(done)?;
    Ok(cookie)
}

/// The number of the socket that a thread has by this descriptor.
///
/// # Errors
/// `EBADF` where it has none by it, `ENOTSOCK` where that is no socket, what forbids to look.
pub fn number_of(thread: i32, descriptor: c_int) -> io::Result<u64> {
    let link = std::fs::read_link(format!("/proc/{thread}/fd/{descriptor}"));
    let link = link.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::from_raw_os_error(libc::EBADF),
        _ => error,
    })?;
    socket_named(&link.to_string_lossy())
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTSOCK))
}

/// The number in the name that `/proc` has for a socket.
#[must_use]
pub fn socket_named(link: &str) -> Option<u64> {
    let number = link.strip_prefix("socket:[")?.strip_suffix(']')?;
    number.parse().ok()
}

/// The numbers of all sockets that a process has. (A thread may have others, which are not found.)
#[must_use]
pub fn all_of(process: i32) -> Vec<u64> {
    let Ok(all) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
        return Vec::new();
    };
    all.flatten()
        .filter_map(|entry| socket_named(&std::fs::read_link(entry.path()).ok()?.to_string_lossy()))
        .collect()
}

/// The network namespace that a thread is in: its file's device and number. `whose`: a number, or `self`.
///
/// # Errors
/// What forbids to look.
pub fn network_of(whose: &str) -> io::Result<(u64, u64)> {
    let file = nix::sys::stat::stat(format!("/proc/{whose}/ns/net").as_str())?;
    Ok((file.st_dev, file.st_ino))
}

/// Whether a socket doesn't block.
#[must_use]
pub fn is_nonblocking(socket: &OwnedFd) -> bool {
    SockRef::from(socket).nonblocking().unwrap_or(true)
}

/// How long a receiver waits, where that is bounded (`SO_RCVTIMEO`).
#[must_use]
pub fn patience(socket: &OwnedFd) -> Option<Duration> {
    SockRef::from(socket).read_timeout().ok().flatten()
}

/// Ends a connection both ways at once.
pub fn cut(socket: &OwnedFd) {
    // One that isn't connected is at its end already.
    let _ = SockRef::from(socket).shutdown(std::net::Shutdown::Both);
}

/// Begins to connect. A connection isn't put off until something is sent (`TCP_FASTOPEN_CONNECT`).
///
/// # Errors
/// What `connect(2)` gives, `EINPROGRESS` too.
pub fn connect(socket: &OwnedFd, to: SocketAddr) -> io::Result<()> {
    // Where the kernel knows no such option, it isn't set.
    let _ = setsockopt(socket, sockopt::TcpFastOpenConnect, &false);
    once_more(|| SockRef::from(socket).connect(&SockAddr::from(to)))
}

/// Lets one of IPv6's be connected by IPv4, where it isn't bound yet.
///
/// # Errors
/// What `setsockopt(2)` gives.
pub fn speak_both(socket: &OwnedFd) -> io::Result<()> {
    SockRef::from(socket).set_only_v6(false)
}

/// Gives a socket this address.
///
/// # Errors
/// What `bind(2)` gives.
pub fn bind(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    SockRef::from(socket).bind(&SockAddr::from(address))
}

/// Has it accept connections.
///
/// # Errors
/// What `listen(2)` gives.
pub fn listen(socket: &OwnedFd, backlog: c_int) -> io::Result<()> {
    SockRef::from(socket).listen(backlog)
}

/// Its own address; none for one of another kind.
///
/// # Errors
/// What `getsockname(2)` gives.
pub fn local(socket: &OwnedFd) -> io::Result<Option<SocketAddr>> {
    Ok(SockRef::from(socket).local_addr()?.as_socket())
}

/// Dissolves what it is connected to.
///
/// # Errors
/// What `connect(2)` gives.
#[expect(unsafe_code, reason = "neither nix nor socket2 has this family")]
pub fn disconnect(socket: &OwnedFd) -> io::Result<()> {
    let none = libc::sockaddr {
        sa_family: 0,
        sa_data: [0; 14],
    };
    let length = u32::try_from(size_of_val(&none)).unwrap_or_default();
    // SAFETY: the address lives during the call, and its length is given.
    let done = unsafe { libc::connect(socket.as_raw_fd(), &raw const none, length) };
    Ok(Errno::result(done).map(drop)?)
}

/// The family of a socket (`SO_DOMAIN`).
///
/// # Errors
/// `ENOTSOCK`, what else `getsockopt(2)` gives.
pub fn family(socket: &OwnedFd) -> io::Result<c_int> {
    SockRef::from(socket).domain().map(c_int::from)
}

/// Begins to connect a socket, to what these bytes mean to its family.
///
/// # Errors
/// What `connect(2)` gives, `EINPROGRESS` too.
#[expect(unsafe_code, reason = "an address of any family, as somebody said it")]
pub fn connect_as_said(socket: &OwnedFd, address: &[u8]) -> io::Result<()> {
    let length = u32::try_from(address.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    once_more(|| {
        // SAFETY: the call reads so many bytes, which live meanwhile; the kernel checks what they say.
        let done = unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length) };
        Ok(Errno::result(done).map(drop)?)
    })
}

/// Connects a Unix socket to the file that this descriptor is open for (`O_PATH`).
///
/// # Errors
/// What `connect(2)` gives.
pub fn connect_to_file(socket: &OwnedFd, file: BorrowedFd<'_>) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let address = UnixAddr::new(path.as_str())?;
    once_more(|| Ok(nix::sys::socket::connect(socket.as_raw_fd(), &address)?))
}

/// Connects a Unix socket to one that has this name.
///
/// # Errors
/// What `connect(2)` gives.
pub fn connect_to_name(socket: &OwnedFd, name: &[u8]) -> io::Result<()> {
    let address = UnixAddr::new_abstract(name)?;
    once_more(|| Ok(nix::sys::socket::connect(socket.as_raw_fd(), &address)?))
}

/// A signal to the supervisor is nothing to whoever connects.
fn once_more(connect: impl Fn() -> io::Result<()>) -> io::Result<()> {
    loop {
        match connect() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Takes one datagram, if there is one. Gives its length, which may be more than there is room.
///
/// # Errors
/// `WouldBlock` where there is none.
pub fn take(socket: &impl AsFd, room: &mut [u8], leave_it: bool) -> io::Result<usize> {
    let mut flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    flags.set(MsgFlags::MSG_PEEK, leave_it);
    Ok(recv(socket.as_fd().as_raw_fd(), room, flags)?)
}

/// Gives one datagram.
///
/// # Errors
/// `WouldBlock` where there is no room for it.
pub fn give(socket: &impl AsFd, datagram: &[u8]) -> io::Result<()> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    Ok(send(socket.as_fd().as_raw_fd(), datagram, flags).map(drop)?)
}

/// Whether nothing that was given waits to be taken (`SIOCOUTQ`, unix(7)).
#[must_use]
#[expect(unsafe_code, reason = "no wrapper for it in libc or nix")]
pub fn all_taken(socket: &impl AsFd) -> bool {
    let mut waiting: c_int = 0;
    // SAFETY: this request writes one int, which lives during the call.
    let done = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut waiting) };
    done == 0 && waiting == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_failed_hears_it_once_and_goes_on() {
        let (theirs, ours) = pair(true).unwrap();
        let mut room = [0; 8];
        give(&theirs, b"sent").unwrap();
        fail(&theirs, &ours).unwrap();
        let heard = take(&theirs, &mut room, false).unwrap_err();
        assert_eq!(heard.raw_os_error(), Some(libc::ECONNRESET));
        let nothing = take(&theirs, &mut room, false).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        give(&ours, b"answer").unwrap();
        assert_eq!(take(&theirs, &mut room, false).unwrap(), 6);
        give(&theirs, b"more").unwrap();
        assert_eq!(take(&ours, &mut room, false).unwrap(), 4);
    }
}
