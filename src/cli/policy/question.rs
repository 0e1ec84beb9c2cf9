//! What `explain` is asked about: a request, or a place.
//!
//! Pure. A place without a scheme can be spoken to in several ways, and each is a question of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::escape::quoted;
use crate::policy::rule::plain_path;
use crate::policy::{Attempt, Hostname, Policy, Protocol};

/// One attempt that could be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) protocol: Protocol,
    pub(super) host: Host,
    pub(super) port: u16,
    /// Method and path, where a request is asked about.
    pub(super) request: Option<(String, String)>,
}

/// Who is to be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Name(Hostname),
    Address(IpAddr),
}

/// Reads `METHOD URL`, or `HOST:PORT`, which with `/udp` behind it means that.
///
/// # Errors
/// What is wrong, and what would be right.
pub(super) fn read(words: &[String]) -> Result<Vec<Question>, String> {
    match words {
        [method, url] => Ok(vec![request(method, url)?]),
        [one] if one.contains("://") => Ok(vec![request("GET", one)?]),
        [place] => at(place),
        _ => Err("expected a method and a URL, or HOST:PORT".to_owned()),
    }
}

fn request(method: &str, url: &str) -> Result<Question, String> {
    let wrong = || format!("{} is not a URL like https://example.org/path", quoted(url));
    let url: http::Uri = url.parse().map_err(|_| wrong())?;
    let (protocol, usual) = match url.scheme_str() {
        Some("http") => (Protocol::Http, 80),
        Some("https") => (Protocol::Https, 443),
        _ => return Err(wrong()),
    };
    let path = plain_path(url.path()).ok_or_else(|| {
        format!(
            "{} can be read in several ways: such a path is denied where a rule looks at it",
            quoted(url.path())
        )
    })?;
    Ok(Question {
        protocol,
        host: host(url.host().ok_or_else(wrong)?)?,
        port: url.port_u16().unwrap_or(usual),
        request: Some((method.to_ascii_uppercase(), path)),
    })
}

fn at(place: &str) -> Result<Vec<Question>, String> {
    let wrong = || {
        format!(
            "{} is not a place: expected HOST:PORT, HOST:PORT/udp, or a method and a URL",
            quoted(place)
        )
    };
    let (place, is_udp) = match place.strip_suffix("/udp") {
        Some(place) => (place, true),
        None => (place.strip_suffix("/tcp").unwrap_or(place), false),
    };
    let (written, port) = place.rsplit_once(':').ok_or_else(wrong)?;
    let port = port
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(wrong)?;
    let host = host(written)?;
    let protocols: &[Protocol] = if is_udp {
        &[Protocol::Udp]
    } else {
        &[Protocol::Tcp, Protocol::Https, Protocol::Http]
    };
    let question = |&protocol| Question {
        protocol,
        host: host.clone(),
        port,
        request: None,
    };
    Ok(protocols.iter().map(question).collect())
}

fn host(written: &str) -> Result<Host, String> {
    let bare = written
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(written);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(Host::Address(address));
    }
    Hostname::parse(written)
        .map(Host::Name)
        .map_err(|_| format!("{} is not a host name", quoted(written)))
}

impl Question {
    /// The attempt that the policy would have to judge. What it doesn't read it doesn't judge; where a
    /// name leads isn't known, and so no range fits it.
    pub(super) fn attempt(&self, policy: &Policy) -> Attempt<'_> {
        let (name, address) = match &self.host {
            Host::Name(name) => (Some(name), Ipv4Addr::UNSPECIFIED.into()),
            Host::Address(address) => (None, *address),
        };
        let destination = SocketAddr::new(address, self.port);
        let is_read = match self.protocol {
            Protocol::Http => true,
            Protocol::Https => name.is_some_and(|name| policy.intercepts(name, destination)),
            Protocol::Tcp | Protocol::Udp => false,
        };
        let request = self.request.as_ref().filter(|_| is_read);
        Attempt {
            protocol: self.protocol,
            name,
            destination,
            method: request.map(|(method, _)| method.as_str()),
            path: request.map(|(_, path)| path.as_str()),
        }
    }

    /// It, in words.
    pub(super) fn words(&self) -> String {
        let host = match &self.host {
            Host::Name(name) => format!("{name}:{}", self.port),
            Host::Address(address) => SocketAddr::new(*address, self.port).to_string(),
        };
        let protocol = match self.protocol {
            Protocol::Http => "HTTP",
            Protocol::Https => "HTTPS",
            Protocol::Tcp => "other TCP",
            Protocol::Udp => "UDP",
        };
        match &self.request {
            Some((method, path)) => format!("{method} {path} by {protocol} to {host}"),
            None => format!("{protocol} to {host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Vec<String>, String> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        read(&words).map(|all| all.iter().map(Question::words).collect())
    }

    #[test]
    fn a_request_is_one_question_and_a_place_as_many_as_there_are_ways() {
        for (words, expected) in [
            (
                &["get", "https://a.test/x?y"][..],
                &["GET /x by HTTPS to a.test:443"][..],
            ),
            (
                &["POST", "http://a.test:81"],
                &["POST / by HTTP to a.test:81"],
            ),
            (
                &["https://[2001:db8::1]/"],
                &["GET / by HTTPS to [2001:db8::1]:443"],
            ),
            (
                &["a.test:22"],
                &[
                    "other TCP to a.test:22",
                    "HTTPS to a.test:22",
                    "HTTP to a.test:22",
                ],
            ),
            (&["10.0.0.1:53/udp"], &["UDP to 10.0.0.1:53"]),
        ] {
            assert_eq!(asked(words).unwrap(), expected, "{words:?}");
        }
    }

    #[test]
    fn what_is_no_question_is_told_what_would_be() {
        for (words, expected) in [
            (&["a.test"][..], "HOST:PORT"),
            (&["a.test:0"], "HOST:PORT"),
            (&["a b:22"], "not a host name"),
            (&["GET", "ftp://a.test/"], "not a URL"),
            (&["GET", "a.test"], "not a URL"),
            (&["GET", "https://a.test/x;/..;/"], "several ways"),
            (&["GET", "https://a.test/x/./y"], "several ways"),
            (&["GET", "https://a.test", "x"], "a method and a URL"),
        ] {
            let told = asked(words).unwrap_err();
            assert!(told.contains(expected), "{words:?}: {told}");
        }
    }
}
