//! The host's configuration file.

#![no_main]

use boundary_shim::settings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Err(mistakes) = settings::parse("config.toml", text) else {
        return;
    };
    assert!(!mistakes.is_empty());
    let lines = 1 + text.matches('\n').count();
    for mistake in mistakes {
        assert!(
            mistake.line.is_some_and(|line| (1..=lines).contains(&line)),
            "{mistake:?} of {lines} lines"
        );
        assert!(
            !mistake.to_string().contains(char::is_control),
            "{mistake:?}"
        );
    }
});
