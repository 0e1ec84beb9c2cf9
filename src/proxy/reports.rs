//! A socket on which the kernel reports packets, and how many of its reports were lost.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::judge::Judge;
use crate::audit::{Direction, Kind, Subject};
use crate::policy::Denial;
use crate::sys::netlink::Netfilter;

/// The reports of one log group.
#[derive(Debug)]
pub(super) struct Reports {
    socket: Netfilter,
    numbers: Numbers,
}

impl Reports {
    /// None so far.
    pub(super) fn on(socket: Netfilter) -> Self {
        Self {
            socket,
            numbers: Numbers::default(),
        }
    }

    /// Takes one datagram of reports; none where some were lost instead, or the call was broken off.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing.
    pub(super) fn take(&mut self) -> io::Result<Vec<u8>> {
        match self.socket.take() {
            // The next one's number shows how many.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.numbers.some_lost = true;
                Ok(Vec::new())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Vec::new()),
            taken => taken,
        }
    }

    /// Records how many were lost before the one of this number.
    pub(super) fn record_lost_before(&mut self, number: u32, judge: &Judge) {
        record_lost(self.numbers.lost_before(number), judge);
    }

    /// Records those that were lost last. How many is not known any more: one at least.
    pub(super) fn record_lost_last(&self, judge: &Judge) {
        record_lost(u32::from(self.numbers.some_lost), judge);
    }
}

impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The numbers of reports: each is one more than the last, or some were lost.
#[derive(Debug, Default)]
struct Numbers {
    next: u32,
    /// Whether the kernel said that some were lost, and no number was missing since: it says so
    /// before the reports that were waiting then.
    some_lost: bool,
}

impl Numbers {
    fn lost_before(&mut self, number: u32) -> u32 {
        let expected = std::mem::replace(&mut self.next, number.wrapping_add(1));
        let lost = number.wrapping_sub(expected);
        self.some_lost &= lost == 0;
        lost
    }
}

/// Packets came faster than they could be read: that many are recorded as a count.
fn record_lost(lost: u32, judge: &Judge) {
    if lost == 0 {
        return;
    }
    let nowhere = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
    let entry = judge.begin(Subject::new(Kind::Other, Direction::Out, nowhere, nowhere));
    entry.deny_many(
        &Denial::because(
            "packets came too fast to be recorded one by one: refused, opening a connection, or fragments",
        ),
        Some(lost.into()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_the_numbers_tells_how_many_were_lost() {
        let mut numbers = Numbers::default();
        let lost: Vec<u32> = [0, 1, 5, u32::MAX, 0, 2]
            .into_iter()
            .map(|number| numbers.lost_before(number))
            .collect();
        assert_eq!(lost, [0, 0, 3, u32::MAX - 6, 0, 1]);
    }

    #[test]
    fn what_is_lost_last_is_not_forgotten_for_what_was_waiting_before_it() {
        let mut numbers = Numbers {
            next: 7,
            some_lost: true,
        };
        assert_eq!((numbers.lost_before(7), numbers.some_lost), (0, true));
        assert_eq!((numbers.lost_before(9), numbers.some_lost), (1, false));
    }
}
