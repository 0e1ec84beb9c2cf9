//! Policies that are changed, and connections to servers on which nothing is under way then, or any more.

use std::io;

use super::*;

/// A client that has asked once, and the server's side of the connection on which it did.
async fn asked_once(rig: &Rig, outside: &TcpListener) -> (Client, Connection<TcpStream, Bytes>) {
    let mut client = Client::of(rig).await;
    let response = client.begin_whole(get("http://a.example/x")).await.unwrap();
    let mut server = accept(outside).await;
    let (_, mut respond) = server.accept().await.unwrap().unwrap();
    respond.send_response(Response::new(()), true).unwrap();
    let answered = async {
        tokio::select! {
            response = response => assert_eq!(response.unwrap().status(), StatusCode::OK),
            _ = server.accept() => panic!("nothing more is asked"),
        }
    };
    timeout(SOON, answered).await.unwrap();
    (client, server)
}

/// Whether the gateway ends a connection at once, and whole.
async fn is_reset(server: &mut Connection<TcpStream, Bytes>) -> bool {
    let end = timeout(SOON, server.accept()).await.expect("an end");
    let error = end.expect("no end in order").unwrap_err();
    error.get_io().map(io::Error::kind) == Some(io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn a_connection_without_streams_ends_when_a_changed_policy_allows_nothing_more_on_it() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let (mut client, mut server) = asked_once(&rig, &outside).await;
    assert_eq!(rig.change(&["domain=a.example path=/y"], &[]).await, 0);
    assert_eq!(rig.change(&["domain=b.example"], &[]).await, 0);
    assert!(is_reset(&mut server).await);
    // The client's own goes on: to b.example, and told why not to a.example.
    let served = echo(outside);
    for (uri, status) in [("http://b.example/", 200), ("http://a.example/x", 403)] {
        assert_eq!(client.ask(get(uri)).await.unwrap().status, status, "{uri}");
    }
    assert_eq!(rig.dialled(), ["a.example", "b.example"]);
    served.abort();
}

/// While one is, that is judged by itself; afterwards, so is the connection.
#[tokio::test]
async fn a_connection_with_streams_ends_when_the_last_is_over() {
    for (allow, cut) in [("domain=b.example", 2), ("domain=a.example path=/kept", 1)] {
        let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
        let mut client = Client::of(&rig).await;
        let gone = client
            .begin_whole(get("http://a.example/gone"))
            .await
            .unwrap();
        let mut server = accept(&outside).await;
        let (gone_there, _) = server.accept().await.unwrap().unwrap();
        let kept = client
            .begin_whole(get("http://a.example/kept"))
            .await
            .unwrap();
        let (_, mut respond) = timeout(SOON, server.accept())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(rig.change(&[allow], &[]).await, cut);
        let error = timeout(SOON, gone).await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(Reason::CANCEL));
        if cut == 2 {
            assert!(kept.await.is_err() && is_reset(&mut server).await);
            continue;
        }
        drop(gone_there);
        respond.send_response(Response::new(()), true).unwrap();
        let driven = tokio::spawn(async move { is_reset(&mut server).await });
        assert_eq!(timeout(SOON, kept).await.unwrap().unwrap().status(), 200);
        assert_eq!(
            client
                .ask(get("http://a.example/gone"))
                .await
                .unwrap()
                .status,
            403
        );
        assert!(!driven.is_finished(), "something is allowed there");
        assert_eq!(rig.change(&["domain=b.example"], &[]).await, 0);
        assert!(driven.await.unwrap());
    }
}
