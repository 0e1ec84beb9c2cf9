//! SPECIFICATION.md, held against the sources: each number against its constant, and each constant
//! of the proxy against the page.
//!
//! It reads text, not syntax: constants are products of plain numbers, and those of other forms are
//! no limits.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't read the sources says where"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Constants of the proxy that bound nothing a container could tell: by file and name, with what
/// they are.
const NO_LIMITS: [(&str, &str, &str); 58] = [
    (
        "proxy/keeper.rs",
        "PENDING_AT_ONCE",
        "how many are told in one message",
    ),
    ("proxy/told.rs", "ANSWER", "the number of a kind of message"),
    (
        "proxy/told.rs",
        "END",
        "the length of an address and a port",
    ),
    (
        "proxy/told.rs",
        "REFUSED",
        "the number of a kind of message",
    ),
    (
        "proxy/awaited.rs",
        "REMEMBERED",
        "how many are waited for before they are recorded",
    ),
    (
        "proxy/dns/reply.rs",
        "DENIED_FOR",
        "how long what we answer may be kept elsewhere",
    ),
    ("proxy/capture.rs", "DATAGRAM", "the largest that there is"),
    ("proxy/capture.rs", "DNS", "a port"),
    (
        "proxy/connection.rs",
        "KEPT",
        "a factor of the room that bytes take",
    ),
    ("proxy/connection.rs", "READ_AT_ONCE", "more is read next"),
    ("proxy/confinement.rs", "EXECUTABLE", "the kernel's own"),
    (
        "proxy/confinement.rs",
        "KEXEC_FILE_LOAD",
        "the number of a system call",
    ),
    ("proxy/dns/question.rs", "HEADER", "the form of a message"),
    ("proxy/dns/reply.rs", "EXTENDED_ERROR", "DNS's own"),
    ("proxy/dns/reply.rs", "MAX_ERROR_TEXT", "our own words"),
    ("proxy/dns/resolver.rs", "KEEP", "an answer's age"),
    ("proxy/dns/resolver.rs", "KEEP_AT_LEAST", "an answer's age"),
    (
        "proxy/dns/resolver.rs",
        "ROUNDS",
        "how often a server is asked",
    ),
    (
        "proxy/dns/upstream.rs",
        "DATAGRAMS",
        "the resolver's answers to one question",
    ),
    ("proxy/dns/upstream.rs", "EMPTY_TTL", "an answer's age"),
    ("proxy/dns/upstream.rs", "MAX_TTL", "an answer's age"),
    (
        "proxy/dns/upstream.rs",
        "QUEUE",
        "the resolver's answers, one at a time",
    ),
    ("proxy/expiring.rs", "DROPPED", "how often room is made"),
    ("proxy/handshakes.rs", "WITHIN", "how soon it is recorded"),
    ("proxy/http/ours.rs", "REPEATED", "our own words"),
    (
        "proxy/http/framing.rs",
        "NAME",
        "enough to compare names of fields",
    ),
    (
        "proxy/http/incoming.rs",
        "READ_AT_ONCE",
        "more is read next",
    ),
    ("proxy/http/incoming.rs", "SPLICED", "how bytes are moved"),
    ("proxy/http2/body.rs", "PIECE", "more is passed next"),
    (
        "proxy/http2/exchange.rs",
        "LEAST_HEAD",
        "what a head of no fields counts for",
    ),
    (
        "proxy/http2/io.rs",
        "ENABLE_CONNECT_PROTOCOL",
        "HTTP/2's own",
    ),
    ("proxy/http2/io.rs", "HEAD", "HTTP/2's own"),
    ("proxy/http2/window.rs", "MOMENT", "how soon a window grows"),
    ("proxy/pool.rs", "LOOKED", "how soon an end is seen"),
    (
        "proxy/http/incoming.rs",
        "PAID",
        "a part of a connection's room",
    ),
    (
        "proxy/http/request.rs",
        "RECORDED",
        "more than the record repeats",
    ),
    ("proxy/identify/tls.rs", "CLIENT_HELLO", "TLS's own"),
    ("proxy/identify/tls.rs", "FRAGMENT_LIMIT", "TLS's own"),
    ("proxy/identify/tls.rs", "HANDSHAKE", "TLS's own"),
    ("proxy/identify/tls.rs", "HOST_NAME", "TLS's own"),
    ("proxy/identify/tls.rs", "SERVER_NAME", "TLS's own"),
    ("proxy/keeper.rs", "OPENED_WITHIN", "the host's side"),
    ("proxy/memory.rs", "EVERY", "how soon memory is given back"),
    (
        "proxy/memory.rs",
        "WORTH_WHILE",
        "what memory is given back",
    ),
    ("proxy/messages.rs", "WAITING", "our own words"),
    ("proxy/neighbours.rs", "LONGEST", "a question's own"),
    ("proxy/kernel_log.rs", "FLOWS", "what is recorded again"),
    ("proxy/kernel_log.rs", "QUIET", "what is recorded again"),
    (
        "proxy/kernel_log.rs",
        "WHOLE_WITHIN",
        "how soon it is recorded",
    ),
    ("proxy/splice.rs", "PIPE_SIZE", "more is moved next"),
    (
        "proxy/splice.rs",
        "SPARE_PIPES",
        "how many are not made anew",
    ),
    (
        "proxy/stream.rs",
        "BEGINNINGS",
        "how what is free is divided",
    ),
    (
        "proxy/stream/buffer.rs",
        "MOMENT",
        "how soon a buffer grows or shrinks",
    ),
    (
        "proxy/stream/session.rs",
        "RECEIVED_AT_LEAST",
        "the rest is received next",
    ),
    (
        "proxy/stream/session.rs",
        "TICKETS",
        "what rustls sends is what it takes",
    ),
    ("proxy/udp.rs", "BATCH", "more are passed next"),
    ("proxy/udp.rs", "BEGINNINGS", "how what is free is divided"),
    ("proxy/udp.rs", "DATAGRAM", "the largest that there is"),
];

