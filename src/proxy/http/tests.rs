//! Conversations as bytes on the wire: a raw client, a raw server, and the gate between them.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::CONVERSATION;
use super::incoming::LONGEST_HEAD;
use crate::audit::line::{Ended, Side};
use crate::proxy::budget::Budget;
use crate::proxy::http::origin::Origin;
use crate::proxy::rig::Rig;
use crate::proxy::stream::{RECEIVED_LEAST, SENT_LEAST, SOCKET};

/// Reads one head, and as many bytes of body after it. Gives both as text.
async fn read_message(stream: &mut TcpStream, body: usize) -> String {
    let mut message = vec![];
    while !message.ends_with(b"\r\n\r\n") {
        message.push(stream.read_u8().await.unwrap());
    }
    let mut rest = vec![0; body];
    stream.read_exact(&mut rest).await.unwrap();
    message.extend(rest);
    String::from_utf8(message).unwrap()
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut all = vec![];
    stream.read_to_end(&mut all).await.unwrap();
    String::from_utf8(all).unwrap()
}

async fn accept(outside: &TcpListener) -> TcpStream {
    outside.accept().await.unwrap().0
}

/// One request through a gate that allows a.example: what the client sent, what the server answers;
/// gives what the server and the client got. The server closes after its answer.
async fn exchange(request: &str, body: usize, response: &str) -> (String, String) {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig.client_saying(80, request.as_bytes()).await;
    let mut server = accept(&outside).await;
    let forwarded = read_message(&mut server, body).await;
    server.write_all(response.as_bytes()).await.unwrap();
    drop(server);
    client.shutdown().await.unwrap();
    let answer = read_all(&mut client).await;
    drop(client);
    assert_eq!(rig.record().await.verdict, "allow");
    (forwarded, answer)
}

