//! Real clients and servers of the library, with the relay between them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::audit::line::{Ended, Side};
use crate::proxy::rig::Rig;

mod attacks;
mod changes;
mod ends;
mod floods;
mod requests;
mod streaming;

/// A client that has begun, on a connection that is being served.
struct Client {
    send: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    async fn of(rig: &Rig) -> Self {
        Self::with(rig, h2::client::Builder::new().enable_push(false)).await
    }

    async fn with(rig: &Rig, builder: &h2::client::Builder) -> Self {
        let tcp = rig.client(80).await;
        tcp.set_nodelay(true).unwrap();
        let (send, connection) = builder.handshake(tcp).await.unwrap();
        let connection = tokio::spawn(connection);
        Self { send, connection }
    }

    /// Begins a request.
    async fn begin(&mut self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        self.send = self.send.clone().ready().await.unwrap();
        self.send.send_request(request, false).unwrap()
    }

    /// Begins one without a body.
    async fn begin_whole(&mut self, request: Request<()>) -> Result<ResponseFuture, h2::Error> {
        self.send = self.send.clone().ready().await?;
        Ok(self.send.send_request(request, true)?.0)
    }

    /// One without a body, and its answer.
    async fn ask(&mut self, request: Request<()>) -> Result<Heard, h2::Error> {
        heard(self.begin_whole(request).await?.await?).await
    }

    /// Goes.
    async fn end(self) {
        self.connection.abort();
        assert!(self.connection.await.is_err());
    }
}

const SOON: Duration = Duration::from_secs(10);

/// A whole answer.
#[derive(Debug)]
struct Heard {
    status: u16,
    fields: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Heard {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

async fn heard(response: Response<RecvStream>) -> Result<Heard, h2::Error> {
    let (head, mut body) = response.into_parts();
    let (bytes, trailers) = whole(&mut body).await?;
    Ok(Heard {
        status: head.status.as_u16(),
        fields: head.headers,
        body: bytes,
        trailers,
    })
}

/// All of a body, and its trailers.
async fn whole(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        bytes.extend_from_slice(&part);
    }
    Ok((bytes, body.trailers().await?))
}

fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).unwrap()
}

fn post(uri: &str) -> Request<()> {
    Request::post(uri).body(()).unwrap()
}

/// The next connection to the outside, as a server has it.
async fn accept(outside: &TcpListener) -> Connection<TcpStream, Bytes> {
    let (connection, _) = timeout(SOON, outside.accept()).await.unwrap().unwrap();
    connection.set_nodelay(true).unwrap();
    h2::server::handshake(connection).await.unwrap()
}

type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// The next request on a connection, which goes on by itself afterwards.
async fn next(mut connection: Connection<TcpStream, Bytes>) -> (Asked, JoinHandle<()>) {
    let asked = timeout(SOON, connection.accept()).await.unwrap().unwrap();
    let driven = tokio::spawn(async move { while connection.accept().await.is_some() {} });
    (asked.unwrap(), driven)
}

/// A server that answers each request with what it was asked: its method, authority, path and body.
fn echo(outside: TcpListener) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let (connection, _) = outside.accept().await.unwrap();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(connection).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(echo_one(request, respond));
                }
            });
        }
    })
}

async fn echo_one(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    let Ok((body, trailers)) = whole(&mut body).await else {
        return;
    };
    let text = format!(
        "{} {} {}",
        head.method,
        head.uri,
        String::from_utf8(body).unwrap()
    );
    let mut response = Response::new(());
    *response.headers_mut() = head.headers;
    let Ok(mut stream) = respond.send_response(response, false) else {
        return;
    };
    let _ = stream.send_data(text.into(), trailers.is_none());
    if let Some(trailers) = trailers {
        let _ = stream.send_trailers(trailers);
    }
}

fn fields(of: &[(&'static str, &str)]) -> HeaderMap {
    of.iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}
