//! Connections from the first byte to the last record, against a stand-in for the outside.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::proxy::rig::{self, Rig};

/// A ClientHello for this name, without anything that isn't needed.
fn hello(name: &str) -> Vec<u8> {
    let vector =
        |data: &[u8]| [&u16::try_from(data.len()).unwrap().to_be_bytes()[..], data].concat();
    let server_name = vector(&[&[0], &vector(name.as_bytes())[..]].concat());
    let extensions = vector(&[&[0, 0], &vector(&server_name)[..]].concat());
    let body = [
        &[3, 3],
        &[9; 32][..],
        &[0, 0, 2, 0x13, 1, 1, 0],
        &extensions,
    ]
    .concat();
    let message = [&[1, 0], &vector(&body)[..]].concat();
    [&[22, 3, 1], &vector(&message)[..]].concat()
}

async fn read_all(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut all = vec![];
    stream.read_to_end(&mut all).await.map(|_| all)
}

async fn assert_reset(mut client: TcpStream) {
    assert_eq!(
        read_all(&mut client).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[test]
fn a_served_connection_can_move_between_threads() {
    fn is_send<F: Send>(_: impl Fn(Flow, Stream, Begun) -> F) {}
    is_send(serve);
}

#[tokio::test]
async fn a_connection_in_waiting_takes_under_four_kilobytes() {
    let (rig, _outside) = Rig::new(&[], &[]).await;
    let client = rig.stream(rig.client(443).await);
    let somewhere = std::net::SocketAddr::from((rig::SERVER, 443));
    let flow = rig.flow(somewhere, somewhere);
    let begun = Begun::now(&flow);
    let size = size_of_val(&serve(flow, client, begun));
    assert!(size < 4096, "{size}");
}

#[tokio::test]
async fn tls_to_an_allowed_name_is_dialled_by_name_and_passed_unread() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig.client(443).await;
    let (start, end) = (hello("A.example"), b"and more");
    client.write_all(&start[..20]).await.unwrap();
    client
        .write_all(&[&start[20..], end].concat())
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    let mut server = outside.accept().await.unwrap().0;
    assert_eq!(
        read_all(&mut server).await.unwrap(),
        [&start[..], end].concat()
    );
    server.write_all(b"reply").await.unwrap();
    drop(server);
    assert_eq!(read_all(&mut client).await.unwrap(), b"reply");
    assert_eq!(rig.dialled(), ["a.example"]);
    let record = rig.record().await;
    assert_eq!(
        (record.verdict.as_str(), record.protocol),
        ("allow", Kind::Https)
    );
    assert_eq!(
        (record.name.as_deref(), record.rule.is_some()),
        (Some("a.example"), true)
    );
    assert_eq!(
        (record.bytes_out, record.bytes_in),
        ((start.len() + end.len()) as u64, 5)
    );
}

#[tokio::test]
async fn tls_to_a_denied_name_gets_an_alert_although_more_was_sent() {
    let (rig, _outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig
        .client_saying(443, &[hello("b.example"), vec![0; 3000]].concat())
        .await;
    assert_eq!(
        read_all(&mut client).await.unwrap(),
        [21, 3, 3, 0, 2, 2, 49]
    );
    drop(client);
    let record = rig.record().await;
    assert_eq!(
        (record.verdict.as_str(), record.name.as_deref()),
        ("deny", Some("b.example"))
    );
    assert!(rig.dialled().is_empty());
}

#[tokio::test]
async fn tls_without_a_name_is_not_allowed_by_a_rule_for_names() {
    let (rig, _outside) = Rig::new(&["domain=*"], &[]).await;
    let nameless = [
        &[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3][..],
        &[9; 32],
        &[0, 0, 2, 0x13, 1, 1, 0],
    ]
    .concat();
    let mut client = rig.client_saying(443, &nameless).await;
    assert_eq!(read_all(&mut client).await.unwrap().len(), 7);
    drop(client);
    assert_eq!(rig.record().await.verdict, "deny");
}

#[tokio::test]
async fn what_nobody_could_decide_about_is_reset_and_recorded_with_the_reason() {
    let (rig, _outside) = Rig::new(&["domain=*"], &[]).await;
    assert_reset(rig.client_saying(80, b"GET / HTTP/3.0\r\n\r\n").await).await;
    let record = rig.record().await;
    assert_eq!(
        (record.verdict.as_str(), record.reason.as_deref()),
        ("deny", Some("HTTP, but neither version 1 nor 2"))
    );
}

#[tokio::test]
async fn opaque_bytes_are_decided_by_the_address_where_no_name_is_known() {
    let (rig, outside) = Rig::new(&["cidr=192.0.2.0/24 proto=tcp port=9000"], &[]).await;
    let mut client = rig.client_saying(9000, b"\0\0\0\x08").await;
    client.shutdown().await.unwrap();
    let mut server = outside.accept().await.unwrap().0;
    assert_eq!(read_all(&mut server).await.unwrap(), b"\0\0\0\x08");
    drop(server);
    read_all(&mut client).await.unwrap();
    assert_eq!(rig.dialled(), ["192.0.2.1"]);
    let record = rig.record().await;
    assert_eq!(
        (record.verdict.as_str(), record.protocol, record.bytes_out),
        ("allow", Kind::Tcp, 4)
    );
}

#[tokio::test]
async fn denied_opaque_bytes_are_reset() {
    let (rig, _outside) = Rig::new(&["domain=a.example"], &[]).await;
    assert_reset(rig.client_saying(443, b"SSH-2.0-x\r\n").await).await;
    assert_eq!(rig.record().await.verdict, "deny");
}

/// Time is real: a wait that a paused clock skips is what this is about.
#[tokio::test]
async fn a_server_that_speaks_first_is_heard_at_once() {
    let (rig, outside) = Rig::new(
        &["cidr=192.0.2.1/32 proto=tcp port=25"],
        &["domain=b.example path=/x"],
    )
    .await;
    let began = std::time::Instant::now();
    let mut client = rig.client(25).await;
    let mut server = outside.accept().await.unwrap().0;
    server.write_all(b"220 ready").await.unwrap();
    let mut greeting = [0; 9];
    client.read_exact(&mut greeting).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(50),
        "{:?}",
        began.elapsed()
    );
    client.write_all(b"EHLO me\r\n").await.unwrap();
    let mut said = [0; 9];
    server.read_exact(&mut said).await.unwrap();
    server.write_all(b"250").await.unwrap();
    drop(server);
    assert_eq!(read_all(&mut client).await.unwrap(), b"250");
    drop(client);
    let record = rig.record().await;
    assert_eq!(
        (record.bytes_out, record.bytes_in, record.reason),
        (9, 12, None)
    );
}

/// A server of HTTP/2 speaks as soon as it is connected to, and is heard before its client has said anything. The
/// client's requests are to be read all the same.
#[tokio::test]
async fn the_first_words_of_a_server_of_http2_are_kept_until_its_client_speaks() {
    let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 77];
    let (rig, outside) = Rig::new(
        &["cidr=192.0.2.1/32 proto=tcp port=25"],
        &["domain=b.example"],
    )
    .await;
    let mut client = rig.client(25).await;
    let mut server = outside.accept().await.unwrap().0;
    server.write_all(&settings).await.unwrap();
    let mut said = [0; 15];
    let early = timeout(Duration::from_millis(100), client.read(&mut said)).await;
    assert!(early.is_err(), "{said:?}");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    client.write_all(preface).await.unwrap();
    client.read_exact(&mut said).await.unwrap();
    assert_eq!(said[3..9], [4, 0, 0, 0, 0, 0], "settings of this end");
    assert_ne!(said, settings);
}

