//! Answers a command's calls: makes its sockets, and connects them.
//!
//! Threads take calls and answer them (`pool.rs`); another takes datagrams.
//!
//! Invariant: what is read of a command's memory is read once, and what is done is done by that copy.
//! [`Answer::Continue`] is given only where whatever the memory says by then, and whichever of the
//! command's sockets its descriptor is by then, does no harm: its own sockets of TCP's lead nowhere but
//! over the loopback, and are connected by nobody but this.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::address::{self, Address};
use super::pool::{Answers, Outcome};
use super::ports::Ports;
use super::request::{self, Kind, Piece, Request, Settled};
use super::sockets::{Made, Moment, Sockets, Tcp, TcpState, Unix};
use super::udp::Udp;
use crate::jail::allowed_sockets::AllowedSockets;
use crate::policy::Policy;
use crate::proxy::told::Telling;
use crate::sys::credentials::Credentials;
use crate::sys::notify::{Answer, Listener, Notification};
use crate::sys::{reaper, stand_in};

/// What the waker is known by; numbers of files are larger, but for no file's.
pub(super) const WAKE: u64 = u64::MAX;

/// What a supervisor needs.
#[derive(Debug)]
pub(super) struct Post {
    /// Where calls arrive.
    pub(super) listener: Listener,
    /// The filter's ear.
    pub(super) telling: Telling,
    /// Where the filter accepts connections, by IPv4.
    pub(super) filter: SocketAddr,
    /// The same by IPv6, where this host has it.
    pub(super) filter_v6: Option<SocketAddr>,
    /// By what it refuses at once what the filter could only deny.
    pub(super) policy: Policy,
    /// Ports of this host's loopback that are open to the command.
    pub(super) host_ports: Vec<u16>,
    /// Unix sockets that are open to the command.
    pub(super) allowed: Arc<AllowedSockets>,
    /// The process under which all of the command's are.
    pub(super) root: i32,
    /// Sockets that it may have made for it.
    pub(super) most: usize,
}

/// One command's.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) post: Post,
    pub(super) sockets: Sockets,
    pub(super) ports: Ports,
    /// Wakes who takes datagrams.
    pub(super) epoll: Epoll,
    /// The same, at once.
    pub(super) wake: EventFd,
    /// Those of which a call waits no longer than it said.
    pub(super) impatient: Mutex<Vec<std::sync::Weak<Udp>>>,
    pub(super) chosen: AtomicU32,
    network: (u64, u64),
}

impl Supervisor {
    pub(super) fn new(post: Post) -> io::Result<Self> {
        Ok(Self {
            sockets: Sockets::at_most(post.most),
            post,
            ports: Ports::default(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            wake: EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            impatient: Mutex::default(),
            chosen: AtomicU32::new(0),
            network: stand_in::network_of("self")?,
        })
    }
}

impl Answers for Supervisor {
    fn listener(&self) -> &Listener {
        &self.post.listener
    }

    fn serve(self: &Arc<Self>, call: &Notification) -> io::Result<Outcome> {
        let request = match request::read(call.call, call.arguments) {
            Ok(request) => request,
            Err(Settled::Passes) => return Ok(Outcome::Now(Answer::Continue)),
            Err(Settled::Fails(number)) => return Err(io::Error::from_raw_os_error(number)),
        };
        match request {
            Request::Make {
                kind,
                nonblocking,
                closes_on_exec,
            } => self.make(call, kind, nonblocking, closes_on_exec),
            Request::Connect { socket, address } => self.connect(call, socket, address),
            Request::Bind { socket, address } => self.bind(call, socket, address),
            Request::Listen { socket, backlog } => self.listen(call, socket, backlog),
            Request::Name {
                socket,
                of_peer,
                at,
                length,
            } => self.name(call, socket, of_peer, at, length),
            Request::Send {
                socket,
                payload,
                address,
            } => self.send(call, socket, payload, address),
            Request::SendMessage { socket, message } => self.send_message(call, socket, message),
            Request::SendMessages {
                socket,
                messages,
                count,
            } => self.send_messages(call, socket, messages, count),
            Request::Receive { socket, .. } | Request::ReceiveMessage { socket, .. } => {
                self.receive(call, socket, request)
            }
            Request::SetOption { socket } => Ok(match self.made(call, socket)? {
                // Best effort: none decides whether something gets through.
                Some(Made::Udp(_)) => Outcome::value(0),
                _ => Outcome::CONTINUE,
            }),
        }
    }
}

impl Supervisor {
    /// The socket that a call is about: none for one that was not made here, and where that can't be
    /// known, of a process that hides what it has (`PR_SET_DUMPABLE`).
    pub(super) fn made(&self, call: &Notification, socket: i32) -> io::Result<Option<Made>> {
        let number = match stand_in::number_of(call.thread, socket) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            number => number?,
        };
        self.still_waits(call)?;
        Ok(self.sockets.get(number))
    }

