//! Answers neighbours on one link, as long as the link is there.

use std::io;
use std::sync::Arc;

use crate::gateway::link::Link;
use crate::gateway::neighbour::{StandsFor, answer_arp, answer_ndp};
use crate::sys::readiness;
use crate::sys::socket::{self, Asked};

/// Longer than any question that is answered.
const LONGEST: usize = 128;

/// A link on which somebody must answer, with the sockets to do so.
#[derive(Debug)]
pub(super) struct Questions {
    station: [u8; 6],
    stands_for: StandsFor,
    arp: socket2::Socket,
    ndp: socket2::Socket,
}

impl Questions {
    /// Opens the sockets, in the namespace of this thread. Questions wait in them until [`Self::answer`].
    pub(super) fn open(link: &Link, stands_for: StandsFor) -> io::Result<Self> {
        let station = <[u8; 6]>::try_from(link.station.as_slice())
            .map_err(|_| io::Error::new(io::ErrorKind::Unsupported, format!("{} is no Ethernet", link.name)))?;
        let (arp, ndp) = (socket::questions(link.index, Asked::Arp)?, socket::questions(link.index, Asked::Ndp)?);
        Ok(Self { station, stands_for, arp, ndp })
    }

    /// Answers until the link is gone.
    pub(super) async fn answer(self: Arc<Self>) {
        tokio::join!(
            each(&self.arp, |packet| answer_arp(packet, &self.stands_for, self.station)),
            each(&self.ndp, |packet| answer_ndp(packet, &self.stands_for, self.station)),
        );
    }
}

async fn each(socket: &socket2::Socket, answer: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let Ok(arrived) = readiness::of(socket) else { return };
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
