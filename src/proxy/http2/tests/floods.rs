//! Limits at their edges, and peers that ask for too much.

use super::*;
use crate::proxy::budget::FIXED;
use crate::proxy::http2::limits::{FIELD, LONGEST_HEAD, STREAMS};

/// A client that writes frames by hand.
struct Raw(TcpStream);

/// Types of frames (RFC 9113 6).
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// `GET http://a.example/`, compressed.
const GET: &[u8] = b"\x82\x86\x84\x01\x09a.example";

impl Raw {
    async fn of(rig: &Rig) -> Self {
        let mut raw = Self(rig.client(80).await);
        raw.0
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        raw.0.write_all(&frame(SETTINGS, 0, 0, b"")).await.unwrap();
        raw
    }

    /// Writes as much as is taken.
    async fn write(&mut self, bytes: &[u8]) {
        // A connection that is ended meanwhile is what some of these wait for.
        let _ = timeout(SOON, self.0.write_all(bytes)).await.unwrap();
    }

    /// The next frame of this type: its stream and its payload.
    async fn next(&mut self, wanted: u8) -> Option<(u32, Vec<u8>)> {
        loop {
            let mut head = [0; 9];
            timeout(SOON, self.0.read_exact(&mut head))
                .await
                .unwrap()
                .ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            if head[3] == wanted {
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                return Some((stream, payload));
            }
        }
    }

    /// The reason that the connection is ended for.
    async fn goaway(&mut self) -> Reason {
        let (_, payload) = self.next(GOAWAY).await.unwrap();
        Reason::from(u32::from_be_bytes(payload[4..8].try_into().unwrap()))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn so_many_streams_are_taken_at_a_time_and_the_next_is_refused() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = Raw::of(&rig).await;
    for at in 0..=STREAMS {
        client
            .write(&frame(HEADERS, END_HEADERS, 2 * at + 1, GET))
            .await;
    }
    let (stream, reason) = client.next(RESET).await.unwrap();
    assert_eq!(stream, 2 * STREAMS + 1);
    assert_eq!(reason, 7_u32.to_be_bytes(), "REFUSED_STREAM");
    let mut server = accept(&outside).await;
    let mut asked = Vec::new();
    for _ in 0..STREAMS {
        asked.push(
            timeout(SOON, server.accept())
                .await
                .unwrap()
                .unwrap()
                .unwrap(),
        );
    }
    drop((client, server, asked));
    assert_eq!(rig.records().await.len(), STREAMS as usize);
}

/// A head of just this size, as RFC 9113 6.5.2 counts it.
fn sized(size: usize) -> Request<()> {
    let pseudo = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", "/"),
    ];
    let counted = |name: &str, value: &str| name.len() + value.len() + 32;
    let mut left = size
        - pseudo
            .iter()
            .map(|(name, value)| counted(name, value))
            .sum::<usize>();
    let mut request = get("http://a.example/");
    while left > 0 {
        // The last one takes what would be too little for another.
        let this = if left > 12_000 { 10_000 } else { left };
        let value = "v".repeat(this - counted("x-long", ""));
        request
            .headers_mut()
            .append("x-long", value.parse().unwrap());
        left -= this;
    }
    request
}

#[tokio::test]
async fn a_head_may_be_so_long_and_no_longer() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let serving = tokio::spawn(async move {
        let mut builder = h2::server::Builder::new();
        builder.max_header_list_size(2 * LONGEST_HEAD);
        let connection = outside.accept().await.unwrap().0;
        let mut server: Connection<_, Bytes> = builder.handshake(connection).await.unwrap();
        while let Some(Ok((request, mut respond))) = server.accept().await {
            let length: usize = request.headers().values().map(|value| value.len()).sum();
            assert!(length > 60_000);
            respond.send_response(Response::new(()), true).unwrap();
        }
    });
    let mut client = Client::of(&rig).await;
    // The library's "up to" leaves the number itself out.
    let longest = LONGEST_HEAD as usize - 1;
    assert_eq!(client.ask(sized(longest)).await.unwrap().status, 200);
    assert_eq!(client.ask(sized(longest + 1)).await.unwrap().status, 431);
    assert_eq!(client.ask(sized(longest)).await.unwrap().status, 200);
    client.end().await;
    serving.abort();
}

#[tokio::test]
async fn streams_that_are_reset_as_they_begin_end_the_connection() {
    let (rig, _outside) = Rig::new(&["domain=a.example"], &[]).await;
    let before = rig.bench.streams.budget.free();
    let mut client = Raw::of(&rig).await;
    let mut flood = Vec::new();
    for at in 0..5000 {
        flood.extend(frame(HEADERS, END_HEADERS, 2 * at + 1, GET));
        flood.extend(frame(RESET, 0, 2 * at + 1, &8_u32.to_be_bytes()));
    }
    client.write(&flood).await;
    assert_eq!(client.goaway().await, Reason::ENHANCE_YOUR_CALM);
    drop(client);
    assert!(rig.records().await.len() < 5000);
    assert_eq!(rig.bench.streams.budget.free(), before, "all is given back");
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    for payload in [&b""[..], b"\0\x01a\x01b"] {
        let (rig, _outside) = Rig::new(&["domain=a.example"], &[]).await;
        let mut client = Raw::of(&rig).await;
        let mut flood = frame(HEADERS, 0, 1, GET);
        for _ in 0..20_000 {
            flood.extend(frame(CONTINUATION, 0, 1, payload));
        }
        client.write(&flood).await;
        assert_eq!(client.goaway().await, Reason::ENHANCE_YOUR_CALM);
        drop(client);
        assert_eq!(rig.record().await.verdict, "deny");
    }
}

