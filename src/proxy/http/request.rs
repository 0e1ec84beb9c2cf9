//! What a request asks for, and the bytes that go on to the server for it.
//!
//! Owns the agreement of target, Host and body. Must not know the policy's verdict. A head that two
//! servers could understand differently in its target, its host, the length of its body, or whether
//! the connection stays HTTP, is a [`BadRequest`]; any other passes as it came.

use std::net::{IpAddr, SocketAddr};

use super::framing::{Chunks, Framing, Strictness, ends_in_chunks};
use super::head::{self, Ambiguous, Field, Key};
use super::ours::{ACCEPT, Form};
use crate::policy::Hostname;
use crate::policy::rule::plain_path;
use crate::proxy::identify::http::is_token;

/// A request that nobody could decide about. Its text is for the client and the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRequest(pub(in crate::proxy) &'static str);

impl From<Ambiguous> for BadRequest {
    fn from(Ambiguous(why): Ambiguous) -> Self {
        Self(why)
    }
}

/// A request's head, understood.
#[derive(Debug)]
pub struct Request {
    /// As it was written.
    pub(super) method: String,
    /// The version of HTTP/1 that it is written in.
    pub(super) version: Version,
    /// What its target says of how it is sent, where that is a whole URI.
    pub(super) scheme: Option<Scheme>,
    /// Whom it names.
    pub(super) host: NamedHost,
    /// The path without query, as it was written; for the record.
    pub(super) path: String,
    /// The path as rules compare it; none where some server could understand the spelling as
    /// another.
    pub(super) plain_path: Option<String>,
    pub(super) framing: Framing,
    /// Whether the client wants its connection to go on.
    pub(super) goes_on: bool,
    upgrade: Upgrade,
    /// It carries what authorises the connection, for some schemes (NTLM).
    pub(super) authorises: bool,
    /// In what form its client can read an answer of ours.
    pub(super) form: Form,
    /// What is between lines that may be taken off.
    lines: HopLines,
    head: usize,
}

/// The version that a request line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// None: HTTP/0.9, a line and nothing else.
    V09,
    V10,
    V11,
}

/// How a target says that it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// As targets have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Whom a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedHost {
    /// A host name.
    Name(Hostname),
    /// The very address that it was sent to.
    Address,
    /// Nobody.
    Nobody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    None,
    Websocket,
    /// To what is spoken between the two alone.
    Other,
    /// To something that carries requests, or leads elsewhere: they would not be read.
    Unread,
}

/// Lines for one hop, which may be left out or written anew.
#[derive(Debug, Default)]
struct HopLines {
    /// Where the Connection lines stand, each with its items.
    connection: Vec<(std::ops::Range<usize>, Vec<String>)>,
    /// Where lines stand that go with an upgrade.
    upgrade: Vec<std::ops::Range<usize>>,
}

/// Where the first request's head in the bytes ends: with its empty line; or with its first line,
/// where that says no version. `seen`: how many of the bytes were looked at before, in vain.
#[must_use]
pub fn end(bytes: &[u8], seen: usize) -> Option<usize> {
    let begins = head::leading_line_ends(bytes);
    let text = bytes.get(begins..)?;
    let line = text.get(..text.iter().position(|byte| *byte == b'\n')?)?;
    match request_line(line.strip_suffix(b"\r").unwrap_or(line)) {
        Ok((_, _, Version::V09)) => Some(begins + line.len() + 1),
        _ => head::end(bytes, seen),
    }
}

