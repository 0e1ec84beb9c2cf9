//! SYNs against far ends that do as they are told.

use std::pin::Pin;

use tokio::net::TcpListener;

use super::*;
use crate::policy::{DeniedNames, Permit, UpstreamAddr};
use crate::proxy::bench::Bench;
use crate::proxy::dial::{DialError, Outside};
use crate::proxy::rig;
use crate::proxy::stream::{Stream, Streams};

/// Far ends that do as their port says.
#[derive(Debug)]
struct FarEnds {
    streams: Streams,
    listener: SocketAddr,
    asked: Arc<AtomicU64>,
}

const SPEAKS: u16 = 1;
const REFUSES: u16 = 2;
const SILENT: u16 = 3;
const LACKS: u16 = 4;

impl Outside for FarEnds {
    fn dial<'a>(
        &'a self,
        _permit: &'a Permit,
        _client: SocketAddr,
        _destination: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Upstream, DialError>> + Send + 'a>> {
        unreachable!("what is held is asked")
    }

    fn ask<'a>(
        &'a self,
        address: UpstreamAddr,
        _client: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Stream, NoAnswer>> + Send + 'a>> {
        self.asked.fetch_add(1, Relaxed);
        Box::pin(async move {
            match address.socket_addr().port() {
                SPEAKS => {
                    let room = self.streams.room().unwrap();
                    let tcp = rig::connect(self.listener).await.unwrap();
                    Ok(room.of(tcp).unwrap())
                }
                REFUSES => Err(NoAnswer::Reset),
                LACKS => Err(NoAnswer::NotAsked),
                _ => std::future::pending().await,
            }
        })
    }
}

struct Rig {
    bench: Bench,
    held: Arc<Held>,
    asked: Arc<AtomicU64>,
    _listener: TcpListener,
}

