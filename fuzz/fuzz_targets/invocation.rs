//! The runtime's command line, as engines write it and users' options get into it. Words end with a
//! line break.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use boundary_shim::runtime::invocation::scan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut words = vec![OsString::from("runc")];
    words.extend(
        bytes
            .split(|byte| *byte == b'\n')
            .map(|word| OsString::from_vec(word.to_vec())),
    );
    let call = scan(&words);

    let mut given = words.iter().skip(1);
    assert!(
        call.arguments
            .iter()
            .all(|word| given.any(|given| given == word)),
        "words are left out, never made up"
    );
    // The real runtime reads a line without our options: it must mean what we took it for.
    let handed_off = [vec![OsString::from("runc")], call.arguments.clone()].concat();
    let again = scan(&handed_off);
    assert_eq!(again.arguments, call.arguments);
    assert_eq!(
        (again.globals.policy, again.globals.config),
        (None, None),
        "our options are for us"
    );
    if call.command.is_ok() {
        assert_eq!(again.command, call.command);
        assert_eq!(again.globals.root, call.globals.root);
    }
});
