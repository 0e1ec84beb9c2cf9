//! Real clients and servers of TLS, with real certificates, on both sides of a served connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::authority::Authority;
use super::{Interception, provider};
use crate::policy::DeniedNames;
use crate::proxy::rig::Rig;

const NAME: &str = "ok.test";
const RULE: &str = "method=GET domain=ok.test path=/a/*";

/// A served container, the certificate of its authority, and a server for [`NAME`] outside.
struct World {
    rig: Rig,
    authority: CertificateDer<'static>,
    server: CertificateDer<'static>,
    /// How many requests the server was sent.
    requests: Arc<AtomicUsize>,
}

impl World {
    async fn new(allow: &[&str], is_trusted: bool) -> Self {
        let (mut rig, listener) = Rig::new(allow, &[]).await;
        let made = generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let server = made.cert.der().clone();
        let authority = Authority::new().unwrap();
        let certificate = authority.certificate().clone();
        let roots = if is_trusted {
            vec![server.clone()]
        } else {
            vec![]
        };
        rig.interception = Some(Arc::new(Interception::by(authority, &roots).unwrap()));
        let requests = Arc::default();
        tokio::spawn(serve(listener, acceptor(made, &[]), Arc::clone(&requests)));
        Self {
            rig,
            authority: certificate,
            server,
            requests,
        }
    }

    /// A client that trusts this certificate, and connected in the server's name.
    async fn client(&self, root: &CertificateDer<'static>) -> TlsStream<TcpStream> {
        client(&self.rig, root, &[]).await
    }

    /// What one request is answered, on a connection of its own.
    async fn asked(&self, request: &str) -> String {
        let mut client = self.client(&self.authority).await;
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

/// A client that trusts this certificate and offers this, connected in the server's name.
async fn client(rig: &Rig, root: &CertificateDer<'static>, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    client_of(rig, root, NAME, alpn).await
}

/// The same in another server's name.
async fn client_of(
    rig: &Rig,
    root: &CertificateDer<'static>,
    name: &'static str,
    alpn: &[&[u8]],
) -> TlsStream<TcpStream> {
    let tcp = rig.client(443).await;
    client_on(tcp, name, root, alpn).await
}

/// The same on this connection, in this name.
async fn client_on(
    tcp: TcpStream,
    name: &'static str,
    root: &CertificateDer<'static>,
    alpn: &[&[u8]],
) -> TlsStream<TcpStream> {
    connected(tcp, name, root, alpn).await.unwrap()
}

/// What comes of connecting so.
async fn connected<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    name: &'static str,
    root: &CertificateDer<'static>,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<S>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(name).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

fn acceptor(made: CertifiedKey<rcgen::KeyPair>, alpn: &[&[u8]]) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Answers every request on every connection.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor, requests: Arc<AtomicUsize>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, requests) = (acceptor.clone(), Arc::clone(&requests));
        tokio::spawn(async move {
            let Ok(mut tls) = acceptor.accept(tcp).await else {
                return;
            };
            let (mut heard, mut bytes) = (Vec::new(), [0; 4096]);
            while let Ok(read @ 1..) = tls.read(&mut bytes).await {
                heard.extend_from_slice(&bytes[..read]);
                while let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
                    heard.drain(..end + 4);
                    requests.fetch_add(1, Ordering::Relaxed);
                    let _ = tls
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                        .await;
                }
            }
        });
    }
}

fn request(line: &str, host: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_request_in_tls_is_judged_by_its_method_and_path() {
    let world = World::new(&[RULE], true).await;
    let answer = world.asked(&request("GET /a/x?y=1", NAME)).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"),
        "{answer}"
    );
    for line in ["GET /b", "POST /a/x", "GET /a/../b", "GET /a%2f..%2fb"] {
        let answer = world.asked(&request(line, NAME)).await;
        let status = answer.get(9..12);
        assert!(matches!(status, Some("403" | "400")), "{line}: {answer}");
    }
    assert_eq!(world.requests.load(Ordering::Relaxed), 1);
    let records = world.rig.records().await;
    assert_eq!(records.len(), 5, "{records:?}");
}

