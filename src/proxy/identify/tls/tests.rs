//! Hellos made by hand for the oddities, and by rustls for what real clients send.

use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::server::Acceptor;

use super::*;

/// A hello as its parts, each of which a test may spoil.
#[derive(Clone)]
struct Parts {
    version: [u8; 2],
    session: Vec<u8>,
    suites: Vec<u8>,
    extensions: Option<Vec<(u16, Vec<u8>)>>,
    after: Vec<u8>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            version: [3, 3],
            session: vec![7; 32],
            suites: vec![0x13, 0x01],
            extensions: Some(vec![(43, vec![2, 3, 4]), (0, server_name(b"api.example"))]),
            after: vec![],
        }
    }
}

impl Parts {
    fn with(extensions: &[(u16, Vec<u8>)]) -> Self {
        Self {
            extensions: Some(extensions.to_vec()),
            ..Self::default()
        }
    }

    fn message(&self) -> Vec<u8> {
        let mut body = [&self.version[..], &[9; 32]].concat();
        body.push(self.session.len().try_into().unwrap());
        body.extend(&self.session);
        body.extend(vector(&self.suites));
        body.extend([1, 0]);
        if let Some(extensions) = &self.extensions {
            let list = extensions
                .iter()
                .flat_map(|(kind, data)| [kind.to_be_bytes().to_vec(), vector(data)].concat());
            body.extend(vector(&list.collect::<Vec<_>>()));
        }
        body.extend(&self.after);
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }

    fn read(&self) -> Answer<Hello> {
        read(&record(&self.message()))
    }
}

fn vector(data: &[u8]) -> Vec<u8> {
    [&u16::try_from(data.len()).unwrap().to_be_bytes()[..], data].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    vector(&[&[0], &vector(name)[..]].concat())
}

fn record(fragment: &[u8]) -> Vec<u8> {
    [&[22, 3, 1], &vector(fragment)[..]].concat()
}

fn found(name: &str) -> Answer<Hello> {
    Answer::Found(Hello {
        sni: Some(Hostname::parse(name).unwrap()),
    })
}

fn refused(answer: &Answer<Hello>) -> bool {
    matches!(answer, Answer::Refused(_))
}

#[test]
fn the_name_is_found_in_canonical_form() {
    assert_eq!(Parts::default().read(), found("api.example"));
    assert_eq!(
        Parts::with(&[(0, server_name(b"API.Example."))]).read(),
        found("api.example")
    );
}

#[test]
fn a_hello_without_a_name_is_tls_without_a_name() {
    assert_eq!(
        Parts::with(&[(43, vec![2, 3, 4])]).read(),
        Answer::Found(Hello { sni: None })
    );
    assert_eq!(
        Parts {
            extensions: None,
            ..Parts::default()
        }
        .read(),
        Answer::Found(Hello { sni: None })
    );
}

#[test]
fn names_that_are_no_host_name_are_refused() {
    let names: [&[u8]; 9] = [
        b"",
        b"10.0.0.1",
        b"::1",
        b"a.example\0.b.example",
        b"a example",
        b"b\xfccher.example",
        b".",
        b"a..b",
        b"a/b",
    ];
    for name in names {
        assert!(
            refused(&Parts::with(&[(0, server_name(name))]).read()),
            "{name:?}"
        );
    }
}

#[test]
fn a_second_name_is_refused_wherever_it_hides() {
    let a = || server_name(b"a.example");
    assert!(refused(&Parts::with(&[(0, a()), (0, a())]).read()));
    let entry = |name: &[u8]| [&[0], &vector(name)[..]].concat();
    let two = vector(&[entry(b"a.example"), entry(b"b.example")].concat());
    assert!(refused(&Parts::with(&[(0, two)]).read()));
    let other_type = vector(&[&[1], &vector(b"a.example")[..]].concat());
    assert!(refused(&Parts::with(&[(0, other_type)]).read()));
}

