//! What a request asks for, and the same request as it is sent on.
//!
//! Owns the agreement of target, Host and destination port. Must not know the policy's verdict.
//! Whatever could be understood in two ways is a [`BadRequest`]: the server behind might choose the
//! other.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::{Authority, Scheme, Uri};
use hyper::{Method, Request, Version};

use super::hop;
use crate::policy::Hostname;
use crate::policy::rule::normalise_path;

/// A request's target, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTarget {
    /// The host name. None where the request names the very address that it was sent to.
    pub(super) name: Option<Hostname>,
    /// The path without query, normalised: what is matched is what is sent.
    pub(super) path: String,
    /// Whether it asks to become a websocket, the only upgrade that is passed on.
    pub(super) upgrade: bool,
    /// The Host header for the server, and how much of it is the host without the port.
    authority: String,
    host_length: usize,
}

impl RequestTarget {
    /// The host without the port, for records and messages.
    pub(super) fn host(&self) -> &str {
        self.authority
            .get(..self.host_length)
            .unwrap_or(&self.authority)
    }
}

/// A request that nobody could decide about. Its text is for the client and the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRequest(&'static str);

/// Understands a request that was sent to `destination`.
///
/// # Errors
/// [`BadRequest`].
pub fn read<B>(request: &Request<B>, destination: SocketAddr) -> Result<RequestTarget, BadRequest> {
    if request.method() == Method::CONNECT {
        return read_connect(request);
    }
    let host = read_host(only_host(request)?, destination)?;
    if let Some(target) = absolute_target(request.uri())?
        && read_host(target.as_str(), destination)?.host != host.host
    {
        return Err(BadRequest(
            "the target and the Host header name different hosts",
        ));
    }
    let path = normalise_path(request.uri().path())
        .ok_or(BadRequest("the path can be understood in several ways"))?;
    let upgrade = hop::asks_for_websocket(request);
    let (authority, host_length) = host.authority();
    Ok(RequestTarget {
        name: host.name(),
        path,
        upgrade,
        authority,
        host_length,
    })
}

/// The request as it goes to the server: canonical target and Host, nothing that was meant for the
/// hop to us.
///
/// # Errors
/// [`BadRequest`] where the target or the host can't be written as such.
pub fn rewrite<B>(request: Request<B>, asked: &RequestTarget) -> Result<Request<B>, BadRequest> {
    let undecidable = BadRequest("the target can't be sent on");
    let (mut parts, body) = request.into_parts();
    let target = match parts.uri.query() {
        Some(query) => format!("{}?{query}", asked.path),
        None => asked.path.clone(),
    };
    parts.uri = Uri::try_from(target).map_err(|_| undecidable)?;
    parts.version = Version::HTTP_11;
    parts.headers = hop::end_to_end(parts.headers, asked.upgrade);
    parts.headers.insert(
        HOST,
        HeaderValue::try_from(&asked.authority).map_err(|_| undecidable)?,
    );
    Ok(Request::from_parts(parts, body))
}

/// The host that a bad request claims, for the record only.
#[must_use]
pub fn claimed_host<B>(request: &Request<B>) -> Option<String> {
    let text = request.headers().get(HOST)?.as_bytes();
    Some(String::from_utf8_lossy(text.get(..255).unwrap_or(text)).into_owned())
}

/// CONNECT is always denied; this finds the words for it.
fn read_connect<B>(request: &Request<B>) -> Result<RequestTarget, BadRequest> {
    let authority = request
        .uri()
        .authority()
        .map(ToString::to_string)
        .unwrap_or_default();
    let host_length = authority.len();
    Ok(RequestTarget {
        name: None,
        path: String::new(),
        upgrade: false,
        authority,
        host_length,
    })
}

fn only_host<B>(request: &Request<B>) -> Result<&str, BadRequest> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().ok_or(BadRequest("a Host header is missing"))?;
    if hosts.next().is_some() {
        return Err(BadRequest("more than one Host header"));
    }
    host.to_str().map_err(|_| NOT_A_HOST)
}

const NOT_A_HOST: BadRequest = BadRequest("the Host header is no host name");

/// The host of a target in absolute form (RFC 9112 3.2.2).
fn absolute_target(uri: &Uri) -> Result<Option<&Authority>, BadRequest> {
    match (uri.scheme(), uri.authority()) {
        (None, None) => Ok(None),
        (Some(scheme), Some(authority)) if *scheme == Scheme::HTTP => Ok(Some(authority)),
        _ => Err(BadRequest("the target is for another scheme than http")),
    }
}

/// A host with the port that was written beside it.
struct Host {
    host: Named,
    port: Option<u16>,
}

#[derive(PartialEq, Eq)]
enum Named {
    Name(Hostname),
    Address(IpAddr),
}

/// Reads `host[:port]` (RFC 9110 7.2), and holds it against where the packets went.
fn read_host(text: &str, destination: SocketAddr) -> Result<Host, BadRequest> {
    let (host, port) = split_port(text)?;
    if port.is_some_and(|port| port != destination.port()) {
        return Err(BadRequest(
            "the Host header names another port than the connection's",
        ));
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host).parse::<IpAddr>() {
        Ok(address) if address.is_ipv6() != bare.is_some() => Err(NOT_A_HOST),
        Ok(address) if address.to_canonical() == destination.ip() => Ok(Host {
            host: Named::Address(destination.ip()),
            port,
        }),
        Ok(_) => Err(BadRequest(
            "the Host header names another address than the connection's",
        )),
        Err(_) => Ok(Host {
            host: Named::Name(Hostname::parse(host).map_err(|_| NOT_A_HOST)?),
            port,
        }),
    }
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), BadRequest> {
    match text.rsplit_once(':') {
        // An IPv6 address without a port ends in a bracket.
        Some((_, after)) if after.ends_with(']') => Ok((text, None)),
        Some((host, "")) => Ok((host, None)),
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => port
            .parse()
            .map(|port| (host, Some(port)))
            .map_err(|_| NOT_A_HOST),
        Some(_) => Err(NOT_A_HOST),
        None => Ok((text, None)),
    }
}

