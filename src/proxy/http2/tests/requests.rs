//! What a stream asks for, and what becomes of it.

use super::*;
use crate::audit::Kind;
use crate::policy::Hostname;

#[tokio::test]
async fn a_request_and_its_answer_pass_as_they_are_and_are_recorded() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let served = echo(outside);
    let mut client = Client::of(&rig).await;
    let mut request = post("http://a.example/a%20b/./c?q=1#f");
    *request.headers_mut() = fields(&[
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-one", "3"),
        ("te", "trailers"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
    ]);
    let sent = request.headers().clone();
    let (response, mut body) = client.begin(request).await;
    body.send_data("hello".into(), false).unwrap();
    body.send_trailers(fields(&[("x-sum", "5")])).unwrap();
    let heard = heard(response.await.unwrap()).await.unwrap();
    assert_eq!(
        (heard.status, heard.text().as_str()),
        (200, "POST http://a.example/a%20b/./c?q=1 hello")
    );
    assert_eq!(
        (heard.fields, heard.trailers),
        (sent, Some(fields(&[("x-sum", "5")])))
    );
    client.end().await;
    let record = rig.record().await;
    assert_eq!(
        (record.protocol, record.verdict.as_str()),
        (Kind::Http, "allow")
    );
    assert_eq!(
        (
            record.method.as_deref(),
            record.path.as_deref(),
            record.name.as_deref()
        ),
        (Some("POST"), Some("/a%20b/./c"), Some("a.example"))
    );
    assert_eq!(
        (record.ended, record.by),
        (Some(Ended::Closed), Some(Side::Server))
    );
    assert!(record.bytes_out > 5 && record.bytes_in > 40, "{record:?}");
    served.abort();
}

#[tokio::test]
async fn each_stream_is_decided_alone() {
    let (rig, outside) = Rig::new(
        &[
            "method=GET domain=a.example path=/open/*",
            "domain=b.example",
        ],
        &["domain=c.example"],
    )
    .await;
    let served = echo(outside);
    let mut client = Client::of(&rig).await;
    let mut statuses = BTreeMap::new();
    for (method, uri) in [
        ("GET", "http://a.example/open/x"),
        ("GET", "http://a.example/secret"),
        ("POST", "http://a.example/open/x"),
        ("POST", "http://b.example/secret"),
        ("GET", "http://c.example/"),
        ("GET", "http://d.example/"),
    ] {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let heard = client.ask(request).await.unwrap();
        if heard.status == 403 {
            assert_eq!(heard.fields["x-boundary-denied"], "1");
            assert!(heard.text().contains("denied"), "{heard:?}");
        }
        statuses.insert((method, uri), heard.status);
    }
    client.end().await;
    assert_eq!(
        statuses.into_values().collect::<Vec<_>>(),
        [200, 403, 403, 403, 403, 200]
    );
    let verdicts: Vec<_> = rig
        .records()
        .await
        .into_iter()
        .map(|record| record.verdict)
        .collect();
    assert_eq!(verdicts, ["allow", "deny", "deny", "allow", "deny", "deny"]);
    assert_eq!(rig.dialled(), ["a.example", "b.example"]);
    served.abort();
}

