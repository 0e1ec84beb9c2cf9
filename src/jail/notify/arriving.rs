//! What arrives for a command: datagrams, given to its sockets and to the calls that wait for one; and
//! what its sockets sent without saying whom to.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};

use super::address;
use super::datagrams::{head, put_address, size};
use super::message::{self, Head};
use super::pool::Outcome;
use super::request::{Piece, Request};
use super::sockets::Made;
use super::supervisor::{Supervisor, WAKE};
use super::udp::{Room, Taken, Udp, Waiting};
use crate::proxy::told::Heard;
use crate::sys::notify::{Answer, Memory, Notification};
use crate::sys::stand_in;

/// What the filter's words are known by; numbers of files are larger.
const FILTERS: u64 = 0;
/// Datagrams that are taken of one socket before others have their turn.
const BATCH: usize = 32;

impl Supervisor {
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

    /// Gives a socket a datagram, and it to the call that has waited longest for it.
    pub(super) fn deliver(&self, udp: &Arc<Udp>, from: SocketAddr, payload: &[u8]) {
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
        let woken = EpollEvent::new(EpollFlags::EPOLLIN, WAKE);
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
                    WAKE => {
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
