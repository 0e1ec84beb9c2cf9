//! The first bytes of a connection that the container opened, against what rustls and httparse make
//! of them.
//!
//! We may refuse what they take. What must not be, where a deny rule could apply: that a server
//! reads another name than we decided about, or that what a server reads as TLS or HTTP passes here
//! for something else.

#![no_main]

use boundary_shim::policy::{Denials, Hostname};
use boundary_shim::proxy::identify::{Answer, Identity, identify};
use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;

fuzz_target!(|bytes: &[u8]| {
    let answer = identify(bytes, Denials::ByRequest);
    assert_ne!(answer, Answer::Not);
    // However the bytes come in, the answer is the same. The last of them says where the first
    // reading ended.
    let split = bytes
        .last()
        .map_or(0, |last| bytes.len() * usize::from(*last) / 256);
    let early = identify(&bytes[..split], Denials::ByRequest);
    assert!(
        early == Answer::NeedMore || early == answer,
        "{early:?} at {split}, then {answer:?}"
    );

    if let Some(name) = rustls_reads(bytes) {
        match &answer {
            Answer::Found(Identity::Tls(hello)) => assert_eq!(hello.sni, name),
            other => assert!(
                matches!(other, Answer::Refused(_)),
                "TLS passes for {other:?}"
            ),
        }
    }
    if httparse_reads(bytes) {
        let fine = matches!(
            answer,
            Answer::Found(Identity::Http | Identity::Http2) | Answer::Refused(_)
        );
        assert!(fine, "HTTP passes for {answer:?}");
    }
});

/// The server name that rustls sees, where it takes the bytes for a whole ClientHello.
fn rustls_reads(mut bytes: &[u8]) -> Option<Option<Hostname>> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        if acceptor.read_tls(&mut bytes).ok()? == 0 {
            return None;
        }
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            return Some(
                hello
                    .server_name()
                    .and_then(|name| Hostname::parse(name).ok()),
            );
        }
    }
    None
}

fn httparse_reads(bytes: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    request
        .parse(bytes)
        .is_ok_and(|status| status.is_complete())
}
