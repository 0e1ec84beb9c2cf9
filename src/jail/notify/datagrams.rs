//! What a command sends by its stand-ins for UDP's sockets, and what it is told of their names.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use super::address::{self, Address};
use super::message::{self, Head};
use super::pool::{Answers, Outcome};
use super::request::Piece;
use super::sockets::{Made, TcpState};
use super::supervisor::Supervisor;
use super::udp::{self, Udp};
use crate::proxy::told::Datagram;
use crate::sys::notify::{self, Memory, Notification};

impl Supervisor {
    /// What a socket is called, where the kernel doesn't know that.
    pub(super) fn name(
        &self,
        call: &Notification,
        socket: i32,
        of_peer: bool,
        at: u64,
        length: u64,
    ) -> io::Result<Outcome> {
        let (name, v6) = match self.made(call, socket)? {
            Some(Made::Udp(udp)) if of_peer => {
                let none = || io::Error::from_raw_os_error(libc::ENOTCONN);
                (udp.peer().ok_or_else(none)?, udp.v6())
            }
            Some(Made::Udp(udp)) => (udp.name(), udp.v6()),
            Some(Made::Tcp(tcp)) if of_peer => {
                let state = tcp.state.lock().unwrap_or_else(PoisonError::into_inner);
                match &*state {
                    TcpState::Connected(to) => (*to, tcp.v6),
                    _ => return Ok(Outcome::CONTINUE),
                }
            }
            _ => return Ok(Outcome::CONTINUE),
        };
        let memory = self.memory(call)?;
        put_address(
            &memory,
            call.thread,
            (at, length),
            &address::written(name, v6),
        )?;
        Ok(Outcome::value(0))
    }

    /// sendto(2) with an address.
    pub(super) fn send(
        &self,
        call: &Notification,
        socket: i32,
        payload: Piece,
        to: Piece,
    ) -> io::Result<Outcome> {
        let Some(Made::Udp(udp)) = self.made(call, socket)? else {
            return Ok(Outcome::CONTINUE);
        };
        let to = self.destination(call, &udp, Some(to))?;
        let payload = self.gather(call, &[payload])?;
        self.pass_on(&udp, to, &payload)?;
        Ok(Outcome::value(size(payload.len())))
    }

    /// sendmsg(2)
    pub(super) fn send_message(
        &self,
        call: &Notification,
        socket: i32,
        message: u64,
    ) -> io::Result<Outcome> {
        let Some(Made::Udp(udp)) = self.made(call, socket)? else {
            return Ok(Outcome::CONTINUE);
        };
        let sent = self.send_one(call, &udp, message)?;
        Ok(Outcome::value(size(sent)))
    }

    /// sendmmsg(2): as many as are taken at once.
    pub(super) fn send_messages(
        &self,
        call: &Notification,
        socket: i32,
        messages: u64,
        count: u32,
    ) -> io::Result<Outcome> {
        let Some(Made::Udp(udp)) = self.made(call, socket)? else {
            return Ok(Outcome::CONTINUE);
        };
        let memory = self.memory(call)?;
        let mut sent = 0;
        for nth in 0..count.min(message::MESSAGES) {
            let at = messages.wrapping_add(u64::from(nth) * message::OF_SEVERAL);
            match self.send_one(call, &udp, at) {
                Err(error) if nth == 0 => return Err(error),
                Err(_) => break,
                Ok(length) => {
                    let length = u32::try_from(length).unwrap_or_default();
                    let at = at.wrapping_add(message::LENGTH_AT);
                    memory.write(at, &length.to_ne_bytes())?;
                    sent += 1;
                }
            }
        }
        Ok(Outcome::value(sent))
    }

    fn send_one(&self, call: &Notification, udp: &Arc<Udp>, message: u64) -> io::Result<usize> {
        let (head, pieces) = head(call.thread, message)?;
        let to = self.destination(call, udp, head.address)?;
        let payload = self.gather(call, &pieces)?;
        self.pass_on(udp, to, &payload)?;
        Ok(payload.len())
    }

    /// Whom a datagram is for.
    fn destination(
        &self,
        call: &Notification,
        udp: &Udp,
        said: Option<Piece>,
    ) -> io::Result<SocketAddr> {
        let error = io::Error::from_raw_os_error;
        let said = said.filter(|piece| piece.length > 0);
        let Some(piece) = said else {
            return udp.peer().ok_or_else(|| error(libc::EDESTADDRREQ));
        };
        let piece = Piece {
            length: piece.length.min(address::LONGEST as u64),
            ..piece
        };
        self.in_this_network(call)?;
        match self.address(call, piece)? {
            Address::Ip(to) if udp.v6() || to.is_ipv4() => Ok(to),
            Address::Unspecified => udp.peer().ok_or_else(|| error(libc::EDESTADDRREQ)),
            _ => Err(error(libc::EAFNOSUPPORT)),
        }
    }

    /// A datagram's bytes, out of its pieces.
    fn gather(&self, call: &Notification, pieces: &[Piece]) -> io::Result<Vec<u8>> {
        let mut payload = Vec::new();
        for piece in pieces {
            let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
            let begin = payload.len();
            if length > udp::LONGEST - begin {
                return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
            }
            payload.resize(begin + length, 0);
            let room = payload.get_mut(begin..).unwrap_or_default();
            notify::read_memory(call.thread, piece.at, room)?;
        }
        self.still_waits(call)?;
        Ok(payload)
    }

    /// Hands a datagram on: to another of the command's, or to the filter.
    pub(super) fn pass_on(
        &self,
        udp: &Arc<Udp>,
        said: SocketAddr,
        payload: &[u8],
    ) -> io::Result<()> {
        if udp.was_refused() {
            return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        }
        let destination = address::destination(said);
        if destination.port() == 0 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let source = self.ports.source(udp)?;
        if destination.ip().is_loopback()
            && let Some(other) = self.ports.at(destination)
        {
            self.deliver(&other, source, payload);
            return Ok(());
        }
        let datagram = Datagram {
            source,
            destination,
            payload: payload.to_vec(),
        };
        match self.post.telling.datagram(&datagram) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            told => told,
        }
    }

    fn memory(&self, call: &Notification) -> io::Result<Memory> {
        let memory = Memory::of(call.thread)?;
        self.still_waits(call)?;
        Ok(memory)
    }
}

/// A message's head, and its pieces.
pub(super) fn head(thread: i32, at: u64) -> io::Result<(Head, Vec<Piece>)> {
    let mut bytes = [0; message::HEAD];
    notify::read_memory(thread, at, &mut bytes)?;
    let head = Head::read(&bytes);
    let (at, count) = head.pieces;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > message::PIECES {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    let mut described = vec![0; count * message::PIECE];
    notify::read_memory(thread, at, &mut described)?;
    Ok((head, message::pieces(&described)))
}

/// Writes an address where there is so much room for it, and its length.
pub(super) fn put_address(
    memory: &Memory,
    thread: i32,
    (at, length): (u64, u64),
    address: &[u8],
) -> io::Result<()> {
    let mut room = [0; 4];
    notify::read_memory(thread, length, &mut room)?;
    let room = usize::try_from(i32::from_ne_bytes(room))
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    memory.write(at, address.get(..room).unwrap_or(address))?;
    let whole = u32::try_from(address.len()).unwrap_or_default();
    memory.write(length, &whole.to_ne_bytes())
}

pub(super) fn size(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
