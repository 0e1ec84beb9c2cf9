//! Frames of HTTP/2 through the library, with our bounds: from a client, whose requests are understood,
//! and from a server that answers one.

#![no_main]

use boundary_shim::proxy::http2::{as_client, as_server, request};
use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, Request, Response};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinSet;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// No settings.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The longest head, as RFC 9113 6.5.2 counts it.
const LONGEST_HEAD: usize = 64 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let [how, rest @ ..] = bytes else {
        return;
    };
    let frames = match how & 2 {
        0 => rest.to_vec(),
        _ => framed(rest),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        match how & 1 {
            0 => from_client(frames).await,
            _ => from_server(frames).await,
        }
    });
});

/// Frames that are as long as they say: of each, the input has type, flags, stream, length and payload.
fn framed(mut input: &[u8]) -> Vec<u8> {
    let mut frames = SETTINGS.to_vec();
    while let [kind, flags, stream, length, rest @ ..] = input {
        let (payload, after) = rest.split_at(usize::from(*length).min(rest.len()));
        let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
        frames.extend([0, 0, length, kind % 11, *flags, 0, 0, 0, *stream]);
        frames.extend(payload);
        input = after;
    }
    frames
}

/// Says this, and takes whatever is said until the other side ends.
async fn say(mut stream: DuplexStream, said: Vec<u8>) {
    let mut heard = vec![0; 16 << 10];
    let _ = stream.write_all(&said).await;
    let _ = stream.shutdown().await;
    while stream.read(&mut heard).await.is_ok_and(|count| count > 0) {}
}

async fn from_client(frames: Vec<u8>) {
    let (ours, theirs) = duplex(1 << 20);
    let mut tasks = JoinSet::new();
    tasks.spawn(say(theirs, [PREFACE, &frames].concat()));
    let Ok(mut connection) = as_server().handshake::<_, Bytes>(ours).await else {
        return;
    };
    let destination = "192.0.2.1:80".parse().expect("an address");
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, body) = request.into_parts();
        assert!(size(&head.headers) <= LONGEST_HEAD);
        let _ = request::read(&head, destination);
        tasks.spawn(async move {
            if let Ok(mut send) = respond.send_response(Response::new(()), false) {
                let _ = send.send_data(Bytes::from_static(b"answer"), true);
            }
            drain(body).await;
        });
    }
    drop(connection);
    while tasks.join_next().await.is_some() {}
}

async fn from_server(frames: Vec<u8>) {
    let (ours, theirs) = duplex(1 << 20);
    let mut tasks = JoinSet::new();
    tasks.spawn(say(theirs, frames));
    let Ok((mut send, connection)) = as_client().handshake::<_, Bytes>(ours).await else {
        return;
    };
    tasks.spawn(async {
        let _ = connection.await;
    });
    let request = Request::post("http://ok.test/a")
        .body(())
        .expect("a request");
    let Ok((answer, mut upload)) = send.send_request(request, false) else {
        return;
    };
    let _ = upload.send_data(Bytes::from_static(b"body"), true);
    drop(send);
    if let Ok(answer) = answer.await {
        assert!(size(answer.headers()) <= LONGEST_HEAD);
        drain(answer.into_body()).await;
    }
    while tasks.join_next().await.is_some() {}
}

/// Takes all of a body, and lets its sender send as much again.
async fn drain(mut body: RecvStream) {
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
    }
    let _ = body.trailers().await;
}

fn size(fields: &HeaderMap) -> usize {
    let of = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + 32
    };
    fields.iter().map(of).sum()
}
