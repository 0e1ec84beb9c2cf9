//! The head of a request: understood, as it goes on to the server, and understood again; by another
//! reader, too.

#![no_main]

use boundary_shim::proxy::http::request::{self, NamedHost};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(end) = request::end(bytes, 0) else {
        return;
    };
    let head = &bytes[..end];
    for destination in ["192.0.2.1:80", "[2001:db8::1]:80"] {
        let destination = destination.parse().expect("an address");
        let Ok(asked) = request::read(head, destination) else {
            continue;
        };
        for (keep, only_websocket) in [(false, false), (true, false), (true, true)] {
            let Some(sent) = asked.rewritten(head, keep, only_websocket) else {
                continue;
            };
            // Only lines for the hop are gone: what the server reads is what was decided about.
            assert!(sent.len() < head.len() || keep);
            assert_eq!(request::end(&sent, 0), Some(sent.len()));
            let again = request::read(&sent, destination).expect("it was understood");
            assert_eq!(again.method(), asked.method());
            assert_eq!(again.host(), asked.host());
            assert_eq!(again.body(), asked.body());
        }
        agrees(head, &asked);
    }
});

/// httparse, which hyper reads by, finds the same wherever it takes the head.
fn agrees(head: &[u8], asked: &request::Request) {
    let mut headers = [httparse::EMPTY_HEADER; 512];
    let mut other = httparse::Request::new(&mut headers);
    match other.parse(head) {
        Ok(httparse::Status::Complete(length)) => assert_eq!(length, head.len()),
        _ => return,
    }
    assert_eq!(other.method, Some(asked.method()));
    let values = |name: &str| {
        let fields = other.headers.iter();
        let named = fields.filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value).collect::<Vec<_>>()
    };
    let hosts = values("host");
    assert!(hosts.len() <= 1);
    if let (NamedHost::Name(name), [host]) = (asked.host(), hosts.as_slice()) {
        let host = String::from_utf8_lossy(host).to_ascii_lowercase();
        assert!(host.starts_with(name.as_str()), "{host} {name}");
    }
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    match asked.body() {
        None => assert!(codings.is_empty()),
        Some(Some(length)) => {
            assert!(codings.is_empty());
            assert_eq!(lengths, [length.to_string().as_bytes()]);
        }
        Some(None) => assert!(lengths.is_empty() && codings.len() == 1),
    }
}
