//! Enlarges sockets' buffers: by itself up to the host's limit for everybody, beyond that through
//! the keeper, which may exceed it. The keeper's part comes a little later, or not at all if it is
//! gone.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::keeper::{ToKeeper, tell};
use crate::sys::buffers::{self, Queue};
use crate::sys::channel::Channel;

/// Whoever enlarges buffers, for all sockets of one filter.
#[derive(Debug)]
pub(super) struct Enlarger {
    keeper: OnceLock<Arc<Channel>>,
    /// The most that the host lets everybody have, as far as that was met.
    received: AtomicUsize,
    sent: AtomicUsize,
}

impl Default for Enlarger {
    fn default() -> Self {
        let unknown = || AtomicUsize::new(usize::MAX);
        Self {
            keeper: OnceLock::new(),
            received: unknown(),
            sent: unknown(),
        }
    }
}

impl Enlarger {
    /// Has somebody to ask from now on.
    pub(super) fn ask(&self, keeper: Arc<Channel>) {
        // There is but one keeper.
        let _ = self.keeper.set(keeper);
    }

    /// Has a buffer of a socket hold so many bytes.
    pub(super) fn enlarge(&self, socket: &impl AsFd, queue: Queue, bytes: usize) {
        let most = match queue {
            Queue::Received => &self.received,
            Queue::Sent => &self.sent,
        };
        // To try in vain would make one smaller that the keeper has made larger before.
        if bytes <= most.load(Relaxed) {
            match buffers::bound(socket, queue, bytes).and_then(|()| buffers::size(socket, queue)) {
                Ok(given) if given < bytes => most.store(given, Relaxed),
                // It has the room, and goes on with less where the kernel doesn't give it.
                _ => return,
            }
        }
        if let Some(keeper) = self.keeper.get() {
            // Without it, the buffer stays as it is.
            let _ = tell(
                keeper,
                &ToKeeper::Enlarge(queue, bytes),
                Some(socket.as_fd()),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// More than any host lets everybody have.
    const HUGE: usize = 1 << 30;

    fn enlarger() -> (Channel, Enlarger, TcpListener) {
        let (keeper, filter) = Channel::pair().unwrap();
        let enlarger = Enlarger::default();
        enlarger.ask(Arc::new(filter));
        (keeper, enlarger, TcpListener::bind("127.0.0.1:0").unwrap())
    }

    #[test]
    fn what_the_host_gives_nobody_is_asked_of_the_keeper_and_only_that() {
        let (keeper, enlarger, socket) = enlarger();
        enlarger.enlarge(&socket, Queue::Received, 16 * 1024);
        assert_eq!(
            keeper.receive(false).unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock
        );
        assert_eq!(buffers::size(&socket, Queue::Received).unwrap(), 16 * 1024);
        for (queue, bytes) in [
            (Queue::Received, HUGE),
            (Queue::Sent, HUGE),
            (Queue::Received, HUGE / 2),
        ] {
            enlarger.enlarge(&socket, queue, bytes);
            let asked = keeper.receive(false).unwrap();
            assert_eq!(
                ToKeeper::decode(&asked.bytes).unwrap(),
                ToKeeper::Enlarge(queue, bytes)
            );
            assert_eq!(asked.descriptors.len(), 1);
        }
    }

    #[test]
    fn what_the_keeper_has_made_large_is_not_made_smaller_on_the_way_to_more() {
        let (_keeper, enlarger, socket) = enlarger();
        enlarger.enlarge(&socket, Queue::Received, HUGE);
        let most = buffers::size(&socket, Queue::Received).unwrap();
        // As if the keeper had: who isn't root can't make it larger.
        buffers::bound(&socket, Queue::Received, 8 * 1024).unwrap();
        enlarger.enlarge(&socket, Queue::Received, HUGE);
        assert!(most > 8 * 1024);
        assert_eq!(buffers::size(&socket, Queue::Received).unwrap(), 8 * 1024);
    }
}