/// Each is answered before the next is read, so nothing piles up.
#[tokio::test]
async fn who_does_not_read_the_answers_to_settings_and_pings_is_made_to_wait() {
    const PING: u8 = 6;
    // So little that no buffer grows.
    let (rig, _outside) = Rig::within(256 * 1024, &["domain=a.example"], &[]).await;
    let mut client = Raw::of(&rig).await;
    socket2::SockRef::from(&client.0)
        .set_recv_buffer_size(4096)
        .unwrap();
    let mut flood = Vec::new();
    for _ in 0..2000 {
        flood.extend(frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff"));
        flood.extend(frame(PING, 0, 0, b"12345678"));
    }
    // More than all buffers between them hold, were each as large as it can be.
    for written in 0..1000 {
        let writing = client.0.write_all(&flood);
        if timeout(Duration::from_millis(500), writing).await.is_err() {
            return assert!(written > 0);
        }
    }
    panic!("it was never made to wait");
}

#[tokio::test]
async fn a_connection_takes_its_room_before_it_begins_and_gives_it_back() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let served = echo(outside);
    let budget = rig.bench.streams.budget.clone();
    let before = budget.free();
    let mut client = Client::of(&rig).await;
    client.ask(get("http://a.example/")).await.unwrap();
    let taken = before - budget.free();
    assert!(taken >= 2 * (CONNECTION + 65_535), "{taken}");
    client.end().await;
    rig.records().await;
    // What was written last may be on its way for a moment.
    while budget.free() != before {
        timeout(SOON, budget.changed()).await.unwrap();
    }
    served.abort();
}

#[tokio::test]
async fn fields_that_are_hardly_longer_than_nothing_are_paid_for() {
    let taken_with = async |fields: u32| {
        let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
        let budget = rig.bench.streams.budget.clone();
        let mut client = Client::of(&rig).await;
        let mut request = get("http://a.example/");
        for number in 0..fields {
            let name = http::HeaderName::try_from(format!("x{number}")).unwrap();
            request.headers_mut().insert(name, "1".parse().unwrap());
        }
        let before = budget.free();
        let (_response, _says) = client.begin(request).await;
        let (_asked, _driven) = next(accept(&outside).await).await;
        before - budget.free()
    };
    let (few, many) = (taken_with(1).await, taken_with(1001).await);
    assert!(many - few > 2 * 1000 * FIELD, "{few} {many}");
}

/// The only record says that memory is used up.
async fn is_used_up(rig: &Rig) {
    let reason = rig.record().await.reason.unwrap();
    assert!(reason.contains("memory is used up"), "{reason}");
}

#[tokio::test]
async fn what_there_is_no_room_for_is_denied_with_the_reason() {
    // Enough for the client's side, not for a server's.
    let (rig, _outside) = Rig::within(220 * 1024, &["domain=a.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let heard = client.ask(get("http://a.example/")).await.unwrap();
    assert_eq!(heard.status, 403);
    assert!(heard.text().contains("memory is used up"), "{heard:?}");
    client.end().await;
    is_used_up(&rig).await;
    // Not even for that.
    let (rig, _outside) = Rig::within(100 * 1024, &["domain=a.example"], &[]).await;
    let client = Client::of(&rig).await;
    assert!(client.connection.await.unwrap().is_err());
    is_used_up(&rig).await;
}

/// As SPECIFICATION.md says.
#[test]
fn so_many_connections_are_held() {
    use crate::proxy::stream::{RECEIVED_LEAST, SENT_LEAST, SOCKET};
    let socket = SOCKET + 2 * RECEIVED_LEAST + SENT_LEAST;
    let each = 2 * (socket + CONNECTION + 65_535);
    assert_eq!(((64 << 20) - FIXED) / each, 174);
}

#[tokio::test]
async fn a_window_grows_with_what_moves_and_is_paid_for() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let budget = rig.bench.streams.budget.clone();
    let before = budget.free();
    let window = Window::new(&budget).unwrap();
    assert_eq!(before - budget.free(), 65_535);
    for _ in 0..400 {
        window.came(65_535);
        window.went(65_535);
    }
    let (connection, stream) = window.grown().await;
    assert_eq!(before - budget.free(), connection as usize);
    assert!(
        (4 << 20..=window::MOST).contains(&connection),
        "{connection}"
    );
    assert_eq!(stream, connection / 2);
    drop((window, outside));
    assert_eq!(budget.free(), before);
}

/// What a slow reader leaves lying is not a reason to take more.
#[tokio::test]
async fn a_streams_window_does_not_grow_behind_a_slow_reader() {
    let (rig, _outside) = Rig::new(&["domain=a.example"], &[]).await;
    let window = Window::new(&rig.bench.streams.budget).unwrap();
    window.came(65_535);
    for _ in 0..400 {
        window.went(16_384);
        window.came(16_384);
    }
    let (connection, stream) = window.grown().await;
    assert_eq!((connection, stream), (2 * 65_536, 65_535));
}
