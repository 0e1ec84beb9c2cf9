//! Becoming a program, and which one a process is.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

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

/// Whether a process runs a file that isn't any more where it was: another version was installed since.
/// None where that can't be seen.
#[must_use]
pub fn was_replaced(pid: i32) -> Option<bool> {
    let link = format!("/proc/{pid}/exe");
    let runs = std::fs::metadata(&link).ok()?;
    // Where it was removed, the kernel writes so behind its name, and that is no file's.
    let now = std::fs::metadata(std::fs::read_link(&link).ok()?).ok();
    let same = now.is_some_and(|now| (now.dev(), now.ino()) == (runs.dev(), runs.ino()));
    Some(!same)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.kill().expect("it runs");
            self.0.wait().expect("it ended");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a process to look at")]
    fn a_process_whose_file_was_removed_or_is_another_runs_a_replaced_one() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("sleep");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let running = Running(Command::new(&program).arg("600").spawn().unwrap());
        let replaced = || was_replaced(running.0.id().cast_signed());
        assert_eq!(replaced(), Some(false));
        std::fs::remove_file(&program).unwrap();
        assert_eq!(replaced(), Some(true));
        std::fs::copy("/bin/sleep", &program).unwrap();
        assert_eq!(replaced(), Some(true));
        assert_eq!(was_replaced(0), None);
    }
}
