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
use rustls::{Connection, Error};
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
/// What is taken of it where there is no room to keep more, should the socket take nothing.
const WRITTEN_AT_LEAST: usize = 4 * 1024;
/// The most cipher text that is received at once.
const RECEIVED_AT_ONCE: usize = 64 * 1024;

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
            room,
        }
    }

    /// Whether the handshake is still under way.
    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// The version of HTTP that was agreed on.
    pub(super) fn agreed(&self) -> Offer {
        Offer::agreed(self.connection.alpn_protocol())
    }

    /// Whether a read would give something, or the end, without the socket.
    pub(super) fn has_something(&self) -> bool {
        self.ready > 0 || self.closed || self.ended
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

    /// Takes what the socket has, `most` bytes at once, until there is plain text. Gives whether there
    /// is: not at the end.
    ///
    /// # Errors
    /// `WouldBlock`; the socket's; and `InvalidData` with rustls' reason, of which the peer is told.
    pub(super) fn pull(&mut self, tcp: &TcpStream, most: usize) -> io::Result<bool> {
        while !self.has_something() {
            self.pull_some(tcp, most)?;
        }
        Ok(self.ready > 0)
    }

    /// Takes what was received before, or else receives once.
    ///
    /// # Errors
    /// As of [`Self::pull`].
    pub(super) fn pull_some(&mut self, tcp: &TcpStream, most: usize) -> io::Result<()> {
        let heard = if self.unheard.is_empty() {
            RECEIVED.with_borrow_mut(|buffer| {
                buffer.resize(RECEIVED_AT_ONCE, 0);
                let room = buffer
                    .get_mut(..most.min(RECEIVED_AT_ONCE))
                    .unwrap_or_default();
                // Asked, and not only told: whether a connection that nobody uses has ended is to be
                // known now.
                let received = (&*SockRef::from(tcp)).read(room);
                let received = received.inspect_err(|_| wait_for_more(tcp))?;
                self.ended |= received == 0;
                self.hear(room.get(..received).unwrap_or_default())
            })
        } else {
            let bytes = std::mem::take(&mut self.unheard);
            self.hear(&bytes)
        };
        heard.inspect_err(|_| {
            // The alert. The peer may be gone.
            let _ = self.flush(tcp);
        })
    }

    /// Decrypts until there is plain text, and keeps the rest.
    fn hear(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            if self.connection.read_tls(&mut bytes)? == 0 && !self.ended {
                return Ok(());
            }
            let state = self.connection.process_new_packets();
            let state = state.map_err(|error| {
                self.wants_certificate |= error == Error::AlertReceived(CertificateRequired);
                io::Error::new(io::ErrorKind::InvalidData, error)
            })?;
            self.ready = state.plaintext_bytes_to_read();
            self.closed |= state.peer_has_closed();
            if bytes.is_empty() || self.has_something() {
                self.unheard = bytes.to_vec();
                return Ok(());
            }
        }
    }

    /// Moves plain text that is ready into a buffer, at most `most` bytes. Gives how many.
    ///
    /// # Errors
    /// As of [`Self::pull`], where the next record is malformed.
    pub(super) fn take(&mut self, buffer: &mut impl BufMut, most: usize) -> io::Result<usize> {
        let mut taken = 0;
        while self.ready > 0 && taken < most && buffer.has_remaining_mut() {
            let mut reader = self.connection.reader();
            let there = reader.fill_buf()?;
            let some = there.len().min(most - taken).min(buffer.remaining_mut());
            buffer.put_slice(there.get(..some).unwrap_or_default());
            reader.consume(some);
            self.ready = self.ready.saturating_sub(some);
            taken += some;
            if self.ready == 0 && !self.unheard.is_empty() {
                let bytes = std::mem::take(&mut self.unheard);
                self.hear(&bytes)?;
            }
        }
        Ok(taken)
    }

    /// Takes plain text to be sent; nothing while something else waits. What doesn't go at once waits
    /// for [`Self::flush`]. Gives how much was taken.
    ///
    /// # Errors
    /// `WouldBlock`; the socket's.
    pub(super) fn write(&mut self, tcp: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush(tcp)?;
        let wanted: usize = pieces.iter().map(|piece| piece.len()).sum();
        let most = match wanted.min(WRITTEN_AT_ONCE) {
            much if much > WRITTEN_AT_LEAST && !self.room.grow_to(SESSION + much) => {
                WRITTEN_AT_LEAST
            }
            some => some,
        };
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
        let socket = SockRef::from(tcp);
        while self.connection.wants_write() {
            tcp.try_io(Interest::WRITABLE, || {
                self.connection.write_tls(&mut Of(&socket))
            })?;
        }
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

/// A socket as rustls writes one.
struct Of<'a>(&'a Socket);

impl Write for Of<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
