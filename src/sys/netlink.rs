//! Netlink sockets: rtnetlink requests and dumps, nf_tables batches, and the two kinds of messages
//! that arrive unasked; and the one walk over messages and attributes, which is pure. Each socket
//! belongs to the namespace it was opened in and is used from anywhere.
//!
//! The walk is our own, since netlink-packet-core's takes longer (`NetlinkBuffer` 1.2 times,
//! `NlasIterator` 1.3 times, and ten times where a length is wrong: its errors are formatted texts).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};

/// The kernel's answers come in datagrams of at most 32 KiB (`NLMSG_GOODSIZE`, doubled for dumps).
const DATAGRAM: usize = 64 * 1024;

/// The type of a message that acknowledges a request, or says why it failed (linux/netlink.h).
pub(super) const NLMSG_ERROR: u16 = 2;
/// The type of the message that ends a dump.
pub(super) const NLMSG_DONE: u16 = 3;
/// On a message of a dump: what is dumped has changed since it began.
pub(super) const NLM_F_DUMP_INTR: u16 = 0x10;

/// A request socket for links, addresses, routes, neighbours and rules of one namespace.
#[derive(Debug)]
pub struct Route {
    socket: Socket,
    sequence: u32,
}

impl Route {
    /// Opens one in the namespace of this thread.
    ///
    /// # Errors
    /// What `socket(2)` gives.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Sends one request and waits for its acknowledgement. `flags` are added to `NLM_F_REQUEST |
    /// NLM_F_ACK`.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags)
            .map(drop)
    }

    /// Sends one query that has one answer.
    ///
    /// # Errors
    /// The kernel's errno; `NotFound` where it answered nothing.
    pub fn query(&mut self, message: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        let answer = self.query_unread(message)?;
        inner(&answer)
            .last()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// The same, with the answer as it is.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn query_unread(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<u8>> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK)
            .map(|answers| answers.messages)
    }

    /// Asks for everything of a kind.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn dump(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let answers = self.dump_unread(message)?;
        Ok(inner(&answers.messages).collect())
    }

    /// The same, with the answers as they are.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn dump_unread(&mut self, message: RouteNetlinkMessage) -> io::Result<Answers> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_DUMP)
    }

    fn exchange(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Answers> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        self.answers()
    }

    fn answers(&self) -> io::Result<Answers> {
        let mut answers = Answers {
            messages: Vec::new(),
            interrupted: false,
        };
        loop {
            let datagram = receive(&self.socket, 0)?;
            for message in raw_messages(&datagram) {
                if message.sequence != self.sequence {
                    continue;
                }
                answers.interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_DONE => return Ok(answers),
                    NLMSG_ERROR => {
                        return match error_code(&message) {
                            Some(0) => Ok(answers),
                            Some(code) => Err(io::Error::from_raw_os_error(-code)),
                            None => Err(io::ErrorKind::InvalidData.into()),
                        };
                    }
                    _ => {
                        answers.messages.extend(message.bytes);
                        let padded = answers.messages.len().next_multiple_of(4);
                        answers.messages.resize(padded, 0);
                    }
                }
            }
        }
    }
}

/// What the kernel answered.
#[derive(Debug)]
pub struct Answers {
    /// The messages, one behind another.
    pub messages: Vec<u8>,
    /// Whether what was asked for changed meanwhile, so that something may be missing
    /// (`NLM_F_DUMP_INTR`).
    pub interrupted: bool,
}

/// A non-blocking socket on which the kernel announces changes of links, addresses and routes.
#[derive(Debug)]
pub struct Announcements(Socket);

impl Announcements {
    /// Opens one in the namespace of this thread.
    ///
    /// # Errors
    /// What `socket(2)` and `bind(2)` give.
    pub fn open() -> io::Result<Self> {
        // RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR |
        // RTMGRP_IPV6_ROUTE, rtnetlink(7).
        const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, GROUPS))?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Takes one datagram of what has been announced. An overrun (`ENOBUFS`) counts as an
    /// announcement of something unknown: nothing in it.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing.
    pub fn take(&self) -> io::Result<Vec<u8>> {
        match receive(&self.0, libc::MSG_DONTWAIT) {
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Vec::new()),
            taken => taken,
        }
    }
}

impl AsFd for Announcements {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A socket for nf_tables batches and for packets that rules log (`nfnetlink`, raw bytes).
#[derive(Debug)]
pub struct Netfilter(Socket);

impl Netfilter {
    /// Opens one in the namespace of this thread.
    ///
    /// # Errors
    /// What `socket(2)` gives.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        Ok(Self(socket))
    }

    /// The one that another process opened, and handed to this one.
    #[expect(unsafe_code, reason = "netlink-sys has no other way")]
    pub fn from_descriptor(descriptor: OwnedFd) -> Self {
        // SAFETY: the descriptor is open, and nobody else's from now on.
        Self(unsafe { Socket::from_raw_fd(descriptor.into_raw_fd()) })
    }

