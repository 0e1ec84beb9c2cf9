//! TLS on a connection: what rustls keeps of it, between the socket and whoever reads and writes
//! plain text.
//!
//! Owns no socket and waits for nothing: every call takes what is there, or says `WouldBlock`.
//! Invariant: of what was received no more lies here than is taken at once, which is paid for with
//! the connection ([`super::Stream::at_once`]), and of what is to be sent one write, for which room
//! was taken.

use std::cell::RefCell;
use std::io::{self, BufRead, IoSlice, Read, Write};

use bytes::BufMut;
use rustls::AlertDescription::CertificateRequired;
use rustls::{Connection, Error, ProtocolVersion};
use socket2::{SockRef, Socket};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::proxy::budget::Share;
use crate::proxy::tls::Offer;

/// What one session takes while nothing is under way, besides its socket. A record that is put
/// together (RFC 8446 5.2: 16 KiB and 256 bytes) is paid for as what was received.
pub const SESSION: usize = 10 * 1024;
/// The most plain text that is taken at once: two records.
const WRITTEN_AT_ONCE: usize = 32 * 1024;
/// The most that tickets take which go with what is written first: two, of some 250 bytes each.
const TICKETS: usize = 1024;
/// What is taken of it where there is no room to keep more, should the socket take nothing.
const WRITTEN_AT_LEAST: usize = 4 * 1024;
/// The most cipher text that is received at once.
const RECEIVED_AT_ONCE: usize = 64 * 1024;
/// The most where less is wanted: heads.
const RECEIVED_AT_LEAST: usize = 4 * 1024;

thread_local! {
    /// What is received lies here for a moment, whosever it is.
    static RECEIVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// TLS on one connection.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    /// What was received, and waits for what was received before to be read.
    unheard: Vec<u8>,
    /// Bytes of plain text that can be read.
    ready: usize,
    /// Whether the peer has said that it says no more.
    closed: bool,
    /// Whether the socket has ended.
    ended: bool,
    /// Whether the peer has refused us for want of a certificate of ours.
    wants_certificate: bool,
    /// What is wrong with what came behind the last that was read.
    broken: Option<Error>,
    /// Whether all that waits to be sent may as well go with what is written next.
    can_wait: bool,
    room: Share,
}

impl Session {
    /// One for which `room` was taken.
    pub(super) fn new(connection: Connection, room: Share) -> Self {
        Self {
            connection,
            unheard: Vec::new(),
            ready: 0,
            closed: false,
            ended: false,
            wants_certificate: false,
            broken: None,
            can_wait: false,
            room,
        }
    }

    /// Whether the handshake is still under way.
    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Sends what the handshake asks for. What a server of TLS 1.3 says when it is over are tickets
    /// for later connections, which cost no packet of their own when they go with its first answer.
    ///
    /// # Errors
    /// `WouldBlock`; the socket's.
    pub(super) fn flush_handshake(&mut self, tcp: &TcpStream) -> io::Result<()> {
        self.can_wait = !self.is_handshaking()
            && matches!(self.connection, Connection::Server(_))
            && self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        if self.can_wait {
            return Ok(());
        }
        self.flush(tcp)
    }

    /// The version of HTTP that was agreed on.
    pub(super) fn agreed(&self) -> Offer {
        Offer::agreed(self.connection.alpn_protocol())
    }

    /// Whether a read would give something, or the end, without the socket.
    pub(super) fn has_something(&self) -> bool {
        self.ready > 0
            || self.closed
            || self.ended
            || self.broken.is_some()
            || !self.unheard.is_empty()
    }

    /// Whether the peer has refused us for want of a certificate of ours. Since TLS 1.3 a server
    /// says so after the handshake.
    pub(super) fn wants_certificate(&self) -> bool {
        self.wants_certificate
    }

    /// Whether the socket ended although the peer had not said so: what came may be only a part.
    pub(super) fn was_cut(&self) -> bool {
        self.ended && !self.closed
    }