#[tokio::test]
async fn a_server_that_speaks_and_leaves_is_heard_to_its_end() {
    let (rig, outside) = Rig::new(&["cidr=192.0.2.1/32"], &[]).await;
    let mut client = rig.client(13).await;
    let mut server = outside.accept().await.unwrap().0;
    let words = vec![b'x'; 300_000];
    server.write_all(&words).await.unwrap();
    drop(server);
    assert_eq!(read_all(&mut client).await.unwrap(), words);
    drop(client);
    let record = rig.record().await;
    assert_eq!(
        (record.verdict.as_str(), record.bytes_in, record.reason),
        ("allow", 300_000, None)
    );
}

/// Everything that the server was sent by connections which have ended.
async fn arrived(outside: &TcpListener) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(connection) = timeout(Duration::from_millis(50), outside.accept()).await {
        // A reset, too, is an end.
        let _ = connection.unwrap().0.read_to_end(&mut all).await;
    }
    all
}

const OPEN: [&str; 1] = ["cidr=192.0.2.0/24 port=80,8080"];
const SHUT: [&str; 2] = ["domain=b.example", "domain=a.example path=/secret"];

#[tokio::test]
async fn a_client_that_breaks_off_before_it_is_identified_may_have_reached_its_server() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let name = Hostname::parse("a.example").unwrap();
    for reached in [true, false] {
        let client = match reached {
            true => rig.client_asked(80, &name).await,
            false => rig.client(80).await,
        };
        if reached {
            outside.accept().await.unwrap();
        }
        crate::sys::socket::reset_on_close(&client).unwrap();
        drop(client);
        let record = rig.records().await.pop().unwrap();
        let reason = record.reason.unwrap();
        assert!(reason.contains("broke before its protocol"), "{reason}");
        let is_said = reason.ends_with("; its server had been connected to");
        assert_eq!(is_said, reached, "{reason}");
    }
}