#[test]
fn garbage_inside_or_after_a_structure_is_refused() {
    let trailing = [server_name(b"a.example"), vec![0]].concat();
    assert!(refused(&Parts::with(&[(0, trailing)]).read()));
    assert!(refused(&Parts::with(&[(0, vec![])]).read()));
    assert!(refused(
        &Parts {
            after: vec![0],
            ..Parts::default()
        }
        .read()
    ));
    assert!(refused(
        &Parts {
            extensions: None,
            after: vec![0],
            ..Parts::default()
        }
        .read()
    ));
    assert!(refused(
        &Parts {
            session: vec![0; 33],
            ..Parts::default()
        }
        .read()
    ));
    assert!(refused(
        &Parts {
            suites: vec![0x13],
            ..Parts::default()
        }
        .read()
    ));
    assert!(refused(
        &Parts {
            suites: vec![],
            ..Parts::default()
        }
        .read()
    ));
    assert!(refused(
        &Parts {
            version: [2, 0],
            ..Parts::default()
        }
        .read()
    ));
    let message = Parts::default().message();
    assert!(
        refused(&read(&record(&[message.clone(), vec![0]].concat()))),
        "another message in the same record"
    );
    assert!(
        refused(&read(&record(&[&[2], &message[1..]].concat()))),
        "a ServerHello"
    );
}

#[test]
fn what_follows_the_record_is_not_looked_at() {
    // 0-RTT data, or a change_cipher_spec for middleboxes (RFC 8446 D.4).
    let bytes = [
        record(&Parts::default().message()),
        vec![20, 3, 3, 0, 1, 1, 23, 3, 3],
    ]
    .concat();
    assert_eq!(read(&bytes), found("api.example"));
}

#[test]
fn fragments_of_every_size_give_the_same_name() {
    let message = Parts::default().message();
    for size in 1..=message.len() {
        let bytes: Vec<u8> = message.chunks(size).flat_map(record).collect();
        assert_eq!(read(&bytes), found("api.example"), "{size}");
    }
}

#[test]
fn a_record_that_interrupts_the_hello_is_refused() {
    let message = Parts::default().message();
    let (start, end) = message.split_at(20);
    for interruption in [
        &[20, 3, 3, 0, 1, 1][..],
        &[21, 3, 3, 0, 2, 1, 0],
        &[22, 3, 3, 0, 0],
        &[22, 2, 0, 0, 1, 1],
    ] {
        assert!(
            refused(&read(
                &[&record(start), interruption, &record(end)].concat()
            )),
            "{interruption:?}"
        );
    }
}

#[test]
fn the_limit_on_the_hello_holds_to_the_byte() {
    let big = |length: usize| {
        let message =
            Parts::with(&[(0, server_name(b"a.example")), (21, vec![0; length])]).message();
        message
            .chunks(FRAGMENT_LIMIT)
            .flat_map(record)
            .collect::<Vec<u8>>()
    };
    let room = HELLO_LIMIT - big(0).len() - 5; // the second record's header
    let (fits, over) = (big(room), big(room + 1));
    assert_eq!((fits.len(), over.len()), (HELLO_LIMIT, HELLO_LIMIT + 1));
    assert_eq!(read(&fits), found("a.example"));
    assert_eq!(read(&over[..HELLO_LIMIT - 1]), Answer::NeedMore);
    assert!(refused(&read(&over[..HELLO_LIMIT])));
    assert!(refused(&read(&over)), "however much is read at once");
    assert!(
        refused(&read(&[22, 3, 1, 0, 4, 1, 1, 0, 0])),
        "a length of 64 KiB is refused when it is read"
    );
    assert!(
        refused(&read(&[22, 3, 1, 0x40, 1])),
        "a record of over 16 KiB"
    );
}

#[test]
fn an_ssl_2_hello_is_refused_and_what_only_starts_like_one_is_not_tls() {
    let hello = [
        &[0x80, 9 + 3 + 16, 1, 3, 1, 0, 3, 0, 0, 0, 16, 1, 0, 0x80][..],
        &[5; 16],
    ]
    .concat();
    assert!(refused(&read(&hello)));
    for end in 0..11 {
        assert_eq!(read(&hello[..end]), Answer::NeedMore, "{end}");
    }
    assert_eq!(read(&[0x80, 99, 1, 3, 1, 0, 3, 0, 0, 0, 16]), Answer::Not);
    assert_eq!(read(&[0x80, 99, 2]), Answer::Not);
}

