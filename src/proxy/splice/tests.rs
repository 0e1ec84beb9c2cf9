//! Over loopback, with real sockets: a client and a server program's ends, and our two between
//! them.

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::proxy::budget::Budget;
use crate::proxy::stream::Streams;

/// Two connected sockets, the second one paid for.
async fn pair_of(streams: &Streams) -> (TcpStream, Stream) {
    let (theirs, ours) = pair().await;
    (theirs, streams.room().unwrap().of(ours).unwrap())
}

/// Two connected sockets.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    let (near, far) = tokio::join!(
        socket.connect(listener.local_addr().unwrap()),
        listener.accept()
    );
    (near.unwrap(), far.unwrap().0)
}

/// The client's end, the server's end, and what comes of the splice between them.
async fn spliced(early: Early) -> (TcpStream, TcpStream, JoinHandle<(End, (u64, u64))>) {
    spliced_of(&Streams::new(Budget::within(64 << 20)), early).await
}

async fn spliced_of(
    streams: &Streams,
    early: Early,
) -> (TcpStream, TcpStream, JoinHandle<(End, (u64, u64))>) {
    let (client, ours) = pair_of(streams).await;
    let (server, our_other) = pair_of(streams).await;
    let joined = async move {
        let traffic = Traffic::new(std::time::Instant::now());
        let end = splice_both(ours, our_other, early, &traffic).await;
        (end, traffic.given())
    };
    (client, server, tokio::spawn(joined))
}

async fn read_all(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut all = vec![];
    stream.read_to_end(&mut all).await.map(|_| all)
}

#[tokio::test]
async fn each_direction_ends_by_itself_and_bytes_are_counted() {
    let (mut client, mut server, task) = spliced(Early::default()).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await.unwrap(), b"question");
    server.write_all(b"a longer answer").await.unwrap();
    drop(server);
    assert_eq!(read_all(&mut client).await.unwrap(), b"a longer answer");
    assert_eq!(task.await.unwrap(), (End::closed(Side::Client), (8, 15)));
}

#[tokio::test]
async fn a_server_may_end_first_and_still_be_written_to() {
    let (mut client, mut server, task) = spliced(Early::default()).await;
    server.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await.unwrap(), b"");
    client.write_all(b"after the end").await.unwrap();
    drop(client);
    assert_eq!(read_all(&mut server).await.unwrap(), b"after the end");
    assert_eq!(task.await.unwrap().0, End::closed(Side::Server));
}

#[tokio::test]
async fn early_bytes_come_first_and_count() {
    let (mut client, mut server, task) = spliced(Early {
        out: b"hello ".to_vec(),
        back: b"220 ".to_vec(),
    })
    .await;
    client.write_all(b"world").await.unwrap();
    client.shutdown().await.unwrap();
    server.write_all(b"ready").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await.unwrap(), b"hello world");
    assert_eq!(read_all(&mut client).await.unwrap(), b"220 ready");
    assert_eq!(task.await.unwrap().1, (11, 9));
}