/// Time is real here, too.
#[tokio::test]
async fn silence_lets_nothing_pass_unread_however_long_it_is() {
    let (rig, outside) = Rig::new(&OPEN, &SHUT).await;
    let mut client = rig.client(8080).await;
    let mut server = outside.accept().await.unwrap().0;
    sleep(2 * MOMENT).await;
    client
        .write_all(b"GET /secret HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(
        read_all(&mut client)
            .await
            .unwrap()
            .starts_with(b"HTTP/1.1 403")
    );
    assert_eq!(
        read_all(&mut server).await.unwrap(),
        b"",
        "the server got the denied request"
    );
    assert_eq!(rig.record().await.verdict, "deny");
}

#[tokio::test]
async fn what_could_be_a_request_does_not_pass_where_a_rule_could_deny_it() {
    let long = format!(
        "{} /secret HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "A".repeat(33)
    );
    for bytes in [
        &long,
        "GET\t/secret HTTP/1.1\r\nHost: a.example\r\n\r\n",
        " GET /secret HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET http://b.example/\r\n\r\n",
    ] {
        let (rig, outside) = Rig::new(&OPEN, &SHUT).await;
        for pieces in [vec![bytes.as_bytes()], bytes.as_bytes().chunks(1).collect()] {
            let mut client = rig.client(8080).await;
            for piece in pieces {
                // The verdict may come before the last byte.
                let _ = client.write_all(piece).await;
            }
            let answer = read_all(&mut client).await.unwrap_or_default();
            assert!(!answer.starts_with(b"HTTP/1.1 2"), "{bytes:?}");
        }
        let records = rig.records().await;
        assert!(
            records.iter().all(|record| record.verdict == "deny"),
            "{bytes:?} {records:?}"
        );
        assert_eq!(arrived(&outside).await, b"", "{bytes:?}");
    }
}