    /// Takes what the socket has until there is plain text, or the end. Gives whether there is plain
    /// text. Asks the socket, also where nothing was told of it: whether a connection that nobody
    /// uses has ended is to be known now.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub(super) fn look(&mut self, tcp: &TcpStream, most: usize) -> io::Result<bool> {
        while !self.has_something() {
            self.receive(tcp, &mut nowhere(), most, Asked::Now)?;
        }
        match self.ready {
            0 => self.broken().map(|()| false),
            _ => Ok(true),
        }
    }

    /// Takes what the socket has once, where more is wanted than plain text: in a handshake.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub(super) fn listen(&mut self, tcp: &TcpStream, most: usize) -> io::Result<()> {
        self.receive(tcp, &mut nowhere(), most, Asked::WhenTold)?;
        self.broken()
    }

    /// Moves plain text into a buffer, `most` bytes at once: what is there, else what the socket has.
    /// Gives how much; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock`; the socket's; and `InvalidData` with rustls' reason, of which the peer is told.
    pub(super) fn read(
        &mut self,
        tcp: &TcpStream,
        buffer: &mut impl BufMut,
        most: usize,
    ) -> io::Result<usize> {
        loop {
            let taken = self.take(buffer, most);
            if taken > 0 {
                return Ok(taken);
            }
            self.broken()?;
            if self.closed || self.ended {
                return Ok(0);
            }
            let taken = self.receive(tcp, buffer, most, Asked::WhenTold)?;
            if taken > 0 {
                return Ok(taken);
            }
        }
    }

    /// What is wrong with what came behind the last that was read.
    fn broken(&mut self) -> io::Result<()> {
        let broken = self.broken.take();
        broken.map_or(Ok(()), |error| {
            Err(io::Error::new(io::ErrorKind::InvalidData, error))
        })
    }

    /// Decrypts what was received before, else what the socket has, into a buffer, as far as that has
    /// room. Gives how much there is in it now.
    fn receive(
        &mut self,
        tcp: &TcpStream,
        buffer: &mut impl BufMut,
        most: usize,
        asked: Asked,
    ) -> io::Result<usize> {
        let taken = if self.unheard.is_empty() {
            // What is received and doesn't go into the buffer has to be kept.
            let wanted = buffer.remaining_mut().max(RECEIVED_AT_LEAST);
            RECEIVED.with_borrow_mut(|bytes| {
                bytes.resize(RECEIVED_AT_ONCE, 0);
                let most = most.min(wanted).min(RECEIVED_AT_ONCE);
                let room = bytes.get_mut(..most).unwrap_or_default();
                let received = receive(tcp, room, asked)?;
                self.ended |= received == 0;
                self.hear(room.get(..received).unwrap_or_default(), buffer, most)
            })
        } else {
            let bytes = std::mem::take(&mut self.unheard);
            self.hear(&bytes, buffer, most)
        };
        if self.broken.is_some() {
            // The alert. The peer may be gone.
            let _ = self.flush(tcp);
        }
        taken
    }

    /// Decrypts, record by record, until the buffer has no more room; keeps the rest.
    fn hear(
        &mut self,
        mut bytes: &[u8],
        buffer: &mut impl BufMut,
        most: usize,
    ) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let read = self.connection.read_tls(&mut bytes)?;
            match self.connection.process_new_packets() {
                Ok(state) => {
                    self.ready = state.plaintext_bytes_to_read();
                    self.closed |= state.peer_has_closed();
                }
                // What came before it is whole.
                Err(error) => {
                    self.wants_certificate |= error == Error::AlertReceived(CertificateRequired);
                    self.ready = self.first();
                    self.broken = Some(error);
                    return Ok(taken + self.take(buffer, most - taken));
                }
            }
            taken += self.take(buffer, most - taken);
            if read == 0 || bytes.is_empty() || self.has_something() {
                // Behind its word that it says no more, nothing counts.
                if !self.closed {
                    self.unheard = bytes.to_vec();
                }
                return Ok(taken);
            }
        }
    }

    /// How much of what is ready lies in one piece.
    fn first(&mut self) -> usize {
        self.connection.reader().fill_buf().map_or(0, <[u8]>::len)
    }

    /// Moves plain text that is ready into a buffer, at most `most` bytes. Gives how many.
    fn take(&mut self, buffer: &mut impl BufMut, most: usize) -> usize {
        let mut taken = 0;
        while self.ready > 0 && taken < most && buffer.has_remaining_mut() {
            let mut reader = self.connection.reader();
            // There is some, so it can't fail.
            let there = reader.fill_buf().unwrap_or_default();
            let some = there.len().min(most - taken).min(buffer.remaining_mut());
            buffer.put_slice(there.get(..some).unwrap_or_default());
            reader.consume(some);
            self.ready = self.ready.saturating_sub(some);
            taken += some;
            if self.ready == 0 && self.broken.is_some() {
                self.ready = self.first();
            }
        }
        taken
    }

    /// Takes plain text to be sent; nothing while something else waits. What doesn't go at once waits
    /// for [`Self::flush`]. Gives how much was taken.
    ///
    /// # Errors
    /// `WouldBlock`; the socket's.
    pub(super) fn write(&mut self, tcp: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.can_wait {
            self.flush(tcp)?;
        }
        let wanted: usize = pieces.iter().map(|piece| piece.len()).sum();
        let most = match wanted.min(WRITTEN_AT_ONCE) {
            much if much > WRITTEN_AT_LEAST && !self.room.grow_to(SESSION + much) => {
                WRITTEN_AT_LEAST
            }
            some => some,
        };
        let most = if self.can_wait { most + TICKETS } else { most };
        self.connection.set_buffer_limit(Some(most));
        let taken = self.connection.writer().write_vectored(pieces)?;
        match self.flush(tcp) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Sends all that waits.
    ///
    /// # Errors
    /// `WouldBlock`; the socket's.
    pub(super) fn flush(&mut self, tcp: &TcpStream) -> io::Result<()> {
        self.flush_as(tcp, 0)
    }

    /// The same, just before the socket's end is said, which goes with it.
    ///
    /// # Errors
    /// `WouldBlock`; the socket's.
    pub(super) fn flush_last(&mut self, tcp: &TcpStream) -> io::Result<()> {
        self.flush_as(tcp, libc::MSG_MORE)
    }

    fn flush_as(&mut self, tcp: &TcpStream, flags: libc::c_int) -> io::Result<()> {
        let socket = SockRef::from(tcp);
        while self.connection.wants_write() {
            tcp.try_io(Interest::WRITABLE, || {
                self.connection.write_tls(&mut Of(&socket, flags))
            })?;
        }
        self.can_wait = false;
        self.room.shrink_to(SESSION);
        Ok(())
    }

    /// Says that nothing more will be said, once what waits is sent.
    pub(super) fn close(&mut self) {
        self.connection.send_close_notify();
    }
}

