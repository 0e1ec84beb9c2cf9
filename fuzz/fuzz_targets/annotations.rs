//! What a container's annotations choose, below the host's ceiling.

#![no_main]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use boundary_shim::policy::{Hostname, Mode, Policy, PolicyName};
use boundary_shim::settings::select::{Named, select};
use boundary_shim::settings::{Annotations, Settings};
use libfuzzer_sys::fuzz_target;

/// Of a host that opens what it can.
static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let name = |text| PolicyName::parse(text).expect("a name");
    let (policies, modes) = (vec![name("npm")], vec![Mode::Enforce]);
    let annotations = Annotations {
        policies,
        modes,
        ceiling: Some(name("ceiling")),
    };
    Settings {
        annotations,
        ..Settings::default()
    }
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(annotations) = serde_json::from_slice::<BTreeMap<String, String>>(bytes) else {
        return;
    };
    let Ok(source) = select(&SETTINGS, Named::default(), &annotations, file) else {
        return;
    };
    assert_eq!(source.mode, Mode::Enforce);
    let policy = Policy::compile(&source).expect("its rules were checked");
    // A name beyond the policy's file and the ceiling, one that the ceiling denies, and one within.
    for (name, open) in [
        ("evil.test", false),
        ("no.ceiling.test", false),
        ("a.ceiling.test", true),
    ] {
        let looked_up = policy.decide_lookup(&Hostname::parse(name).expect("a name"));
        assert!(open || looked_up.is_err(), "{name} by {looked_up:?}");
    }
});

fn file(path: &Path) -> io::Result<Option<String>> {
    let text = match path.file_name().and_then(|name| name.to_str()) {
        Some("default.yaml") => "allow: [domain=default.test]",
        Some("npm.yaml") => "allow: [domain=npm.test]",
        Some("ceiling.yaml") => {
            "{allow: ['domain=*.ceiling.test'], deny: [domain=no.ceiling.test]}"
        }
        _ => return Ok(None),
    };
    Ok(Some(text.to_owned()))
}