#[tokio::test]
async fn what_two_servers_could_understand_differently_is_400_and_recorded() {
    for (method, uri, host) in [
        ("GET", "http://a.example/", Some("b.example")),
        ("GET", "http://user@a.example/", None),
        ("GET", "http://192.0.2.9/", None),
        ("GET", "http://a.example/open/..%2fsecret", None),
        ("GET", "http://a.example/open/../secret", None),
    ] {
        let (rig, _outside) = Rig::new(&["domain=a.example path=/open/*"], &[]).await;
        let mut client = Client::of(&rig).await;
        let mut request = Request::builder().method(method).uri(uri).body(()).unwrap();
        if let Some(host) = host {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        let heard = client.ask(request).await.unwrap();
        assert_eq!(heard.status, 400, "{uri} {heard:?}");
        client.end().await;
        let record = rig.record().await;
        assert_eq!(record.verdict, "deny", "{uri}");
        assert!(record.path.is_some() && record.name.is_some(), "{record:?}");
        assert_eq!(rig.dialled().len(), 0);
    }
}

#[tokio::test]
async fn a_host_that_agrees_passes_and_one_alone_names_the_server() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let served = echo(outside);
    let mut client = Client::of(&rig).await;
    for uri in ["http://A.example:80/x", "/x"] {
        let mut request = get(uri);
        request
            .headers_mut()
            .insert("host", "a.example".parse().unwrap());
        if uri.starts_with('/') {
            // The library's way to write none.
            *request.version_mut() = http::Version::HTTP_11;
        }
        let heard = client.ask(request).await.unwrap();
        assert_eq!(heard.status, 200, "{uri} {heard:?}");
    }
    client.end().await;
    assert_eq!(rig.dialled(), ["a.example"]);
    served.abort();
}

#[tokio::test]
async fn connect_is_denied() {
    let (rig, _outside) = Rig::new(&["domain=*"], &[]).await;
    let mut client = Client::of(&rig).await;
    let request = Request::connect("b.example:443").body(()).unwrap();
    let (response, _body) = client.begin(request).await;
    let heard = heard(response.await.unwrap()).await.unwrap();
    assert_eq!(heard.status, 403);
    client.end().await;
    let record = rig.record().await;
    assert_eq!(record.method.as_deref(), Some("CONNECT"));
    assert!(record.reason.unwrap().contains("tunnel"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_502_with_the_reason() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    drop(outside);
    let mut client = Client::of(&rig).await;
    let heard = client.ask(get("http://a.example/")).await.unwrap();
    assert_eq!(heard.status, 502);
    assert!(heard.text().contains("refused"), "{heard:?}");
    client.end().await;
    assert_eq!(rig.record().await.ended, Some(Ended::Unreachable));
}

#[tokio::test]
async fn a_server_that_speaks_http_1_is_502_with_the_reason() {
    for answer in [
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        "H",
        "",
    ] {
        let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
        let mut client = Client::of(&rig).await;
        let serving = async {
            let (mut server, _) = outside.accept().await.unwrap();
            server.read_exact(&mut [0; 24]).await.unwrap();
            server.write_all(answer.as_bytes()).await.unwrap();
            server.shutdown().await.unwrap();
            let _ = server.read_to_end(&mut Vec::new()).await;
        };
        let (heard, ()) = tokio::join!(client.ask(get("http://a.example/")), serving);
        let heard = heard.unwrap();
        assert_eq!(heard.status, 502, "{answer:?}");
        let expected = if answer.is_empty() {
            "no answer"
        } else {
            "speak HTTP/2"
        };
        assert!(heard.text().contains(expected), "{answer:?} {heard:?}");
        client.end().await;
        assert!(rig.record().await.reason.unwrap().contains(expected));
    }
}

#[tokio::test]
async fn a_head_request_has_its_length_and_no_body() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let serving = async {
        let ((_, mut respond), driven) = next(accept(&outside).await).await;
        let response = Response::builder()
            .header("content-length", "12345")
            .body(())
            .unwrap();
        respond.send_response(response, true).unwrap();
        (driven,)
    };
    let request = Request::head("http://a.example/").body(()).unwrap();
    let (heard, (driven,)) = tokio::join!(client.ask(request), serving);
    let heard = heard.unwrap();
    assert_eq!(heard.fields["content-length"], "12345");
    assert!(heard.body.is_empty());
    driven.abort();
    // A denial has none either.
    let denied = Request::head("http://b.example/").body(()).unwrap();
    let heard = client.ask(denied).await.unwrap();
    assert_eq!((heard.status, heard.body.len()), (403, 0));
}

/// Begins a WebSocket at a server that takes them, or doesn't. Gives the answer's status.
async fn websocket(rules: &[&str], protocol: &'static str, server_takes: bool) -> (Rig, u16) {
    let (rig, outside) = Rig::new(rules, &[]).await;
    let mut client = Client::of(&rig).await;
    let serving = tokio::spawn(async move {
        let mut builder = h2::server::Builder::new();
        if server_takes {
            builder.enable_connect_protocol();
        }
        let connection = outside.accept().await.unwrap().0;
        let mut server: Connection<_, Bytes> = builder.handshake(connection).await.unwrap();
        while let Some(Ok((request, mut respond))) = server.accept().await {
            if request.method() != http::Method::CONNECT {
                respond.send_response(Response::new(()), true).unwrap();
                continue;
            }
            assert_eq!(request.uri(), "http://a.example/ws?q");
            tokio::spawn(async move {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                let mut body = request.into_body();
                while let Some(Ok(bytes)) = body.data().await {
                    stream.send_data(bytes, false).unwrap();
                }
                stream.send_data(Bytes::new(), true).unwrap();
            });
        }
    });
    assert_eq!(
        client.ask(get("http://a.example/")).await.unwrap().status,
        200
    );
    let told = async {
        while !client.send.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
    };
    let was_told = timeout(Duration::from_millis(500), told).await.is_ok();
    assert_eq!(was_told, server_takes, "only if the server says so");
    let mut request = Request::connect("http://a.example/ws?q").body(()).unwrap();
    request
        .extensions_mut()
        .insert(h2::ext::Protocol::from_static(protocol));
    let (response, mut says) = client.begin(request).await;
    let response = match timeout(SOON, response).await.unwrap() {
        Ok(response) => response,
        // Of a client that was not told (RFC 8441 3).
        Err(error) => {
            assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR));
            return (rig, 0);
        }
    };
    let status = response.status().as_u16();
    if status == 200 {
        let mut body = response.into_body();
        says.send_data("frame".into(), false).unwrap();
        assert_eq!(
            timeout(SOON, body.data()).await.unwrap().unwrap().unwrap(),
            "frame"
        );
        says.send_data(Bytes::new(), true).unwrap();
        whole(&mut body).await.unwrap();
    }
    client.end().await;
    serving.abort();
    (rig, status)
}