#[tokio::test]
async fn a_request_for_another_host_is_misdirected() {
    let world = World::new(&[RULE, "domain=other.test"], true).await;
    for request in [
        request("GET /a/x", "other.test"),
        request("GET https://other.test/a/x", "other.test"),
        request("GET http://ok.test/a/x", NAME),
        request("GET /a/x", "192.0.2.1"),
    ] {
        let answer = world.asked(&request).await;
        assert!(answer.starts_with("HTTP/1.1 421"), "{request}: {answer}");
    }
    let answer = world.asked(&request("GET https://ok.test/a/x", NAME)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(world.requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_a_502_with_the_reason() {
    let world = World::new(&[RULE], false).await;
    let answer = world.asked(&request("GET /a/x", NAME)).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains("vouched for by nobody"), "{answer}");
    assert_eq!(world.requests.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn where_no_rule_reads_requests_the_client_sees_the_servers_own_certificate() {
    let world = World::new(&["domain=ok.test"], true).await;
    let mut client = world.client(&world.server).await;
    client
        .write_all(request("POST /b", NAME).as_bytes())
        .await
        .unwrap();
    let mut answer = vec![0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_authority_is_denied_with_the_way_out() {
    let world = World::new(&[RULE], true).await;
    let mut roots = RootCertStore::empty();
    roots.add(world.server.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = world.rig.client(443).await;
    let name = ServerName::try_from(NAME).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    assert!(connector.connect(name, tcp).await.is_err());
    let record = world.rig.record().await;
    let reason = record.reason.unwrap_or_default();
    assert!(
        reason.contains("put ok.test into tls: passthrough"),
        "{reason}"
    );
}

#[tokio::test]
async fn several_requests_on_one_connection_and_the_next_connection_reuse_the_server() {
    let world = World::new(&[RULE], true).await;
    let mut client = world.client(&world.authority).await;
    let mut bytes = [0; 4096];
    for _ in 0..3 {
        let request = format!("GET /a/x HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let read = client.read(&mut bytes).await.unwrap();
        assert!(bytes[..read].starts_with(b"HTTP/1.1 200"));
    }
    client.shutdown().await.unwrap();
    assert_eq!(client.read(&mut bytes).await.unwrap(), 0);
    world.asked(&request("GET /a/y", NAME)).await;
    assert_eq!(world.rig.dialled(), [NAME]);
    assert_eq!(world.requests.load(Ordering::Relaxed), 4);
}

/// What requests for these paths are answered in HTTP/2, on one connection to a server that speaks it.
async fn asked_in_http_2(uris: &[&str]) -> (Rig, Vec<u16>) {
    let (mut rig, listener) = Rig::new(&[RULE], &[]).await;
    let made = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let authority = Authority::new().unwrap();
    let root = authority.certificate().clone();
    let interception = Interception::by(authority, &[made.cert.der().clone()]).unwrap();
    rig.interception = Some(Arc::new(interception));
    let acceptor = acceptor(made, &[b"h2", b"http/1.1"]);
    let served = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let tls = acceptor.accept(tcp).await.unwrap();
        let mut server = h2::server::handshake(tls).await.unwrap();
        while let Some(Ok((request, mut respond))) = server.accept().await {
            assert_eq!(request.uri().scheme_str(), Some("https"));
            let response = http::Response::new(());
            let mut stream = respond.send_response(response, false).unwrap();
            stream.send_data("hello".into(), true).unwrap();
        }
    });
    let tls = client(&rig, &root, &[b"h2"]).await;
    let (send, connection) = h2::client::handshake(tls).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut statuses = Vec::new();
    for uri in uris {
        let mut send = send.clone().ready().await.unwrap();
        let request = http::Request::get(*uri).body(()).unwrap();
        let (response, _) = send.send_request(request, true).unwrap();
        statuses.push(response.await.unwrap().status().as_u16());
    }
    connection.abort();
    let _ = connection.await;
    served.abort();
    (rig, statuses)
}

#[tokio::test]
async fn http_2_within_tls_is_judged_stream_by_stream() {
    let (rig, statuses) = asked_in_http_2(&[
        "https://ok.test/a/1",
        "https://ok.test/b",
        "https://other.test/a/1",
        "http://ok.test/a/1",
        "https://ok.test/a/2",
    ])
    .await;
    assert_eq!(statuses, [200, 403, 421, 421, 200]);
    let records = rig.records().await;
    let verdicts: Vec<_> = records
        .iter()
        .map(|record| record.verdict.as_str())
        .collect();
    assert_eq!(verdicts, ["allow", "deny", "deny", "deny", "allow"]);
    assert_eq!(records[2].name.as_deref(), Some("other.test"));
    assert!(
        records
            .iter()
            .all(|record| record.protocol == crate::audit::Kind::Https)
    );
    assert_eq!(rig.dialled(), [NAME], "one connection for all");
}

#[tokio::test]
async fn a_denied_name_that_leads_to_the_gateway_is_told_why_within_tls() {
    let mut world = World::new(&[RULE], true).await;
    world.rig.denied_names = DeniedNames::Answer;
    let tcp = world
        .rig
        .client_to("192.0.0.8:443".parse().unwrap(), b"")
        .await;
    let mut client = client_on(tcp, "denied.example", &world.authority, &[]).await;
    let request = request("GET /x", "denied.example");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("domain=denied.example"), "{answer}");
    assert!(world.rig.dialled().is_empty());
    assert_eq!(world.rig.record().await.verdict, "deny");
}

#[tokio::test]
async fn where_denied_names_dont_exist_nobody_gets_a_certificate_for_one() {
    let world = World::new(&[RULE], true).await;
    let address = "192.0.0.8:443".parse().unwrap();
    let tcp = world.rig.client_to(address, b"").await;
    let refused = connected(tcp, "denied.example", &world.authority, &[]).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("AccessDenied"), "{refused}");
    assert_eq!(world.rig.record().await.verdict, "deny");
}

mod attacks;
mod patience;
