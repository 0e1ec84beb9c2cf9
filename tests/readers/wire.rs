//! What is said to a server, and what it tells about that.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// For how long a server that may be waiting for more is waited for before it is told that nothing
/// comes. It gives the same answers before and after.
const SILENCE: Duration = Duration::from_millis(300);
/// What its last words may take then.
const LAST: Duration = Duration::from_secs(10);

/// A request, as a server understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) method: String,
    /// Without scheme, authority and fragment.
    pub(crate) target: String,
    /// In small letters, without a port and the root's dot.
    pub(crate) host: String,
    pub(crate) body: Vec<u8>,
}

/// All that a server said on a connection.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) requests: Vec<Told>,
    /// Of every answer.
    statuses: Vec<String>,
}

impl Told {
    /// One of parts as they were read, without what is no difference: a path's spelling is judged by
    /// itself, blanks around a host are no part of it, and who was given only the target's host has
    /// no other.
    pub(crate) fn of(method: &[u8], target: &[u8], host: &[u8], body: &[u8]) -> Self {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let target = text(target.split(|byte| *byte == b'#').next().unwrap());
        let mut host = text(host.trim_ascii());
        let target = match target.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => {
                let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                if host.is_empty() {
                    authority.clone_into(&mut host);
                }
                path.to_owned()
            }
            _ => target,
        };
        let bare = match host.rsplit_once(':') {
            Some((before, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => before,
            _ => &host,
        };
        Self {
            method: text(method),
            target: match target.is_empty() || target.starts_with('?') {
                true => format!("/{target}"),
                false => target,
            },
            host: bare.trim_end_matches('.').to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let Self {
            method,
            target,
            host,
            body,
        } = self;
        format!("{method} {target} {host} \"{}\"", body.escape_ascii())
    }

    /// Reads the value of a header that a server told it in.
    fn read(value: &str) -> Self {
        let parts: Vec<_> = value.split(',').map(unhex).collect();
        let [method, target, host, body]: &[_; 4] = parts.as_slice().try_into().unwrap();
        Self::of(method, target, host, body)
    }
}

impl Heard {
    pub(crate) fn text(&self) -> String {
        let told: Vec<_> = self.requests.iter().map(Told::text).collect();
        format!("[{}] ({})", told.join(" | "), self.statuses.join(" "))
    }
}

/// Says something to a server, and hears it to its end.
pub(crate) fn say(port: u16, bytes: &[u8]) -> Heard {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_read_timeout(Some(SILENCE)).unwrap();
    // One that has refused reads no more.
    let _ = connection.write_all(bytes);
    let mut answers = Vec::new();
    if connection.read_to_end(&mut answers).is_err() {
        let _ = connection.shutdown(Shutdown::Write);
        connection.set_read_timeout(Some(LAST)).unwrap();
        let _ = connection.read_to_end(&mut answers);
    }
    let answers = String::from_utf8_lossy(&answers);
    let told = answers.lines().filter_map(|line| line.split_once(": "));
    Heard {
        requests: told
            .filter(|(name, _)| name.eq_ignore_ascii_case("x-saw"))
            .map(|(_, value)| Told::read(value))
            .collect(),
        statuses: answers
            .lines()
            .filter(|line| line.starts_with("HTTP/1."))
            .filter_map(|line| line.split(' ').nth(1))
            .map(str::to_owned)
            .collect(),
    }
}

/// Bytes as text in an answer's header: an `x`, and two digits for each.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .fold("x".to_owned(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}

/// Reads such a text; `x-` is how haproxy writes that there is nothing.
fn unhex(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix('x').unwrap().trim_start_matches('-');
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}
