//! What an attacker tries who is root in the container, or runs a server that is allowed.

use super::*;

/// A server that takes WebSockets.
async fn with_websockets(connection: TcpStream) -> Connection<TcpStream, Bytes> {
    let mut builder = h2::server::Builder::new();
    let taking = builder.enable_connect_protocol();
    taking.handshake(connection).await.unwrap()
}

/// A client that was told of WebSockets by a server, and the outside, where the next will be asked.
async fn told() -> (Rig, TcpListener, Client, JoinHandle<()>) {
    let (rig, outside) = Rig::new(&["domain=a.example", "domain=b.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let (give, taken) = tokio::sync::oneshot::channel();
    let first = tokio::spawn(async move {
        let connection = outside.accept().await.unwrap().0;
        let mut server = with_websockets(connection).await;
        let (_, mut respond) = server.accept().await.unwrap().unwrap();
        respond.send_response(Response::new(()), true).unwrap();
        // The next is the test's.
        let _ = give.send(outside);
        while server.accept().await.is_some() {}
    });
    let answered = client.ask(get("http://a.example/")).await;
    let outside = taken.await.unwrap();
    assert_eq!(answered.unwrap().status, 200);
    while !client.send.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    (rig, outside, client, first)
}

fn websocket() -> Request<()> {
    let mut request = Request::connect("http://b.example/ws").body(()).unwrap();
    let protocol = h2::ext::Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    request
}

#[tokio::test]
async fn a_server_that_ends_without_a_word_holds_up_no_websocket() {
    let (rig, outside, mut client, first) = told().await;
    let (response, _says) = client.begin(websocket()).await;
    drop(timeout(SOON, outside.accept()).await.unwrap().unwrap());
    let status = timeout(SOON, response).await.unwrap().unwrap().status();
    assert_eq!(status, StatusCode::FORBIDDEN);
    client.end().await;
    first.abort();
    assert_eq!(rig.records().await.len(), 2);
}

#[tokio::test]
async fn a_client_is_not_kept_by_a_server_that_says_nothing() {
    let (rig, outside, mut client, first) = told().await;
    let (_response, _says) = client.begin(websocket()).await;
    let _silent = timeout(SOON, outside.accept()).await.unwrap().unwrap();
    client.end().await;
    first.abort();
    assert_eq!(timeout(SOON, rig.records()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn several_that_wait_for_what_a_server_takes_hear_it_all() {
    let (_rig, outside, mut client, first) = told().await;
    let (one, _one) = client.begin(websocket()).await;
    let (other, _other) = client.begin(websocket()).await;
    let (connection, _) = timeout(SOON, outside.accept()).await.unwrap().unwrap();
    // Both wait by now.
    connection.readable().await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let serving = tokio::spawn(async move {
        let mut server = with_websockets(connection).await;
        while let Some(Ok((_, mut respond))) = server.accept().await {
            respond.send_response(Response::new(()), true).unwrap();
        }
    });
    for response in [one, other] {
        let response = timeout(SOON, response).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
    }
    client.end().await;
    first.abort();
    serving.abort();
}

/// Whether a request with this field behind its body comes to the server, whole.
async fn comes_with(trailer: (&'static str, &str)) -> bool {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let (response, mut body) = client.begin(post("http://a.example/")).await;
    body.send_data("hello".into(), false).unwrap();
    body.send_trailers(fields(&[trailer])).unwrap();
    let mut server = accept(&outside).await;
    let (request, _respond) = timeout(SOON, server.accept())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let driven = tokio::spawn(async move { while server.accept().await.is_some() {} });
    let came = timeout(SOON, whole(&mut request.into_body()))
        .await
        .unwrap();
    drop(response);
    client.end().await;
    driven.abort();
    came.is_ok()
}

#[tokio::test]
async fn what_decides_about_a_request_never_comes_behind_its_body() {
    assert!(comes_with(("x-sum", "5")).await);
    for trailer in [
        ("host", "b.example"),
        ("content-length", "0"),
        ("expect", "100-continue"),
    ] {
        assert!(!comes_with(trailer).await, "{trailer:?}");
    }
}