#[tokio::test]
async fn the_same_bytes_pass_where_no_rule_could_deny_them() {
    for bytes in [
        &b"GET\t/secret\r\n"[..],
        b" GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"get foo\r\n",
    ] {
        let (rig, outside) = Rig::new(&OPEN, &["domain=a.example path=/secret port=9"]).await;
        let mut client = rig.client_saying(8080, bytes).await;
        client.shutdown().await.unwrap();
        let mut server = outside.accept().await.unwrap().0;
        assert_eq!(read_all(&mut server).await.unwrap(), bytes);
        drop(server);
        read_all(&mut client).await.unwrap();
        assert_eq!(rig.record().await.verdict, "allow");
    }
}

#[tokio::test]
async fn a_request_cut_short_by_the_clients_end_is_not_opaque() {
    let (rig, outside) = Rig::new(&OPEN, &SHUT).await;
    let mut client = rig.client_saying(8080, b"GET /secret").await;
    client.shutdown().await.unwrap();
    assert_eq!(rig.record().await.verdict, "deny");
    assert_eq!(arrived(&outside).await, b"");
}

#[tokio::test]
async fn an_allowed_request_takes_the_connection_that_was_made_ahead() {
    let (rig, outside) = Rig::new(&OPEN, &SHUT).await;
    let mut client = rig.client(8080).await;
    let mut server = outside.accept().await.unwrap().0;
    client
        .write_all(b"GET /free HTTP/1.1\r\nHost: c.example:8080\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut head = [0; 14];
    server.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"GET /free HTTP");
    server
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await
        .unwrap();
    assert!(read_all(&mut client).await.unwrap().ends_with(b"ok"));
    assert_eq!(rig.dialled(), ["192.0.2.1"]);
}

#[tokio::test]
async fn a_hello_for_another_name_goes_to_that_name() {
    let rules = ["cidr=192.0.2.0/24 port=443", "domain=c.example"];
    let (rig, outside) = Rig::new(&rules, &SHUT).await;
    let mut client = rig.client(443).await;
    let mut ahead = outside.accept().await.unwrap().0;
    client.write_all(&hello("c.example")).await.unwrap();
    let mut server = outside.accept().await.unwrap().0;
    server.read_exact(&mut [0; 5]).await.unwrap();
    assert_eq!(read_all(&mut ahead).await.unwrap(), b"");
    drop((client, server));
    assert_eq!(rig.dialled(), ["192.0.2.1", "c.example"]);
    rig.records().await;
}

#[tokio::test]
async fn the_words_of_two_servers_are_not_mixed() {
    let rules = ["cidr=192.0.2.0/24 port=443", "domain=c.example"];
    let (rig, outside) = Rig::new(&rules, &SHUT).await;
    let mut client = rig.client(443).await;
    let mut server = outside.accept().await.unwrap().0;
    server.write_all(b"hello").await.unwrap();
    client.read_exact(&mut [0; 5]).await.unwrap();
    client.write_all(&hello("c.example")).await.unwrap();
    read_all(&mut client).await.unwrap();
    drop(client);
    assert_eq!(rig.record().await.verdict, "deny");
    assert_eq!(rig.dialled(), ["192.0.2.1"]);
}

