//! Random requests and answers through the relay, over real sockets: what arrives is what was sent,
//! `Connection: close` aside, or it was refused.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::request;
use crate::proxy::rig::Rig;

/// A line that decides nothing, however odd. (Each request has an Authorization, too: its connection is
/// then not pooled, and ends.)
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "X-[a-z]{1,4}: [ -~]{0,12}\r\n",
        "X-[a-z]{1,4}: [a-z]{0,4}\r\n [a-z]{1,4}\r\n",
        "[A-Za-z]{1,5}[!#$%&'*]{1,3}:[a-z]{0,3}\r\n",
        "Cookie: [a-z]{0,3000}\r\n",
    ]
}

/// A body with the line that says how long it is.
fn body() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        Just((String::new(), String::new())),
        "[ -~]{1,40}".prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body)),
        (30_000usize..80_000)
            .prop_map(|length| { (format!("Content-Length: {length}\r\n"), "x".repeat(length)) }),
        proptest::collection::vec(1usize..20_000, 1..4).prop_map(|chunks| {
            let chunk = |length: usize| format!("{length:x};a=b\r\n{}\r\n", "y".repeat(length));
            let chunks = chunks.into_iter().map(chunk).collect::<String>();
            let body = format!("{chunks}0\r\nX-T: v\r\n\r\n");
            ("Transfer-Encoding: chunked\r\n".to_owned(), body)
        }),
    ]
}

fn asked() -> impl Strategy<Value = String> {
    let target = "/[!-~]{0,20}";
    (target, proptest::collection::vec(line(), 0..4), body()).prop_map(
        |(target, lines, (length, body))| {
            let lines = lines.concat();
            format!("PUT {target} HTTP/1.1\r\nHost: a.example\r\nAuthorization: x\r\n{length}{lines}\r\n{body}")
        },
    )
}

/// What must be refused.
fn ambiguous() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\n Content-Length: 5\r\n\r\nabcde",
        "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nX : y\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
    ])
    .prop_map(str::to_owned)
}

fn answered() -> impl Strategy<Value = String> {
    let body = body().prop_map(|(length, body)| {
        if length.is_empty() {
            ("Content-Length: 0\r\n".to_owned(), body)
        } else {
            (length, body)
        }
    });
    (proptest::collection::vec(line(), 0..4), body).prop_map(|(lines, (length, body))| {
        format!("HTTP/1.1 200 OK\r\n{}{length}\r\n{body}", lines.concat())
    })
}

/// Writes in pieces of these lengths, over and over.
async fn write_in_pieces(to: &mut (impl AsyncWriteExt + Unpin), mut text: &[u8], pieces: &[usize]) {
    for piece in pieces.iter().cycle() {
        let (now, rest) = text.split_at((*piece).min(text.len()));
        // Whoever refuses takes no more.
        if now.is_empty() || to.write_all(now).await.is_err() {
            return;
        }
        text = rest;
        tokio::task::yield_now().await;
    }
}

async fn reads(server: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    server.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// What the client hears, and what else the server heard than the requests that pass.
async fn converse(
    requests: &[String],
    refused: Option<&str>,
    answers: &[String],
    pieces: &[usize],
) -> (String, Vec<u8>) {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = rig.client(80).await;
    let (mut client_reads, mut client_writes) = client.split();
    let said = requests.concat() + refused.unwrap_or_default();
    let asking = async {
        write_in_pieces(&mut client_writes, said.as_bytes(), pieces).await;
        let _ = client_writes.shutdown().await;
    };
    let hearing = async {
        let mut heard = Vec::new();
        let _ = client_reads.read_to_end(&mut heard).await;
        String::from_utf8(heard).unwrap()
    };
    let serving = async {
        let mut rest = Vec::new();
        if requests.is_empty() {
            return rest;
        }
        let mut server = outside.accept().await.unwrap().0;
        for (request, answer) in requests.iter().zip(answers) {
            assert_eq!(reads(&mut server, request.len()).await, *request);
            write_in_pieces(&mut server, answer.as_bytes(), pieces).await;
        }
        let _ = server.read_to_end(&mut rest).await;
        rest
    };
    let ((), heard, rest) = tokio::join!(asking, hearing, serving);
    drop(client);
    let records = rig.records().await;
    let denied = records.iter().filter(|record| record.verdict == "deny");
    assert_eq!(
        denied.count(),
        usize::from(refused.is_some()),
        "{records:?}"
    );
    (heard, rest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_arrives_is_what_was_sent_or_it_was_refused(
        exchanges in proptest::collection::vec((asked(), answered()), 0..4),
        refused in proptest::option::of(ambiguous()),
        pieces in proptest::collection::vec(1usize..30_000, 1..4),
    ) {
        let (requests, answers): (Vec<_>, Vec<_>) = exchanges.into_iter().unzip();
        for request in &requests {
            let end = request::end(request.as_bytes(), 0).unwrap();
            let head = &request.as_bytes()[..end];
            prop_assume!(request::read(head, "192.0.2.1:80".parse().unwrap()).is_ok());
        }
        prop_assume!(!requests.is_empty() || refused.is_some());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (heard, rest) = runtime.block_on(converse(&requests, refused.as_deref(), &answers, &pieces));
        let expected = answers.concat();
        prop_assert!(heard.starts_with(&expected), "{heard:?} is not {expected:?}");
        let ours = &heard[expected.len()..];
        prop_assert_eq!(ours.starts_with("HTTP/1.1 4"), refused.is_some(), "{}", ours);
        prop_assert_eq!(rest, b"");
    }
}
