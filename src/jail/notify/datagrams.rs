//! A command's datagrams, and what it is told of its sockets: what the stand-ins for UDP's can't.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};
use std::os::fd::AsFd;

use super::address::{self, Address};
use super::message::{self, Head};
use super::request::{Piece, Request};
use super::sockets::{Made, TcpState};
use super::supervisor::{Outcome, Supervisor};
use super::udp::{self, Room, Taken, Udp, Waiting};
use crate::proxy::told::{Datagram, Heard};
use crate::sys::notify::{self, Answer, Memory, Notification};
use crate::sys::stand_in;

/// What the filter's words are known by; numbers of files are larger.
const FILTERS: u64 = 0;
/// Datagrams that are taken of one socket before others have their turn.
const BATCH: usize = 32;

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
            length: piece.length.min(128),
            ..piece
        };
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
    fn pass_on(&self, udp: &Arc<Udp>, said: SocketAddr, payload: &[u8]) -> io::Result<()> {
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

    /// recvfrom(2) and recvmsg(2)
    pub(super) fn receive(
        &self,
        call: &Notification,
        socket: i32,
        request: Request,
    ) -> io::Result<Outcome> {
        let Some(Made::Udp(udp)) = self.made(call, socket)? else {
            return Ok(Outcome::CONTINUE);
        };
        let (room, flags) = match request {
            Request::Receive {
                payload,
                flags,
                address,
                length,
                ..
            } => {
                let room = Room::Plain {
                    at: payload.at,
                    length: payload.length,
                    address,
                    address_length: length,
                };
                (room, flags)
            }
            Request::ReceiveMessage { message, flags, .. } => (Room::Message(message), flags),
            _ => return Err(io::Error::from_raw_os_error(libc::ENOSYS)),
        };
        if flags & libc::MSG_ERRQUEUE != 0 {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        let patience = stand_in::patience(udp.theirs());
        let waiting = Waiting {
            id: call.id,
            thread: call.thread,
            room,
            leaves_it: flags & libc::MSG_PEEK != 0,
            until: patience.map(|patience| Instant::now() + patience),
        };
        let blocks = flags & libc::MSG_DONTWAIT == 0 && !stand_in::is_nonblocking(udp.theirs());
        loop {
            match udp.take(waiting.leaves_it) {
                Ok(taken) => return self.put(&waiting, &udp, &taken).map(Outcome::Now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && blocks => {}
                Err(error) => return Err(error),
            }
            if udp.wait(waiting) {
                if waiting.until.is_some() {
                    self.note_impatient(&udp)?;
                }
                return Ok(Outcome::Otherwise);
            }
            if !udp.may_wait() {
                return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
            }
        }
    }

    /// Writes a datagram to where it is to go. Gives what the call is answered.
    fn put(&self, call: &Waiting, udp: &Udp, taken: &Taken) -> io::Result<Answer> {
        let memory = Memory::of(call.thread)?;
        let from = address::written(taken.from, udp.v6());
        let pieces = match call.room {
            Room::Plain { at, length, .. } => vec![Piece { at, length }],
            Room::Message(at) => head(call.thread, at)?.1,
        };
        if !self.post.listener.waits(call.id) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let mut payload = taken.payload.as_slice();
        for part in message::spread(&pieces, payload.len()) {
            let length = usize::try_from(part.length).unwrap_or_default();
            let (now, rest) = payload.split_at_checked(length).unwrap_or((payload, &[]));
            memory.write(part.at, now)?;
            payload = rest;
        }
        let fitted = taken.payload.len() - payload.len();
        match call.room {
            Room::Plain {
                address,
                address_length,
                ..
            } => put_address(&memory, call.thread, (address, address_length), &from)?,
            Room::Message(at) => {
                let (head, _) = head(call.thread, at)?;
                if let Some(name) = head.address {
                    let room = usize::try_from(name.length).unwrap_or_default();
                    memory.write(name.at, from.get(..room).unwrap_or(&from))?;
                }
                let named = if head.address.is_some() {
                    from.len()
                } else {
                    0
                };
                for (offset, bytes) in Head::received(named, !payload.is_empty()) {
                    memory.write(at.wrapping_add(offset), &bytes)?;
                }
            }
        }
        Ok(Answer::Value(size(fitted)))
    }

    fn memory(&self, call: &Notification) -> io::Result<Memory> {
        let memory = Memory::of(call.thread)?;
        self.still_waits(call)?;
        Ok(memory)
    }

    /// Gives a socket a datagram, and it to the call that has waited longest for it.
    fn deliver(&self, udp: &Arc<Udp>, from: SocketAddr, payload: &[u8]) {
        let mut waiting = udp.deliver(from, payload);
        while let Some(call) = waiting {
            if self.post.listener.waits(call.id) {
                let taken = udp.take(call.leaves_it);
                let answer = taken.and_then(|taken| self.put(&call, udp, &taken));
                return self.post.listener.answer(call.id, or_errno(answer));
            }
            // Its thread was killed.
            waiting = udp.next_waiting();
        }
    }

    fn note_impatient(&self, udp: &Arc<Udp>) -> io::Result<()> {
        let mut all = self
            .impatient
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::downgrade(udp));
        self.wake.write(1)?;
        Ok(())
    }

    /// Takes what the filter and the command's sockets say until the filter is gone.
    pub(super) fn carry(&self) -> io::Result<()> {
        let arrives = EpollEvent::new(EpollFlags::EPOLLIN, FILTERS);
        self.epoll.add(self.post.telling.as_fd(), arrives)?;
        let woken = EpollEvent::new(EpollFlags::EPOLLIN, super::supervisor::WAKE);
        self.epoll.add(&self.wake, woken)?;
        let mut events = [EpollEvent::empty(); 64];
        let mut patience = EpollTimeout::NONE;
        loop {
            let ready = match self.epoll.wait(&mut events, patience) {
                Err(nix::errno::Errno::EINTR) => 0,
                ready => ready?,
            };
            for event in events.get(..ready).unwrap_or_default() {
                match event.data() {
                    FILTERS => self.hear_filter()?,
                    super::supervisor::WAKE => {
                        self.wake.read()?;
                    }
                    number => self.hear_socket(number),
                }
            }
            patience = self.end_waits();
        }
    }

    fn hear_filter(&self) -> io::Result<()> {
        loop {
            match self.post.telling.hear() {
                Ok(Heard::Answer(datagram)) => {
                    if let Some(udp) = self.ports.known_by(datagram.destination) {
                        self.deliver(&udp, datagram.source, &datagram.payload);
                    }
                }
                Ok(Heard::Refused {
                    source,
                    destination,
                }) => {
                    let udp = self.ports.known_by(source);
                    let waiting = udp.map(|udp| udp.refuse(destination));
                    for call in waiting.into_iter().flatten() {
                        let refused = Answer::Errno(libc::ECONNREFUSED);
                        self.post.listener.answer(call.id, refused);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what a command sent without saying whom to.
    fn hear_socket(&self, number: u64) {
        let Some(Made::Udp(udp)) = self.sockets.get(number) else {
            return;
        };
        for _ in 0..BATCH {
            let Some(payload) = udp.sent() else {
                return;
            };
            if let Some(to) = udp.peer() {
                // Lost, as on any network.
                let _ = self.pass_on(&udp, to, &payload);
            }
        }
    }

    /// Ends the calls that have waited long enough. Gives how long the next may wait yet.
    fn end_waits(&self) -> EpollTimeout {
        let now = Instant::now();
        let mut all = self
            .impatient
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut first: Option<Instant> = None;
        all.retain(|udp| {
            let Some(udp) = udp.upgrade() else {
                return false;
            };
            let (overdue, next) = udp.overdue(now);
            for call in overdue {
                self.post
                    .listener
                    .answer(call.id, Answer::Errno(libc::EAGAIN));
            }
            first = first.into_iter().chain(next).min();
            next.is_some()
        });
        let Some(first) = first else {
            return EpollTimeout::NONE;
        };
        let millis = first.saturating_duration_since(now).as_millis() + 1;
        EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX))
            .unwrap_or(EpollTimeout::ZERO)
    }
}

fn or_errno(answer: io::Result<Answer>) -> Answer {
    answer.unwrap_or_else(|error| Answer::Errno(error.raw_os_error().unwrap_or(libc::EIO)))
}

/// A message's head, and its pieces.
fn head(thread: i32, at: u64) -> io::Result<(Head, Vec<Piece>)> {
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
fn put_address(
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

fn size(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
