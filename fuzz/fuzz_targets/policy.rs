//! A policy file's text, and the policy made of it.

#![no_main]

use std::net::SocketAddr;

use boundary_shim::policy::text::parse_file;
use boundary_shim::policy::{Attempt, Hostname, Policy, PolicySource, Protocol};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match parse_file("f.yaml", text) {
        Ok(file) => {
            let source = PolicySource {
                allow: file.allow(),
                deny: file.deny(),
                ..PolicySource::default()
            };
            decide(&Policy::compile(&source).expect("its rules were checked"));
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            for mistake in mistakes {
                let told = mistake.to_string();
                assert!(!told.contains(char::is_control), "{told:?}");
            }
        }
    }
});

fn decide(policy: &Policy) {
    let captured = policy.captured_ports();
    for ranges in [&captured.tcp, &captured.udp] {
        assert!(ranges.iter().all(|(first, last)| first <= last));
        assert!(
            ranges.windows(2).all(|pair| pair[0].1 < pair[1].0),
            "sorted and disjoint: {ranges:?}"
        );
    }
    assert!(
        captured
            .udp
            .iter()
            .all(|(first, last)| !(*first..=*last).contains(&53))
    );

    let name = Hostname::parse("a.test").expect("a name");
    let _ = policy.decide_lookup(&name);
    for protocol in [
        Protocol::Http,
        Protocol::Https,
        Protocol::Tcp,
        Protocol::Udp,
    ] {
        for destination in [
            "192.0.2.1:80",
            "127.0.0.1:443",
            "[2001:db8::1]:443",
            "10.0.0.1:22",
        ] {
            let destination: SocketAddr = destination.parse().expect("an address");
            let attempt = Attempt {
                protocol,
                name: Some(&name),
                destination,
                method: Some("GET"),
                path: Some("/a"),
            };
            let _ = policy.decide(&attempt);
            let _ = policy.decide(&Attempt {
                name: None,
                method: None,
                path: None,
                ..attempt
            });
            let _ = (
                policy.may_allow_any_tcp(destination),
                policy.denials_at(destination),
            );
        }
    }
}
