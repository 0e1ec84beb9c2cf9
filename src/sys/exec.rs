//! Becoming a program.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;

use nix::unistd::execvpe;

/// Becomes this program, looked for in `PATH` where its name has no slash, with the environment of
/// this process and these variables (`NAME=value`), which count before that. Its standard streams, and what isn't closed by `exec`, are its.
///
/// # Errors
/// What `execvpe(3)` gives: `ENOENT` where there is none, `EACCES` where it can't be executed.
pub fn become_program(arguments: &[CString], variables: &[CString]) -> io::Error {
    let Some(program) = arguments.first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    let name = |entry: &CString| {
        entry
            .as_bytes()
            .split(|byte| *byte == b'=')
            .next()
            .map(<[u8]>::to_vec)
    };
    let replaced: Vec<_> = variables.iter().map(name).collect();
    let own = std::env::vars_os().filter_map(|(name, value)| {
        let entry = [name, OsString::from("="), value].map(OsStringExt::into_vec);
        CString::new(entry.concat()).ok()
    });
    let own = own.filter(|entry| !replaced.contains(&name(entry)));
    let environment: Vec<CString> = own.chain(variables.iter().cloned()).collect();
    match execvpe(program, arguments, &environment) {
        Err(errno) => errno.into(),
        Ok(never) => never_returns(never),
    }
}

fn never_returns(never: Infallible) -> io::Error {
    match never {}
}
