//! Buffers of real sockets on loopback; time is the test's.

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const MEBIBYTE: usize = 1024 * 1024;

/// A connection out of this budget, and the peer's end of it.
async fn connection(streams: &Streams) -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nonblocking(true).unwrap();
    let room = streams.room().unwrap();
    let ours = room.of(listener.accept().await.unwrap().0).unwrap();
    (ours, TcpStream::from_std(peer).unwrap())
}

/// Waits until the last end has been acknowledged.
async fn all_given_back(streams: &Streams, whole: usize) {
    let all = async {
        while streams.budget.free() != whole {
            sleep(LOOKED_FIRST).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), all)
        .await
        .unwrap();
}

/// What the kernel would hold: received, sent.
fn bounds(stream: &Stream) -> (usize, usize) {
    let socket = SockRef::from(stream);
    (
        socket.recv_buffer_size().unwrap(),
        socket.send_buffer_size().unwrap(),
    )
}

#[tokio::test]
async fn a_connection_takes_its_room_and_gives_it_back() {
    let streams = Streams::new(Budget::new(64 * MEBIBYTE));
    let (ours, _peer) = connection(&streams).await;
    assert_eq!(bounds(&ours), (BEGINS, BEGINS));
    assert_eq!(streams.budget.free(), 64 * MEBIBYTE - SOCKET - 3 * BEGINS);
    drop(ours);
    all_given_back(&streams, 64 * MEBIBYTE).await;
    assert!(locked(&streams.open.sockets).is_empty());
}

#[tokio::test]
async fn the_last_connection_is_small_and_the_next_is_denied() {
    let least = SOCKET + 2 * RECEIVED_LEAST + SENT_LEAST;
    let streams = Streams::new(Budget::new(2 * least - 1));
    let (first, _peer) = connection(&streams).await;
    assert_eq!(first.at_once(), RECEIVED_LEAST);
    assert_eq!(bounds(&first), (RECEIVED_LEAST, SENT_LEAST));
    assert!(streams.room().is_none());
    drop(first);
    all_given_back(&streams, 2 * least - 1).await;
    assert!(streams.room().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_buffer_grows_with_what_moves_and_is_small_again_when_it_is_quiet() {
    let streams = Streams::new(Budget::new(64 * MEBIBYTE));
    let (ours, _peer) = connection(&streams).await;
    ours.received(BEGINS / 2 - 1);
    assert_eq!(ours.at_once(), BEGINS);
    ours.received(1);
    ours.sent(BEGINS / 2);
    assert_eq!(bounds(&ours), (2 * BEGINS, 2 * BEGINS));
    assert!(streams.calm());
    tokio::time::advance(MOMENT * 2).await;
    assert!(!streams.calm());
    assert_eq!(bounds(&ours), (BEGINS, BEGINS));
}

#[tokio::test]
async fn what_is_quiet_is_as_small_as_can_be_for_a_new_one_and_grows_with_its_first_byte() {
    let streams = Streams::new(Budget::new(64 * MEBIBYTE));
    let (ours, _peer) = connection(&streams).await;
    let (busy, mut other) = connection(&streams).await;
    other.write_all(b"unread").await.unwrap();
    busy.tcp().readable().await.unwrap();
    let others = streams
        .budget
        .take(streams.budget.free() - MEBIBYTE)
        .unwrap();
    let ((), new) = tokio::join!(streams.shortage(), async { streams.room() });
    assert_eq!(new.unwrap().receive_size(), RECEIVED_LEAST);
    assert_eq!(
        (bounds(&ours), bounds(&busy).0),
        ((RECEIVED_LEAST, SENT_LEAST), BEGINS)
    );
    drop(others);
    ours.received(1);
    ours.sent(1);
    assert_eq!(bounds(&ours), (BEGINS, BEGINS));
}

#[tokio::test(start_paused = true)]
async fn what_trickles_needs_no_larger_buffer() {
    let streams = Streams::new(Budget::new(64 * MEBIBYTE));
    let (ours, _peer) = connection(&streams).await;
    for _ in 0..10 {
        ours.received(BEGINS / 2 - 1);
        tokio::time::advance(MOMENT + Duration::from_millis(1)).await;
    }
    assert_eq!(ours.at_once(), BEGINS);
}

#[tokio::test(start_paused = true)]
async fn a_buffer_with_something_in_it_stays_as_large_as_it_is_paid_for() {
    let streams = Streams::new(Budget::new(64 * MEBIBYTE));
    let (ours, mut peer) = connection(&streams).await;
    ours.received(BEGINS / 2);
    peer.write_all(b"unread").await.unwrap();
    ours.tcp().readable().await.unwrap();
    tokio::time::advance(MOMENT * 2).await;
    assert!(streams.calm());
    assert_eq!(ours.at_once(), 2 * BEGINS);
}

#[tokio::test]
async fn no_buffer_grows_over_the_largest_or_what_others_leave() {
    let streams = Streams::new(Budget::new(1024 * MEBIBYTE));
    let (ours, _peer) = connection(&streams).await;
    for _ in 0..20 {
        ours.received(MOST);
    }
    assert_eq!((bounds(&ours).0, ours.at_once()), (MOST, AT_ONCE));
    let streams = Streams::new(Budget::new(16 * MEBIBYTE));
    let (ours, _peer) = connection(&streams).await;
    for _ in 0..20 {
        ours.received(MOST);
    }
    assert_eq!(bounds(&ours).0, 2 * MEBIBYTE);
}

#[tokio::test]
async fn bytes_pass_through_the_smallest_buffers() {
    let streams = Streams::new(Budget::new(2 * (SOCKET + 2 * RECEIVED_LEAST + SENT_LEAST)));
    let (mut ours, mut peer) = connection(&streams).await;
    let sent: Vec<u8> = (0..=255).cycle().take(MEBIBYTE).collect();
    let mut got = vec![];
    let send = async {
        ours.write_all(&sent).await.unwrap();
        ours.shutdown().await.unwrap();
    };
    let (count, ()) = tokio::join!(peer.read_to_end(&mut got), send);
    assert_eq!(count.unwrap(), MEBIBYTE);
    assert_eq!(got, sent);
    assert_eq!(locked(&ours.0.sent).size, SENT_LEAST);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_never_takes_is_paid_for_until_it_is_given_up() {
    let streams = Streams::new(Budget::new(64 * MEBIBYTE));
    let (ours, peer) = connection(&streams).await;
    while ours.tcp().try_write(&[0; 4096]).is_ok() {}
    let taken = 64 * MEBIBYTE - streams.budget.free();
    drop(ours);
    sleep(LINGERS - MOMENT).await;
    assert_eq!(64 * MEBIBYTE - streams.budget.free(), taken);
    sleep(3 * MOMENT).await;
    assert_eq!(streams.budget.free(), 64 * MEBIBYTE);
    // A reset, as a peer sees it that was told before that nothing more will come.
    assert_eq!(
        peer.take_error().unwrap().unwrap().kind(),
        io::ErrorKind::BrokenPipe
    );
}

#[tokio::test]
async fn what_was_written_last_arrives_though_its_socket_is_looked_at_meanwhile() {
    let streams = Streams::new(Budget::new(64 * MEBIBYTE));
    let (ours, mut peer) = connection(&streams).await;
    while ours.tcp().try_write(&[0; 4096]).is_ok() {}
    let looked_at = ours.meter().socket.upgrade();
    drop((ours, looked_at));
    peer.read_to_end(&mut Vec::new()).await.unwrap();
}
