//! A request's head as hyper gives it to us: understood, written anew for the server, and
//! understood again.

#![no_main]

use std::net::SocketAddr;

use boundary_shim::proxy::http::target;
use hyper::header::{HOST, TRANSFER_ENCODING};
use hyper::{Method, Request, Uri};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = request(bytes) else {
        return;
    };
    for destination in ["192.0.2.1:80", "192.0.2.1:8080", "[2001:db8::1]:80"] {
        judge(&request, destination.parse().expect("an address"));
    }
});

fn judge(request: &Request<()>, destination: SocketAddr) {
    let _ = target::claimed_host(request);
    let Ok(asked) = target::read(request, destination) else {
        return;
    };
    if request.method() == Method::CONNECT {
        return;
    }
    let Ok(sent) = target::rewrite(request.clone(), &asked) else {
        return;
    };
    // What the server reads is what was decided about.
    assert_eq!(target::read(&sent, destination), Ok(asked.clone()));
    assert_eq!(sent.uri().scheme(), None);
    assert_eq!(sent.uri().query(), request.uri().query());
    assert_eq!(sent.headers().get_all(HOST).iter().count(), 1);
    assert!(
        !sent.headers().contains_key(TRANSFER_ENCODING),
        "framing is hyper's own"
    );
}

/// As hyper makes one of a head.
fn request(bytes: &[u8]) -> Option<Request<()>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Request::new(&mut headers);
    if !head.parse(bytes).ok()?.is_complete() {
        return None;
    }
    let start = Request::builder()
        .method(head.method?)
        .uri(head.path?.parse::<Uri>().ok()?);
    let whole = head.headers.iter().fold(start, |builder, header| {
        builder.header(header.name, header.value)
    });
    whole.body(()).ok()
}