/// Reads the head of a request that was sent to `destination`: all of `head`, which ends with its
/// empty line, or is a single line without a version.
///
/// # Errors
/// [`BadRequest`].
pub fn read(head: &[u8], destination: SocketAddr) -> Result<Request, BadRequest> {
    refuse_mixed_line_ends(head)?;
    let mut lines = head::lines(head);
    let first = lines.next().ok_or(NOT_A_REQUEST)?.text;
    let (method, target, version) = request_line(first)?;
    let mut authorises = false;
    let lines = lines.inspect(|line| {
        authorises |= AUTHORISE.iter().any(|name| is_named(line.text, name));
    });
    let fields = head::request_fields(lines)?;
    if version == Version::V09 {
        return v09(method, target, head.len());
    }
    let (scheme, host) = read_target_and_host(method, target, &fields, destination)?;
    let items = head::items(&fields, Key::Connection);
    if items.iter().any(|item| DECIDING.contains(&item.as_str())) {
        return Err(BadRequest(
            "a Connection line takes off what decides about the request",
        ));
    }
    let says = |item: &str| items.iter().any(|said| said == item);
    let goes_on = !says("close") && (version == Version::V11 || says("keep-alive"));
    let upgrades = head::items(&fields, Key::Upgrade);
    let connection = lines_of(&fields, Key::Connection)
        .map(|field| {
            (
                field.line.clone(),
                head::items(std::slice::from_ref(field), Key::Connection),
            )
        })
        .collect();
    let upgrade_lines = [Key::Upgrade, Key::Http2Settings]
        .into_iter()
        .flat_map(|key| lines_of(&fields, key))
        .map(|field| field.line.clone());
    Ok(Request {
        method: method.to_owned(),
        version,
        scheme,
        host,
        path: recorded(path_of(target)),
        plain_path: compared(path_of(target)),
        framing: framing(&fields, version)?,
        goes_on,
        upgrade: upgrade(&upgrades),
        authorises,
        form: form(head),
        lines: HopLines {
            connection,
            upgrade: upgrade_lines.collect(),
        },
        head: head.len(),
    })
}

/// Fields whose value may authorise all that follows on a connection.
const AUTHORISE: [&[u8]; 2] = [b"authorization", b"proxy-authorization"];
/// Fields that a Connection line may not name: a server behind another would decide without them.
const DECIDING: [&str; 3] = ["host", "content-length", "transfer-encoding"];
const NOT_A_REQUEST: BadRequest = BadRequest("the request line can be read in several ways");

fn is_named(line: &[u8], name: &[u8]) -> bool {
    let (Some(written), Some(rest)) = (line.get(..name.len()), line.get(name.len()..)) else {
        return false;
    };
    written.eq_ignore_ascii_case(name)
        && rest.iter().find(|byte| !head::is_blank(**byte)) == Some(&b':')
}

fn lines_of<'a, 'b>(fields: &'a [Field<'b>], key: Key) -> impl Iterator<Item = &'a Field<'b>> {
    fields.iter().filter(move |field| field.key == key)
}

/// Some readers end a line with LF alone, some only with CRLF: a head with both ends elsewhere for
/// either.
fn refuse_mixed_line_ends(head: &[u8]) -> Result<(), BadRequest> {
    let (mut with_cr, mut without, mut before) = (false, false, 0);
    for byte in head {
        if *byte == b'\n' {
            with_cr |= before == b'\r';
            without |= before != b'\r';
        } else if before == b'\r' {
            return Err(BadRequest("a line with a bare CR or a NUL"));
        }
        before = *byte;
    }
    if with_cr && without {
        return Err(BadRequest("lines end in two ways"));
    }
    Ok(())
}

/// Method, target and version (RFC 9112 3), with one blank between them.
fn request_line(line: &[u8]) -> Result<(&str, &[u8], Version), BadRequest> {
    // Bytes beyond ASCII are what some clients write into targets, and pass: but not those that
    // some server splits at.
    let splits = |byte: &u8| byte.is_ascii_control() || matches!(byte, 0x85 | 0xa0);
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), version, None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(NOT_A_REQUEST);
    };
    let version = match version {
        Some(b"HTTP/1.1") => Version::V11,
        Some(b"HTTP/1.0") => Version::V10,
        Some(_) => return Err(NOT_A_REQUEST),
        None => Version::V09,
    };
    let method = std::str::from_utf8(method).map_err(|_| NOT_A_REQUEST)?;
    if method.is_empty() || !method.bytes().all(is_token) || line.iter().any(splits) {
        return Err(NOT_A_REQUEST);
    }
    Ok((method, target, version))
}