#[test]
fn every_number_is_its_constants() {
    let all = constants("");
    let rows = rows();
    assert!(rows.len() > 40, "the tables were not found");
    for row in rows {
        let (file, name) = &row.constant;
        let value = all
            .get(&(file.clone(), name.clone()))
            .unwrap_or_else(|| panic!("no {name} in {file}"));
        assert_eq!(
            *value, row.number,
            "{file} {name}, which SPECIFICATION.md says bounds {}",
            row.what
        );
    }
}

#[test]
fn every_limit_of_the_proxy_is_on_the_page() {
    let named: Vec<(String, String)> = rows().into_iter().map(|row| row.constant).collect();
    let excused = NO_LIMITS.map(|(file, name, _)| (file.to_owned(), name.to_owned()));
    let constants: Vec<_> = constants("proxy").into_keys().collect();
    let missing: Vec<_> = constants
        .iter()
        .filter(|one| !named.contains(one) && !excused.contains(one))
        .collect();
    assert!(
        missing.is_empty(),
        "{missing:?} are not in SPECIFICATION.md: what a container can meet is told to whoever runs it"
    );
    let gone: Vec<_> = excused
        .iter()
        .filter(|one| !constants.contains(one))
        .collect();
    assert!(gone.is_empty(), "{gone:?} are no constants");
}

struct Row {
    what: String,
    number: u64,
    /// File and name.
    constant: (String, String),
}

/// The rows of all tables.
fn rows() -> Vec<Row> {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SPECIFICATION.md")).unwrap();
    let rows = text.lines().filter(|line| line.ends_with("` |"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [what, number, _, constant] = cells[..] else {
            panic!("{line}")
        };
        let (file, name) = constant.split_once(' ').unwrap();
        let plain = |text: &str| text.trim_matches('`').to_owned();
        Row {
            what: what.to_owned(),
            number: number_of(number),
            constant: (plain(file), plain(name)),
        }
    })
    .collect()
}

/// `64 KiB`, in bytes; `5 s`, in seconds.
fn number_of(text: &str) -> u64 {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let factor = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "" | "s" | "bytes" => 1,
        _ => panic!("{text}: no unit"),
    };
    number.parse::<u64>().unwrap() * factor
}

/// The constants of files below `src`, without those of tests: file and name, and what they are.
fn constants(below: &str) -> BTreeMap<(String, String), u64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    for path in files(&root) {
        let file = path
            .strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if !file.starts_with(below) || file.ends_with("tests.rs") || file.contains("/tests/") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for line in product.lines() {
            let Some((before, value)) = line.trim().trim_end_matches(';').split_once(" = ") else {
                continue;
            };
            let Some((_, declared)) = before.split_once("const ") else {
                continue;
            };
            let Some((name, _)) = declared.split_once(": ") else {
                continue;
            };
            if let Some(value) = value_of(value) {
                found.insert((file.clone(), name.to_owned()), value);
            }
        }
    }
    assert!(!found.is_empty(), "the sources were not found");
    found
}

/// A product or shift of plain numbers; a duration in whole seconds.
fn value_of(text: &str) -> Option<u64> {
    let plain = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    if let Some(seconds) = text.strip_prefix("Duration::from_secs(") {
        return plain(seconds.trim_end_matches(')'));
    }
    if let Some((number, by)) = text.split_once(" << ") {
        return Some(plain(number)? << plain(by)?);
    }
    text.split('*').map(plain).product()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// The rules are no better than what they read with.
#[test]
fn numbers_are_read_as_they_are_meant() {
    assert_eq!(value_of("64 * 1024"), Some(65_536));
    assert_eq!(value_of("64 << 20"), Some(number_of("64 MiB")));
    assert_eq!(value_of("Duration::from_secs(5)"), Some(number_of("5 s")));
    assert_eq!(value_of("b\"x\""), None);
    assert!(constants("proxy").contains_key(&("proxy/udp.rs".to_owned(), "QUEUE".to_owned())));
}
