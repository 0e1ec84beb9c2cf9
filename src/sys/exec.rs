//! Becoming a program.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;

use nix::unistd::execvp;

/// Becomes this program, looked for in `PATH` where its name has no slash, with the environment of
/// this process. Its standard streams, and what isn't closed by `exec`, are its.
///
/// # Errors
/// What `execvp(3)` gives: `ENOENT` where there is none, `EACCES` where it can't be executed.
pub fn become_program(arguments: &[CString]) -> io::Error {
    let Some(program) = arguments.first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    match execvp(program, arguments) {
        Err(errno) => errno.into(),
        Ok(never) => never_returns(never),
    }
}

fn never_returns(never: Infallible) -> io::Error {
    match never {}
}
