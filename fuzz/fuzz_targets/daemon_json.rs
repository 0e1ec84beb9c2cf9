//! Docker's configuration file: edited, with everything that isn't ours left as it was.

#![no_main]

use boundary_shim::integrate::docker::daemon_json::DaemonJson;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

const PATH: &str = "/usr/local/bin/boundary-shim";

fuzz_target!(|text: &str| {
    let Ok(mut config) = DaemonJson::parse(text) else {
        return;
    };
    config.set_runtime("boundary", PATH);
    config.set_dns(&["192.0.2.53".parse().expect("an address")]);
    let installed = config.text();

    let again = DaemonJson::parse(&installed).expect("what we wrote can be read");
    assert_eq!(again.runtime("boundary").as_deref(), Some(PATH));
    assert_eq!(again.text(), installed, "written twice is written once");
    // Numbers beyond all bounds are kept as they stand, but can't be compared like this.
    if let Some(others) = without_ours(text) {
        assert_eq!(without_ours(&installed), Some(others));
    }
});

fn without_ours(text: &str) -> Option<Map<String, Value>> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let mut members: Map<String, Value> = serde_json::from_str(text).ok()?;
    members.shift_remove("dns");
    let runtimes = members.shift_remove("runtimes").unwrap_or_default();
    let others = runtimes
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "boundary");
    members.insert(
        "runtimes".to_owned(),
        others
            .map(|(name, runtime)| (name.clone(), runtime.clone()))
            .collect(),
    );
    Some(members)
}
