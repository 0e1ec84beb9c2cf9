//! UDP flows over real sockets on the loopback: what passes, what is recorded, what is kept.

use super::*;
use crate::proxy::bench::Bench;
use crate::proxy::budget::Budget;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn datagram(payload: &[u8]) -> Datagram {
    Datagram {
        payload: payload.to_vec(),
        _room: Budget::new(0).take(0).unwrap(),
    }
}

const CLIENT: &str = "10.0.0.2:4000";

#[tokio::test(start_paused = true)]
async fn a_refused_flow_is_recorded_once_in_ten_seconds() {
    let bench = Bench::new(&[], Vec::new());
    let relay = bench.relay();
    let send = |destination: &str| relay.datagram(&[1], address(CLIENT), address(destination));
    for _ in 0..5 {
        assert_eq!(send("192.0.2.1:4433"), Err(Refused));
    }
    assert_eq!(bench.records().len(), 1);
    assert_eq!(send("192.0.2.1:4434"), Err(Refused));
    assert_eq!(bench.records().len(), 2);
    tokio::time::advance(REFUSED_FOR).await;
    assert_eq!(send("192.0.2.1:4433"), Err(Refused));
    let records = bench.records();
    assert_eq!(records.len(), 3);
    assert!(
        records
            .iter()
            .all(|record| record.verdict == "deny" && record.protocol == Kind::Udp)
    );
}

#[tokio::test]
async fn a_flood_of_refused_flows_takes_bounded_memory_and_each_is_recorded_or_counted() {
    let bench = Bench::new(&[], Vec::new());
    let relay = bench.relay();
    for port in 1..=2000 {
        assert_eq!(
            relay.datagram(
                &[1],
                SocketAddr::new("10.0.0.2".parse().unwrap(), port),
                address("192.0.2.1:9")
            ),
            Err(Refused)
        );
    }
    bench.judge.journal.write_minute();
    assert_eq!(
        bench
            .records()
            .iter()
            .map(|record| record.count.unwrap_or(1))
            .sum::<u64>(),
        2000
    );
}

#[tokio::test]
async fn a_flow_keeps_so_many_datagrams_until_its_name_is_looked_up() {
    let bench = Bench::new(&["cidr=192.0.2.0/24 port=9 proto=udp"], Vec::new());
    let relay = bench.relay();
    let budget = &bench.streams.budget;
    let send = || {
        relay
            .datagram(&[0; DATAGRAM], address(CLIENT), address("192.0.2.1:9"))
            .unwrap()
    };
    send();
    let with_one = budget.free();
    for _ in 1..QUEUE + 5 {
        send();
    }
    assert_eq!(with_one - budget.free(), (QUEUE - 1) * DATAGRAM);
}

#[tokio::test]
async fn flows_that_there_is_no_room_for_are_denied_with_the_reason() {
    let bench = Bench::new(&["cidr=192.0.2.0/24 port=9 proto=udp"], Vec::new());
    let relay = bench.relay();
    let send = |port| {
        relay.datagram(
            &[1],
            SocketAddr::new("10.0.0.2".parse().unwrap(), port),
            address("192.0.2.1:9"),
        )
    };
    let begun = (1..1000).take_while(|port| send(*port).is_ok()).count();
    assert!((350..450).contains(&begun), "{begun}");
    bench.judge.journal.write_minute();
    assert!(
        bench
            .records()
            .last()
            .unwrap()
            .reason
            .as_deref()
            .unwrap()
            .starts_with("the gateway's memory is used up")
    );
    assert!(bench.streams.budget.free() < FLOW + RECEIVED_LEAST + SENT);
}

/// An outside with a server, an inside with a client, and the relay's two sockets between them.
struct Wire {
    server: UdpSocket,
    client: UdpSocket,
    outside: UdpSocket,
    inside: Answerer,
}

impl Wire {
    async fn new() -> Self {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let outside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        outside.connect(server.local_addr().unwrap()).await.unwrap();
        Self {
            server,
            client,
            outside,
            inside: std::net::UdpSocket::bind("127.0.0.1:0")
                .and_then(Answerer::by_socket)
                .unwrap(),
        }
    }
}

#[tokio::test]
async fn datagrams_pass_both_ways_whole_and_are_counted() {
    let wire = Wire::new().await;
    let (queue, waiting) = mpsc::channel(QUEUE);
    let talk = async {
        let mut buffer = vec![0; DATAGRAM];
        queue.send(datagram(b"question")).await.unwrap();
        let (length, from) = wire.server.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"question");
        let answer = vec![7; 40_000];
        wire.server.send_to(&answer, from).await.unwrap();
        let length = wire.client.recv(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], answer);
        drop(queue);
    };
    let traffic = Traffic::new(std::time::Instant::now());
    let relaying = relay(
        &wire.outside,
        &wire.inside,
        wire.client.local_addr().unwrap(),
        waiting,
        &traffic,
    );
    let (end, ()) = tokio::join!(relaying, talk);
    assert_eq!((end, traffic.given()), (End::idle(), (8, 40_000)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_flow_ends() {
    let wire = Wire::new().await;
    let (_queue, waiting) = mpsc::channel(QUEUE);
    let began = tokio::time::Instant::now();
    let traffic = Traffic::new(std::time::Instant::now());
    let end = relay(
        &wire.outside,
        &wire.inside,
        wire.client.local_addr().unwrap(),
        waiting,
        &traffic,
    )
    .await;
    assert_eq!(end, End::idle());
    assert_eq!(began.elapsed().as_secs(), IDLE.as_secs());
}

#[tokio::test]
async fn a_port_closed_outside_is_noted_but_does_not_end_the_flow_at_once() {
    let wire = Wire::new().await;
    let (queue, waiting) = mpsc::channel(QUEUE);
    drop(wire.server);
    for _ in 0..3 {
        queue.send(datagram(&[1])).await.unwrap();
    }
    drop(queue);
    let traffic = Traffic::new(std::time::Instant::now());
    let end = relay(
        &wire.outside,
        &wire.inside,
        wire.client.local_addr().unwrap(),
        waiting,
        &traffic,
    )
    .await;
    assert_eq!(end, End::unreachable("Connection refused (os error 111)"));
}
