//! How long the other side of a handshake is waited for: a second less than the limit, and a second
//! more.

use std::time::Duration;

use tokio::io::{copy_bidirectional, duplex};
use tokio::time::{pause, resume, sleep};

use super::attacks::Scene;
use super::*;
use crate::proxy::tls::{ACCEPTED_WITHIN, HANDSHAKE_WITHIN};

const SECOND: Duration = Duration::from_secs(1);

/// Lets this much time go by, at once; whoever waits for less is woken before.
async fn wait(time: Duration) {
    pause();
    sleep(time).await;
    resume();
}

/// What is answered to a client that goes on with its handshake after so long, and what is recorded.
async fn of_a_client_after(time: Duration) -> (Option<String>, String) {
    let world = World::new(&[RULE], true).await;
    let mut tcp = world.rig.client(443).await;
    let (near, mut far) = duplex(1 << 16);
    let authority = world.authority.clone();
    let asking = tokio::spawn(async move {
        let mut client = connected(near, NAME, &authority, &[]).await.ok()?;
        let request = request("GET /a/x", NAME);
        client.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    });
    let mut hello = vec![0; 1 << 16];
    let length = far.read(&mut hello).await.unwrap();
    tcp.write_all(&hello[..length]).await.unwrap();
    // From here on it waits for the client.
    tcp.readable().await.unwrap();
    wait(time).await;
    let _ = copy_bidirectional(&mut tcp, &mut far).await;
    drop((tcp, far));
    let answer = asking.await.unwrap();
    (answer, world.rig.record().await.reason.unwrap_or_default())
}

#[tokio::test]
async fn a_client_has_so_long_for_its_handshake() {
    let (answer, reason) = of_a_client_after(ACCEPTED_WITHIN - SECOND).await;
    assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(reason, "");
    let (answer, reason) = of_a_client_after(ACCEPTED_WITHIN + SECOND).await;
    assert_eq!(answer.unwrap_or_default(), "");
    assert_eq!(reason, "the client's TLS handshake did not end");
}

/// What is answered where a server goes on with each handshake after so long.
async fn of_a_server_after(time: Duration) -> String {
    let scene = Scene::new(&[RULE], NAME, &[]).await;
    let served = async {
        loop {
            let (tcp, _) = scene.listener.accept().await.unwrap();
            // From here on it waits for the server.
            tcp.readable().await.unwrap();
            wait(time).await;
            let Ok(mut server) = scene.acceptor.accept(tcp).await else {
                continue;
            };
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            // Where nobody waits any more, there is nobody to be answered.
            let _ = server.write_all(answer).await;
            let _ = server.shutdown().await;
        }
    };
    let asked = async {
        let mut client = client(&scene.rig, &scene.authority, &[]).await;
        let request = request("GET /a/x", NAME);
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::select! {
        answer = asked => answer,
        () = served => unreachable!("it has no end"),
    }
}

#[tokio::test]
async fn a_server_has_so_long_for_its_handshake() {
    let answer = of_a_server_after(HANDSHAKE_WITHIN - SECOND).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // It is asked once for what it chooses, and once for the request.
    let answer = of_a_server_after(HANDSHAKE_WITHIN + SECOND).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains("its TLS handshake did not end"), "{answer}");
}