async fn rig() -> Rig {
    let bench = Bench::new(&["cidr=192.0.2.0/24"], Vec::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asked = Arc::default();
    let services = ConnectionServices {
        judge: bench.judge.clone(),
        streams: bench.streams.clone(),
        egress: Arc::clone(&bench.egress),
        pool: Arc::default(),
        outside: Arc::new(FarEnds {
            streams: bench.streams.clone(),
            listener: listener.local_addr().unwrap(),
            asked: Arc::clone(&asked),
        }),
        interception: None,
        denied_note: None,
        denied_names: DeniedNames::default(),
    };
    let handshakes = Arc::new(Handshakes::new());
    let held = Held::new(Arc::new(services), handshakes, PacketSenders::default());
    Rig {
        bench,
        held: Arc::new(held),
        asked,
        _listener: listener,
    }
}

impl Rig {
    fn ends(from: u16, to: u16) -> (SocketAddr, SocketAddr) {
        (([10, 0, 0, 2], from).into(), ([192, 0, 2, 1], to).into())
    }

    fn hear(&self, from: u16, to: u16) {
        let (source, destination) = Self::ends(from, to);
        self.held.hear(HeldSyn::between(source, destination, 0));
    }

    async fn expected(&self, from: u16, to: u16) -> Expected {
        let (source, destination) = Self::ends(from, to);
        loop {
            if let Some(expected) = self.held.expected(source, destination) {
                return expected;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn asked(&self, times: u64) {
        while self.asked.load(Relaxed) < times {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.asked.load(Relaxed), times);
    }

    /// The only attempt's verdict and reason, once it has ended.
    async fn recorded(&self) -> (String, Option<String>) {
        let mut records = self.bench.records();
        while records.iter().all(|record| record.ended.is_none()) {
            tokio::task::yield_now().await;
            records = self.bench.records();
        }
        assert_eq!(records.len(), 1, "{records:?}");
        let record = records.remove(0);
        (record.verdict, record.reason)
    }
}

#[tokio::test]
async fn a_far_end_that_answers_is_given_to_the_connection_that_is_accepted() {
    let rig = rig().await;
    rig.hear(1000, SPEAKS);
    let Expected { begun, .. } = rig.expected(1000, SPEAKS).await;
    assert!(begun.ahead.is_some_and(|ahead| ahead.is_quiet()));
    let (source, destination) = Rig::ends(1000, SPEAKS);
    assert!(rig.held.expected(source, destination).is_none(), "once");
}

#[tokio::test]
async fn what_could_not_be_asked_is_accepted_without() {
    let rig = rig().await;
    rig.hear(1000, LACKS);
    assert!(rig.expected(1000, LACKS).await.begun.ahead.is_none());
}

#[tokio::test]
async fn a_far_end_that_refuses_is_recorded_once() {
    let rig = rig().await;
    rig.hear(1000, REFUSES);
    let refused = "connecting to 192.0.2.1:2: connection refused".to_owned();
    assert_eq!(rig.recorded().await, ("allow".to_owned(), Some(refused)));
    assert!(rig.held.table().flows.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_repeated_syn_asks_nobody_and_a_client_that_repeats_none_is_gone() {
    let rig = rig().await;
    rig.hear(1000, SILENT);
    // As Linux repeats them.
    for pause in [1, 2, 4] {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        rig.hear(1000, SILENT);
    }
    assert_eq!(rig.asked.load(Relaxed), 1);
    tokio::time::sleep(Duration::from_secs(17)).await;
    assert!(!rig.held.table().flows.is_empty());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(rig.held.table().flows.is_empty());
    let (verdict, reason) = rig.recorded().await;
    assert_eq!(verdict, "allow");
    assert!(
        reason
            .unwrap()
            .ends_with("no answer while the client waited")
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_may_and_it_is_told_how_many_were_accepted_first() {
    let rig = rig().await;
    let most = HELD_AT_ONCE;
    (0..most + 3).for_each(|port| rig.hear(1000 + port, SILENT));
    rig.asked(most.into()).await;
    assert_eq!(rig.held.accepted_first.load(Relaxed), 3);
    // They are none of those that are forgotten.
    tokio::time::sleep(FIRST_REPEAT + Duration::from_secs(1)).await;
    rig.hear(5000, SILENT);
    rig.asked(u64::from(most) + 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_gone_when_the_far_end_answered_is_given_up_and_recorded() {
    let rig = rig().await;
    rig.hear(1000, SPEAKS);
    let is_answered = || {
        let table = rig.held.table();
        table
            .flows
            .values()
            .any(|flow| matches!(flow, HeldFlow::Answered { .. }))
    };
    while !is_answered() {
        tokio::task::yield_now().await;
    }
    for _ in 0..ACCEPTED_WITHIN {
        rig.held.give_up();
        assert!(is_answered());
    }
    rig.held.give_up();
    assert!(rig.held.table().flows.is_empty());
    let expected = ("allow".to_owned(), Some(GONE.to_owned()));
    assert_eq!(rig.recorded().await, expected);
}

/// The client's repetition and the answer of a far end that heard only the second SYN come at the same
/// time, since both kernels wait for a second.
#[tokio::test]
async fn a_syn_that_is_repeated_while_its_connection_is_accepted_asks_nobody_again() {
    let rig = rig().await;
    rig.hear(1000, SPEAKS);
    drop(rig.expected(1000, SPEAKS).await);
    rig.hear(1000, SPEAKS);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(rig.held.table().flows.is_empty(), "{:?}", rig.held.table());
    assert_eq!(rig.asked.load(Relaxed), 1);
}

/// Another connection of the same ends is no repetition.
#[tokio::test]
async fn the_same_ends_with_another_number_are_a_new_connection() {
    let rig = rig().await;
    let (source, destination) = Rig::ends(1000, REFUSES);
    for (number, asked) in [(1, 1), (1, 1), (2, 2)] {
        let syn = HeldSyn::between(source, destination, number);
        rig.held.hear(syn);
        rig.asked(asked).await;
        while !rig.held.table().flows.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

/// Half of them would else take the room of all.
#[tokio::test]
async fn whoever_is_not_accepted_counts_among_those_that_wait() {
    let rig = rig().await;
    (0..HELD_AT_ONCE + 3).for_each(|port| rig.hear(1000 + port, SPEAKS));
    rig.asked(HELD_AT_ONCE.into()).await;
    assert_eq!(rig.held.accepted_first.load(Relaxed), 3);
    drop(rig.expected(1000, SPEAKS).await);
    rig.hear(5000, SPEAKS);
    rig.asked(u64::from(HELD_AT_ONCE) + 1).await;
}