#[tokio::test]
async fn a_denied_hello_reaches_nobody_though_the_address_is_open() {
    let (rig, outside) = Rig::new(&["cidr=192.0.2.0/24 port=443"], &SHUT).await;
    let mut client = rig.client(443).await;
    let mut server = outside.accept().await.unwrap().0;
    client.write_all(&hello("b.example")).await.unwrap();
    assert_eq!(read_all(&mut client).await.unwrap().len(), 7);
    drop(client);
    assert_eq!(read_all(&mut server).await.unwrap(), b"");
    assert_eq!(rig.record().await.verdict, "deny");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once() {
    let (rig, outside) = Rig::new(&OPEN, &SHUT).await;
    drop(outside);
    let began = std::time::Instant::now();
    assert_reset(rig.client(8080).await).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    let record = rig.record().await;
    assert_eq!(record.verdict, "allow");
    assert!(record.reason.unwrap().contains("refused"));
}

/// What the server has been sent when nothing more comes.
async fn heard_by(server: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    server.read_exact(&mut bytes).await.unwrap();
    bytes
}

const NAMED: [&str; 1] = ["domain=a.example port=9000 proto=tcp"];

fn learn(rig: &Rig, name: &str) {
    let name = Hostname::parse(name).unwrap();
    rig.bench
        .judge
        .learned
        .remember(rig::SERVER.into(), &name, Duration::from_secs(60));
}

#[tokio::test]
async fn a_few_letters_without_a_line_end_are_sent_on_after_a_moment() {
    let (rig, outside) = Rig::new(&NAMED, &[]).await;
    learn(&rig, "a.example");
    let began = std::time::Instant::now();
    let mut client = rig.client_saying(9000, b"ruok").await;
    let mut server = outside.accept().await.unwrap().0;
    assert_eq!(heard_by(&mut server, 4).await, b"ruok");
    assert!(began.elapsed() >= MOMENT && began.elapsed() < 3 * MOMENT);
    server.write_all(b"imok").await.unwrap();
    drop(server);
    assert_eq!(read_all(&mut client).await.unwrap(), b"imok");
    drop(client);
    let record = rig.record().await;
    assert_eq!((record.bytes_out, record.bytes_in), (4, 4));
}

#[tokio::test]
async fn a_request_that_begins_with_a_pause_is_judged_before_its_first_line_ends() {
    for (host, allowed) in [("a.example", true), ("b.example", false)] {
        let (rig, outside) = Rig::new(&NAMED, &[]).await;
        learn(&rig, "a.example");
        let mut client = rig.client_saying(9000, b"GE").await;
        let mut server = outside.accept().await.unwrap().0;
        assert_eq!(heard_by(&mut server, 2).await, b"GE");
        let rest = format!("T /x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.write_all(rest.as_bytes()).await.unwrap();
        if allowed {
            assert_eq!(heard_by(&mut server, rest.len()).await, rest.as_bytes());
            server
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
            assert!(read_all(&mut client).await.unwrap().ends_with(b"ok"));
        } else {
            let answer = read_all(&mut client).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 403 "));
            drop(client);
            assert_eq!(rig.record().await.verdict, "deny");
            let mut rest = Vec::new();
            let _ = server.read_to_end(&mut rest).await;
            assert_eq!(rest, b"");
        }
    }
}

#[tokio::test]
async fn in_a_name_no_request_or_hello_for_another_passes() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n"[..],
        b"GET\t/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
        b"POST /x\r\nHost: b.example\r\n\r\n",
        b"GET /x\r\nHost: b.example\r\n\r\n",
        b"GET / RTSP/1.0\r\nHost: b.example\r\n\r\n",
        &hello("b.example"),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
    ] {
        let (rig, outside) = Rig::new(&NAMED, &[]).await;
        learn(&rig, "a.example");
        let mut client = rig.client_saying(9000, bytes).await;
        let _ = read_all(&mut client).await;
        drop(client);
        assert_eq!(rig.record().await.verdict, "deny", "{bytes:?}");
        assert_eq!(arrived(&outside).await, b"", "{bytes:?}");
    }
}

#[tokio::test]
async fn a_request_without_a_host_is_for_the_name_that_was_resolved() {
    for request in [
        &b"OPTIONS / HTTP/1.0\r\n\r\n"[..],
        b"GET /x\r\n",
        b"GET / HTTP/1.0\r\nHost:\r\n\r\n",
    ] {
        for (learned, allowed) in [("a.example", true), ("b.example", false)] {
            let (rig, outside) = Rig::new(&NAMED, &[]).await;
            learn(&rig, learned);
            let mut client = rig.client_saying(9000, request).await;
            if !allowed {
                let _ = read_all(&mut client).await;
                drop(client);
                assert_eq!(rig.record().await.verdict, "deny");
                assert_eq!(arrived(&outside).await, b"");
                continue;
            }
            let mut server = outside.accept().await.unwrap().0;
            assert_eq!(heard_by(&mut server, request.len()).await, request);
            server.write_all(b"any answer").await.unwrap();
            drop(server);
            assert_eq!(read_all(&mut client).await.unwrap(), b"any answer");
            assert_eq!(rig.dialled(), ["a.example"]);
        }
    }
}

