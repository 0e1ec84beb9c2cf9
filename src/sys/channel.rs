//! Messages between two of our processes, with descriptors: a pair of Unix sockets that preserve
//! message boundaries (unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag, SockType,
    recv, recvmsg, sendmsg, shutdown, socketpair,
};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

/// The longest message, in bytes: some three thousand addresses. (The kernel takes no longer ones
/// than `net.core.wmem_default`.)
pub const LONGEST: usize = 128 * 1024;
/// The most descriptors that come with one.
pub const DESCRIPTORS: usize = 2;

/// One end.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// A message and what came with it.
#[derive(Debug)]
pub struct Message {
    /// Its bytes: none where the other end is closed.
    pub bytes: Vec<u8>,
    /// Its descriptors.
    pub descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Both ends. They block.
    ///
    /// # Errors
    /// What `socketpair(2)` gives.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Self(one), Self(other)))
    }

    /// Sends a message whole.
    ///
    /// # Errors
    /// `EMSGSIZE` for one that is too long, `EPIPE` where the other end is closed, `WouldBlock`
    /// where it takes none just now.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_with(MsgFlags::empty(), bytes, descriptors)
    }

    /// Sends a message whole, or at once says that it can't.
    ///
    /// # Errors
    /// As [`Self::send`]; `WouldBlock` where the other end has no room for it just now.
    pub fn send_now(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_with(MsgFlags::MSG_DONTWAIT, bytes, &[])
    }

    fn send_with(
        &self,
        flags: MsgFlags,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        if bytes.len() > LONGEST {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let control = if numbers.is_empty() {
            &[][..]
        } else {
            &rights[..]
        };
        let flags = flags | MsgFlags::MSG_NOSIGNAL;
        let (socket, bytes) = (self.0.as_raw_fd(), [IoSlice::new(bytes)]);
        loop {
            match sendmsg::<()>(socket, &bytes, control, flags, None) {
                Err(Errno::EINTR) => {}
                sent => return Ok(sent.map(drop)?),
            }
        }
    }

    /// Takes one message.
    ///
    /// # Errors
    /// `InvalidData` for one that is longer than any of ours and `ENOBUFS` for one that comes with
    /// more, after which it is not to be gone on with; `WouldBlock` where there is none.
    #[expect(unsafe_code, reason = "nix gives received descriptors as numbers")]
    pub fn receive(&self, wait: bool) -> io::Result<Message> {
        let wait = if wait {
            MsgFlags::empty()
        } else {
            MsgFlags::MSG_DONTWAIT
        };
        // Room for the longest would be 32 pages to be cleared, for a few words mostly.
        let mut bytes = vec![0; self.length_of_next(wait)?.min(LONGEST)];
        let mut space = cmsg_space!([RawFd; DESCRIPTORS]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | wait;
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        // With a time limit it ends, too, when the process was stopped and goes on (signal(7)).
        let received = loop {
            match recvmsg::<()>(self.0.as_raw_fd(), &mut buffers, Some(&mut space), flags) {
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                received => break received?,
            }
        };
        let (length, whole) = (
            received.bytes,
            !received.flags.contains(MsgFlags::MSG_TRUNC),
        );
        let mut descriptors = Vec::new();
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = message {
                // SAFETY: the kernel just made these descriptors for this message, and nobody else
                // knows them.
                descriptors.extend(
                    numbers
                        .into_iter()
                        .map(|number| unsafe { OwnedFd::from_raw_fd(number) }),
                );
            }
        }
        if !whole {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.truncate(length);
        Ok(Message { bytes, descriptors })
    }

    /// The length of the message that is taken next: it stays, with its descriptors. An end that closed before
    /// it took what it was sent is an error once (unix(7)), and then one that is closed.
    fn length_of_next(&self, wait: MsgFlags) -> io::Result<usize> {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC | wait;
        loop {
            match recv(self.0.as_raw_fd(), &mut [], flags) {
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                length => return Ok(length?),
            }
        }
    }

    /// Closes this end in a copy of the process (fork(2)), which must neither use nor drop it. Else the
    /// other end would not be told when this process ends.
    #[expect(unsafe_code, reason = "the owner is in another process")]
    pub fn close_in_copy(&self) {
        // SAFETY: closes a descriptor of this process alone; its owner is the value of which this is a
        // copy, and this one isn't used or dropped.
        let _ = unsafe { libc::close(self.0.as_raw_fd()) };
    }

    /// Bounds how long [`Self::receive`] and [`Self::send`] wait.
    ///
    /// # Errors
    /// What `setsockopt(2)` gives.
    pub fn wait_at_most(&self, patience: Duration) -> io::Result<()> {
        let patience =
            TimeVal::milliseconds(i64::try_from(patience.as_millis()).unwrap_or(i64::MAX));
        setsockopt(&self.0, sockopt::ReceiveTimeout, &patience)?;
        Ok(setsockopt(&self.0, sockopt::SendTimeout, &patience)?)
    }

    /// Says that nothing more will be sent from this end.
    ///
    /// # Errors
    /// What `shutdown(2)` gives.
    pub fn end(&self) -> io::Result<()> {
        Ok(shutdown(self.0.as_raw_fd(), Shutdown::Write)?)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    #[test]
    fn messages_stay_apart_and_bring_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        let file = File::open("/proc/self/comm").unwrap();
        one.send(b"first", &[file.as_fd()]).unwrap();
        one.send(b"second", &[]).unwrap();
        one.end().unwrap();
        let first = other.receive(true).unwrap();
        assert_eq!(first.bytes, b"first");
        let mut text = String::new();
        File::from(first.descriptors.into_iter().next().unwrap())
            .read_to_string(&mut text)
            .unwrap();
        assert!(!text.is_empty());
        assert_eq!(other.receive(true).unwrap().bytes, b"second");
        assert!(other.receive(true).unwrap().bytes.is_empty());
        other.send(b"back", &[]).unwrap();
        assert_eq!(one.receive(false).unwrap().bytes, b"back");
        assert_eq!(
            one.receive(false).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }

    #[test]
    fn an_end_that_closed_with_something_unread_is_closed() {
        let (one, other) = Channel::pair().unwrap();
        other.send(b"said last", &[]).unwrap();
        one.send(b"never read", &[]).unwrap();
        drop(other);
        assert_eq!(one.receive(true).unwrap().bytes, b"said last");
        for _ in 0..2 {
            assert!(one.receive(false).unwrap().bytes.is_empty());
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let (one, other) = Channel::pair().unwrap();
        assert!(one.send(&vec![0; LONGEST + 1], &[]).is_err());
        let file = File::open("/proc/self/comm").unwrap();
        one.send(b"x", &[file.as_fd(); DESCRIPTORS + 1]).unwrap();
        assert_eq!(
            other.receive(true).unwrap_err().raw_os_error(),
            Some(libc::ENOBUFS)
        );
    }
}
