//! Heads of requests, as they come and as they go on.

use proptest::prelude::*;

use super::*;

const DESTINATION: &str = "192.0.2.7:8080";

fn read_head(head: &[u8]) -> Result<Request, BadRequest> {
    assert_eq!(end(head, 0), Some(head.len()), "{head:?}");
    read(head, DESTINATION.parse().unwrap())
}

fn asked(lines: &str) -> Result<Request, BadRequest> {
    read_head(format!("{lines}\r\n\r\n").as_bytes())
}

fn host_of(lines: &str) -> NamedHost {
    asked(lines).unwrap().host
}

fn name(text: &str) -> NamedHost {
    NamedHost::Name(Hostname::parse(text).unwrap())
}

#[test]
fn a_request_names_its_host_whatever_its_port_and_spelling() {
    for (lines, host) in [
        ("GET / HTTP/1.1\r\nHost: A.Example.", name("a.example")),
        ("GET / HTTP/1.1\r\nHost: a.example:9999", name("a.example")),
        ("GET / HTTP/1.1\r\nHost: a.example:", name("a.example")),
        (
            "GET http://a.example/x HTTP/1.1\r\nHost: a.example:81",
            name("a.example"),
        ),
        ("GET HTTP://a.example HTTP/1.0", name("a.example")),
        ("GET / HTTP/1.1\r\nHost: 192.0.2.7", NamedHost::Address),
        (
            "GET / HTTP/1.1\r\nHost: [::ffff:192.0.2.7]:80",
            NamedHost::Address,
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: a.example", name("a.example")),
        ("OPTIONS / HTTP/1.0", NamedHost::Nobody),
        ("GET / HTTP/1.1\r\nHost:", NamedHost::Nobody),
    ] {
        assert_eq!(host_of(lines), host, "{lines:?}");
    }
}

#[test]
fn what_two_servers_could_understand_differently_is_refused() {
    for lines in [
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example",
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example",
        "GET / HTTP/1.1\r\nHost : a.example",
        "GET / HTTP/1.1\r\n Host: a.example",
        "GET / HTTP/1.1\r\nHost: a.example\r\n folded",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n Host: b.example",
        "GET / HTTP/1.1\r\nHost: a.example, b.example",
        "GET / HTTP/1.1\r\nHost: user@a.example",
        "GET / HTTP/1.1\r\nHost: a b",
        "GET / HTTP/1.1\r\nHost: 192.0.2.8",
        "GET / HTTP/1.1\r\nHost: -",
        "GET / HTTP/1.1\r\nHost: 1234",
        "GET http://b.example/ HTTP/1.1\r\nHost: a.example",
        "GET http://user@a.example/ HTTP/1.1\r\nHost: a.example",
        "GET a.example/x HTTP/1.1\r\nHost: a.example",
        "GET  / HTTP/1.1\r\nHost: a.example",
        "GET / HTTP/1.1 \r\nHost: a.example",
        "GET /a b HTTP/1.1\r\nHost: a.example",
        "GET / http/1.1\r\nHost: a.example",
        "GET / HTTP/1.2\r\nHost: a.example",
        "GET\t/ HTTP/1.1\r\nHost: a.example",
        "G(T / HTTP/1.1\r\nHost: a.example",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1",
        "POST / HTTP/1.1\r\nContent-Length: 1, 1",
        "POST / HTTP/1.1\r\nContent-Length: +1",
        "POST / HTTP/1.1\r\nContent-Length: 01",
        "POST / HTTP/1.1\r\nContent-Length : 1",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked",
        "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked",
        "POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked,",
        "POST / HTTP/1.1\r\nTransfer-Encoding: , chunked",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked",
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Host",
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close, Content-Length",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: a\0b",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: a\rb",
        "GET / HTTP/1.1\nHost: a.example\r\nX: y",
    ] {
        assert!(asked(lines).is_err(), "{lines:?}");
    }
}

#[test]
fn what_is_merely_old_or_odd_passes_as_it_came() {
    let many = (0..150)
        .map(|i| format!("\r\nX-{i}: v"))
        .collect::<String>();
    let long = format!("\r\nX: {}", "a".repeat(70_000));
    for lines in [
        "GET /%2F//a/../b|c{}?q=%zz HTTP/1.1\r\nHost: a.example",
        "GET /caf\u{e9} HTTP/1.1\r\nHost: a.example",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n folded\r\n\tmore",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX-Odd : v\r\nX[y]: z",
        "TRACE / HTTP/1.1\r\nHost: a.example",
        "UPDATEREDIRECTREFANDMUCHMORETHANTHAT / HTTP/1.1\r\nHost: a.example",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a.example",
        &format!("GET / HTTP/1.1\r\nHost: a.example{many}"),
        &format!("GET / HTTP/1.1\r\nHost: a.example{long}"),
    ] {
        let head = format!("{lines}\r\n\r\n");
        let request = read_head(head.as_bytes()).unwrap();
        assert_eq!(
            request.rewritten(head.as_bytes(), true, true),
            None,
            "{lines:?}"
        );
    }
    assert!(read_head(b"GET / HTTP/1.1\nHost: a.example\n\n").is_ok());
    assert!(read_head(b"GET /caf\xe9 HTTP/1.1\r\nHost: a.example\r\n\r\n").is_ok());
}

#[test]
fn the_wish_that_the_connection_close_is_all_that_is_taken_off() {
    let head =
        b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: TE, Close\r\nTE: trailers\r\n\r\n";
    let request = read_head(head).unwrap();
    assert!(!request.goes_on);
    assert_eq!(request.rewritten(head, false, false), None);
    assert_eq!(
        request.rewritten(head, true, false).unwrap(),
        b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: te\r\nTE: trailers\r\n\r\n"
    );
    let head = b"GET / HTTP/1.1\r\nConnection: close\r\nHost: a.example\r\n\r\n";
    assert_eq!(
        read_head(head)
            .unwrap()
            .rewritten(head, true, false)
            .unwrap(),
        b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    );
}

#[test]
fn a_line_that_is_written_anew_ends_like_the_others() {
    let head = b"GET / HTTP/1.1\nHost: a.example\nConnection: TE, close\n\n";
    assert_eq!(
        read_head(head)
            .unwrap()
            .rewritten(head, true, false)
            .unwrap(),
        b"GET / HTTP/1.1\nHost: a.example\nConnection: te\n\n"
    );
}

#[test]
fn a_line_that_would_be_left_to_another_is_not_taken_from_it() {
    let head =
        "GET / HTTP/1.1\r\nHost: a.example\r\nHTTP2-Settings: AAM\r\n .b.example\r\nUpgrade: h2c";
    assert!(asked(head).is_err());
}

#[test]
fn an_upgrade_to_what_carries_requests_is_taken_off() {
    let head = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert_eq!(
        read_head(head)
            .unwrap()
            .rewritten(head, false, false)
            .unwrap(),
        b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    );
    for (upgrade, free, strict) in [
        ("websocket", true, true),
        ("WebSocket", true, true),
        ("tcp", true, false),
        ("SPDY/3.1", true, false),
        ("h2c", false, false),
        ("websocket, h2c", false, false),
        ("HTTP/2.0", false, false),
        ("TLS/1.3", false, false),
        ("connect-udp", false, false),
    ] {
        let lines = format!(
            "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n"
        );
        let request = read_head(lines.as_bytes()).unwrap();
        assert_eq!(
            (request.upgrades(false), request.upgrades(true)),
            (free, strict),
            "{upgrade}"
        );
        assert!(!request.may_be_pooled());
        for (only_websocket, passes) in [(false, free), (true, strict)] {
            let sent = request.rewritten(lines.as_bytes(), true, only_websocket);
            let sent = sent.unwrap_or_else(|| lines.clone().into_bytes());
            let says = String::from_utf8(sent)
                .unwrap()
                .to_lowercase()
                .contains("upgrade");
            assert_eq!(says, passes, "{upgrade}");
        }
    }
}

#[test]
fn a_line_without_a_version_is_a_request_by_itself() {
    let request = b"\r\nGET /x\r\nHost: b.example\r\n\r\n";
    assert_eq!(end(request, 0), Some(10));
    let read = read(&request[..10], DESTINATION.parse().unwrap()).unwrap();
    assert_eq!((read.version, read.host), (Version::V09, NamedHost::Nobody));
    for line in ["POST /x\r\n", "GET x\r\n"] {
        assert!(read_head(line.as_bytes()).is_err(), "{line:?}");
    }
}

#[test]
fn what_authorises_a_connection_keeps_it_from_others() {
    for line in ["Authorization: NTLM x", "proxy-authorization: y"] {
        let request = asked(&format!("GET / HTTP/1.1\r\nHost: a.example\r\n{line}")).unwrap();
        assert!(!request.may_be_pooled(), "{line}");
    }
    assert!(
        asked("GET / HTTP/1.1\r\nHost: a.example")
            .unwrap()
            .may_be_pooled()
    );
    assert!(
        !asked("GET / HTTP/1.0\r\nHost: a.example")
            .unwrap()
            .may_be_pooled()
    );
}

#[test]
fn rules_compare_a_path_only_as_every_server_reads_it() {
    let path = |path: &str| asked(&format!("GET {path} HTTP/1.1")).unwrap().plain_path;
    for (spelling, plain) in [
        ("/a/%7Eb?c", Some("/a/~b")),
        ("/a/b/", Some("/a/b/")),
        ("/a//b", None),
        ("/a/./b", None),
        ("/a/../b", None),
        ("/a%2fb", Some("/a%2Fb")),
        ("/a%2f..%2fb", None),
        ("/a%zz", None),
        ("/a;x/b", Some("/a;x/b")),
        ("/..;/b", None),
        ("/a#b", None),
    ] {
        assert_eq!(path(spelling).as_deref(), plain, "{spelling}");
    }
}

/// Lines that readers disagree about, among others.
fn head() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "(Host|host|HOST)[ \t]?:[ \t]{0,2}[ab]\\.example[ \t]?",
        "[ \t]?(Content-Length|Transfer-Encoding|Connection)[ ]?:[ ]?(chunked|close|[0-9]{1,2}|host)",
        "[ \tA-Za-z-]{0,6}:?[ \ta-z\u{1}\u{b}]{0,5}",
    ];
    let start =
        "(\r\n)?(GET|POST|G T)[ \t]{1,2}(/[a-z%./]{0,5}|http://a\\.example/)( HTTP/1\\.[01])?";
    (start, proptest::collection::vec(line, 0..5), "\r?\n").prop_map(|(start, lines, end)| {
        [vec![start], lines, vec![String::new(), String::new()]]
            .concat()
            .join(&end)
    })
}

