//! A policy of several files, which include each other, below one of the host's layers: whatever they say, what
//! passes is allowed by the layer, too.

#![no_main]

use std::net::SocketAddr;

use boundary_shim::policy::text::{Found, RuleFile, parse_whole};
use boundary_shim::policy::{
    Attempt, Hostname, LayerSource, Mode, Policy, PolicyName, PolicySource, Protocol, Verdict,
};
use libfuzzer_sys::fuzz_target;

/// What divides the input into files: the layer, and then the policies a, b, c, ...
const NEXT: &str = "\n===\n";

fuzz_target!(|text: &str| {
    let files: Vec<_> = text.split(NEXT).take(9).collect();
    let [layer, own, ..] = files.as_slice() else {
        return;
    };
    let (Some(layer), Some(own)) = (read("layer", layer, &files), read("a", own, &files)) else {
        return;
    };
    let places = own.clone().source("a".to_owned()).places;
    assert_eq!(places.allow.len(), own.allow().len());
    for (file, line) in places.allow.iter().chain(&places.deny) {
        assert!(
            places
                .words(*file, *line)
                .starts_with(&places.files[*file].name)
        );
    }
    let layer = layer.layer("ceiling.d/a.yaml".to_owned());
    for mode in [Mode::Enforce, Mode::Observe] {
        let source = PolicySource {
            mode,
            layers: vec![layer.clone()],
            ..own.clone().source("a".to_owned())
        };
        stays_within(&source, &layer);
    }
});

fn read(name: &str, text: &str, files: &[&str]) -> Option<RuleFile> {
    let library = |name: &PolicyName| {
        let number = match name.as_str().as_bytes() {
            [letter @ b'a'..=b'h'] => usize::from(letter - b'a') + 1,
            _ => return Ok(None),
        };
        Ok(files.get(number).map(|text| Found {
            origin: name.to_string(),
            name: name.to_string(),
            content: (*text).to_owned().into(),
        }))
    };
    match parse_whole(name, text, &library) {
        Ok(file) => Some(file),
        Err(mistakes) => {
            assert!(!mistakes.is_empty() && mistakes.len() < 200);
            for mistake in mistakes {
                let told = mistake.to_string();
                assert!(!told.contains(char::is_control), "{told:?}");
            }
            None
        }
    }
}

/// What passes would pass by the layer alone.
fn stays_within(source: &PolicySource, layer: &LayerSource) {
    let policy = Policy::compile(source).expect("its rules were checked");
    let alone = Policy::compile(&PolicySource {
        allow: layer.allow.clone().unwrap_or_default(),
        deny: layer.deny.clone(),
        ..PolicySource::default()
    });
    let alone = alone.expect("its rules were checked");
    let name = Hostname::parse("a.test").expect("a name");
    for protocol in [
        Protocol::Http,
        Protocol::Https,
        Protocol::Tcp,
        Protocol::Udp,
    ] {
        for destination in ["192.0.2.1:80", "10.0.0.1:443", "[2001:db8::1]:22"] {
            let destination: SocketAddr = destination.parse().expect("an address");
            for name in [None, Some(&name)] {
                let attempt = Attempt {
                    protocol,
                    name,
                    destination,
                    method: Some("GET"),
                    path: Some("/a"),
                };
                let (Verdict::Allow(_), Some(_)) = (policy.decide(&attempt), &layer.allow) else {
                    continue;
                };
                let by_layer = alone.decide(&attempt);
                assert!(
                    matches!(by_layer, Verdict::Allow(_)),
                    "{attempt:?}: {by_layer:?}"
                );
            }
        }
    }
}