#[tokio::test]
async fn a_websocket_is_judged_as_the_get_that_it_is_in_http_1() {
    let by_request = [
        "method=GET domain=a.example path=/ws",
        "method=GET domain=a.example path=/",
    ];
    let open = ["domain=a.example"];
    for (rules, protocol, takes, expected) in [
        (&by_request[..], "websocket", true, 200),
        (&by_request[1..], "websocket", true, 403),
        (&open, "websocket", true, 200),
        (&open, "websocket", false, 0),
        (&open, "chat", true, 200),
        (
            &["domain=a.example", "method=CONNECT domain=a.example"],
            "connect-udp",
            true,
            403,
        ),
        (
            &["domain=a.example path=/ws", "domain=a.example path=/"],
            "chat",
            true,
            403,
        ),
    ] {
        let (rig, status) = websocket(rules, protocol, takes).await;
        assert_eq!(status, expected, "{rules:?} {protocol} {takes}");
        let mut records = rig.records().await;
        let record = records.pop().unwrap();
        if expected != 0 {
            assert_eq!(record.path.as_deref(), Some("/ws"));
            assert_eq!(record.verdict, if status == 200 { "allow" } else { "deny" });
        }
    }
}

#[tokio::test]
async fn under_rules_for_any_protocol_in_a_name_no_stream_for_another_passes() {
    let (rig, outside) = Rig::new(&["domain=a.example port=9000 proto=tcp"], &[]).await;
    let name = Hostname::parse("a.example").unwrap();
    let learned = &rig.bench.judge.learned;
    learned.remember(crate::proxy::rig::SERVER.into(), &name, SOON);
    let served = echo(outside);
    let (send, connection) = h2::client::handshake(rig.client(9000).await).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = Client { send, connection };
    assert_eq!(
        client.ask(get("http://b.example/")).await.unwrap().status,
        403
    );
    client.end().await;
    let record = rig.record().await;
    assert_eq!(
        (record.verdict.as_str(), record.name.as_deref()),
        ("deny", Some("b.example"))
    );
    served.abort();
}