/// A line without a version: what stands behind it some servers read as a head, others not at all.
fn v09(method: &str, target: &[u8], head: usize) -> Result<Request, BadRequest> {
    if method != "GET" || !target.starts_with(b"/") {
        return Err(NOT_A_REQUEST);
    }
    Ok(Request {
        method: method.to_owned(),
        version: Version::V09,
        scheme: None,
        host: NamedHost::Nobody,
        path: recorded(path_of(target)),
        plain_path: compared(path_of(target)),
        framing: Framing::NONE,
        goes_on: false,
        upgrade: Upgrade::None,
        authorises: false,
        form: Form::default(),
        lines: HopLines::default(),
        head,
    })
}

pub(in crate::proxy) fn path_of(target: &[u8]) -> &[u8] {
    let begins = match target.windows(3).position(|window| window == b"://") {
        Some(scheme) if !target.starts_with(b"/") => {
            let rest = target.get(scheme + 3..).unwrap_or_default();
            match rest.iter().position(|byte| b"/?#".contains(byte)) {
                Some(path) => rest.get(path..).unwrap_or_default(),
                None => b"/",
            }
        }
        _ => target,
    };
    begins
        .split(|byte| *byte == b'?')
        .next()
        .unwrap_or_default()
}

/// Whom target and Host name, together.
fn read_target_and_host(
    method: &str,
    target: &[u8],
    fields: &[Field<'_>],
    destination: SocketAddr,
) -> Result<(Option<Scheme>, NamedHost), BadRequest> {
    let mut hosts = lines_of(fields, Key::Host);
    let host = hosts.next().map(|field| field.value);
    if hosts.next().is_some() {
        return Err(BadRequest("more than one Host header"));
    }
    if method == "CONNECT" {
        return Ok((None, NamedHost::Nobody));
    }
    let host = host.map(|host| named(host, destination)).transpose()?;
    if target.starts_with(b"/") || (target == b"*" && method == "OPTIONS") {
        return Ok((None, host.unwrap_or(NamedHost::Nobody)));
    }
    const OTHER_TARGET: BadRequest = BadRequest("the target is neither a path nor for http");
    let after = |written: &str| {
        let (scheme, authority) = target.split_at_checked(written.len())?;
        scheme
            .eq_ignore_ascii_case(written.as_bytes())
            .then_some(authority)
    };
    let (scheme, authority) = match (after("http://"), after("https://")) {
        (Some(authority), _) => (Scheme::Http, authority),
        (None, Some(authority)) => (Scheme::Https, authority),
        (None, None) => return Err(OTHER_TARGET),
    };
    let authority = authority.split(|byte| b"/?#".contains(byte)).next();
    let authority = authority.and_then(|authority| std::str::from_utf8(authority).ok());
    let by_target = named(authority.ok_or(OTHER_TARGET)?, destination)?;
    match host {
        Some(host) if host != by_target => Err(BadRequest(
            "the target and the Host header name different hosts",
        )),
        _ => Ok((Some(scheme), by_target)),
    }
}

const NOT_A_HOST: BadRequest = BadRequest("the Host header is not a host name");

/// Reads `host[:port]` (RFC 9110 7.2). The port is what the client believes: packets go where they
/// were addressed to.
pub(in crate::proxy) fn named(
    text: &str,
    destination: SocketAddr,
) -> Result<NamedHost, BadRequest> {
    if text.is_empty() {
        return Ok(NamedHost::Nobody);
    }
    let host = without_port(text).ok_or(NOT_A_HOST)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host).parse::<IpAddr>() {
        Ok(address) if address.is_ipv6() != bare.is_some() => Err(NOT_A_HOST),
        Ok(address) if address.to_canonical() == destination.ip() => Ok(NamedHost::Address),
        Ok(_) => Err(BadRequest(
            "the Host header names another address than the connection's",
        )),
        Err(_) => Hostname::parse(host)
            .map(NamedHost::Name)
            .map_err(|_| NOT_A_HOST),
    }
}

