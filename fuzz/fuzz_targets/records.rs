//! A record's file of any bytes, as `policy suggest` reads it: what comes of it is a policy without a mistake, and
//! nothing in it but text.

#![no_main]

use std::sync::LazyLock;

use boundary_shim::audit::asked;
use boundary_shim::audit::reader::{LineStream, RecordFiles, Told};
use boundary_shim::policy::suggest::Session;
use boundary_shim::policy::text::parse_file;
use boundary_shim::sys::file::replace;
use libfuzzer_sys::fuzz_target;

/// In memory; records are read from files.
static FILE: LazyLock<std::path::PathBuf> =
    LazyLock::new(|| format!("/dev/shm/fuzz-records-{}.jsonl", std::process::id()).into());

fuzz_target!(|record: &[u8]| {
    replace(&FILE, record, 0o600).expect("written");
    let mut session = Session::default();
    let stream = LineStream::open(&RecordFiles::at(&FILE)).expect("opened");
    stream
        .tell_all(|told| {
            if let Told::Attempt(attempt) = told {
                asked::add(&attempt, &mut session);
            }
        })
        .expect("read");
    let suggested = session
        .suggest(&[])
        .expect("no pattern, no mistake")
        .to_string();
    assert!(
        suggested
            .chars()
            .all(|letter| letter == '\n' || !letter.is_control()),
        "{suggested:?}"
    );
    let rules = parse_file("suggested", &suggested);
    assert!(rules.is_ok(), "{suggested}\n{rules:?}");
});
