//! Web servers: HTTP and HTTPS that tell who answered, by the address that was reached and not by
//! the name asked for.
//!
//! Certificates are made for whatever SNI asks, by an authority that the containers trust: the
//! attacker has a valid certificate for every name, so only the filter stands in its way.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio_rustls::TlsAcceptor;

use crate::{Ends, zone};

/// Piece in which `/slow` sends, and the pause between pieces.
const DRIP: (&[u8], std::time::Duration) = (b"drip\n", std::time::Duration::from_millis(50));

/// Whose bodies are counted, and the same without an answer.
const COUNTED: [&str; 2] = ["/sink/", "/hold/"];
/// So many bytes of such a body are said when they are there.
const MUCH: u64 = 8 << 20;

/// Whose bodies are never read, nor answered.
const UNREAD: &str = "/unread";

/// The authority that signs for everyone.
#[derive(Debug, Clone)]
pub(crate) struct Authority(Arc<CertifiedIssuer<'static, KeyPair>>);

impl Authority {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "little internet");
        Ok(Self(Arc::new(CertifiedIssuer::self_signed(
            params,
            KeyPair::generate()?,
        )?)))
    }

    pub(crate) fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Writes `ca.pem`: the sign that everything listens. Its key is in `key.pem`, for other servers.
    pub(crate) fn publish(&self, directory: &Path) -> anyhow::Result<()> {
        let write = |path: &Path, text: String| {
            std::io::Write::write_all(&mut std::fs::File::create(path)?, text.as_bytes())
        };
        write(&directory.join("key.pem"), self.0.key().serialize_pem())?;
        let part = directory.join("ca.pem.part");
        write(&part, self.0.pem())?;
        Ok(std::fs::rename(part, directory.join("ca.pem"))?)
    }

    /// A certificate for a name; one that is wrong in the way that the name says.
    fn sign(&self, name: &str) -> anyhow::Result<CertifiedKey> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        let fault = name.strip_suffix(".wrong.wild.test").unwrap_or_default();
        match fault {
            "expired" => params.not_after = date_time_ymd(2020, 1, 1),
            "early" => params.not_before = date_time_ymd(2090, 1, 1),
            "other" => params = CertificateParams::new(vec!["other.test".to_owned()])?,
            _ => {}
        }
        let certificate = match fault {
            "self-signed" => params.self_signed(&key)?,
            _ => params.signed_by(&key, &self.0)?,
        };
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = ring::sign::any_ecdsa_type(&private)?;
        Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.sign(hello.server_name().unwrap_or("nameless.test"))
            .ok()
            .map(Arc::new)
    }
}

pub(crate) async fn serve_tls(
    tls: TlsAcceptor,
    stream: tokio::net::TcpStream,
    ends: Ends,
) -> anyhow::Result<()> {
    let stream = tls.accept(stream).await?;
    let name = stream.get_ref().1.server_name().unwrap_or("-").to_owned();
    ends.log("tls", &format!("sni={name}"));
    serve(stream, ends, "https").await
}

/// Answers requests until the client has enough.
pub(crate) async fn serve<S>(stream: S, ends: Ends, scheme: &'static str) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream).await? {
        ends.log(
            scheme,
            &format!("{} {} host={}", request.method, request.path, request.host),
        );
        take_body(&mut stream, &request, &ends).await?;
        if request.path == "/slow" {
            drip(&mut stream).await?;
        }
        let body = body(&request.path, &ends);
        let close = if request.closes {
            "Connection: close\r\n"
        } else {
            ""
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{close}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        if request.method != "HEAD" {
            stream.write_all(&body).await?;
        }
        stream.flush().await?;
        if request.closes {
            break;
        }
    }
    stream.shutdown().await?;
    Ok(())
}

struct Request {
    method: String,
    path: String,
    host: String,
    /// Whether the client wants no other answer on this connection.
    closes: bool,
    /// Whether it waits to be asked for the body.
    asks: bool,
    /// Of the body.
    length: u64,
}

/// Reads a body. Of those that are counted, says how much came of them, however they end.
async fn take_body<S>(
    stream: &mut BufReader<S>,
    request: &Request,
    ends: &Ends,
) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Request { path, length, .. } = request;
    if !COUNTED.iter().any(|counted| path.starts_with(counted)) {
        tokio::io::copy(&mut stream.take(*length), &mut tokio::io::sink()).await?;
        return Ok(());
    }
    if request.asks {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        stream.flush().await?;
    }
    let (mut taken, mut buffer) = (0, vec![0; 64 << 10]);
    while taken < *length {
        let read = stream.read(&mut buffer).await.unwrap_or(0) as u64;
        if taken < MUCH && taken + read >= MUCH {
            ends.log("body", &format!("8 MiB of {path}"));
        }
        taken += read;
        if read == 0 {
            break;
        }
    }
    ends.log("body", &format!("took {taken} of {path}"));
    if path.starts_with(COUNTED[1]) {
        std::future::pending::<()>().await;
    }
    anyhow::ensure!(taken == *length, "the body broke off");
    Ok(())
}

async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
) -> anyhow::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (
        words.next().context("no method")?,
        words.next().context("no path")?,
    );
    let (mut host, mut length, mut closes, mut asks) = (String::from("-"), 0, false, false);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((key, value)) = line.trim_end().split_once(':') else {
            break;
        };
        match key.to_ascii_lowercase().as_str() {
            "host" => host = value.trim().to_owned(),
            "connection" => closes = value.trim().eq_ignore_ascii_case("close"),
            "content-length" => length = value.trim().parse()?,
            "expect" => asks = true,
            _ => {}
        }
    }
    if path == UNREAD {
        return std::future::pending().await;
    }
    Ok(Some(Request {
        method,
        path,
        host,
        closes,
        asks,
        length,
    }))
}

/// `/bytes/N`: N zeros; everything else: who answered.
fn body(path: &str, ends: &Ends) -> Vec<u8> {
    if let Some(Ok(length)) = path.strip_prefix("/bytes/").map(str::parse) {
        return vec![0; length];
    }
    let address = ends.server.ip();
    let name = zone::by_address(address).map_or("nobody", |host| host.name);
    format!("I am {name} at {address}\n").into_bytes()
}

/// A response without an end, for tests of what ends it.
async fn drip<S: AsyncWrite + Unpin>(stream: &mut S) -> anyhow::Result<()> {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        .await?;
    loop {
        stream.write_all(DRIP.0).await?;
        stream.flush().await?;
        tokio::time::sleep(DRIP.1).await;
    }
}