/// Says that a socket has nothing now, so that whoever waits for more is told when it comes.
pub(super) fn wait_for_more(tcp: &TcpStream) {
    let nothing: io::Result<()> =
        tcp.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
    drop(nothing);
}

/// How a socket is asked for what it has.
#[derive(Clone, Copy)]
enum Asked {
    /// Where it is told of something.
    WhenTold,
    /// In any case.
    Now,
}

/// Takes what a socket has. Who gets less than there was room for got all, and is told of what
/// comes from then on (epoll(7), edge-triggered).
fn receive(tcp: &TcpStream, room: &mut [u8], asked: Asked) -> io::Result<usize> {
    let socket = SockRef::from(tcp);
    let received = match asked {
        Asked::WhenTold => tcp.try_io(Interest::READABLE, || (&*socket).read(room))?,
        Asked::Now => (&*socket).read(room).inspect_err(|_| wait_for_more(tcp))?,
    };
    if (1..room.len()).contains(&received) {
        wait_for_more(tcp);
    }
    Ok(received)
}

/// A buffer for nothing: what is decrypted stays where it is.
fn nowhere() -> &'static mut [u8] {
    &mut []
}

/// A socket as rustls writes one, with these flags (send(2)).
struct Of<'a>(&'a Socket, libc::c_int);

impl Write for Of<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send_with_flags(bytes, self.1)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored_with_flags(parts, self.1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
