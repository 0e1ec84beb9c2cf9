//! What a filter is told by a supervisor that captures instead of the kernel: where connections are
//! to lead that arrive at a listener, and datagrams.
//!
//! Owns the messages and both ends of them. Two channels ([`Channel`]), each of whole messages:
//!
//! - **connections**: the supervisor says who will connect and where that client had addressed its
//!   connection to, *before* it connects. So when the connection is accepted, the message is there.
//! - **datagrams**: from the supervisor, what a client sent, and connections that it refused itself,
//!   for the record; to it, what answers, and what was refused.
//!
//! Invariant: a connection that nobody was told of leads nowhere. The listener may be reached by
//! others on this host.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use crate::sys::channel::{Channel, Message};
use crate::sys::readiness;

/// A supervisor's words, as the filter has them.
#[derive(Debug)]
pub struct Told {
    pub(super) connections: Arc<ToldConnections>,
    pub(super) datagrams: Arc<ToldDatagrams>,
}

/// A supervisor's end. To be kept open as long as its filter is to live.
#[derive(Debug)]
pub struct Telling {
    connections: Channel,
    datagrams: Channel,
}

/// One datagram, or word about one. `payload` is empty, too, for an empty datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Who sends it.
    pub source: SocketAddr,
    /// Whom it is for.
    pub destination: SocketAddr,
    /// What it says.
    pub payload: Vec<u8>,
}

/// What a supervisor hears of datagrams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// This answers.
    Answer(Datagram),
    /// What this source sent to this destination is refused.
    Refused {
        /// Who sent it.
        source: SocketAddr,
        /// To whom.
        destination: SocketAddr,
    },
}

/// Both ends.
///
/// # Errors
/// What `socketpair(2)` gives.
pub fn pair() -> io::Result<(Telling, Told)> {
    let (tell_connections, connections) = Channel::pair()?;
    let (tell_datagrams, datagrams) = Channel::pair()?;
    let telling = Telling {
        connections: tell_connections,
        datagrams: tell_datagrams,
    };
    let told = Told {
        connections: Arc::new(ToldConnections {
            channel: connections,
            expected: Mutex::default(),
        }),
        datagrams: Arc::new(ToldDatagrams(datagrams)),
    };
    Ok((telling, told))
}

impl Telling {
    /// Says that whoever connects from `source` had addressed its connection to `destination`. To be
    /// called before it connects, with the address that its socket is bound to. Waits where the filter
    /// is behind.
    ///
    /// # Errors
    /// `EPIPE` where the filter is gone: it must not connect then.
    pub fn connection(&self, source: SocketAddr, destination: SocketAddr) -> io::Result<()> {
        self.connections.send(&ends(source, destination), &[])
    }

    /// Hands a datagram on. It is lost where the filter is behind, as on any network.
    ///
    /// # Errors
    /// `WouldBlock` where it is lost; `EPIPE` where the filter is gone.
    pub fn datagram(&self, datagram: &Datagram) -> io::Result<()> {
        let Datagram {
            source,
            destination,
            payload,
        } = datagram;
        self.datagrams
            .send_now(&framed(ANSWER, *source, *destination, payload))
    }

    /// Says that a connection was refused, since no rule could allow anything on it. Waits where the
    /// filter is behind.
    ///
    /// # Errors
    /// `EPIPE` where the filter is gone.
    pub fn refused(&self, source: SocketAddr, destination: SocketAddr) -> io::Result<()> {
        self.datagrams
            .send(&framed(REFUSED, source, destination, &[]), &[])
    }

    /// Takes one word about datagrams; see [`Self::as_fd`], which tells when there is one.
    ///
    /// # Errors
    /// `WouldBlock` where there is none; `UnexpectedEof` where the filter is gone.
    pub fn hear(&self) -> io::Result<Heard> {
        let (kind, datagram) = read(&self.datagrams)?;
        Ok(match kind {
            REFUSED => Heard::Refused {
                source: datagram.source,
                destination: datagram.destination,
            },
            _ => Heard::Answer(datagram),
        })
    }
}

impl AsFd for Telling {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.datagrams.as_fd()
    }
}

impl Told {
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.connections.channel.as_fd(), self.datagrams.0.as_fd()].into_iter()
    }
}

/// Where connections are to lead that have not arrived yet.
#[derive(Debug)]
pub struct ToldConnections {
    channel: Channel,
    /// By the client's end: one for each port of the loopback at most.
    expected: Mutex<HashMap<SocketAddr, SocketAddr>>,
}

