//! Connections that are begun and never established: a scan of a captured port leaves half-open
//! handshakes and stray segments, which the kernel answers for the proxy's listener.
//!
//! Each is an attempt from its first packet on, until the connection is accepted and has a record
//! of its own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::awaited::{Awaited, REMEMBERED};
use crate::audit::Entry;

/// How long a handshake may take; and how long what comes of a closed connection still belongs to
/// it.
pub(super) const WITHIN: Duration = Duration::from_secs(10);
/// What the record says of one that took longer.
const NOTHING: &str =
    "no connection was established: an incomplete handshake, or a segment of no connection";

/// Who connects to whom. (Not socket addresses: those of accepted connections have a scope.)
pub(super) type Ends = ((IpAddr, u16), (IpAddr, u16));

/// The handshakes of one gateway.
#[derive(Debug)]
pub(super) struct Handshakes(Mutex<HandshakeTable>);

#[derive(Debug)]
struct HandshakeTable {
    begun: Awaited<Ends, ()>,
    /// When a connection was accepted, or ended.
    accepted: HashMap<Ends, Instant>,
}

impl Handshakes {
    /// None so far.
    pub(super) fn new() -> Self {
        Self(Mutex::new(HandshakeTable {
            begun: Awaited::new(WITHIN, NOTHING),
            accepted: HashMap::new(),
        }))
    }

    /// A packet that may open a connection was handed to the listener.
    pub(super) fn begun(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
        entry: impl FnOnce() -> Entry,
    ) {
        let flow = ends(source, destination);
        let mut table = self.table();
        if table
            .accepted
            .get(&flow)
            .is_none_or(|since| since.elapsed() >= WITHIN)
        {
            table.begun.await_or_begin(flow, entry);
        }
    }

    /// The connection came about, or ended just now.
    pub(super) fn accepted(&self, source: SocketAddr, destination: SocketAddr) {
        let flow = ends(source, destination);
        let mut table = self.table();
        table.begun.settle(&flow);
        if table.accepted.len() >= REMEMBERED {
            table.accepted.retain(|_, since| since.elapsed() < WITHIN);
        }
        if table.accepted.len() >= REMEMBERED {
            table.accepted.clear();
        }
        table.accepted.insert(flow, Instant::now());
    }

    /// Records those that have taken too long.
    pub(super) fn give_up(&self) {
        self.table().begun.give_up();
    }

    fn table(&self) -> MutexGuard<'_, HandshakeTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ends of a connection.
pub(super) fn ends(source: SocketAddr, destination: SocketAddr) -> Ends {
    (
        (source.ip(), source.port()),
        (destination.ip(), destination.port()),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::audit::{Direction, Kind, Subject};
    use crate::proxy::bench::Bench;

    struct Rig {
        bench: Bench,
        handshakes: Arc<Handshakes>,
    }

    impl Rig {
        fn new() -> Self {
            let handshakes = Arc::new(Handshakes::new());
            let waiting = Arc::clone(&handshakes);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    waiting.give_up();
                }
            });
            Self {
                bench: Bench::new(&[], Vec::new()),
                handshakes,
            }
        }

        fn ends(port: u16) -> (SocketAddr, SocketAddr) {
            (
                SocketAddr::from(([10, 0, 0, 2], port)),
                SocketAddr::from(([192, 0, 2, 7], 443)),
            )
        }

        fn begin(&self, port: u16) {
            let (source, destination) = Self::ends(port);
            let subject = Subject::new(Kind::Tcp, Direction::Out, source, destination);
            self.handshakes.begun(source, destination, || {
                self.bench.judge.journal.begin(subject)
            });
        }

        fn accept(&self, port: u16) {
            let (source, destination) = Self::ends(port);
            self.handshakes.accepted(source, destination);
        }

        fn recorded(&self) -> Vec<u16> {
            self.bench
                .records()
                .iter()
                .map(|record| record.source.port())
                .collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_handshake_is_recorded_once_and_a_whole_one_not_here() {
        let rig = Rig::new();
        [1, 1, 2].into_iter().for_each(|port| rig.begin(port));
        rig.accept(2);
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(rig.recorded().is_empty());
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(rig.recorded(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_accepted_before_we_were_told_and_what_is_late_after_the_end_are_no_attempts()
    {
        let rig = Rig::new();
        rig.accept(1);
        rig.begin(1);
        tokio::time::sleep(Duration::from_secs(60)).await;
        rig.accept(1);
        rig.begin(1);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(rig.recorded().is_empty());
        rig.begin(1);
        tokio::time::sleep(Duration::from_secs(12)).await;
        assert_eq!(rig.recorded(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_not_forgotten_nor_what_is_waited_for_at_the_end() {
        let rig = Rig::new();
        (0..5000).for_each(|port| rig.begin(port));
        let Rig { bench, handshakes } = rig;
        assert_eq!(bench.records().len(), 100);
        // What is waited for has an entry, which is recorded when it is dropped.
        *handshakes.table() = HandshakeTable {
            begun: Awaited::new(WITHIN, NOTHING),
            accepted: HashMap::new(),
        };
        bench.judge.journal.write_minute();
        assert_eq!(
            bench
                .records()
                .iter()
                .map(|record| record.count.unwrap_or(1))
                .sum::<u64>(),
            5000
        );
    }
}