/// An echo server, for one.
#[tokio::test]
async fn a_server_that_waits_for_the_clients_end_hears_of_it() {
    let (rig, outside) = Rig::new(&NAMED, &[]).await;
    learn(&rig, "a.example");
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let mut client = rig.client_saying(9000, request).await;
    let mut server = outside.accept().await.unwrap().0;
    assert_eq!(heard_by(&mut server, request.len()).await, request);
    server.write_all(request).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await.unwrap(), b"");
    drop(server);
    assert_eq!(read_all(&mut client).await.unwrap(), request);
}

#[tokio::test]
async fn tls_without_a_name_is_for_the_name_that_was_resolved_under_a_rule_for_any_tcp() {
    let nameless = [
        &[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3][..],
        &[9; 32],
        &[0, 0, 2, 0x13, 1, 1, 0],
    ]
    .concat();
    let (rig, outside) = Rig::new(&NAMED, &[]).await;
    learn(&rig, "a.example");
    let client = rig.client_saying(9000, &nameless).await;
    let mut server = outside.accept().await.unwrap().0;
    assert_eq!(heard_by(&mut server, nameless.len()).await, nameless);
    drop((client, server));
    let record = rig.record().await;
    assert_eq!(
        (record.verdict.as_str(), record.name.as_deref()),
        ("allow", Some("a.example"))
    );

    let (rig, outside) = Rig::new(&NAMED, &["domain=a.example proto=https"]).await;
    learn(&rig, "a.example");
    let mut client = rig.client_saying(9000, &nameless).await;
    assert_eq!(read_all(&mut client).await.unwrap().len(), 7);
    drop(client);
    assert_eq!(rig.record().await.verdict, "deny");
    assert_eq!(arrived(&outside).await, b"");
}

#[tokio::test]
async fn under_rules_for_addresses_alone_not_a_byte_is_read() {
    for bytes in [
        &b"OPTIONS / HTTP/1.0\r\n\r\n"[..],
        b"GET /%2F HTTP/1.1\r\nHost: -\r\nUpgrade: h2c\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\n",
        b"GET",
        &[22, 3],
    ] {
        let (rig, outside) = Rig::new(&OPEN, &["domain=b.example port=9"]).await;
        let mut client = rig.client_saying(8080, bytes).await;
        let mut server = outside.accept().await.unwrap().0;
        assert_eq!(heard_by(&mut server, bytes.len()).await, bytes);
        server.write_all(b"ICY 200 OK\r\n\r\n").await.unwrap();
        drop(server);
        assert_eq!(read_all(&mut client).await.unwrap(), b"ICY 200 OK\r\n\r\n");
        drop(client);
        let record = rig.record().await;
        assert_eq!((record.protocol, record.name), (Kind::Tcp, None));
    }
}