impl ToldConnections {
    /// Where the connection from this address is to lead; none for one that nobody was told of.
    ///
    /// # Errors
    /// The supervisor's end is closed, or what it said can't be read.
    pub(super) fn take(&self, source: SocketAddr) -> io::Result<Option<SocketAddr>> {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match self.channel.receive(false) {
                Ok(message) => {
                    let (from, to) = read_ends(&message)?;
                    expected.insert(from, to);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(expected.remove(&source))
    }
}

/// What a supervisor says besides where connections lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// A client sent this.
    Datagram(Datagram),
    /// It refused a connection.
    Refused {
        /// Who wanted to connect.
        source: SocketAddr,
        /// To whom.
        destination: SocketAddr,
    },
}

/// Datagrams that a supervisor hands on, and the way back.
#[derive(Debug)]
pub struct ToldDatagrams(Channel);

impl ToldDatagrams {
    /// What is said next. Within a runtime.
    pub(super) async fn next(&self) -> io::Result<Said> {
        let arrived = readiness::of(&self.0)?;
        loop {
            let mut ready = arrived.readable().await?;
            if let Ok(read) = ready.try_io(|_| read(&self.0)) {
                return Ok(match read? {
                    (REFUSED, of) => Said::Refused {
                        source: of.source,
                        destination: of.destination,
                    },
                    (_, datagram) => Said::Datagram(datagram),
                });
            }
        }
    }

    /// Answers in the name of `from`.
    pub(super) fn answer(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
    ) -> io::Result<()> {
        self.0.send_now(&framed(ANSWER, from, to, payload))
    }

    /// Says that this was refused.
    pub(super) fn refuse(&self, source: SocketAddr, destination: SocketAddr) {
        // Lost where the supervisor is behind: its client then waits.
        let _ = self.0.send_now(&framed(REFUSED, source, destination, &[]));
    }
}

/// A message about datagrams: one byte for its kind, both ends, the payload.
const ANSWER: u8 = 0;
const REFUSED: u8 = 1;
/// An address: its bytes as IPv6 has them, its port.
const END: usize = 18;

fn framed(kind: u8, source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    [&[kind], ends(source, destination).as_slice(), payload].concat()
}

fn read(channel: &Channel) -> io::Result<(u8, Datagram)> {
    let message = channel.receive(false)?;
    let (kind, rest) = message.bytes.split_first().ok_or_else(gone)?;
    let (source, destination, payload) = split(rest)?;
    let datagram = Datagram {
        source,
        destination,
        payload: payload.to_vec(),
    };
    Ok((*kind, datagram))
}

fn read_ends(message: &Message) -> io::Result<(SocketAddr, SocketAddr)> {
    if message.bytes.is_empty() {
        return Err(gone());
    }
    let (source, destination, _) = split(&message.bytes)?;
    Ok((source, destination))
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the supervisor is gone")
}

fn ends(source: SocketAddr, destination: SocketAddr) -> [u8; 2 * END] {
    let mut bytes = [0; 2 * END];
    for (end, address) in bytes.chunks_exact_mut(END).zip([source, destination]) {
        let ip = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        for (byte, of) in end
            .iter_mut()
            .zip(ip.octets().into_iter().chain(address.port().to_be_bytes()))
        {
            *byte = of;
        }
    }
    bytes
}

fn split(bytes: &[u8]) -> io::Result<(SocketAddr, SocketAddr, &[u8])> {
    let (source, rest) = end(bytes).ok_or(io::ErrorKind::InvalidData)?;
    let (destination, payload) = end(rest).ok_or(io::ErrorKind::InvalidData)?;
    Ok((source, destination, payload))
}

fn end(bytes: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (ip, rest) = bytes.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let address = IpAddr::from(*ip).to_canonical();
    Some((SocketAddr::new(address, u16::from_be_bytes(*port)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_connection_leads_where_it_was_said_before_and_once() {
        let (telling, told) = pair().unwrap();
        let (client, server) = (address("127.0.0.1:40000"), address("[2001:db8::7]:443"));
        telling.connection(client, server).unwrap();
        telling
            .connection(address("127.0.0.1:40001"), address("192.0.2.7:80"))
            .unwrap();
        let take = |client| told.connections.take(client).unwrap();
        assert_eq!(take(address("127.0.0.1:50000")), None);
        assert_eq!(take(client), Some(server));
        assert_eq!(take(client), None);
        assert_eq!(
            take(address("127.0.0.1:40001")),
            Some(address("192.0.2.7:80"))
        );
        drop(telling);
        assert!(told.connections.take(client).is_err());
    }

    #[tokio::test]
    async fn datagrams_go_both_ways() {
        let (telling, told) = pair().unwrap();
        let sent = Datagram {
            source: address("127.0.0.1:40000"),
            destination: address("127.0.0.53:53"),
            payload: b"question".to_vec(),
        };
        telling.datagram(&sent).unwrap();
        let said = told.datagrams.next().await.unwrap();
        assert_eq!(said, Said::Datagram(sent.clone()));
        telling.refused(sent.source, sent.destination).unwrap();
        let said = told.datagrams.next().await.unwrap();
        assert!(matches!(said, Said::Refused { source, .. } if source == sent.source));
        told.datagrams
            .answer(sent.destination, sent.source, b"answer")
            .unwrap();
        told.datagrams.refuse(sent.source, sent.destination);
        assert_eq!(
            telling.hear().unwrap(),
            Heard::Answer(Datagram {
                source: sent.destination,
                destination: sent.source,
                payload: b"answer".to_vec(),
            })
        );
        assert_eq!(
            telling.hear().unwrap(),
            Heard::Refused {
                source: sent.source,
                destination: sent.destination,
            }
        );
        assert_eq!(
            telling.hear().unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }
}