#[test]
fn other_first_bytes_are_not_tls() {
    for bytes in [&b"GET"[..], &[22, 2], &[0], &[23, 3, 3], &[21, 3, 1, 0, 2]] {
        assert_eq!(read(bytes), Answer::Not, "{bytes:?}");
    }
}

#[test]
fn every_split_of_every_hello_needs_more_until_the_end() {
    let by_hand = [
        Parts::default(),
        Parts {
            extensions: None,
            ..Parts::default()
        },
    ];
    let hellos = by_hand
        .iter()
        .map(|parts| record(&parts.message()))
        .chain(rustls_hellos().into_iter().map(|(_, hello)| hello));
    for hello in hellos {
        for end in 0..hello.len() {
            assert_eq!(
                read(&hello[..end]),
                Answer::NeedMore,
                "{end} of {}",
                hello.len()
            );
        }
        assert!(matches!(read(&hello), Answer::Found(_)));
    }
}

#[test]
fn we_and_rustls_read_the_same_name_in_its_own_hellos() {
    for (name, hello) in rustls_hellos() {
        let expected = name.as_deref().map(|name| Hostname::parse(name).unwrap());
        assert_eq!(read(&hello), Answer::Found(Hello { sni: expected }));
        assert_eq!(rustls_reads(&hello), Ok(name));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    /// One byte of a real hello changed: where both of us still accept it, we agree on the name.
    #[test]
    fn we_and_rustls_agree_on_spoilt_hellos(which in 0usize..6, at in 0usize..600, to in any::<u8>()) {
        let hellos = rustls_hellos();
        let mut hello = hellos[which % hellos.len()].1.clone();
        let at = at % hello.len();
        hello[at] = to;
        if let (Answer::Found(ours), Ok(theirs)) = (read(&hello), rustls_reads(&hello)) {
            let theirs = theirs.map(|name| Hostname::parse(&name).unwrap());
            prop_assert_eq!(ours.sni, theirs);
        }
    }

    #[test]
    fn fragments_of_random_sizes_give_the_same_name(sizes in proptest::collection::vec(1usize..40, 1..200)) {
        let message = Parts::default().message();
        let mut rest = &message[..];
        let mut bytes = vec![];
        for size in sizes.into_iter().cycle() {
            let (fragment, after) = rest.split_at(size.min(rest.len()));
            bytes.extend(record(fragment));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(read(&bytes), found("api.example"));
    }
}

/// What rustls' own server side makes of it: the name, or that it refuses (or wants more).
fn rustls_reads(hello: &[u8]) -> Result<Option<String>, String> {
    let mut acceptor = Acceptor::default();
    acceptor
        .read_tls(&mut &hello[..])
        .map_err(|error| error.to_string())?;
    match acceptor.accept() {
        Ok(Some(accepted)) => Ok(accepted.client_hello().server_name().map(str::to_owned)),
        Ok(None) => Err("needs more".to_owned()),
        Err((error, _)) => Err(error.to_string()),
    }
}

/// First flights of rustls clients: with a name and an address, old and new versions, with and
/// without ALPN.
fn rustls_hellos() -> Vec<(Option<String>, Vec<u8>)> {
    let versions: [&[&rustls::SupportedProtocolVersion]; 3] = [
        &[&rustls::version::TLS12],
        &[&rustls::version::TLS13],
        rustls::ALL_VERSIONS,
    ];
    let mut hellos = vec![];
    for (index, versions) in versions.into_iter().enumerate() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap();
        let mut config = builder
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(); index];
        let config = Arc::new(config);
        for name in ["registry.example", "192.0.2.1"] {
            let server = ServerName::try_from(name).unwrap();
            let sni = matches!(server, ServerName::DnsName(_)).then(|| name.to_owned());
            let mut client = rustls::ClientConnection::new(Arc::clone(&config), server).unwrap();
            let mut hello = vec![];
            client.write_tls(&mut hello).unwrap();
            hellos.push((sni, hello));
        }
    }
    hellos
}
