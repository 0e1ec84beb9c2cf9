//! Answers neighbours on one link, as long as the link is there.

use std::os::fd::OwnedFd;

use crate::packets::arp_ndp::{StandsFor, answer_arp, answer_ndp};
use crate::sys::readiness;
use crate::sys::socket;

/// Longer than any question that is answered.
const LONGEST: usize = 128;

/// A link on which somebody must answer, with the sockets to do so.
#[derive(Debug)]
pub(super) struct NeighbourResponder {
    mac: [u8; 6],
    stands_for: StandsFor,
    arp: socket2::Socket,
    ndp: socket2::Socket,
}

impl NeighbourResponder {
    /// Those that come by two sockets, one for each protocol. They wait in them until
    /// [`Self::answer`].
    pub(super) fn from(mac: [u8; 6], stands_for: StandsFor, [arp, ndp]: [OwnedFd; 2]) -> Self {
        Self {
            mac,
            stands_for,
            arp: arp.into(),
            ndp: ndp.into(),
        }
    }

    /// Answers until the link is gone.
    pub(super) async fn answer(self) {
        tokio::join!(
            each(&self.arp, |packet| answer_arp(
                packet,
                &self.stands_for,
                self.mac
            )),
            each(&self.ndp, |packet| answer_ndp(
                packet,
                &self.stands_for,
                self.mac
            )),
        );
    }
}

async fn each(socket: &socket2::Socket, answer: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let Ok(arrived) = readiness::of(socket) else {
        return;
    };
    let mut buffer = [0; LONGEST];
    while let Ok(mut ready) = arrived.readable().await {
        match ready.try_io(|_| socket::receive_question(socket, &mut buffer)) {
            Ok(Ok((length, asker))) => {
                if let Some(answer) = buffer.get(..length).and_then(&answer) {
                    // A lost answer is asked for again.
                    let _ = socket::answer_question(socket, &answer, &asker);
                }
            }
            // ENETDOWN: the link was taken down or is gone.
            Ok(Err(_)) => return,
            Err(_) => {}
        }
    }
}