    /// Sends messages of which `acknowledged` ask for an acknowledgement, and waits for those.
    ///
    /// # Errors
    /// The first errno among them. An nf_tables batch is then undone as a whole by the kernel.
    pub fn transact(&self, bytes: &[u8], acknowledged: usize) -> io::Result<()> {
        self.0.send_to(bytes, &SocketAddr::new(0, 0), 0)?;
        let mut left = acknowledged;
        while left > 0 {
            for code in acknowledgements(&receive(&self.0, 0)?) {
                if code != 0 {
                    return Err(io::Error::from_raw_os_error(-code));
                }
                left = left.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Makes the socket non-blocking, for [`Self::take`].
    ///
    /// # Errors
    /// What `fcntl(2)` gives.
    pub fn listen(&self, receive_buffer: usize) -> io::Result<()> {
        self.0.set_rx_buf_sz(receive_buffer)?;
        self.0.set_non_blocking(true)
    }

    /// Takes one datagram of messages.
    ///
    /// # Errors
    /// `WouldBlock`; `ENOBUFS` where messages were lost because we were too slow.
    pub fn take(&self) -> io::Result<Vec<u8>> {
        receive(&self.0, libc::MSG_DONTWAIT)
    }
}

impl AsFd for Netfilter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The error codes (0: success) of the `NLMSG_ERROR` messages in a datagram.
pub fn acknowledgements(datagram: &[u8]) -> impl Iterator<Item = i32> + '_ {
    raw_messages(datagram)
        .filter(|message| message.kind == NLMSG_ERROR)
        .filter_map(|message| error_code(&message))
}

pub(super) fn error_code(message: &RawMessage<'_>) -> Option<i32> {
    message
        .payload
        .first_chunk()
        .map(|code| i32::from_ne_bytes(*code))
}

fn inner(datagram: &[u8]) -> impl Iterator<Item = RouteNetlinkMessage> + '_ {
    messages(datagram).filter_map(|message| match message.payload {
        NetlinkPayload::InnerMessage(inner) => Some(inner),
        _ => None,
    })
}

/// The well-formed rtnetlink messages of a datagram. One that this crate's version can't parse (a
/// newer kernel's) is skipped.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>> + '_ {
    raw_messages(datagram).filter_map(|message| NetlinkMessage::deserialize(message.bytes).ok())
}

/// One message of a datagram, unparsed (`nlmsghdr`, linux/netlink.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawMessage<'a> {
    /// Its type (`nlmsg_type`).
    pub kind: u16,
    /// What follows the header.
    pub payload: &'a [u8],
    pub(super) flags: u16,
    sequence: u32,
    /// Header and payload, without padding.
    bytes: &'a [u8],
}

/// The messages of a datagram, up to the first whose length is wrong.
pub fn raw_messages(datagram: &[u8]) -> impl Iterator<Item = RawMessage<'_>> {
    const KIND: usize = 4;
    const FLAGS: usize = 6;
    const SEQUENCE: usize = 8;
    const HEADER: usize = 16;
    let length = |rest: &[u8]| {
        let length = u32::from_ne_bytes(*rest.first_chunk()?);
        usize::try_from(length).ok()
    };
    padded(datagram, HEADER, length).filter_map(|bytes| {
        Some(RawMessage {
            kind: u16::from_ne_bytes(*bytes.get(KIND..)?.first_chunk()?),
            payload: bytes.get(HEADER..)?,
            flags: u16::from_ne_bytes(*bytes.get(FLAGS..)?.first_chunk()?),
            sequence: u32::from_ne_bytes(*bytes.get(SEQUENCE..)?.first_chunk()?),
            bytes,
        })
    })
}

/// The attributes in a message, as type and value (`nlattr`, linux/netlink.h), up to the first whose
/// length is wrong. The type's flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`) are left in it.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const KIND: usize = 2;
    const HEADER: usize = 4;
    let length = |rest: &[u8]| Some(u16::from_ne_bytes(*rest.first_chunk()?).into());
    padded(bytes, HEADER, length).filter_map(|attribute| {
        let kind = u16::from_ne_bytes(*attribute.get(KIND..)?.first_chunk()?);
        Some((kind, attribute.get(HEADER..)?))
    })
}

/// Splits what stands one behind another, each beginning with its length (that of its header
/// included) and padded to four bytes: messages and attributes alike.
fn padded(
    mut rest: &[u8],
    header: usize,
    length: impl Fn(&[u8]) -> Option<usize>,
) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = length(rest).filter(|length| *length >= header)?;
        let one = rest.get(..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(one)
    })
}

pub(super) fn receive(socket: &Socket, flags: i32) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(DATAGRAM);
    loop {
        buffer.clear();
        match socket.recv_from(&mut buffer, flags) {
            // Only the kernel (port 0) is believed.
            Ok((_, sender)) if sender.port_number() == 0 => return Ok(buffer),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32) -> Vec<u8> {
        let mut message = 20_u32.to_ne_bytes().to_vec();
        message.extend(NLMSG_ERROR.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(code.to_ne_bytes());
        message
    }

    #[test]
    fn acknowledgements_are_told_in_order() {
        let both = [error(0), error(-17)].concat();
        assert_eq!(acknowledgements(&both).collect::<Vec<_>>(), [0, -17]);
    }

    #[test]
    fn a_message_that_is_cut_or_shorter_than_its_header_ends_the_walk() {
        for length in [0_u32, 15, 21] {
            let mut second = error(-17);
            second.splice(..4, length.to_ne_bytes());
            let both = [error(0), second].concat();
            assert_eq!(acknowledgements(&both).collect::<Vec<_>>(), [0]);
        }
    }

    #[test]
    fn attributes_are_padded_to_four_bytes() {
        let mut bytes = [5_u16.to_ne_bytes(), 9_u16.to_ne_bytes()].concat();
        bytes.extend([7, 0, 0, 0]);
        bytes.extend([4_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
        bytes.extend([3_u16.to_ne_bytes(), 2_u16.to_ne_bytes()].concat());
        let found: Vec<_> = attributes(&bytes).collect();
        assert_eq!(found, [(9, [7].as_slice()), (1, [].as_slice())]);
    }
}
