//! A filter's sockets, opened by another process where connections and datagrams are captured, and
//! handed to the one that starts the filter: each with a word that says what it is.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::capture::{KernelReports, Sockets};
use super::held::PacketSenders;
use super::inside::RawAnswers;
use crate::sys::netlink::Netfilter;

const STREAM: &str = "stream";
const DATAGRAM: &str = "datagram";
const ICMP: [&str; 2] = ["icmp4", "icmp6"];
const ANSWER: [&str; 2] = ["answer4", "answer6"];
const TO_LISTENER: [&str; 2] = ["listener4", "listener6"];
const TO_CLIENT: [&str; 2] = ["client4", "client6"];
const REPORTS: &str = "reports";
const HELD: &str = "held";

impl Sockets {
    /// Gives each of them, and what it is, to `hand`.
    ///
    /// # Errors
    /// What `hand` gives.
    pub fn hand_out(
        &self,
        mut hand: impl FnMut(&str, BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        use std::os::fd::AsFd;
        for stream in &self.streams {
            hand(STREAM, stream.as_fd())?;
        }
        for datagram in &self.datagrams {
            hand(DATAGRAM, datagram.as_fd())?;
        }
        for (is_v4, icmp) in &self.icmp {
            hand(of(ICMP, *is_v4), icmp.as_fd())?;
        }
        for (is_v4, answer) in self.answering.each() {
            hand(of(ANSWER, is_v4), answer)?;
        }
        let Some(kernel) = &self.kernel else {
            return Ok(());
        };
        for (is_v4, to_listener, to_client) in kernel.senders.each() {
            hand(of(TO_LISTENER, is_v4), to_listener)?;
            hand(of(TO_CLIENT, is_v4), to_client)?;
        }
        hand(REPORTS, kernel.reports.as_fd())?;
        hand(HELD, kernel.held.as_fd())
    }

    /// Puts them together again.
    ///
    /// # Errors
    /// `InvalidData` where one is missing or unknown.
    pub fn from_handed(handed: impl IntoIterator<Item = (String, OwnedFd)>) -> io::Result<Self> {
        let mut sockets = Self::none();
        let mut answering = Vec::new();
        let (mut to_listeners, mut to_clients) = (Vec::new(), Vec::new());
        let (mut reports, mut held) = (None, None);
        for (what, descriptor) in handed {
            let raw = |words: [&str; 2]| words.iter().position(|word| *word == what);
            if what == STREAM {
                sockets.streams.push(descriptor.into());
            } else if what == DATAGRAM {
                sockets.datagrams.push(descriptor.into());
            } else if what == REPORTS {
                reports = Some(Netfilter::from_descriptor(descriptor));
            } else if what == HELD {
                held = Some(Netfilter::from_descriptor(descriptor));
            } else if let Some(which) = raw(ICMP) {
                sockets.icmp.push((which == 0, descriptor.into()));
            } else if let Some(which) = raw(ANSWER) {
                answering.push((which == 0, descriptor.into()));
            } else if let Some(which) = raw(TO_LISTENER) {
                to_listeners.push((which == 0, descriptor.into()));
            } else if let Some(which) = raw(TO_CLIENT) {
                to_clients.push((which == 0, descriptor.into()));
            } else {
                return Err(invalid(&what));
            }
        }
        sockets.answering = RawAnswers::by(answering);
        sockets.kernel = Some(KernelReports {
            reports: reports.ok_or_else(|| invalid(REPORTS))?,
            held: held.ok_or_else(|| invalid(HELD))?,
            senders: PacketSenders::of(to_listeners, to_clients)
                .ok_or_else(|| invalid("sender"))?,
        });
        Ok(sockets)
    }
}

fn of(words: [&'static str; 2], is_v4: bool) -> &'static str {
    let [v4, v6] = words;
    if is_v4 { v4 } else { v6 }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("one socket too many or too few: {what}"),
    )
}
