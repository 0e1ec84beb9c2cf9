//! For tests: connections that are served by real rules into a real record, with a client on
//! loopback, and a listener there that is "the outside".

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::ahead::Ahead;
use super::bench::Bench;
use super::budget::{FIXED, used_up};
use super::connect::NoAnswer;
use super::connection::{Begun, serve};
use super::dial::{DialError, Outside, Upstream};
use super::flow::{ConnectionServices, Flow};
use super::pool::Pool;
use super::stream::{Stream, Streams};
use super::tls::Interception;
use crate::audit::test_attempts;
use crate::policy::{DeniedNames, Hostname, Permit, Policy, PolicySource, UpstreamAddr};

/// What every name resolves to, and every client believes it talks to. For documentation, so the
/// policy lets it pass.
pub(super) const SERVER: [u8; 4] = [192, 0, 2, 1];

pub(super) struct Rig {
    pub(super) bench: Bench,
    outside: LoopbackOutside,
    pool: Arc<Pool>,
    served: Mutex<Vec<JoinHandle<()>>>,
    /// What intercepts TLS.
    pub(super) interception: Option<Arc<Interception>>,
    /// How questions for denied names are answered.
    pub(super) denied_names: DeniedNames,
}

impl Rig {
    /// One with these rules. The listener gets every connection that leaves.
    pub(super) async fn new(allow: &[&str], deny: &[&str]) -> (Self, TcpListener) {
        Self::within((64 << 20) - FIXED, allow, deny).await
    }

    /// The same with so many bytes to use.
    pub(super) async fn within(bytes: usize, allow: &[&str], deny: &[&str]) -> (Self, TcpListener) {
        let bench = Bench::within(bytes, allow, deny, Vec::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outside = LoopbackOutside {
            server: listener.local_addr().unwrap(),
            dialled: Arc::default(),
            streams: bench.streams.clone(),
        };
        let served = Mutex::default();
        (
            Self {
                bench,
                outside,
                pool: Arc::default(),
                served,
                interception: None,
                denied_names: DeniedNames::default(),
            },
            listener,
        )
    }

    /// A connection to `destination` that was captured.
    pub(super) fn flow(&self, source: SocketAddr, destination: SocketAddr) -> Flow {
        let services = ConnectionServices {
            judge: self.bench.judge.clone(),
            streams: self.bench.streams.clone(),
            egress: Arc::clone(&self.bench.egress),
            pool: Arc::clone(&self.pool),
            outside: Arc::new(self.outside.clone()),
            interception: self.interception.clone(),
            denied_note: None,
            denied_names: self.denied_names,
        };
        Flow::new(Arc::new(services), source, destination)
    }

    /// A client whose connection to [`SERVER`] at `port` was captured, and is being served.
    pub(super) async fn client(&self, port: u16) -> TcpStream {
        self.client_saying(port, b"").await
    }

    /// The same; the bytes are there before serving begins.
    pub(super) async fn client_saying(&self, port: u16, bytes: &[u8]) -> TcpStream {
        self.client_to(SocketAddr::from((SERVER, port)), bytes)
            .await
    }

    /// The same, of a client whose packets were addressed to this.
    pub(super) async fn client_to(&self, destination: SocketAddr, bytes: &[u8]) -> TcpStream {
        let (mut client, ours, source) = self.accepted().await;
        tokio::io::AsyncWriteExt::write_all(&mut client, bytes)
            .await
            .unwrap();
        if !bytes.is_empty() {
            ours.readable().await.unwrap();
        }
        let flow = self.flow(source, destination);
        let begun = Begun::now(&flow);
        self.serve(flow, ours, begun);
        client
    }

    /// A client to [`SERVER`] at `port` whose server was asked before it was accepted, as one of
    /// this name.
    pub(super) async fn client_asked(&self, port: u16, name: &Hostname) -> TcpStream {
        let (client, ours, source) = self.accepted().await;
        let flow = self.flow(source, SocketAddr::from((SERVER, port)));
        let permit = flow.may_allow_in_name(name).unwrap();
        let address = permit.upstream(SERVER.into(), &[]).unwrap();
        let upstream = Upstream {
            stream: flow.ask(address).await.unwrap(),
            address,
            permit: Box::new(permit.clone()),
        };
        let begun = Begun {
            ahead: Some(Ahead::made(permit, upstream, false)),
            ..Begun::now(&flow)
        };
        self.serve(flow, ours, begun);
        client
    }

    /// A client, its connection as it was accepted, and from where that came.
    async fn accepted(&self) -> (TcpStream, TcpStream, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, source) = listener.accept().await.unwrap();
        (client, ours, source)
    }

    fn serve(&self, flow: Flow, ours: TcpStream, begun: Begun) {
        let served = tokio::spawn(serve(flow, self.stream(ours), begun));
        self.served.lock().unwrap().push(served);
    }

    /// A connection that is paid for.
    pub(super) fn stream(&self, tcp: TcpStream) -> Stream {
        self.bench.streams.room().unwrap().of(tcp).unwrap()
    }

    /// Puts these rules into force. Gives how many flows that cut.
    pub(super) async fn change(&self, allow: &[&str], deny: &[&str]) -> u64 {
        let owned = |rules: &[&str]| rules.iter().map(ToString::to_string).collect();
        let source = PolicySource {
            allow: owned(allow),
            deny: owned(deny),
            ..PolicySource::default()
        };
        let in_force = &self.bench.judge.in_force;
        let next = in_force.generation() + 1;
        in_force.change(Policy::compile(&source).unwrap().of_generation(next));
        in_force.judged().await
    }

    /// The names (or addresses) that were dialled, in order.
    pub(super) fn dialled(&self) -> Vec<String> {
        self.outside.dialled.lock().unwrap().clone()
    }

    /// Waits until every connection has been served, and reads what was recorded.
    pub(super) async fn records(&self) -> Vec<test_attempts::AttemptSummary> {
        let served = std::mem::take(&mut *self.served.lock().unwrap());
        for task in served {
            task.await.unwrap();
        }
        self.bench.records()
    }

    /// The only record.
    pub(super) async fn record(&self) -> test_attempts::AttemptSummary {
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
    streams: Streams,
}

impl Outside for LoopbackOutside {
    fn dial<'a>(
        &'a self,
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
            let room = self
                .streams
                .room()
                .ok_or_else(|| DialError::Denied(used_up()))?;
            let tcp = connect(self.server)
                .await
                .map_err(|error| DialError::Unreachable(error.to_string()))?;
            let stream = room.of(tcp).unwrap();
            Ok(Upstream {
                stream,
                address,
                permit: Box::new(permit.alone()),
            })
        })
    }

    fn ask<'a>(
        &'a self,
        address: UpstreamAddr,
        _client: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Stream, NoAnswer>> + Send + 'a>> {
        Box::pin(async move {
            let target = address.socket_addr().ip().to_string();
            self.dialled.lock().unwrap().push(target);
            let room = self.streams.room().ok_or(NoAnswer::NotAsked)?;
            let tcp = connect(self.server).await.map_err(|_| NoAnswer::Reset)?;
            Ok(room.of(tcp).unwrap())
        })
    }
}

pub(super) async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    // As whoever sends windows or small requests does.
    socket.set_nodelay(true).unwrap();
    socket.connect(to).await
}