proptest! {
    /// Two strict readers of others agree with every head that passes: on method, target, and on
    /// every field that decides.
    #[test]
    fn another_reader_finds_the_same_in_what_passes(text in head()) {
        let bytes = text.as_bytes();
        let Some(length) = end(bytes, 0) else { return Ok(()) };
        let Ok(request) = read(&bytes[..length], DESTINATION.parse().unwrap()) else { return Ok(()) };
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut other = httparse::Request::new(&mut headers);
        if request.version == Version::V09 || other.parse(&bytes[..length]).is_err() {
            return Ok(());
        }
        prop_assert_eq!(other.method, Some(request.method.as_str()));
        let named = |name: &str| other.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).count();
        let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
        match &request.framing {
            Framing::Length(0) => prop_assert!(codings == 0),
            Framing::Length(_) => prop_assert_eq!((lengths, codings), (1, 0)),
            Framing::Chunked(_) => prop_assert_eq!((lengths, codings), (0, 1)),
            Framing::UntilEnd => prop_assert!(false),
        }
        prop_assert!(named("host") <= 1);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = end(&bytes, 0);
        if let Ok(request) = read(&bytes, DESTINATION.parse().unwrap()) {
            let _ = request.rewritten(&bytes, true, true);
        }
    }
}

#[test]
fn a_body_ends_where_its_framing_says() {
    let mut lengthy = asked("POST / HTTP/1.1\r\nContent-Length: 3").unwrap();
    assert_eq!(lengthy.body_end(b"abcGET"), Ok(Some(3)));
    let mut chunked = asked("POST / HTTP/1.1\r\nTransfer-Encoding: chunked").unwrap();
    assert_eq!(chunked.body_end(b"1\r\na\r\n0\r\n"), Ok(None));
    assert!(chunked.body_end(b"X : y\r\n\r\n").is_err());
}