/// What a request to a gate that allows a.example gets when it must not leave: the answer, and the
/// record's reason.
async fn kept_in(request: &str) -> (String, String) {
    let (rig, _outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig.client_saying(80, request.as_bytes()).await;
    client.shutdown().await.unwrap();
    let answer = read_all(&mut client).await;
    drop(client);
    assert!(rig.dialled().is_empty(), "{request:?}");
    let record = rig.record().await;
    assert_eq!(record.verdict, "deny", "{request:?}");
    (answer, record.reason.unwrap())
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn an_allowed_request_passes_as_it_came_and_is_recorded_with_its_bytes() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let request =
        "GET /x?y=1 HTTP/1.1\r\nHOST: A.Example.:99\r\nUser-agent: t\r\nX-FOO : 1\r\n odd\r\n\r\n";
    let mut client = rig.client_saying(80, request.as_bytes()).await;
    let mut server = accept(&outside).await;
    assert_eq!(read_message(&mut server, 0).await, request);
    server.write_all(OK.as_bytes()).await.unwrap();
    assert_eq!(read_message(&mut client, 2).await, OK);
    drop((client, server));
    let record = rig.record().await;
    assert_eq!(
        (record.verdict.as_str(), record.name.as_deref()),
        ("allow", Some("a.example"))
    );
    assert_eq!(
        (record.method.as_deref(), record.path.as_deref()),
        (Some("GET"), Some("/x"))
    );
    assert_eq!((record.reason, record.rule.is_some()), (None, true));
    assert_eq!(
        (record.bytes_out, record.bytes_in),
        (request.len() as u64, OK.len() as u64)
    );
}

#[tokio::test]
async fn every_request_of_a_connection_is_judged_by_itself() {
    let (rig, outside) = Rig::new(&["domain=a.example", "domain=c.example"], &[]).await;
    let mut client = rig.client(80).await;
    let mut server = None;
    for path in ["/1", "/2"] {
        client
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let server = match &mut server {
            Some(server) => server,
            none => none.insert(accept(&outside).await),
        };
        assert!(
            read_message(server, 0)
                .await
                .starts_with(&format!("GET {path} "))
        );
        server.write_all(OK.as_bytes()).await.unwrap();
        read_message(&mut client, 2).await;
    }
    client
        .write_all(b"GET /3 HTTP/1.1\r\nHost: c.example\r\n\r\n")
        .await
        .unwrap();
    let mut another = accept(&outside).await;
    read_message(&mut another, 0).await;
    another.write_all(OK.as_bytes()).await.unwrap();
    read_message(&mut client, 2).await;
    client
        .write_all(b"GET /4 HTTP/1.1\r\nHost: b.example\r\n\r\n")
        .await
        .unwrap();
    assert!(read_all(&mut client).await.starts_with("HTTP/1.1 403 "));
    drop(client);
    assert_eq!(
        rig.dialled(),
        ["a.example", "c.example"],
        "the second request used the first one's connection"
    );
    let verdicts: Vec<_> = rig
        .records()
        .await
        .into_iter()
        .map(|record| (record.path.unwrap(), record.verdict))
        .collect();
    let expected = [
        ("/1", "allow"),
        ("/2", "allow"),
        ("/3", "allow"),
        ("/4", "deny"),
    ];
    assert_eq!(
        verdicts,
        expected.map(|(path, verdict)| (path.to_owned(), verdict.to_owned()))
    );
}

#[tokio::test]
async fn a_denied_host_is_never_dialled_and_the_answer_names_the_rule_to_add() {
    let (answer, reason) = kept_in("GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert!(
        answer.contains("\r\n\r\n{\"error\":\"denied: GET evil.example/x: "),
        "{answer}"
    );
    assert!(
        answer.contains(&reason) && answer.contains("domain=evil.example"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_denial_is_in_the_form_that_its_client_reads() {
    for (fields, status, begins) in [
        (
            "Accept: text/html,*/*;q=0.8\r\n",
            "403 Forbidden",
            "<!DOCTYPE html>",
        ),
        (
            "Accept: application/json\r\nAccept: text/html;q=0.5\r\n",
            "403 Forbidden",
            "{\"error\":",
        ),
        (
            "Accept: application/json;q=0.5\r\naccept:text/html\r\n",
            "403 Forbidden",
            "<!DOCTYPE html>",
        ),
        ("Content-Type: application/grpc\r\n", "200 OK", ""),
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\n",
            "403 Forbidden",
            "{\"error\":",
        ),
        // One that can't be decided about, too.
        (
            "Host: b.example\r\nAccept: text/html\r\n",
            "400 Bad Request",
            "<!DOCTYPE html>",
        ),
    ] {
        let (answer, _) = kept_in(&format!(
            "GET / HTTP/1.1\r\nHost: evil.example\r\n{fields}\r\n"
        ))
        .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
        assert!(answer.contains("\r\nx-boundary-reason: "), "{answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert!(body.starts_with(begins), "{answer}");
        assert_eq!(body.is_empty(), begins.is_empty(), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_waits_before_its_upload_is_told_at_once() {
    let (rig, _outside) = Rig::new(&[], &[]).await;
    let head = "PUT /x HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 9000000000\r\nExpect: 100-continue\r\n\r\n";
    let mut client = rig.client_saying(80, head.as_bytes()).await;
    assert!(read_all(&mut client).await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn a_client_that_reads_only_when_all_is_sent_still_reads_its_denial() {
    const SENT: usize = 48 * 1024 * 1024;
    let (rig, _outside) = Rig::new(&[], &[]).await;
    let head = format!("POST /x HTTP/1.1\r\nHost: evil.example\r\nContent-Length: {SENT}\r\n\r\n");
    let mut client = rig.client_saying(80, head.as_bytes()).await;
    client.write_all(&vec![b'a'; SENT]).await.unwrap();
    assert!(read_all(&mut client).await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn a_denied_upload_still_reads_its_denial() {
    let (rig, _outside) = Rig::new(&[], &[]).await;
    let head = "POST /x HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 400000\r\n\r\n";
    let mut client = rig.client_saying(80, head.as_bytes()).await;
    for _ in 0..4 {
        // The pace of its line.
        tokio::time::sleep(Duration::from_millis(400)).await;
        client.write_all(&vec![b'a'; 100_000]).await.unwrap();
    }
    assert!(read_all(&mut client).await.starts_with("HTTP/1.1 403 "));
    drop(client);
    assert_eq!(rig.record().await.verdict, "deny");
}

#[tokio::test]
async fn method_and_path_decide_on_what_is_sent() {
    let (rig, outside) = Rig::new(&["domain=a.example method=GET path=/public/*"], &[]).await;
    for line in [
        "POST /public/x",
        "GET /secret",
        "GET /public/../secret",
        "GET /public/%2e%2e/secret",
        "GET /secret/../public/x",
        "GET /public//x",
        "GET /public%2fx",
        "GET /public/..%2fsecret",
    ] {
        let mut client = rig
            .client_saying(
                80,
                format!("{line} HTTP/1.1\r\nHost: a.example\r\n\r\n").as_bytes(),
            )
            .await;
        client.shutdown().await.unwrap();
        let answer = read_all(&mut client).await;
        assert!(
            answer.starts_with("HTTP/1.1 403 ") || answer.starts_with("HTTP/1.1 400 "),
            "{line}: {answer}"
        );
    }
    let request = b"GET /public/%78 HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let mut client = rig.client_saying(80, request).await;
    let mut server = accept(&outside).await;
    assert!(
        read_message(&mut server, 0)
            .await
            .starts_with("GET /public/%78 HTTP/1.1\r\n")
    );
    server.write_all(OK.as_bytes()).await.unwrap();
    read_message(&mut client, 2).await;
    drop((client, server));
    assert_eq!(
        rig.records()
            .await
            .iter()
            .filter(|record| record.verdict == "deny")
            .count(),
        8
    );
}

#[tokio::test]
async fn requests_that_could_be_understood_in_two_ways_are_refused_and_recorded() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\n folded\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: +1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a.example\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let (answer, _) = kept_in(request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
            "{request:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_target_for_https_in_clear_text_is_misdirected() {
    let request = "GET https://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let (answer, reason) = kept_in(request).await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    assert!(reason.contains("another scheme"), "{reason}");
}

#[tokio::test]
async fn connect_is_denied() {
    let (answer, reason) =
        kept_in("CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(reason.contains("CONNECT"));
}

#[tokio::test]
async fn a_head_that_never_becomes_complete_is_recorded() {
    let (_, reason) = kept_in("GET / HTTP/1.1\r\nHost: a.exam").await;
    assert!(reason.contains("never became complete"), "{reason}");
}

#[tokio::test]
async fn bodies_pass_in_every_framing() {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let (forwarded, answer) = exchange(
        &format!("POST / HTTP/1.1\r\nHost: a.example\r\n{chunked}"),
        13,
        &format!("HTTP/1.1 200 OK\r\n{chunked}"),
    )
    .await;
    assert!(
        forwarded.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        "{forwarded}"
    );
    assert!(
        answer.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        "{answer}"
    );

    let length = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc";
    let (forwarded, answer) = exchange(length, 3, "HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
    assert_eq!(forwarded, length);
    assert!(answer.contains("until the end"), "{answer}");

    let old = "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n";
    let chunks = format!("HTTP/1.1 200 OK\r\n{chunked}");
    let (forwarded, answer) = exchange(old, 0, &chunks).await;
    assert_eq!((forwarded.as_str(), answer), (old, chunks));

    let coded = "Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let request = format!("POST / HTTP/1.1\r\nHost: a.example\r\n{coded}");
    assert_eq!(exchange(&request, 13, OK).await.0, request);
}

#[tokio::test]
async fn answers_without_a_body_keep_their_heads() {
    let get = |method: &str| format!("{method} / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    for (method, response) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 500\r\nX-A: b\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 404 Nothing Here\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        assert_eq!(exchange(&get(method), 0, response).await.1, response);
    }
    let unmodified = "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n";
    assert_eq!(exchange(&get("GET"), 0, unmodified).await.1, unmodified);
}

#[tokio::test]
async fn an_upload_that_waits_to_be_asked_is_asked_by_its_server() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let head =
        b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    let mut client = rig.client_saying(80, head).await;
    let mut server = accept(&outside).await;
    assert_eq!(read_message(&mut server, 0).await.as_bytes(), head);
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    server.write_all(interim.as_bytes()).await.unwrap();
    let heard = [
        read_message(&mut client, 0).await,
        read_message(&mut client, 0).await,
    ];
    assert_eq!(heard.concat(), interim);
    client.write_all(b"abc").await.unwrap();
    server.read_exact(&mut [0; 3]).await.unwrap();
    server.write_all(OK.as_bytes()).await.unwrap();
    assert_eq!(read_message(&mut client, 2).await, OK);
    drop((client, server));
    assert_eq!(rig.record().await.verdict, "allow");
}

const WEBSOCKET: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn a_websocket_becomes_bytes_both_ways_once_the_server_agrees() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig.client_saying(80, WEBSOCKET).await;
    let mut server = accept(&outside).await;
    let head = read_message(&mut server, 0).await.to_ascii_lowercase();
    assert!(
        head.contains("\r\nconnection: upgrade\r\n") && head.contains("\r\nupgrade: websocket\r\n"),
        "{head}"
    );
    let switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst";
    server.write_all(switching).await.unwrap();
    let answer = read_message(&mut client, 5).await;
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("first"),
        "{answer}"
    );
    client.write_all(b"\x01\x02hi").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await.len(), 4);
    drop(server);
    assert_eq!(read_all(&mut client).await, "");
    drop(client);
    let record = rig.record().await;
    assert_eq!((record.verdict.as_str(), record.reason), ("allow", None));
    assert!(
        record.bytes_out == head.len() as u64 + 4 && record.bytes_in >= switching.len() as u64,
        "{record:?}",
        record = (record.bytes_out, record.bytes_in)
    );
}

#[tokio::test]
async fn other_upgrades_are_not_passed_on_and_a_switch_unasked_is_no_answer() {
    let h2c = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let (forwarded, answer) = exchange(
        h2c,
        0,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    )
    .await;
    assert_eq!(forwarded, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_a_502_with_the_reason() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    drop(outside);
    let mut client = rig
        .client_saying(80, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    let answer = read_all(&mut client).await;
    assert!(
        answer.starts_with("HTTP/1.1 502 ") && answer.contains("refused"),
        "{answer}"
    );
    drop(client);
    let record = rig.record().await;
    assert_eq!(record.verdict, "allow");
    assert!(record.reason.unwrap().contains("refused"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client_and_in_the_record() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig
        .client_saying(80, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    let mut server = accept(&outside).await;
    read_message(&mut server, 0).await;
    server
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        .await
        .unwrap();
    drop(server);
    let answer = read_all(&mut client).await;
    assert!(answer.ends_with("\r\n\r\nabc"), "{answer}");
    drop(client);
    let record = rig.record().await;
    assert_eq!(
        (record.ended, record.by),
        (Some(Ended::Reset), Some(Side::Server))
    );
}

#[tokio::test]
async fn a_client_that_leaves_during_the_answer_is_recorded_so() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig
        .client_saying(80, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    let mut server = accept(&outside).await;
    read_message(&mut server, 0).await;
    server
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nabc")
        .await
        .unwrap();
    read_message(&mut client, 3).await;
    drop(client);
    let flood = vec![0; 100_000];
    while server.write_all(&flood).await.is_ok() {}
    let record = rig.record().await;
    assert_eq!(
        (record.ended, record.by),
        (Some(Ended::Reset), Some(Side::Client))
    );
}

#[tokio::test]
async fn what_is_sent_after_an_early_answer_is_counted_too() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let head = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n\r\n";
    let mut client = rig.client_saying(80, head).await;
    let mut server = accept(&outside).await;
    read_message(&mut server, 0).await;
    server.write_all(OK.as_bytes()).await.unwrap();
    read_message(&mut client, 2).await;
    client.write_all(&[b'a'; 100_000]).await.unwrap();
    server.read_exact(&mut [0; 100_000]).await.unwrap();
    drop((client, server));
    assert_eq!(rig.record().await.bytes_out, head.len() as u64 + 100_000);
}

#[tokio::test]
async fn what_went_to_a_server_that_never_answered_is_counted() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let request = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc";
    let mut client = rig.client_saying(80, request).await;
    let mut server = accept(&outside).await;
    read_message(&mut server, 3).await;
    drop(server);
    assert!(read_all(&mut client).await.starts_with("HTTP/1.1 502 "));
    drop(client);
    assert_eq!(rig.record().await.bytes_out, request.len() as u64);
}

/// A connection on which one request was answered, and its server's side.
async fn kept(rig: &Rig, outside: &TcpListener) -> (TcpStream, TcpStream) {
    let request = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let mut client = rig.client_saying(80, request).await;
    let mut server = accept(outside).await;
    read_message(&mut server, 0).await;
    server.write_all(OK.as_bytes()).await.unwrap();
    client.read_exact(&mut vec![0; OK.len()]).await.unwrap();
    (client, server)
}

/// A connection that waits for its next request ends where nothing more is allowed in its server's
/// name, even within a head. Where another path is, it goes on.
#[tokio::test]
async fn a_kept_connection_ends_when_a_changed_policy_allows_nothing_more_on_it() {
    for more in [&b""[..], b"GET /ne"] {
        let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
        let (mut client, mut server) = kept(&rig, &outside).await;
        client.write_all(more).await.unwrap();
        assert_eq!(rig.change(&["domain=a.example path=/y"], &[]).await, 0);
        assert_eq!(rig.change(&["domain=b.example"], &[]).await, 1, "{more:?}");
        assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
        let error = server.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

/// So does one whose server's side was given up meanwhile, for want of memory.
#[tokio::test]
async fn a_kept_connection_without_its_server_ends_when_a_changed_policy_allows_nothing_more_on_it()
{
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let (mut client, mut server) = kept(&rig, &outside).await;
    let budget = &rig.bench.streams.budget;
    let others = budget.take(budget.free()).unwrap();
    drop(rig.bench.streams.room());
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    drop(others);
    assert_eq!(rig.change(&["domain=a.example path=/y"], &[]).await, 0);
    assert_eq!(rig.change(&["domain=b.example"], &[]).await, 1);
    let ended = timeout(Duration::from_secs(10), client.read(&mut [0; 1])).await;
    assert_eq!(ended.unwrap().unwrap_or(0), 0);
}

#[tokio::test]
async fn a_server_that_ends_a_kept_connection_ends_the_clients_as_it_would_directly() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig
        .client_saying(80, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    let mut server = accept(&outside).await;
    read_message(&mut server, 0).await;
    server.write_all(OK.as_bytes()).await.unwrap();
    assert_eq!(read_message(&mut client, 2).await, OK);
    let timeout = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n";
    server.write_all(timeout.as_bytes()).await.unwrap();
    drop(server);
    assert_eq!(read_all(&mut client).await, "", "it answers no request");
    drop(client);
    assert_eq!(rig.records().await.len(), 1);
}

/// One request of a connection that ends, answered.
async fn asked_once(rig: &Rig, server: &mut TcpStream, request: &str) -> String {
    let mut client = rig.client_saying(80, request.as_bytes()).await;
    let forwarded = read_message(server, 0).await;
    server.write_all(OK.as_bytes()).await.unwrap();
    let answer = read_all(&mut client).await;
    assert!(
        answer.contains("Connection: close\r\n") && answer.ends_with("ok"),
        "{answer}"
    );
    forwarded
}

const ONCE: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_connection_to_a_server_serves_the_next_client_connection() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let first = rig.client_saying(80, ONCE.as_bytes());
    let mut client = first.await;
    let mut server = accept(&outside).await;
    assert_eq!(
        read_message(&mut server, 0).await,
        "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    );
    server.write_all(OK.as_bytes()).await.unwrap();
    assert!(read_all(&mut client).await.ends_with("ok"));
    drop(client);
    asked_once(&rig, &mut server, ONCE).await;
    asked_once(&rig, &mut server, ONCE).await;
    assert_eq!(rig.dialled(), ["a.example"]);
    assert_eq!(rig.records().await.len(), 3);
}

#[tokio::test]
async fn a_client_that_chose_another_address_takes_another_connection() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    for other in [false, true] {
        let mut client = if other {
            rig.client_to("192.0.2.9:80".parse().unwrap(), ONCE.as_bytes())
                .await
        } else {
            rig.client_saying(80, ONCE.as_bytes()).await
        };
        let mut server = accept(&outside).await;
        read_message(&mut server, 0).await;
        server.write_all(OK.as_bytes()).await.unwrap();
        assert!(read_all(&mut client).await.ends_with("ok"));
    }
    assert_eq!(rig.dialled().len(), 2);
}

#[tokio::test]
async fn what_a_server_could_tie_to_a_client_serves_no_other() {
    for (request, answer) in [
        (
            "GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: NTLM x\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        (
            ONCE,
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 2\r\n\r\nok",
        ),
        (
            ONCE,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        ),
        (
            ONCE,
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        (
            ONCE,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        ),
    ] {
        let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
        for _ in 0..2 {
            let mut client = rig.client_saying(80, request.as_bytes()).await;
            let mut server = accept(&outside).await;
            read_message(&mut server, 0).await;
            server.write_all(answer.as_bytes()).await.unwrap();
            assert!(read_all(&mut client).await.contains("ok"));
        }
        assert_eq!(rig.dialled().len(), 2, "{request:?} {answer:?}");
    }
}

#[tokio::test]
async fn a_request_that_a_pooled_connection_was_too_old_for_is_sent_again_unseen() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig.client_saying(80, ONCE.as_bytes()).await;
    let mut server = accept(&outside).await;
    read_message(&mut server, 0).await;
    server.write_all(OK.as_bytes()).await.unwrap();
    read_all(&mut client).await;
    drop(client);
    // It goes when the next request is under way.
    let mut client = rig.client_saying(80, ONCE.as_bytes()).await;
    read_message(&mut server, 0).await;
    drop(server);
    let mut server = accept(&outside).await;
    read_message(&mut server, 0).await;
    server.write_all(OK.as_bytes()).await.unwrap();
    assert!(read_all(&mut client).await.ends_with("ok"));
    drop(client);
    assert_eq!(rig.records().await.len(), 2);
}

/// What was not written of the first attempt is no request of its own.
#[tokio::test]
async fn a_long_request_that_is_sent_again_is_sent_once() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    socket2::SockRef::from(&outside)
        .set_recv_buffer_size(4096)
        .unwrap();
    let mut client = rig.client_saying(80, ONCE.as_bytes()).await;
    let mut server = accept(&outside).await;
    read_message(&mut server, 0).await;
    server.write_all(OK.as_bytes()).await.unwrap();
    read_all(&mut client).await;
    drop(client);
    let long = format!(
        "GET /long HTTP/1.1\r\nHost: a.example\r\nX: {}\r\n\r\n",
        "x".repeat(900_000)
    );
    let mut client = rig.client(80).await;
    let (mut answers, mut requests) = client.split();
    let asking = async {
        requests.write_all(long.as_bytes()).await.unwrap();
        let next = "GET /next HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
        requests.write_all(next.as_bytes()).await.unwrap();
        let mut heard = String::new();
        answers.read_to_string(&mut heard).await.unwrap();
        heard
    };
    let serving = async {
        // It goes with a part of the request unread: a reset.
        server.read_exact(&mut [0; 10]).await.unwrap();
        drop(server);
        let mut server = accept(&outside).await;
        assert_eq!(read_message(&mut server, 0).await, long);
        server.write_all(OK.as_bytes()).await.unwrap();
        let next = read_message(&mut server, 0).await;
        assert!(next.starts_with("GET /next HTTP/1.1\r\n"), "{next}");
        server.write_all(OK.as_bytes()).await.unwrap();
    };
    let (heard, ()) = tokio::join!(asking, serving);
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), 2, "{heard}");
    let paths: Vec<_> = rig
        .records()
        .await
        .into_iter()
        .map(|record| record.path.unwrap())
        .collect();
    assert_eq!(paths, ["/", "/long", "/next"]);
}

#[tokio::test]
async fn what_may_not_be_repeated_takes_a_connection_of_its_own() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig.client_saying(80, ONCE.as_bytes()).await;
    let mut first = accept(&outside).await;
    read_message(&mut first, 0).await;
    first.write_all(OK.as_bytes()).await.unwrap();
    read_all(&mut client).await;
    let post =
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    let mut client = rig.client_saying(80, post.as_bytes()).await;
    let mut second = accept(&outside).await;
    assert!(read_message(&mut second, 3).await.ends_with("abc"));
    second.write_all(OK.as_bytes()).await.unwrap();
    assert!(read_all(&mut client).await.ends_with("ok"));
}

#[tokio::test]
async fn a_kept_connection_that_breaks_under_a_request_ends_the_clients_as_it_would_directly() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let mut client = rig.client_saying(80, request).await;
    let mut server = accept(&outside).await;
    read_message(&mut server, 0).await;
    server.write_all(OK.as_bytes()).await.unwrap();
    read_message(&mut client, 2).await;
    client.write_all(request).await.unwrap();
    read_message(&mut server, 0).await;
    drop(server);
    assert_eq!(
        read_all(&mut client).await,
        "",
        "no answer, so that the client may ask again"
    );
    drop(client);
    let records = rig.records().await;
    assert_eq!(records.len(), 2);
    assert!(records[1].reason.as_ref().unwrap().contains("no answer"));
}

#[tokio::test]
async fn a_server_that_ends_its_connection_ends_the_clients() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig
        .client_saying(80, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    let mut server = accept(&outside).await;
    read_message(&mut server, 0).await;
    server
        .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        .await
        .unwrap();
    let answer = read_all(&mut client).await.to_ascii_lowercase();
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    drop((client, server));
    assert_eq!(rig.record().await.verdict, "allow");
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: {}",
        "a".repeat(LONGEST_HEAD + 1)
    );
    let (rig, _outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig.client(80).await;
    let sent: io::Result<()> = client.write_all(request.as_bytes()).await;
    sent.unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    drop(client);
    assert_eq!(rig.record().await.verdict, "deny");
}

/// Fields behind the body are as good a way for data as the body.
#[tokio::test]
async fn trailers_count_as_bytes() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let head = "POST / HTTP/1.1\r\nHost: a.example\r\nTE: trailers\r\nTrailer: x-t\r\nTransfer-Encoding: chunked\r\n\r\n";
    let trailer = format!("x-t: {}\r\n", "s".repeat(1000));
    let request = format!("{head}5\r\nhello\r\n0\r\n{trailer}\r\n");
    let mut client = rig.client_saying(80, request.as_bytes()).await;
    let mut server = accept(&outside).await;
    let mut got = read_message(&mut server, 0).await;
    while !got.ends_with("\r\n\r\n") || !got.contains("x-t: s") {
        got.push(server.read_u8().await.unwrap().into());
    }
    let response =
        "HTTP/1.1 200 OK\r\nTrailer: x-t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
    server
        .write_all(format!("{response}{trailer}\r\n").as_bytes())
        .await
        .unwrap();
    drop(server);
    client.shutdown().await.unwrap();
    assert!(read_all(&mut client).await.contains("ok"));
    drop(client);
    let record = rig.record().await;
    let trailer = trailer.len() as u64;
    assert!(
        record.bytes_out > trailer + 5 && record.bytes_in > trailer + 2,
        "{record:?}"
    );
    assert_eq!(
        (record.ended, record.by),
        (Some(Ended::Closed), Some(Side::Server))
    );
}

/// What a conversation and its two connections take at their least.
const BOTH_ENDS: usize = 2 * LEAST_STREAM + CONVERSATION;
const LEAST_STREAM: usize = SOCKET + 2 * RECEIVED_LEAST + SENT_LEAST;

#[tokio::test]
async fn a_head_that_there_is_no_room_for_is_denied_with_the_reason() {
    let (rig, _outside) = Rig::within(BOTH_ENDS, &["domain=a.example"], &[]).await;
    let mut client = rig.client(80).await;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: {}",
        "a".repeat(64 * 1024)
    );
    client.write_all(request.as_bytes()).await.unwrap();
    while client.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
    drop(client);
    let record = rig.record().await;
    assert_eq!(record.verdict, "deny");
    assert!(
        record
            .reason
            .unwrap()
            .starts_with("the gateway's memory is used up")
    );
}

#[tokio::test]
async fn a_conversation_takes_what_is_reserved_for_it() {
    let (rig, _outside) = Rig::new(&[], &[]).await;
    let somewhere = std::net::SocketAddr::from((crate::proxy::rig::SERVER, 80));
    let flow = rig.flow(somewhere, somewhere);
    let said = super::Said {
        bytes: Vec::new(),
        room: rig.bench.streams.budget.nothing(),
        sent: 0,
    };
    let client = rig.stream(rig.client(80).await);
    let entry = flow.begin(crate::audit::Kind::Http);
    let size = size_of_val(&super::serve(
        &flow,
        client,
        Origin::Clear,
        said,
        entry,
        None,
    ));
    assert!(size < CONVERSATION * 3 / 4, "{size}");
}

/// As SPECIFICATION.md says.
#[test]
fn so_many_connections_are_held_at_their_least() {
    let fit = |each: usize| Budget::within(64 << 20).free() / each;
    assert_eq!(
        (
            fit(2 * LEAST_STREAM),
            fit(LEAST_STREAM + CONVERSATION),
            fit(BOTH_ENDS)
        ),
        (1568, 2508, 1393)
    );
}

#[tokio::test]
async fn a_request_that_there_is_no_connection_for_is_denied_with_the_reason() {
    let (rig, _outside) = Rig::within(BOTH_ENDS - 1, &["domain=a.example"], &[]).await;
    let mut client = rig
        .client_saying(80, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    let answer = read_all(&mut client).await;
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && answer.contains("memory is used up"),
        "{answer}"
    );
    drop(client);
    assert!(
        rig.record()
            .await
            .reason
            .unwrap()
            .starts_with("the gateway's memory is used up")
    );
}

#[tokio::test]
async fn bodies_go_on_both_ways_with_the_least_room() {
    const SIZE: usize = 400_000;
    let (rig, outside) = Rig::within(BOTH_ENDS, &["domain=a.example"], &[]).await;
    let head = format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {SIZE}\r\n\r\n");
    let mut client = rig.client_saying(80, head.as_bytes()).await;
    let mut server = accept(&outside).await;
    read_message(&mut server, 0).await;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let (mut client_reads, mut client_writes) = client.split();
    let (mut server_reads, mut server_writes) = server.split();
    let (mut sent, mut got) = (vec![0; SIZE], vec![0; answer.len() + SIZE]);
    let (body, answer) = (vec![1; SIZE], [answer.as_bytes(), &[2; SIZE]].concat());
    let outcome = tokio::try_join!(
        client_writes.write_all(&body),
        server_writes.write_all(&answer),
        server_reads.read_exact(&mut sent),
        client_reads.read_exact(&mut got),
    );
    outcome.unwrap();
    assert!(sent == body && got == answer);
}