    /// Makes sure that a call comes from this process's network: who has put itself into one of its own
    /// wants none but that.
    pub(super) fn in_this_network(&self, call: &Notification) -> io::Result<()> {
        let theirs = stand_in::network_of(&call.thread.to_string())?;
        self.still_waits(call)?;
        if theirs == self.network {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ENETUNREACH))
        }
    }

    /// The address that a call says.
    pub(super) fn address(&self, call: &Notification, piece: Piece) -> io::Result<Address> {
        let bytes = self.said(call, piece)?;
        address::read(&bytes).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
    }

    fn make(
        self: &Arc<Self>,
        call: &Notification,
        kind: Kind,
        nonblocking: bool,
        closes_on_exec: bool,
    ) -> io::Result<Outcome> {
        if let Some(moment) = self.sockets.to_be_swept() {
            self.sweep(moment);
        }
        let (made, given) = match kind {
            Kind::Tcp { v6 } => {
                let socket = stand_in::tcp(v6, nonblocking)?;
                let given = socket.try_clone()?;
                let state = Mutex::new(TcpState::New(socket));
                (Made::Tcp(Arc::new(Tcp { v6, state })), given)
            }
            Kind::Unix(kind) => {
                let socket = stand_in::unix(kind, nonblocking)?;
                let given = socket.try_clone()?;
                let cookie = stand_in::cookie(&socket)?;
                let held = Mutex::new(Some(socket));
                (Made::Unix(Arc::new(Unix { kind, cookie, held })), given)
            }
            Kind::Udp { v6 } => {
                let udp = Arc::new(Udp::new(v6, nonblocking)?);
                let given = udp.theirs().try_clone()?;
                let number = stand_in::number(&given)?;
                let arrives = EpollEvent::new(EpollFlags::EPOLLIN, number);
                self.epoll.add(udp.ours(), arrives)?;
                (Made::Udp(udp), given)
            }
        };
        let number = stand_in::number(&given)?;
        if !self.sockets.add(number, made) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let answered = self
            .post
            .listener
            .answer_with(call.id, given.as_fd(), closes_on_exec);
        match answered {
            Ok(()) => self.sockets.given(number),
            Err(_) => self.sockets.forget(number),
        }
        Ok(Outcome::Otherwise)
    }

    fn connect(&self, call: &Notification, socket: i32, address: Piece) -> io::Result<Outcome> {
        let made = self.made(call, socket)?;
        let address = self.address(call, address)?;
        let unfit = || Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
        match (made, address) {
            (Some(Made::Tcp(tcp)), Address::Ip(to)) if tcp.v6 == to.is_ipv6() => {
                self.in_this_network(call)?;
                self.connect_tcp(&tcp, to)?;
            }
            (Some(Made::Tcp(tcp)), Address::Unspecified) => disconnect(&tcp)?,
            (Some(Made::Udp(udp)), Address::Ip(to)) if udp.v6() || to.is_ipv4() => {
                self.in_this_network(call)?;
                self.ports.source(&udp)?;
                udp.connect(Some(to));
            }
            (Some(Made::Udp(udp)), Address::Unspecified) => udp.connect(None),
            (Some(Made::Unix(unix)), address) => self.connect_unix(call, &unix, &address)?,
            (Some(_), _) => return unfit(),
            // Accepted, one of a pair, or come from elsewhere.
            (None, _) => return Err(io::Error::from_raw_os_error(libc::EACCES)),
        }
        Ok(Outcome::value(0))
    }

    fn bind(&self, call: &Notification, socket: i32, address: Piece) -> io::Result<Outcome> {
        match self.made(call, socket)? {
            Some(Made::Tcp(tcp)) => {
                let Address::Ip(to) = self.address(call, address)? else {
                    return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
                };
                let rights = Credentials::of(call.thread)?;
                self.still_waits(call)?;
                let state = tcp.state.lock().unwrap_or_else(PoisonError::into_inner);
                let TcpState::New(held) = &*state else {
                    return Err(io::Error::from_raw_os_error(libc::EINVAL));
                };
                // Below port 1024 it takes a right.
                rights.acting(|| stand_in::bind(held, to))??;
            }
            Some(Made::Udp(udp)) => {
                let Address::Ip(to) = self.address(call, address)? else {
                    return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
                };
                self.ports.bind(&udp, to)?;
            }
            Some(Made::Unix(_)) | None => return Ok(Outcome::CONTINUE),
        }
        Ok(Outcome::value(0))
    }

    fn listen(&self, call: &Notification, socket: i32, backlog: i32) -> io::Result<Outcome> {
        match self.made(call, socket)? {
            Some(Made::Tcp(tcp)) => {
                let mut state = tcp.state.lock().unwrap_or_else(PoisonError::into_inner);
                match &*state {
                    TcpState::New(held) => {
                        stand_in::listen(held, backlog)?;
                        let here = stand_in::local(held)?.ok_or(io::ErrorKind::InvalidData)?;
                        *state = TcpState::Listening(here);
                    }
                    TcpState::Listening(_) => {}
                    TcpState::Connected(_) => {
                        return Err(io::Error::from_raw_os_error(libc::EINVAL));
                    }
                }
            }
            Some(Made::Unix(unix)) => {
                let mut held = unix.held.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(socket) = &*held {
                    stand_in::listen(socket, backlog)?;
                    *held = None;
                }
            }
            Some(Made::Udp(_)) => return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
            None => return Err(io::Error::from_raw_os_error(libc::EACCES)),
        }
        Ok(Outcome::value(0))
    }

    /// Forgets the sockets that none of the command's processes has any more.
    fn sweep(&self, before: Moment) {
        let mut had = std::collections::HashSet::new();
        for process in reaper::with_descendants(self.post.root) {
            had.extend(stand_in::all_of(process));
        }
        self.sockets.sweep(before, &had);
    }
}

fn disconnect(tcp: &Tcp) -> io::Result<()> {
    let state = tcp.state.lock().unwrap_or_else(PoisonError::into_inner);
    match &*state {
        TcpState::New(held) => stand_in::disconnect(held),
        _ => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
    }
}
