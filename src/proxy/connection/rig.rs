//! For tests: a gate with real rules and a real audit file, a client on loopback, and a listener
//! that is "the outside".

use std::pin::Pin;
use std::sync::{Mutex, RwLock};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::audit::Journal;
use crate::audit::line::About;
use crate::audit::test_attempts::{self, attempts};
use crate::policy::{Policy, PolicySource};
use crate::proxy::budget::{Budget, FIXED};
use crate::proxy::dial::{Exit, Upstream};
use crate::proxy::dns::Resolver;
use crate::proxy::stream::{Stream, Streams};

/// What every name resolves to, and every client believes it talks to. For documentation, so the
/// policy lets it pass.
pub(in crate::proxy) const SERVER: [u8; 4] = [192, 0, 2, 1];

pub(in crate::proxy) struct Rig {
    pub(in crate::proxy) gate: Arc<Gate>,
    folder: tempfile::TempDir,
    outside: LoopbackOutside,
    served: Mutex<Vec<JoinHandle<()>>>,
}

impl Rig {
    /// A gate with these rules. The listener gets every connection that leaves.
    pub(in crate::proxy) async fn new(allow: &[&str], deny: &[&str]) -> (Self, TcpListener) {
        Self::within((64 << 20) - FIXED, allow, deny).await
    }

    /// The same with so many bytes to use.
    pub(in crate::proxy) async fn within(
        bytes: usize,
        allow: &[&str],
        deny: &[&str],
    ) -> (Self, TcpListener) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(
            &folder.path().join("audit.jsonl"),
            "c0ffee",
            About::default(),
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let owned = |rules: &[&str]| rules.iter().map(ToString::to_string).collect();
        let source = PolicySource {
            name: "test".to_owned(),
            allow: owned(allow),
            deny: owned(deny),
            ..PolicySource::default()
        };
        let gate = Gate {
            streams: Streams::new(Budget::new(bytes)),
            policy: Policy::compile(&source).unwrap(),
            journal,
            resolver: Resolver::new(vec![]),
            exit: Exit::AsHost,
            inside: None,
            interfaces: RwLock::default(),
        };
        let outside = LoopbackOutside {
            server: listener.local_addr().unwrap(),
            dialled: Arc::default(),
        };
        (
            Self {
                gate: Arc::new(gate),
                folder,
                outside,
                served: Mutex::default(),
            },
            listener,
        )
    }

    /// A client whose connection to [`SERVER`] at `port` was captured, and is being served.
    pub(in crate::proxy) async fn client(&self, port: u16) -> TcpStream {
        self.client_saying(port, b"").await
    }

    /// The same; the bytes are there before serving begins.
    pub(in crate::proxy) async fn client_saying(&self, port: u16, bytes: &[u8]) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, source) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut client, bytes)
            .await
            .unwrap();
        if !bytes.is_empty() {
            ours.readable().await.unwrap();
        }
        let destination = SocketAddr::from((SERVER, port));
        let outside = Arc::new(self.outside.clone());
        let captured = Captured {
            gate: Arc::clone(&self.gate),
            outside,
            source,
            destination,
        };
        self.served
            .lock()
            .unwrap()
            .push(tokio::spawn(serve_captured(captured, self.stream(ours))));
        client
    }

    /// A connection that is paid for.
    pub(in crate::proxy) fn stream(&self, tcp: TcpStream) -> Stream {
        self.gate.streams.room().unwrap().of(tcp).unwrap()
    }

    /// The names (or addresses) that were dialled, in order.
    pub(in crate::proxy) fn dialled(&self) -> Vec<String> {
        self.outside.dialled.lock().unwrap().clone()
    }

    /// Waits until every connection has been served, and reads what was recorded.
    pub(in crate::proxy) async fn records(&self) -> Vec<test_attempts::AttemptSummary> {
        let served = std::mem::take(&mut *self.served.lock().unwrap());
        for task in served {
            task.await.unwrap();
        }
        attempts(&self.folder.path().join("audit.jsonl"))
    }

    /// The only record.
    pub(in crate::proxy) async fn record(&self) -> test_attempts::AttemptSummary {
        let mut records = self.records().await;
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }
}

/// The permit is asked as for the network; only the last step, the connection, goes to loopback.
#[derive(Debug, Clone)]
struct LoopbackOutside {
    server: SocketAddr,
    dialled: Arc<Mutex<Vec<String>>>,
}

impl Outside for LoopbackOutside {
    fn dial<'a>(
        &'a self,
        gate: &'a Gate,
        permit: &'a Permit,
        _client: SocketAddr,
        _destination: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Upstream, DialError>> + Send + 'a>> {
        Box::pin(async move {
            let target = permit.name().map_or_else(
                || permit.address().unwrap().to_string(),
                ToString::to_string,
            );
            self.dialled.lock().unwrap().push(target);
            let address = permit
                .upstream(SERVER.into(), &[])
                .map_err(DialError::Denied)?;
            let room = gate
                .streams
                .room()
                .ok_or_else(|| DialError::Denied(used_up()))?;
            let tcp = connect(self.server)
                .await
                .map_err(|error| DialError::Unreachable(error.to_string()))?;
            let stream = room.of(tcp).unwrap();
            Ok(Upstream { stream, address })
        })
    }
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    TcpSocket::new_v4().unwrap().connect(to).await
}