fn without_port(text: &str) -> Option<&str> {
    match text.rsplit_once(':') {
        // An IPv6 address without a port ends in a bracket.
        Some((_, after)) if after.ends_with(']') => Some(text),
        Some((host, port)) => port
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(host),
        None => Some(text),
    }
}

/// Whether a field may stand behind a body.
pub(in crate::proxy) fn may_be_late(name: &str) -> bool {
    !head::decides(name.as_bytes())
}

/// How long the body is (RFC 9112 6.3).
fn framing(fields: &[Field<'_>], version: Version) -> Result<Framing, BadRequest> {
    let lengths: Vec<_> = lines_of(fields, Key::ContentLength).collect();
    let codings: Vec<_> = lines_of(fields, Key::TransferEncoding).collect();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Framing::NONE),
        ([one], []) => head::length(one.value)
            .map(Framing::Length)
            .ok_or(BadRequest("the Content-Length is not a plain number")),
        ([], [one]) if version == Version::V11 => {
            let codings = head::items(std::slice::from_ref(*one), Key::TransferEncoding);
            // Some take what is behind the last comma for the last coding, though it is nothing.
            let has_gaps = codings.len() != one.value.split(',').count();
            if has_gaps || !ends_in_chunks(&codings) {
                return Err(BadRequest("the body's length can be read in several ways"));
            }
            Ok(Framing::Chunked(Chunks::new(Strictness::Request)))
        }
        _ => Err(BadRequest("the body's length can be read in several ways")),
    }
}

fn upgrade(upgrades: &[String]) -> Upgrade {
    match upgrades {
        [] => Upgrade::None,
        [one] if one == "websocket" => Upgrade::Websocket,
        several if several.iter().any(|one| is_unread(one)) => Upgrade::Unread,
        _ => Upgrade::Other,
    }
}

/// HTTP/2, TLS and what carries packets (RFC 9298, RFC 9484): requests in them would not be read,
/// nor where they lead.
pub(in crate::proxy) fn is_unread(protocol: &str) -> bool {
    let name = protocol.split('/').next().unwrap_or_default();
    name.starts_with("h2")
        || name.starts_with("h3")
        || name.starts_with("connect-")
        || ["http", "tls"].contains(&name)
}

impl Request {
    /// Its method, as it was written.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Whom it names.
    #[must_use]
    pub fn host(&self) -> &NamedHost {
        &self.host
    }

    /// Whether a body follows, and if its length is known, how long it is.
    #[must_use]
    pub fn body(&self) -> Option<Option<u64>> {
        match &self.framing {
            Framing::Length(0) => None,
            Framing::Length(length) => Some(Some(*length)),
            Framing::Chunked(_) | Framing::UntilEnd => Some(None),
        }
    }

    /// Whether the client wants its connection to go on.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Where its body ends in the bytes behind its head; none where they end first. To be asked
    /// once.
    ///
    /// # Errors
    /// They can't be its body.
    pub fn body_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, BadRequest> {
        let taken = self.framing.take(bytes)?;
        Ok(self.framing.is_over().then_some(taken))
    }

    /// Whether it is for a tunnel to elsewhere.
    pub(super) fn is_connect(&self) -> bool {
        self.method == "CONNECT"
    }

    /// Whether the answer has a body only by its head.
    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Whether it may be sent again, where nobody can know whether the first one was read (RFC 9110
    /// 9.2.2).
    pub(super) fn may_be_repeated(&self) -> bool {
        const SAFE: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];
        SAFE.contains(&self.method.as_str()) && self.framing.is_over()
    }

    /// Whether it asks for an upgrade that is passed on: under rules for requests only to a
    /// websocket, whose messages are not requests.
    pub(super) fn upgrades(&self, only_websocket: bool) -> bool {
        match self.upgrade {
            Upgrade::None | Upgrade::Unread => false,
            Upgrade::Websocket => true,
            Upgrade::Other => !only_websocket,
        }
    }

    /// Whether the connection to the server could serve others afterwards.
    #[must_use]
    pub fn may_be_pooled(&self) -> bool {
        self.version == Version::V11 && self.upgrade == Upgrade::None && !self.authorises
    }