impl Host {
    fn name(&self) -> Option<Hostname> {
        match &self.host {
            Named::Name(name) => Some(name.clone()),
            Named::Address(_) => None,
        }
    }

    /// As the server gets it, and the length of the host in it. A port that was left out stays out:
    /// some servers choose by it.
    fn authority(&self) -> (String, usize) {
        let host = match &self.host {
            Named::Name(name) => name.to_string(),
            Named::Address(IpAddr::V4(address)) => address.to_string(),
            Named::Address(IpAddr::V6(address)) => format!("[{address}]"),
        };
        let length = host.len();
        match self.port.filter(|port| *port != 80) {
            Some(port) => (format!("{host}:{port}"), length),
            None => (host, length),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(target: &str, hosts: &[&str]) -> Request<()> {
        let builder = Request::builder().uri(target);
        hosts
            .iter()
            .fold(builder, |builder, host| builder.header(HOST, *host))
            .body(())
            .unwrap()
    }

    fn asked(target: &str, host: &str, port: u16) -> Result<RequestTarget, BadRequest> {
        read(
            &request(target, &[host]),
            SocketAddr::from(([192, 0, 2, 7], port)),
        )
    }

    fn host_sent(target: &str, host: &str, port: u16) -> String {
        let asked = asked(target, host, port).unwrap();
        let sent = rewrite(request(target, &[host]), &asked).unwrap();
        assert!(sent.uri().authority().is_none(), "origin form");
        sent.headers()[HOST].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_server_gets_the_host_in_canonical_form() {
        assert_eq!(host_sent("/", "API.Example.", 80), "api.example");
        assert_eq!(host_sent("/", "api.example:80", 80), "api.example");
        assert_eq!(host_sent("/", "api.example:", 80), "api.example");
        assert_eq!(host_sent("/", "api.example:8080", 8080), "api.example:8080");
        assert_eq!(host_sent("/", "api.example", 8080), "api.example");
        assert_eq!(
            host_sent("http://api.example/x", "Api.example", 80),
            "api.example"
        );
        assert_eq!(host_sent("/", "192.0.2.7", 80), "192.0.2.7");
    }

    #[test]
    fn the_query_is_kept_and_the_path_is_sent_normalised() {
        let asked = asked("/a/./b?x=/../y", "api.example", 80).unwrap();
        assert_eq!(asked.path, "/a/b");
        let sent = rewrite(request("/a/./b?x=/../y", &["api.example"]), &asked).unwrap();
        assert_eq!(sent.uri().to_string(), "/a/b?x=/../y");
    }

    #[test]
    fn a_target_and_a_host_that_disagree_are_refused() {
        assert!(asked("http://a.example/", "b.example", 80).is_err());
        assert!(asked("http://a.example:81/", "a.example", 80).is_err());
        assert!(asked("http://user@a.example/", "a.example", 80).is_err());
        assert!(asked("https://a.example/", "a.example", 80).is_err());
        assert!(asked("ftp://a.example/", "a.example", 80).is_err());
    }

    #[test]
    fn a_host_for_another_port_or_address_is_refused() {
        for host in ["a.example:81", "192.0.2.8", "[::1]", "[2001:db8::1]:80"] {
            assert!(asked("/", host, 80).is_err(), "{host}");
        }
    }

    #[test]
    fn texts_that_are_no_host_are_refused() {
        let texts = [
            "",
            ":80",
            "a.example:x",
            "a.example:99999",
            "a:80:80",
            "user@a.example",
            "a.example/",
            "[::1",
            "::1",
            "[192.0.2.7]",
            "a b",
        ];
        for host in texts {
            assert!(asked("/", host, 80).is_err(), "{host}");
        }
    }

    #[test]
    fn exactly_one_host_header_is_needed() {
        let destination = SocketAddr::from(([192, 0, 2, 7], 80));
        assert!(read(&request("/", &[]), destination).is_err());
        assert!(read(&request("http://a.example/", &[]), destination).is_err());
        assert!(read(&request("/", &["a.example", "a.example"]), destination).is_err());
    }

    #[test]
    fn a_path_that_cannot_be_decided_is_refused() {
        assert!(asked("/a%2fb", "a.example", 80).is_err());
        assert!(asked("*", "a.example", 80).is_err());
    }

    proptest! {
        #[test]
        fn what_is_sent_is_understood_again_as_what_was_decided(
            host in "[a-zA-Z0-9.:\\[\\]@_-]{0,20}|[a-z]{1,5}\\.Example\\.?(:80|:)?",
            path in "/[a-zA-Z0-9./%;*_-]{0,20}(\\?[a-z=/.]{0,10})?",
        ) {
            let Ok(asked) = asked(&path, &host, 80) else { return Ok(()) };
            let sent = rewrite(request(&path, &[&host]), &asked).unwrap();
            prop_assert_eq!(read(&sent, SocketAddr::from(([192, 0, 2, 7], 80))), Ok(asked));
        }
    }
}
