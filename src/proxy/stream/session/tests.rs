//! A real client of TLS whose every byte the test sends itself, and our end.

use std::mem::MaybeUninit;
use std::sync::Arc;

use rcgen::generate_simple_self_signed;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::proxy::budget::Budget;
use crate::proxy::rig::connect;
use crate::proxy::stream::{Stream, Streams};

const NAME: &str = "ok.test";

/// A client, its socket, and our end.
struct Pair {
    client: ClientConnection,
    socket: TcpStream,
    ours: Stream,
}

impl Pair {
    /// Both have shaken hands; the client sends so many bytes at once.
    async fn new(at_once: usize) -> Self {
        let made = generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        server.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = connect(listener.local_addr().unwrap()).await.unwrap();
        let room = Streams::new(Budget::within(64 << 20)).room().unwrap();
        let ours = room.of(listener.accept().await.unwrap().0).unwrap();
        let connection = ServerConnection::new(Arc::new(server)).unwrap();
        assert!(ours.secure(connection.into()));
        let name = ServerName::try_from(NAME).unwrap();
        let client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut pair = Self {
            client,
            socket,
            ours,
        };
        let ours = pair.ours.clone();
        let (shaken, ()) = tokio::join!(ours.shake_hands(), pair.shake_hands(at_once));
        shaken.unwrap();
        pair
    }

    async fn shake_hands(&mut self, at_once: usize) {
        while self.client.is_handshaking() {
            let said = self.said();
            self.send(&said, at_once).await;
            self.hear().await;
        }
        let said = self.said();
        self.send(&said, at_once).await;
    }

    /// What the client has to send.
    fn said(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut said).unwrap();
        }
        said
    }

    /// The record in which the client says this.
    fn record(&mut self, text: &[u8]) -> Vec<u8> {
        self.client.writer().write_all(text).unwrap();
        self.said()
    }

    async fn send(&mut self, bytes: &[u8], at_once: usize) {
        for some in bytes.chunks(at_once) {
            self.socket.write_all(some).await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    /// Has the client take what comes next.
    async fn hear(&mut self) {
        if self.client.wants_read() {
            let mut bytes = vec![0; 1 << 16];
            let read = self.socket.read(&mut bytes).await.unwrap();
            self.client.read_tls(&mut &bytes[..read]).unwrap();
            self.client.process_new_packets().unwrap();
        }
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[tokio::test]
async fn a_client_that_sends_byte_by_byte_is_heard() {
    let mut pair = Pair::new(1).await;
    let record = pair.record(b"hello");
    let mut ours = pair.ours.clone();
    let mut heard = [0; 5];
    let (read, ()) = tokio::join!(ours.read_exact(&mut heard), pair.send(&record, 1));
    read.unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn however_little_is_wanted_at_once_nothing_is_lost() {
    let mut pair = Pair::new(1 << 16).await;
    let text: Vec<u8> = (0..=250).cycle().take(100_000).collect();
    let records = {
        pair.client.set_buffer_limit(None);
        pair.record(&text)
    };
    let mut ours = pair.ours.clone();
    let heard = async {
        let mut heard = Vec::new();
        while heard.len() < text.len() {
            heard.push(ours.read_u8().await.unwrap());
        }
        heard
    };
    let (heard, ()) = tokio::join!(heard, pair.send(&records, 30_000));
    assert!(heard == text);
}

#[tokio::test]
async fn what_came_before_a_malformed_record_is_read() {
    let mut pair = Pair::new(1 << 16).await;
    let mut bytes = pair.record(b"hello");
    bytes.extend_from_slice(&[23, 3, 3, 0, 20]);
    bytes.extend_from_slice(&[0; 20]);
    pair.send(&bytes, 1 << 16).await;
    let mut heard = [0; 100];
    let read = pair.ours.read(&mut heard).await.unwrap();
    assert_eq!(&heard[..read], b"hello");
    let error = pair.ours.read(&mut heard).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn tickets_go_with_the_first_answer() {
    let mut pair = Pair::new(1 << 16).await;
    let early = SockRef::from(&pair.socket).peek(&mut [MaybeUninit::uninit()]);
    assert_eq!(early.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    pair.ours.write_all(b"hello").await.unwrap();
    pair.hear().await;
    let mut heard = [0; 100];
    let read = pair.client.reader().read(&mut heard).unwrap();
    assert_eq!(&heard[..read], b"hello");
    assert_eq!(pair.client.tls13_tickets_received(), 2);
}

#[tokio::test]
async fn an_end_is_told_from_a_cut() {
    for says_so in [true, false] {
        let mut pair = Pair::new(1 << 16).await;
        let mut bytes = pair.record(b"hello");
        if says_so {
            pair.client.send_close_notify();
            bytes.append(&mut pair.said());
        }
        pair.send(&bytes, 1 << 16).await;
        pair.socket.shutdown().await.unwrap();
        let mut heard = Vec::new();
        pair.ours.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"hello");
        assert_eq!(pair.ours.was_cut(), !says_so);
    }
}

#[tokio::test]
async fn a_connection_that_is_quiet_is_known_to_be() {
    let mut pair = Pair::new(1 << 16).await;
    assert!(pair.ours.is_quiet());
    let record = pair.record(b"hello");
    pair.send(&record, 1 << 16).await;
    assert!(!pair.ours.is_quiet());
    pair.ours.read_exact(&mut [0; 5]).await.unwrap();
    assert!(pair.ours.is_quiet());
    pair.socket.shutdown().await.unwrap();
    // Asked at once, before it could be told of it.
    assert!(!pair.ours.is_quiet());
}
