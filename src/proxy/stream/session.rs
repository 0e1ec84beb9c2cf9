//! TLS on a connection: what rustls keeps of it, between the socket and whoever reads and writes
//! plain text.
//!
//! Owns no socket and waits for nothing: every call takes what is there, or says `WouldBlock`.
//! Invariant: at most one record of plain text and one write's cipher text lie here, for which room
//! was taken.

use std::io::{self, BufRead, Read, Write};

use bytes::BufMut;
use rustls::Connection;
use socket2::{SockRef, Socket};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::proxy::budget::Share;
use crate::proxy::tls::Offer;

/// What one session takes at most, besides its socket: its keys, a record that is being put together
/// (RFC 8446 5.2: 16 KiB and 256 bytes), one that was decrypted, and one that waits to be sent.
pub const SESSION: usize = 56 * 1024;

/// TLS on one connection.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    /// Bytes of plain text that can be read.
    ready: usize,
    /// Whether the peer has said that it says no more.
    closed: bool,
    /// Whether the socket has ended.
    ended: bool,
    _room: Share,
}

/// The most plain text that is taken at once: what is not sent at once lies here as one record.
const WRITTEN_AT_ONCE: usize = 16 * 1024;

impl Session {
    /// One for which `room` was taken.
    pub(super) fn new(connection: Connection, room: Share) -> Self {
        Self {
            connection,
            ready: 0,
            closed: false,
            ended: false,
            _room: room,
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

    /// Whether the socket ended although the peer had not said so: what came may be only a part.
    pub(super) fn was_cut(&self) -> bool {
        self.ended && !self.closed
    }

    /// Whether something waits to be sent.
    pub(super) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Takes what the socket has, until there is plain text. Gives whether there is: not at the end.
    ///
    /// # Errors
    /// `WouldBlock`; the socket's; and `InvalidData` with rustls' reason, of which the peer is told.
    pub(super) fn pull(&mut self, tcp: &TcpStream) -> io::Result<bool> {
        while !self.has_something() {
            self.pull_some(tcp)?;
        }
        Ok(self.ready > 0)
    }

    /// One read of the socket.
    ///
    /// # Errors
    /// As of [`Self::pull`].
    pub(super) fn pull_some(&mut self, tcp: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(tcp);
        // Asked, and not only told: whether a connection that nobody uses has ended is to be known now.
        let read = self.connection.read_tls(&mut Of(&socket));
        self.ended |= read.inspect_err(|_| super::wait_for_more(tcp))? == 0;
        let state = self.connection.process_new_packets();
        let state = state.map_err(|error| {
            // The alert. The peer may be gone.
            let _ = self.push(tcp);
            io::Error::new(io::ErrorKind::InvalidData, error)
        })?;
        self.ready = state.plaintext_bytes_to_read();
        self.closed |= state.peer_has_closed();
        Ok(())
    }

    /// Moves plain text that is ready into a buffer, at most `most` bytes. Gives how many.
    pub(super) fn take(&mut self, buffer: &mut impl BufMut, most: usize) -> io::Result<usize> {
        if self.ready == 0 {
            return Ok(0);
        }
        let mut reader = self.connection.reader();
        let there = reader.fill_buf()?;
        let taken = there.len().min(most).min(buffer.remaining_mut());
        buffer.put_slice(there.get(..taken).unwrap_or_default());
        reader.consume(taken);
        self.ready = self.ready.saturating_sub(taken);
        Ok(taken)
    }

    /// Takes plain text to be sent; nothing while something else waits. What doesn't go at once waits
    /// for [`Self::flush`]. Gives how much was taken.
    ///
    /// # Errors
    /// `WouldBlock`; the socket's.
    pub(super) fn write(&mut self, tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        self.flush(tcp)?;
        let first = bytes.get(..WRITTEN_AT_ONCE).unwrap_or(bytes);
        let taken = self.connection.writer().write(first)?;
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
        while self.wants_write() {
            self.push(tcp)?;
        }
        Ok(())
    }

    fn push(&mut self, tcp: &TcpStream) -> io::Result<usize> {
        let socket = SockRef::from(tcp);
        tcp.try_io(Interest::WRITABLE, || {
            self.connection.write_tls(&mut Of(&socket))
        })
    }

    /// Says that nothing more will be said, once what waits is sent.
    pub(super) fn close(&mut self) {
        self.connection.send_close_notify();
    }
}

/// A socket as rustls reads and writes one.
struct Of<'a>(&'a Socket);

impl Read for Of<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Of<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
