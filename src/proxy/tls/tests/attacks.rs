//! What an attacker tries who is root in the container, or runs a server that is allowed, or sits on
//! the way to one.

use super::*;
use crate::policy::{DeniedNames, Policy, PolicySource, TlsSource};

/// A served container whose servers' connections the test answers itself.
pub(super) struct Scene {
    pub(super) rig: Rig,
    pub(super) authority: CertificateDer<'static>,
    pub(super) listener: TcpListener,
    pub(super) acceptor: TlsAcceptor,
}

impl Scene {
    /// One with these rules, and a server that is vouched for in this name, and speaks these.
    pub(super) async fn new(allow: &[&str], vouched_for: &str, alpn: &[&[u8]]) -> Self {
        let (mut rig, listener) = Rig::new(allow, &[]).await;
        let made = generate_simple_self_signed([vouched_for.to_owned()]).unwrap();
        let authority = Authority::new().unwrap();
        let certificate = authority.certificate().clone();
        let interception = Interception::by(authority, &[made.cert.der().clone()]).unwrap();
        rig.interception = Some(Arc::new(interception));
        Self {
            rig,
            authority: certificate,
            listener,
            acceptor: acceptor(made, alpn),
        }
    }

    /// The next connection to the outside.
    async fn accept(&self) -> tokio_rustls::server::TlsStream<TcpStream> {
        let (tcp, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(tcp).await.unwrap()
    }
}

/// Reads a head, and forgets it.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        heard.push(stream.read_u8().await.unwrap());
    }
    heard
}

#[tokio::test]
async fn much_passes_whole_both_ways_however_large_the_buffers_grow() {
    const MUCH: usize = 48 << 20;
    let scene = Scene::new(&["domain=ok.test path=/a/*"], NAME, &[]).await;
    let served = async {
        let mut server = scene.accept().await;
        read_head(&mut server).await;
        let mut left = MUCH;
        let mut bytes = vec![0; 1 << 16];
        while left > 0 {
            let read = server.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "{left} bytes never came");
            left -= read;
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n");
        server.write_all(head.as_bytes()).await.unwrap();
        server.write_all(&vec![b'x'; MUCH]).await.unwrap();
        server.flush().await.unwrap();
        server
    };
    let asked = async {
        let mut client = client(&scene.rig, &scene.authority, &[]).await;
        let head = format!(
            "POST /a/x HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {MUCH}\r\nConnection: close\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&vec![b'y'; MUCH]).await.unwrap();
        client.flush().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        answer.len()
    };
    let (_server, length) = tokio::join!(served, asked);
    assert!(length > MUCH, "{length}");
}

/// Under a rule for addresses a connection bears no name, but it was verified in one.
#[tokio::test]
async fn a_connection_that_was_verified_in_one_name_serves_no_other() {
    let rules = ["domain=*.test path=/a/*", "cidr=192.0.2.0/24 path=/b"];
    let world = World::new(&rules, true).await;
    let mut answers = Vec::new();
    for name in [NAME, "bank.test"] {
        let mut client = client_on(world.rig.client(443).await, name, &world.authority, &[]).await;
        client
            .write_all(request("GET /b", name).as_bytes())
            .await
            .unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        answers.push(String::from_utf8(answer).unwrap());
    }
    assert!(answers[0].starts_with("HTTP/1.1 200"), "{answers:?}");
    assert!(answers[1].starts_with("HTTP/1.1 502"), "{answers:?}");
    assert!(answers[1].contains("is for other names"), "{answers:?}");
    assert_eq!(world.requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_that_is_connected_to_again_is_spared_the_whole_handshake() {
    let scene = Scene::new(&[RULE], NAME, &[]).await;
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let asked = async {
            let mut client = client(&scene.rig, &scene.authority, &[]).await;
            let request = request("GET /a/x", NAME);
            client.write_all(request.as_bytes()).await.unwrap();
            client.read_to_end(&mut Vec::new()).await.unwrap();
        };
        let served = async {
            let mut server = scene.accept().await;
            read_head(&mut server).await;
            let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            server.write_all(answer).await.unwrap();
            server.shutdown().await.unwrap();
            server.get_ref().1.handshake_kind().unwrap()
        };
        kinds.push(tokio::join!(asked, served).1);
    }
    assert_eq!(
        kinds,
        [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]
    );
}

#[tokio::test]
async fn a_client_that_takes_nothing_stops_its_server_and_goes_on_where_it_was() {
    const PART: usize = 1 << 16;
    const PARTS: usize = 1536;
    let scene = Scene::new(&[RULE], NAME, &[]).await;
    let (progress, mut written) = tokio::sync::watch::channel(0);
    let served = async {
        let mut server = scene.accept().await;
        read_head(&mut server).await;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            PART * PARTS
        );
        server.write_all(head.as_bytes()).await.unwrap();
        for part in 1..=PARTS {
            server.write_all(&[7; PART]).await.unwrap();
            progress.send(part).unwrap();
        }
        server.flush().await.unwrap();
        server
    };
    let asked = async {
        let mut client = client(&scene.rig, &scene.authority, &[]).await;
        let request = request("GET /a/x", NAME);
        client.write_all(request.as_bytes()).await.unwrap();
        let half_a_second = std::time::Duration::from_millis(500);
        while tokio::time::timeout(half_a_second, written.changed())
            .await
            .is_ok()
        {}
        let parts = *written.borrow();
        assert!((1..PARTS / 2).contains(&parts), "{parts} were taken");
        let mut heard = 0;
        let mut bytes = vec![0; PART];
        read_head(&mut client).await;
        while heard < PART * PARTS {
            let read = client.read(&mut bytes).await.unwrap();
            assert!(read > 0 && bytes[..read].iter().all(|byte| *byte == 7));
            heard += read;
        }
    };
    let _server = tokio::join!(served, asked);
}

#[tokio::test]
async fn a_name_that_is_never_intercepted_is_not_at_the_address_of_denied_names_either() {
    let rules = |of: &[&str]| of.iter().map(ToString::to_string).collect();
    for (allow, deny) in [
        (RULE, &[][..]),
        ("domain=ok.test", &["domain=ok.test path=/secret"]),
    ] {
        let mut scene = Scene::new(&[], NAME, &[]).await;
        let source = PolicySource {
            allow: rules(&[allow]),
            deny: rules(deny),
            tls: TlsSource {
                passthrough: rules(&[NAME]),
                ..TlsSource::default()
            },
            ..PolicySource::default()
        };
        scene.rig.bench.judge.in_force =
            crate::proxy::in_force::InForce::new(Policy::compile(&source).unwrap());
        scene.rig.denied_names = DeniedNames::Answer;
        let address = "192.0.0.8:443".parse().unwrap();
        let tcp = scene.rig.client_to(address, b"").await;
        let refused = connected(tcp, NAME, &scene.authority, &[]).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("AccessDenied"), "{allow}: {refused}");
        assert!(scene.rig.dialled().is_empty(), "{allow}");
        assert_eq!(scene.rig.record().await.verdict, "deny", "{allow}");
    }
}