    /// Where the head is to be changed, what goes in its place: without an upgrade that isn't passed
    /// on; with `keep`, without the wish that the server close the connection.
    #[must_use]
    pub fn rewritten(&self, head: &[u8], keep: bool, only_websocket: bool) -> Option<Vec<u8>> {
        let no_upgrade = self.upgrade != Upgrade::None && !self.upgrades(only_websocket);
        let dropped = |item: &str| {
            (keep && item == "close")
                || (no_upgrade && ["upgrade", "http2-settings"].contains(&item))
        };
        let changed: Vec<_> = self
            .lines
            .connection
            .iter()
            .filter(|(_, items)| items.iter().any(|item| dropped(item)))
            .map(|(line, items)| {
                let kept: Vec<_> = items
                    .iter()
                    .filter(|item| !dropped(item))
                    .cloned()
                    .collect();
                (line.clone(), kept)
            })
            .collect();
        let removed = self.lines.upgrade.iter().filter(|_| no_upgrade);
        let mut edits: Vec<_> = changed
            .into_iter()
            .map(|(line, kept)| {
                let written = head.get(line.clone()).unwrap_or_default();
                let end = if written.ends_with(b"\r\n") {
                    "\r\n"
                } else {
                    "\n"
                };
                let text =
                    (!kept.is_empty()).then(|| format!("Connection: {}{end}", kept.join(", ")));
                (line, text.unwrap_or_default())
            })
            .chain(removed.map(|line| (line.clone(), String::new())))
            .collect();
        if edits.is_empty() {
            return None;
        }
        edits.sort_by_key(|(line, _)| line.start);
        Some(head::edited(head, &edits))
    }

    /// How long its head is.
    pub(super) fn head_length(&self) -> usize {
        self.head
    }
}

/// A path as rules compare it.
pub(in crate::proxy) fn compared(path: &[u8]) -> Option<String> {
    std::str::from_utf8(path).ok().and_then(plain_path)
}

/// As much of a text as the record may need.
pub(in crate::proxy) fn recorded(text: &[u8]) -> String {
    String::from_utf8_lossy(text.get(..RECORDED).unwrap_or(text)).into_owned()
}

/// More than the record repeats of a path, in bytes.
const RECORDED: usize = 2048;

/// In what form the client that wrote this head can read an answer of ours. Of a bad one, too: nothing
/// is decided by it.
#[must_use]
pub(super) fn form(head: &[u8]) -> Form {
    let mut lines = head::lines(head);
    let target = lines
        .next()
        .and_then(|line| line.text.split(|byte| *byte == b' ').nth(1));
    let (mut accept, mut content_type) = (Vec::new(), &b""[..]);
    for line in lines {
        let value = |name: &str| line.text.get(name.len()..).unwrap_or_default().trim_ascii();
        if is_named(line.text, b"accept") && accept.len() < ACCEPT {
            accept.extend_from_slice(value("accept:"));
            accept.push(b',');
        } else if is_named(line.text, b"content-type") {
            content_type = value("content-type:");
        }
    }
    accept.truncate(ACCEPT);
    let text = String::from_utf8_lossy;
    Form::of(
        &text(path_of(target.unwrap_or_default())),
        &text(&accept),
        &text(content_type),
    )
}

/// The host that a bad request claims, and its path, for the record only.
#[must_use]
pub(super) fn claimed(head: &[u8]) -> (Option<String>, Option<String>) {
    let mut lines = head::lines(head);
    let first = lines.next().map(|line| recorded(line.text));
    let target = first
        .as_deref()
        .and_then(|line| line.split_whitespace().nth(1));
    let path = target.map(|target| recorded(path_of(target.as_bytes())));
    let host = lines.find(|line| is_named(line.text, b"host")).map(|line| {
        recorded(line.text.get("host:".len()..).unwrap_or_default())
            .trim()
            .to_owned()
    });
    (host, path)
}

#[cfg(test)]
mod tests;
