//! Parses the text of a rule: every word is checked, and every mistake says what would be right.
//!
//! Invariant: what is not understood is an error, never ignored, because a mistyped key would make
//! the rule wider than intended.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::attempt::Protocol;
use super::super::domain::DomainPattern;
use super::super::path::PathPattern;
use super::super::ports::Ports;
use super::{MAX_RULE, Rule};
use crate::escape::{excerpt, quoted};

/// The keys, in the order in which messages list them.
const KEYS: [&str; 7] = [
    "domain", "method", "path", "port", "proto", "cidr", "except",
];

/// Letters that may be wrong, missing or swapped in a key that is taken for mistyped.
const MISTYPED: usize = 1;

/// A mistake in one word of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordMistake {
    /// The key concerned; where there is none, the word, shortened and with control characters
    /// escaped.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl WordMistake {
    fn new(key: &str, message: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            message: message.into(),
        }
    }
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str) -> Result<Self, Vec<WordMistake>> {
        if text.len() > MAX_RULE {
            return Err(vec![WordMistake::new(
                "rule",
                format!("longer than {MAX_RULE} bytes: split it into several rules"),
            )]);
        }
        let mut words = Words::split(text);
        let rule = Self {
            text: text
                .split_ascii_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .into(),
            domains: words.list("domain", DomainPattern::parse),
            exceptions: words
                .list("except", DomainPattern::parse)
                .unwrap_or_default(),
            methods: words
                .list("method", method)
                .filter(|methods| !methods.iter().any(|method| method == "*")),
            paths: words
                .list("path", PathPattern::parse)
                .filter(|paths| !paths.iter().any(PathPattern::is_any)),
            ports: words.read("port", Ports::parse),
            protocols: words.list("proto", protocol),
            networks: words.list("cidr", network).unwrap_or_default().into(),
        };
        if rule.reads_request()
            && rule.protocols.as_ref().is_some_and(|list| {
                !list.contains(&Protocol::Http) && !list.contains(&Protocol::Https)
            })
        {
            words.mistake(
                "proto",
                "method and path are read in HTTP and HTTPS only: without http or https this rule never matches",
            );
        }
        if rule.has_exceptions() && rule.domains.is_none() {
            let message = "leaves names out of those of domain=, which is missing";
            words.mistake("except", message);
        }
        if words.mistakes.is_empty() {
            Ok(rule)
        } else {
            Err(words.mistakes)
        }
    }
}

/// A rule's words, and the mistakes found in them so far.
struct Words<'a> {
    found: Vec<(&'a str, &'a str)>,
    mistakes: Vec<WordMistake>,
}

impl<'a> Words<'a> {
    fn split(text: &'a str) -> Self {
        let mut words = Self {
            found: Vec::new(),
            mistakes: Vec::new(),
        };
        for word in text.split_ascii_whitespace() {
            match word.split_once('=') {
                None => words.mistake(&excerpt(word), without_key(word)),
                Some((key, _)) if !KEYS.contains(&key) => {
                    words.mistake(&excerpt(key), unknown_key(key));
                }
                Some((key, _)) if words.get(key).is_some() => {
                    words.mistake(key, "written twice; write one list, joined by commas");
                }
                Some((key, "")) => {
                    words.mistake(key, "a value is missing (no blanks around = and commas)")
                }
                Some(pair) => words.found.push(pair),
            }
        }
        if words.found.is_empty() && words.mistakes.is_empty() {
            words.mistake("rule", "empty; to allow every name write domain=*");
        }
        words
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.found
            .iter()
            .find(|(found, _)| *found == key)
            .map(|&(_, value)| value)
    }

    fn mistake(&mut self, key: &str, message: impl Into<String>) {
        self.mistakes.push(WordMistake::new(key, message));
    }

    /// The value of a key that holds one thing.
    fn read<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.get(key)?;
        self.item(key, value, parse)
    }

    /// The values of a key that holds a list. `Some` of an incomplete list where there are
    /// mistakes.
    fn list<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let value = self.get(key)?;
        Some(
            value
                .split(',')
                .filter_map(|item| self.item(key, item, &parse))
                .collect(),
        )
    }

    fn item<T>(
        &mut self,
        key: &str,
        item: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(item)
            .map_err(|hint| self.mistake(key, format!("{}: {hint}", quoted(item))))
            .ok()
    }
}

/// What is said of a word that is no pair: most often it is a name or an address alone.
fn without_key(word: &str) -> String {
    let meant = if network(word).is_ok() {
        Some("cidr")
    } else {
        (word.contains('.') && DomainPattern::parse(word).is_ok()).then_some("domain")
    };
    match meant {
        Some(key) => format!("not a key=value word; did you mean {key}={word}?"),
        None => "not a key=value word".to_owned(),
    }
}

/// What is said of a key that isn't one: most often it is mistyped.
fn unknown_key(key: &str) -> String {
    let near = KEYS
        .iter()
        .find(|known| strsim::damerau_levenshtein(&key.to_ascii_lowercase(), known) <= MISTYPED);
    match near {
        Some(known) => format!("unknown key; did you mean {known}?"),
        None => format!("unknown key; the keys of a rule are {}", KEYS.join(", ")),
    }
}

/// Whether it can stand in a rule as a method (RFC 9110, 5.6.2: a token).
#[must_use]
pub fn is_method(text: &str) -> bool {
    let is_of_one = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_of_one)
}

/// A method, in capitals.
fn method(text: &str) -> Result<String, String> {
    if !is_method(text) {
        return Err("not a method; write * or a list like GET,HEAD".to_owned());
    }
    Ok(text.to_ascii_uppercase())
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text.to_ascii_lowercase().as_str() {
        "http" => Ok(Protocol::Http),
        "https" => Ok(Protocol::Https),
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err("not a protocol; there are http, https, tcp and udp".to_owned()),
    }
}

/// A network or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let Ok(network) = network else {
        return Err(
            "not a network; write 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32, and names with domain="
                .to_owned(),
        );
    };
    if network.trunc() != network {
        return Err(format!(
            "has bits beyond its prefix: write {} or {}",
            network.trunc(),
            network.addr()
        ));
    }
    match network {
        // Addresses are compared after ::ffff:a.b.c.d became a.b.c.d.
        IpNet::V6(v6) if v6.prefix_len() >= 96 && v6.addr().to_ipv4_mapped().is_some() => {
            Err("write IPv4 addresses as a.b.c.d".to_owned())
        }
        _ => Ok(network),
    }
}
