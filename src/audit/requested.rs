//! What a line says of a request of HTTP, as those read it who know nothing but HTTP: coder/boundary's
//! audit log, and its text on standard error.

use std::net::IpAddr;

use super::line::{Line, with_path};
use super::record::Kind;

/// A request that was judged. Of TLS that was judged by its name alone, nothing of a request is known:
/// it is a `CONNECT`, as a proxy is asked for such a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Requested {
    pub(super) method: String,
    /// Without its query, like every line.
    pub(super) url: String,
    pub(super) host: String,
}

impl Requested {
    /// None where the line is about something else.
    pub(super) fn of(line: &Line) -> Option<Self> {
        let (scheme, usual) = match line.protocol? {
            Kind::Http => ("http", 80),
            Kind::Https => ("https", 443),
            _ => return None,
        };
        line.verdict?;
        let name = line
            .name
            .clone()
            .or_else(|| line.address.map(|address| address.to_string()))?;
        let host = match name.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => name,
        };
        let port = line.port.filter(|port| *port != usual);
        let host = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let path = line.path.as_deref().unwrap_or("/");
        Some(Self {
            method: line.method.clone().unwrap_or_else(|| "CONNECT".to_owned()),
            url: format!("{scheme}://{}", with_path(&host, path)),
            host,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Event, RecordedVerdict};
    use super::*;

    fn url(change: impl FnOnce(&mut Line)) -> Option<(String, String)> {
        let mut line = Line {
            protocol: Some(Kind::Https),
            verdict: Some(RecordedVerdict::Allow),
            name: Some("a.dev".to_owned()),
            port: Some(443),
            method: Some("GET".to_owned()),
            path: Some("/b".to_owned()),
            ..Line::new(Event::Open, String::new(), "c")
        };
        change(&mut line);
        Requested::of(&line).map(|asked| (asked.method, asked.url))
    }

    #[test]
    fn a_request_is_told_as_a_url() {
        let is = |change: fn(&mut Line), method: &str, text: &str| {
            assert_eq!(url(change), Some((method.to_owned(), text.to_owned())));
        };
        is(|_| {}, "GET", "https://a.dev/b");
        is(|line| line.port = Some(8443), "GET", "https://a.dev:8443/b");
        is(
            |line| line.protocol = Some(Kind::Http),
            "GET",
            "http://a.dev:443/b",
        );
        is(
            |line| line.path = Some(".evil.dev/b".to_owned()),
            "GET",
            "https://a.dev .evil.dev/b",
        );
        is(
            |line| (line.method, line.path) = (None, None),
            "CONNECT",
            "https://a.dev/",
        );
        is(
            |line| (line.name, line.address) = (None, "2001:db8::1".parse().ok()),
            "GET",
            "https://[2001:db8::1]/b",
        );
    }

    #[test]
    fn what_is_no_request_is_not_told() {
        assert_eq!(url(|line| line.protocol = Some(Kind::Dns)), None);
        assert_eq!(url(|line| line.protocol = Some(Kind::Tcp)), None);
        assert_eq!(url(|line| line.verdict = None), None);
    }
}
