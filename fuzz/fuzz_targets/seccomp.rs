//! `linux.seccomp` of a container's `config.json`, as anyone who may start containers can write it.

#![no_main]

use boundary_shim::seccomp::Fault;
use boundary_shim::seccomp::filter::Filter;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    match Filter::read(&value) {
        Ok(filter) => means_something(&filter),
        Err(fault) => can_be_told(&fault),
    }
    // Every other reader and every edit of a seccomp profile belongs here, with what it promises: Docker's form read and
    // resolved (what comes out must be a filter that `Filter::read` takes, and the same each time), and the patch at create
    // (twice is once; no verdict but the granted calls' changed).
});

/// A condition on an argument that there is, in every rule.
fn means_something(filter: &Filter) {
    for rule in &filter.rules {
        let alternatives = rule.alternatives();
        assert!(!alternatives.is_empty(), "a rule without any alternative would never hold");
        for condition in alternatives.iter().flatten() {
            assert!(condition.argument < 6);
            let _ = (condition.holds(0), condition.holds(u64::MAX));
        }
    }
}

/// On one line of some log, whatever stood in the profile.
fn can_be_told(fault: &Fault) {
    let text = fault.to_string();
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.len() < 1000, "{} bytes of message", text.len());
}