/// Time is paused: only that nothing ends it is at issue.
#[tokio::test(start_paused = true)]
async fn a_client_may_connect_a_minute_ahead_of_need_and_speak_in_pieces() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig.client(443).await;
    let (first, rest) = (
        hello("a.example")[..9].to_vec(),
        hello("a.example")[9..].to_vec(),
    );
    sleep(Duration::from_secs(61)).await;
    client.write_all(&first).await.unwrap();
    sleep(Duration::from_secs(61)).await;
    client.write_all(&rest).await.unwrap();
    let mut server = outside.accept().await.unwrap().0;
    assert_eq!(
        heard_by(&mut server, first.len() + rest.len()).await.len(),
        hello("a.example").len()
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_shows_nothing_is_given_up_in_the_end() {
    let (rig, _outside) = Rig::new(&["domain=a.example"], &[]).await;
    let began = Instant::now();
    assert_reset(rig.client_saying(80, b"GET /secr").await).await;
    assert_eq!(rig.record().await.verdict, "deny");
    assert!(began.elapsed() >= SHOWN_WITHIN);
}

#[tokio::test]
async fn a_client_that_says_nothing_and_leaves_is_recorded_once() {
    let (rig, _outside) = Rig::new(&[], &[]).await;
    drop(rig.client(443).await);
    assert_eq!(rig.record().await.verdict, "deny");
}

#[tokio::test]
async fn an_address_that_the_permit_refuses_is_a_denial() {
    let (rig, _outside) = Rig::new(&["domain=a.example cidr=198.51.100.0/24"], &[]).await;
    let mut client = rig.client_saying(443, &hello("a.example")).await;
    assert_eq!(read_all(&mut client).await.unwrap().len(), 7);
    drop(client);
    assert_eq!(rig.record().await.verdict, "deny");
}

#[tokio::test]
async fn an_upstream_that_refuses_is_a_reset_and_an_allowed_attempt_with_a_reason() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    drop(outside);
    assert_reset(rig.client_saying(443, &hello("a.example")).await).await;
    let record = rig.record().await;
    assert_eq!(record.verdict, "allow");
    assert!(record.reason.unwrap().contains("refused"));
}

proptest::proptest! {
    /// What is sent on before it is clear has no line end behind its first line, and what follows
    /// can make it a request only by a head that is then judged as a whole.
    #[test]
    fn what_is_unclear_has_no_whole_line(
        bytes in "[\\r\\n]{0,3}[ \\tA-Z]{0,6}[ \\t]{0,2}[/a-z:]{0,8}[ \\t]{0,2}(HTTP/1.1|RTSP/1.0)?[\\r\\n]{0,3}[a-z:]{0,6}",
        by_request: bool,
    ) {
        let pretences = if by_request { Denials::ByRequest } else { Denials::ByName };
        let answer = identify::identify(bytes.as_bytes(), pretences);
        if heard(&answer, bytes.as_bytes()) == Heard::Unclear {
            let text = bytes.trim_start_matches(|c: char| c.is_ascii_whitespace());
            proptest::prop_assert!(!text.contains('\n'), "{bytes:?}");
        }
    }
}

/// A rig under a rule for `a.example`, and a client whose server, in that name, was asked first.
async fn asked_first(port: u16) -> (Rig, TcpListener, TcpStream, TcpStream) {
    let (rig, outside) = Rig::new(&["domain=a.example", "domain=b.example"], &[]).await;
    let name = Hostname::parse("a.example").unwrap();
    let client = rig.client_asked(port, &name).await;
    let (server, _) = outside.accept().await.unwrap();
    (rig, outside, client, server)
}

#[tokio::test]
async fn a_server_that_was_asked_first_is_used_in_the_name_that_it_was_asked_as() {
    for (port, said) in [
        (443, hello("a.example")),
        (80, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec()),
    ] {
        let (rig, _outside, mut client, mut server) = asked_first(port).await;
        client.write_all(&said).await.unwrap();
        let mut heard = vec![0; said.len()];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, said);
        drop((client, server));
        assert_eq!(rig.dialled(), ["192.0.2.1"], "and none but that");
        let record = rig.record().await;
        assert_eq!(record.name.as_deref(), Some("a.example"));
        assert_eq!(record.rule.as_deref(), Some("domain=a.example"));
    }
}

#[tokio::test]
async fn in_another_name_it_is_closed_without_a_byte_and_that_ones_is_dialled() {
    let (rig, outside, mut client, mut server) = asked_first(443).await;
    client.write_all(&hello("b.example")).await.unwrap();
    assert_eq!(read_all(&mut server).await.unwrap(), b"");
    let (mut other, _) = outside.accept().await.unwrap();
    let mut heard = vec![0; hello("b.example").len()];
    other.read_exact(&mut heard).await.unwrap();
    assert_eq!(rig.dialled(), ["192.0.2.1", "b.example"]);
    drop((client, other));
    assert_eq!(rig.record().await.name.as_deref(), Some("b.example"));
}

