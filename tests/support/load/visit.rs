//! One connection to the server: what is sent, and how far the answer is.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use socket2::{Domain, Protocol, Socket, Type};

/// How every answer has to begin.
pub(crate) const GOOD: &[u8] = b"HTTP/1.1 200";

/// Whom to visit, and with which requests.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) server: SocketAddr,
    /// A request after which the server closes.
    pub(crate) once: String,
    /// One after which it doesn't.
    pub(crate) kept: String,
    /// One whose answer is long.
    pub(crate) bulk: String,
    /// The same, of one that ends; so does the connection.
    pub(crate) part: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Target {
    pub(crate) fn new(server: &str, name: &str, scheme: &str) -> anyhow::Result<Self> {
        let server: SocketAddr = server.parse().context("no ADDRESS:PORT")?;
        let request = |path: &str, more: &str| {
            format!(
                "GET {path} HTTP/1.1\r\nHost: {name}:{}\r\n{more}\r\n",
                server.port()
            )
        };
        Ok(Self {
            server,
            once: request("/", "Connection: close\r\n"),
            kept: request("/", ""),
            bulk: request("/bulk", ""),
            part: request("/part", "Connection: close\r\n"),
            tls: match scheme {
                "http" => None,
                "https" => Some((client_config()?, ServerName::try_from(name.to_owned())?)),
                _ => bail!("{scheme}: not http or https"),
            },
        })
    }
}

/// Full handshakes each time: nothing is kept of earlier ones.
fn client_config() -> anyhow::Result<Arc<ClientConfig>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// One connection and the request that is under way on it.
#[derive(Debug)]
pub(crate) struct Visit {
    socket: Socket,
    tls: Option<ClientConnection>,
    begun: Instant,
    /// What of the request is not sent, where there is no TLS to hold it.
    unsent: Vec<u8>,
    answer: Vec<u8>,
}

impl AsFd for Visit {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Visit {
    /// Begins to connect; the request goes out when that is done.
    pub(crate) fn begin(target: &Target, request: &str) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(
            Domain::for_address(target.server),
            kind,
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&target.server.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(error.into());
            }
            _ => {}
        }
        let tls = match &target.tls {
            Some((config, name)) => Some(ClientConnection::new(Arc::clone(config), name.clone())?),
            None => None,
        };
        let mut visit = Self {
            socket,
            tls,
            begun,
            unsent: Vec::new(),
            answer: Vec::new(),
        };
        visit.say(request)?;
        Ok(visit)
    }

    /// Sends another request on the same connection.
    pub(crate) fn again(&mut self, request: &str) -> anyhow::Result<()> {
        self.begun = Instant::now();
        self.answer.clear();
        self.say(request)?;
        self.flush()
    }

    /// Since this request began.
    pub(crate) fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Reads what is there until `end`, and drops it; so many bytes it was, and whether the
    /// connection has ended.
    pub(crate) fn drain(&mut self, buffer: &mut [u8], end: Instant) -> anyhow::Result<(u64, bool)> {
        self.flush()?;
        let mut sum = 0;
        while Instant::now() < end {
            let Some(length) = self.read(buffer)? else {
                break;
            };
            if length == 0 {
                return Ok((sum, true));
            }
            if self.answer.is_empty() {
                self.take(buffer, length.min(GOOD.len()));
                is_whole(&self.answer)?;
            }
            sum += length as u64;
        }
        Ok((sum, false))
    }

    /// Whether the answer is there, by its Content-Length.
    pub(crate) fn answered(&mut self, buffer: &mut [u8]) -> anyhow::Result<bool> {
        self.flush()?;
        while !is_whole(&self.answer)? {
            match self.read(buffer)? {
                Some(0) => bail!("closed before the answer was there"),
                Some(length) => self.take(buffer, length),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Whether the answer is there, and the server has closed after it.
    pub(crate) fn ended(&mut self, buffer: &mut [u8]) -> anyhow::Result<bool> {
        self.flush()?;
        while let Some(length) = self.read(buffer)? {
            if length == 0 {
                ensure!(
                    is_whole(&self.answer)?,
                    "closed before the answer was there"
                );
                return Ok(true);
            }
            self.take(buffer, length);
        }
        Ok(false)
    }

    fn take(&mut self, buffer: &[u8], length: usize) {
        self.answer
            .extend_from_slice(buffer.get(..length).unwrap_or_default());
    }

    fn say(&mut self, request: &str) -> anyhow::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(request.as_bytes())?,
            None => self.unsent.extend_from_slice(request.as_bytes()),
        }
        Ok(())
    }

    /// Sends what is to be sent, as far as that goes now.
    fn flush(&mut self) -> anyhow::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() && now(tls.write_tls(&mut &self.socket))?.is_some() {}
        } else if !self.unsent.is_empty()
            && let Some(sent) = now((&self.socket).write(&self.unsent))?
        {
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    /// Bytes of the answer; none: not now; 0: its end.
    fn read(&mut self, buffer: &mut [u8]) -> anyhow::Result<Option<usize>> {
        loop {
            let Some(tls) = &mut self.tls else {
                return now((&self.socket).read(buffer));
            };
            match tls.reader().read(buffer) {
                // The answer says by itself whether it is whole.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Some(0)),
                read => {
                    if let Some(length) = now(read)? {
                        return Ok(Some(length));
                    }
                }
            }
            if now(tls.read_tls(&mut &self.socket))?.is_none() {
                return Ok(None);
            }
            tls.process_new_packets()?;
            // A handshake goes on by what was read.
            self.flush()?;
        }
    }
}

/// None where the socket isn't ready, or not yet connected.
fn now(outcome: std::io::Result<usize>) -> anyhow::Result<Option<usize>> {
    match outcome {
        Ok(length) => Ok(Some(length)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::NotConnected
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether an answer has all that its head announces.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let seen = answer.len().min(GOOD.len());
    ensure!(answer.get(..seen) == GOOD.get(..seen), "no 200");
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = std::str::from_utf8(answer.get(..end).unwrap_or_default())?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("no Content-Length")?;
    Ok(answer.len() >= end + 4 + length.1.trim().parse::<usize>()?)
}

/// Takes every certificate: what is measured is the way to the server.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
