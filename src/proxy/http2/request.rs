//! What a stream's request asks for: the agreement of its pseudo-headers with each other, with
//! `Host`, and with the connection that it came on. Pure; must not know the policy's verdict.

use std::net::SocketAddr;

use h2::ext::Protocol;
use http::header::{self, HOST};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, Request, Uri, Version};

use super::limits::FIELD;
use crate::policy::Hostname;
use crate::proxy::http::ours::{ACCEPT, Form};
use crate::proxy::http::request::{
    BadRequest, NamedHost, compared, is_unread, named, path_of, recorded,
};

/// A request, understood.
#[derive(Debug)]
pub struct Asked {
    /// As rules compare it and the record repeats it.
    pub(super) method: String,
    /// Whom it names.
    pub(super) host: NamedHost,
    /// The path without query, as it was written; for the record.
    pub(super) path: String,
    /// The path as rules compare it; none where some server could understand the spelling as
    /// another.
    pub(super) plain_path: Option<String>,
    pub(super) tunnel: Tunnel,
    /// How it says that it is sent; none where it has no authority either.
    scheme: Option<Scheme>,
    is_head: bool,
}

/// In what form the client that wrote this head can read an answer of ours.
pub(super) fn form(head: &Parts) -> Form {
    let values = |name| {
        let values = head.headers.get_all(name).into_iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let mut joined = texts.collect::<Vec<_>>().join(",");
        joined.truncate(ACCEPT);
        joined
    };
    Form::of(
        head.uri.path(),
        &values(header::ACCEPT),
        &values(header::CONTENT_TYPE),
    )
}

/// What a CONNECT asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tunnel {
    /// It is no CONNECT.
    None,
    /// A WebSocket with the resource itself (RFC 8441): in HTTP/1 a GET.
    Websocket,
    /// Another protocol with the resource itself.
    Other,
    /// One that leads elsewhere, or carries requests that would not be read.
    Unread,
}

const NO_PATH: BadRequest = BadRequest("the target is neither a path nor for http");
const TWO_HOSTS: BadRequest = BadRequest("the authority and the Host header name different hosts");

/// Reads the head of a request that was sent to `destination`.
///
/// # Errors
/// [`BadRequest`]: nobody could decide about it.
pub fn read(head: &Parts, destination: SocketAddr) -> Result<Asked, BadRequest> {
    let tunnel = tunnel(head);
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    if tunnel == Tunnel::None || head.extensions.get::<Protocol>().is_some() {
        let is_for_all = target == "*" && head.method == Method::OPTIONS;
        if !target.starts_with('/') && !is_for_all {
            return Err(NO_PATH);
        }
    }
    let method = match tunnel {
        Tunnel::Websocket => Method::GET.to_string(),
        _ => head.method.to_string(),
    };
    let path = path_of(target.as_bytes());
    Ok(Asked {
        method,
        host: host(head, destination)?,
        path: recorded(path),
        plain_path: compared(path),
        tunnel,
        scheme: head.uri.scheme().cloned(),
        is_head: head.method == Method::HEAD,
    })
}

fn tunnel(head: &Parts) -> Tunnel {
    if head.method != Method::CONNECT {
        return Tunnel::None;
    }
    match head.extensions.get::<Protocol>().map(Protocol::as_str) {
        Some("websocket") => Tunnel::Websocket,
        Some(protocol) if !is_unread(&protocol.to_ascii_lowercase()) => Tunnel::Other,
        _ => Tunnel::Unread,
    }
}

/// Whom authority and Host name, together.
fn host(head: &Parts, destination: SocketAddr) -> Result<NamedHost, BadRequest> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(BadRequest("more than one Host header"));
    }
    let by_header = match host.map(|host| host.to_str()) {
        Some(Ok(host)) => Some(named(host, destination)?),
        Some(Err(_)) => return Err(BadRequest("the Host header is not a host name")),
        None => None,
    };
    // Where a tunnel to elsewhere would lead decides nothing: there is none.
    let by_authority = match head.uri.authority() {
        Some(_) if tunnel(head) == Tunnel::Unread => None,
        Some(authority) => Some(named(authority.as_str(), destination)?),
        None => None,
    };
    match (by_authority, by_header) {
        (Some(authority), Some(header)) if authority != header => Err(TWO_HOSTS),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Ok(NamedHost::Nobody),
    }
}

impl Asked {
    /// How it says that it is sent.
    pub(super) fn scheme(&self) -> Option<&str> {
        self.scheme.as_ref().map(Scheme::as_str)
    }

    /// Whether its answer has a body only by its head.
    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }

    /// Whether it may be sent again, where nobody can know whether the first one was read (RFC 9110
    /// 9.2.2): `bodiless`, if nothing follows its head.
    pub(super) fn may_be_repeated(&self, bodiless: bool) -> bool {
        const SAFE: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];
        bodiless && self.tunnel == Tunnel::None && SAFE.contains(&self.method.as_str())
    }
}

/// The request that goes on to a server for one that was read: the client's, word for word. One that
/// has a host by its header alone gets the authority of that, without which none can be written.
/// `origin`: the name of the only server there is, where there is one.
pub(super) fn forwarded(head: &Parts, origin: Option<&Hostname>) -> Option<Request<()>> {
    let mut uri = head.uri.clone().into_parts();
    if uri.authority.is_none() {
        let host = head.headers.get(HOST).map(|host| host.as_bytes());
        let host = host.or_else(|| origin.map(|name| name.as_str().as_bytes()));
        uri.authority = host.and_then(|host| Authority::try_from(host).ok());
    }
    let mut request = Request::new(());
    if uri.authority.is_some() {
        uri.scheme = Some(scheme(origin.is_some()));
        *request.version_mut() = Version::HTTP_2;
    } else {
        // The library takes a request without an authority for one that was translated.
        *request.version_mut() = Version::HTTP_11;
    }
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = head.headers.clone();
    if let Some(protocol) = head.extensions.get::<Protocol>() {
        request.extensions_mut().insert(protocol.clone());
    }
    Some(request)
}

fn scheme(is_secure: bool) -> Scheme {
    if is_secure {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    }
}

/// The host that a bad request claims, and its path, for the record only.
pub(super) fn claimed(head: &Parts) -> (Option<String>, Option<String>) {
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let header = head.headers.get(HOST).map(|host| host.as_bytes());
    let host = authority.map(str::as_bytes).or(header);
    let path = head.uri.path_and_query();
    (
        host.map(recorded),
        path.map(|path| recorded(path_of(path.as_str().as_bytes()))),
    )
}

/// What fields take while they are kept, in bytes: a client may send thousands that are hardly longer
/// than nothing.
pub(super) fn kept(fields: &HeaderMap) -> usize {
    let written = usize::try_from(size(fields)).unwrap_or(usize::MAX);
    written.saturating_add(fields.len() * FIELD)
}

/// What fields take as they are written in a record of bytes: names and values.
pub(super) fn size(fields: &HeaderMap) -> u64 {
    let size: usize = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    size as u64
}
