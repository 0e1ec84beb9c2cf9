//! Netlink sockets: rtnetlink requests and dumps, nf_tables batches, and the two kinds of messages
//! that arrive unasked. Each socket belongs to the namespace it was opened in and is used from
//! anywhere.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};

/// The kernel's answers come in datagrams of at most 32 KiB (`NLMSG_GOODSIZE`, doubled for dumps).
const DATAGRAM: usize = 64 * 1024;

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
        let mut answers = self.exchange(message, NLM_F_REQUEST | NLM_F_ACK)?;
        answers
            .pop()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Asks for everything of a kind.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn dump(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_DUMP)
    }

    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
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

    fn answers(&self) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut answers = Vec::new();
        loop {
            let datagram = receive(&self.socket, 0)?;
            for message in messages(&datagram) {
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::Error(error) => {
                        return error.code.map_or(Ok(answers), |_| Err(error.to_io()));
                    }
                    _ => {}
                }
            }
        }
    }
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

    /// Takes what has been announced. An overrun (`ENOBUFS`) counts as an announcement of something
    /// unknown: empty list.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing.
    pub fn take(&self) -> io::Result<Vec<RouteNetlinkMessage>> {
        match receive(&self.0, libc::MSG_DONTWAIT) {
            Ok(datagram) => Ok(messages(&datagram)
                .filter_map(|message| match message.payload {
                    NetlinkPayload::InnerMessage(inner) => Some(inner),
                    _ => None,
                })
                .collect()),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Vec::new()),
            Err(error) => Err(error),
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
#[must_use]
pub fn acknowledgements(datagram: &[u8]) -> Vec<i32> {
    const NLMSG_ERROR: u16 = 2;
    let mut codes = Vec::new();
    let mut rest = datagram;
    while let (Some(length), Some(kind)) = (u32_at(rest, 0), u16_at(rest, 4)) {
        let length = length as usize;
        if let (NLMSG_ERROR, Some(code)) = (kind, u32_at(rest, 16)) {
            codes.push(code.cast_signed());
        }
        match rest.get(length.max(16).next_multiple_of(4)..) {
            Some(next) => rest = next,
            None => break,
        }
    }
    codes
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(offset..offset + 4)?.try_into().ok()?,
    ))
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(
        bytes.get(offset..offset + 2)?.try_into().ok()?,
    ))
}

fn receive(socket: &Socket, flags: i32) -> io::Result<Vec<u8>> {
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

/// The well-formed messages of a datagram.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>> + '_ {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        loop {
            let length = u32_at(rest, 0)? as usize;
            let message = rest.get(..length.max(16))?;
            rest = rest
                .get(length.max(16).next_multiple_of(4)..)
                .unwrap_or_default();
            // A message that this crate's version can't parse (a newer kernel's) is skipped, not
            // fatal.
            if let Ok(message) = NetlinkMessage::deserialize(message) {
                return Some(message);
            }
        }
    })
}