#[tokio::test]
async fn more_than_every_buffer_holds_arrives_whole_in_both_directions_at_once() {
    const SIZE: usize = 24 * 1024 * 1024;
    let (client, server, task) = spliced(Early::default()).await;
    let exchange = |stream: TcpStream, byte: u8| async move {
        let (mut read, mut write) = stream.into_split();
        let send = async {
            write.write_all(&vec![byte; SIZE]).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let mut got = vec![];
        let ((), count) = tokio::join!(send, read.read_to_end(&mut got));
        assert_eq!(count.unwrap(), SIZE);
        assert!(got.iter().all(|got| *got == byte ^ 1));
    };
    tokio::join!(exchange(client, 2), exchange(server, 3));
    assert_eq!(task.await.unwrap().1, (SIZE as u64, SIZE as u64));
}

#[tokio::test]
async fn a_reset_by_the_server_reaches_the_client_as_a_reset() {
    let (mut client, server, task) = spliced(Early::default()).await;
    reset_on_close(&server).unwrap();
    drop(server);
    assert_eq!(
        read_all(&mut client).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    assert_eq!(task.await.unwrap().0, End::reset(Side::Server, None));
}

#[tokio::test]
async fn a_reset_by_the_client_reaches_the_server_and_what_was_moved_stays_counted() {
    let (mut client, mut server, task) = spliced(Early::default()).await;
    client.write_all(b"abc").await.unwrap();
    let mut three = [0; 3];
    server.read_exact(&mut three).await.unwrap();
    reset_on_close(&client).unwrap();
    drop(client);
    assert_eq!(
        read_all(&mut server).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    assert_eq!(
        task.await.unwrap(),
        (End::reset(Side::Client, None), (3, 0))
    );
}

#[tokio::test]
async fn what_is_cut_is_reset_on_both_sides_and_what_had_arrived_is_known_afterwards() {
    let streams = Streams::new(Budget::within(64 << 20));
    let (mut client, ours) = pair_of(&streams).await;
    let (mut server, our_other) = pair_of(&streams).await;
    let traffic = Traffic::new(std::time::Instant::now());
    traffic.measure_by(Ends::of(ours.meter(), our_other.meter()));
    socket2::SockRef::from(&server)
        .set_recv_buffer_size(4096)
        .unwrap();
    // The server takes 1,000 bytes; of the others, those that are in its kernel are there, the rest
    // never will be.
    let upload = async {
        let wrote = client.write_all(&vec![7; 64 << 20]).await;
        panic!("the server took all of it: {wrote:?}");
    };
    let quiet = async {
        let mut taken = vec![0; 1000];
        server.read_exact(&mut taken).await.unwrap();
        let mut before = (0, 0);
        while before.0 == 0 || before != traffic.given() {
            before = traffic.given();
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        _ = splice_both(ours, our_other, Early::default(), &traffic) => panic!("it ended"),
        () = upload => {}
        () = quiet => {}
    }
    let (given, arrived) = (traffic.given().0, traffic.arrives(true).0);
    let mut rest = Vec::new();
    let end = server.read_to_end(&mut rest).await;
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(arrived, 1000 + rest.len() as u64, "of {given}");
    assert!(arrived < given, "{arrived} of {given}");
    assert_eq!(
        read_all(&mut client).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn what_is_small_takes_no_pipe_and_an_idle_connection_holds_none() {
    let (mut client, mut server, task) = spliced(Early::default()).await;
    client.write_all(b"x").await.unwrap();
    server.read_u8().await.unwrap();
    client.write_all(&[0; SMALL - 1]).await.unwrap();
    server.read_exact(&mut [0; SMALL - 1]).await.unwrap();
    assert_eq!(SPARE.with_borrow(Vec::len), 0, "it was copied");
    let writing = async {
        client.write_all(&vec![0; 1 << 20]).await.unwrap();
    };
    let mut got = vec![0; 1 << 20];
    let ((), read) = tokio::join!(writing, server.read_exact(&mut got));
    read.unwrap();
    // The bytes have passed, so the pipe that carried them is spare again once the pump has seen
    // that nothing follows.
    while SPARE.with_borrow(Vec::is_empty) {
        tokio::task::yield_now().await;
    }
    drop((client, server));
    task.await.unwrap();
    assert_eq!(SPARE.with_borrow(Vec::len), 1, "one pipe served all");
}

#[tokio::test]
async fn no_more_is_taken_than_was_asked_for() {
    let streams = Streams::new(Budget::within(64 << 20));
    let (mut client, from) = pair_of(&streams).await;
    let (mut server, to) = pair_of(&streams).await;
    const ALL: usize = 3 << 20;
    let sent: Vec<u8> = (0..=250).cycle().take(ALL).collect();
    let (give, expected) = (sent.clone(), sent);
    let writing = tokio::spawn(async move {
        client.write_all(&give).await.unwrap();
        client.shutdown().await.unwrap();
        client
    });
    let reading = tokio::spawn(async move { read_all(&mut server).await.unwrap() });
    let counted = std::cell::Cell::new(0);
    let count = |bytes| counted.set(counted.get() + bytes);
    let mut passed = 0;
    for most in [0, 1, 100, SMALL as u64, SMALL as u64 + 1, 1 << 20] {
        assert_eq!(pass(&from, &to, Some(most), count).await.unwrap(), most);
        passed += usize::try_from(most).unwrap();
        assert_eq!(counted.get(), passed);
    }
    let mut next = [0; 10];
    from.clone().read_exact(&mut next).await.unwrap();
    assert_eq!(next, expected[passed..passed + 10], "it is still there");
    let rest = ALL - passed - 10;
    let most = Some(u64::MAX);
    assert_eq!(pass(&from, &to, most, count).await.unwrap(), rest as u64);
    to.end().unwrap();
    let arrived = reading.await.unwrap();
    assert!(
        arrived[..passed] == expected[..passed] && arrived[passed..] == expected[passed + 10..]
    );
    writing.await.unwrap();
}

#[tokio::test]
async fn who_broke_is_told() {
    let streams = Streams::new(Budget::within(64 << 20));
    for broken_is_read in [true, false] {
        let (client, from) = pair_of(&streams).await;
        let (server, to) = pair_of(&streams).await;
        let (broken, mut whole) = if broken_is_read {
            (client, server)
        } else {
            (server, client)
        };
        reset_on_close(&broken).unwrap();
        drop(broken);
        let _ = to.tcp().ready(Interest::WRITABLE).await;
        whole.write_all(b"anything").await.unwrap();
        let stop = pass(&from, &to, None, |_| ()).await.unwrap_err();
        assert_eq!(matches!(stop, Stop::Reading(_)), broken_is_read, "{stop:?}");
    }
}

#[tokio::test]
async fn urgent_data_holds_nothing_up() {
    let (mut client, mut server, _task) = spliced(Early::default()).await;
    // Telnet's Synch, as an FTP client sends it before ABOR.
    client.write_all(b"..").await.unwrap();
    let oob = socket2::SockRef::from(&client).send_out_of_band(b"!");
    assert_eq!(oob.unwrap(), 1);
    client.write_all(b"ABOR").await.unwrap();
    let mut got = [0; 6];
    let read = server.read_exact(&mut got);
    let patience = std::time::Duration::from_secs(10);
    tokio::time::timeout(patience, read).await.unwrap().unwrap();
    assert_eq!(&got, b"..ABOR");
}