#[tokio::test]
async fn in_a_name_that_is_denied_it_is_closed_without_a_byte() {
    let (rig, _outside, mut client, mut server) = asked_first(443).await;
    client.write_all(&hello("c.example")).await.unwrap();
    assert_eq!(read_all(&mut server).await.unwrap(), b"");
    read_all(&mut client).await.unwrap();
    drop(client);
    let record = rig.record().await;
    assert_eq!(
        (record.verdict.as_str(), record.name.as_deref()),
        ("deny", Some("c.example"))
    );
}

/// Nobody may hear a server under rules for the web alone, before it is clear in whose name.
#[tokio::test]
async fn what_it_says_first_is_not_passed_and_another_is_dialled() {
    let (rig, outside, mut client, mut server) = asked_first(443).await;
    server.write_all(b"220 banner").await.unwrap();
    let silence = timeout(Duration::from_millis(200), client.read_u8()).await;
    assert!(silence.is_err(), "{silence:?}");
    client.write_all(&hello("a.example")).await.unwrap();
    let (_other, _) = outside.accept().await.unwrap();
    assert_eq!(rig.dialled(), ["192.0.2.1", "a.example"]);
}

#[tokio::test]
async fn a_client_that_only_looks_whether_its_server_is_there_is_no_denial() {
    let (rig, _outside, client, mut server) = asked_first(443).await;
    drop(client);
    assert_eq!(read_all(&mut server).await.unwrap(), b"");
    let record = rig.record().await;
    assert_eq!((record.verdict.as_str(), record.bytes_out), ("allow", 0));
    assert_eq!(record.by, Some(Side::Client));
}

/// A client whose server was asked as one of `a.example`, which only a request may be made in, while a
/// rule for another name has any protocol listened for there.
async fn asked_for_a_request_among_any_protocol() -> (Rig, TcpListener, TcpStream, TcpStream) {
    let rules = [
        "domain=a.example method=GET path=/x",
        "domain=b.example proto=tcp port=80",
    ];
    let (rig, outside) = Rig::new(&rules, &[]).await;
    learn(&rig, "a.example");
    let source = "10.9.9.9:40000".parse().unwrap();
    let flow = rig.flow(source, std::net::SocketAddr::from((rig::SERVER, 80)));
    assert!(matches!(flow.fits(), Fits::AnyProtocol(_)));
    let crate::proxy::opening::Opening::Asked(question) = crate::proxy::opening::decide(&flow)
    else {
        panic!("not asked");
    };
    assert_eq!(question.route.name().unwrap().as_str(), "a.example");
    let name = Hostname::parse("a.example").unwrap();
    let client = rig.client_asked(80, &name).await;
    let (server, _) = outside.accept().await.unwrap();
    (rig, outside, client, server)
}

/// Time is real: what is sent on after a moment is what this is about.
#[tokio::test]
async fn a_server_that_was_asked_for_a_request_gets_no_byte_of_what_is_none() {
    let (rig, _outside, mut client, mut server) = asked_for_a_request_among_any_protocol().await;
    client.write_all(b"GET /secret").await.unwrap();
    let heard = timeout(3 * MOMENT, server.read_u8()).await;
    drop(client);
    assert!(!matches!(heard, Ok(Ok(_))), "it was sent {heard:?}");
    drop(rig);
}

#[tokio::test]
async fn a_server_that_was_asked_for_a_request_is_not_heard_before_it() {
    let (rig, _outside, mut client, mut server) = asked_for_a_request_among_any_protocol().await;
    server.write_all(b"220 banner").await.unwrap();
    let heard = timeout(MOMENT, client.read_u8()).await;
    assert!(
        !matches!(heard, Ok(Ok(_))),
        "the client was given {heard:?}"
    );
    drop(rig);
}
