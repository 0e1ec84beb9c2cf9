//! The way back to whoever sent a datagram: answers leave in the name of the address that was asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::told::ToldDatagrams;
use crate::packets::datagram;
use crate::sys::netns::NamespaceThread;
use crate::sys::socket;

/// Where what answers is made.
#[derive(Debug)]
pub enum Inside {
    /// Here: this process lives where datagrams are captured.
    Here,
    /// By this thread, which lives there.
    Thread(NamespaceThread),
    /// By raw sockets that were opened there.
    Raw(RawAnswers),
    /// By a supervisor, which captured them.
    Told(Arc<ToldDatagrams>),
}

/// Answers in the name of one address.
#[derive(Debug)]
pub struct Answerer {
    from: SocketAddr,
    by: By,
}

#[derive(Debug)]
enum By {
    Socket(UdpSocket),
    Raw(RawAnswers),
    Told(Arc<ToldDatagrams>),
}

impl Inside {
    /// What sends in the name of the address that was written to; see [`socket::udp_answering`].
    ///
    /// # Errors
    /// What making it gives.
    pub fn answerer(&self, from: SocketAddr) -> io::Result<Answerer> {
        let by = match self {
            Self::Here => By::Socket(socket::udp_answering(from)?),
            Self::Thread(resident) => {
                By::Socket(resident.run(move || socket::udp_answering(from))?)
            }
            Self::Raw(answers) => By::Raw(answers.clone()),
            Self::Told(told) => By::Told(Arc::clone(told)),
        };
        Ok(Answerer { from, by })
    }
}

impl Answerer {
    /// By this socket.
    #[cfg(test)]
    pub(super) fn by_socket(socket: UdpSocket) -> io::Result<Self> {
        Ok(Self {
            from: socket.local_addr()?,
            by: By::Socket(socket),
        })
    }

    /// Sends one datagram, with best effort, as on any network: the other end's buffer may be full, or
    /// its socket closed.
    pub fn send(&self, payload: &[u8], to: SocketAddr) {
        let _ = match &self.by {
            By::Socket(socket) => socket.send_to(payload, to).map(drop),
            By::Raw(answers) => answers.send(self.from, to, payload),
            By::Told(told) => told.answer(self.from, to, payload),
        };
    }
}

/// Raw sockets that send whole datagrams, in anybody's name: one for each version of IP. Clones
/// share them.
#[derive(Debug, Clone, Default)]
pub struct RawAnswers(Arc<Vec<(bool, socket2::Socket)>>);

impl RawAnswers {
    /// These.
    pub(super) fn by(sockets: Vec<(bool, socket2::Socket)>) -> Self {
        Self(Arc::new(sockets))
    }

    /// Opens one for this version of IP, in the namespace of this thread.
    pub(super) fn open(is_v4: bool) -> io::Result<(bool, socket2::Socket)> {
        let any = if is_v4 {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        Ok((is_v4, socket::whole_packets(any, None)?))
    }

    /// Whether there are none.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub(super) fn each(&self) -> impl Iterator<Item = (bool, BorrowedFd<'_>)> {
        self.0
            .iter()
            .map(|(is_v4, socket)| (*is_v4, socket.as_fd()))
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> io::Result<()> {
        let packet = datagram::whole(from, to, payload).ok_or(io::ErrorKind::InvalidInput)?;
        let socket = self.0.iter().find(|(is_v4, _)| *is_v4 == to.is_ipv4());
        let (_, socket) = socket.ok_or(io::ErrorKind::Unsupported)?;
        // For IPv6, a port would be taken for a protocol (raw(7)).
        socket.send_to(&packet, &SocketAddr::new(to.ip(), 0).into())?;
        Ok(())
    }
}
