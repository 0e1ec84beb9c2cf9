//! Executes the real runtime in place of this process: same PID, environment, directory,
//! descriptors and signals; only argv differs.
//!
//! `exec`, never spawn: pid files, console sockets, LISTEN_FDS, PDEATHSIG, exit codes and signals
//! stay correct that way without any code.
//!
//! Invariant: the real runtime is never this program itself, which would call itself forever.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::escape::quoted;
use crate::sys::process::HOST_PATH;
use crate::sys::sealed::Sealed;
use crate::sys::signal;

/// This program, whatever name it was called by.
const OURSELVES: &str = "/proc/self/exe";

/// Why the real runtime can't be called.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandoffError {
    #[error("the runtime {} is neither a name nor an absolute path", quoted(&.0.to_string_lossy()))]
    Relative(PathBuf),
    #[error("no runtime {} in PATH or {HOST_PATH}: install it, or name another in the host's configuration", quoted(&.0.to_string_lossy()))]
    NotFound(PathBuf),
    #[error("can't use the runtime {}", .0.display())]
    Unusable(PathBuf, #[source] nix::errno::Errno),
    #[error("the runtime {} is not a regular file", .0.display())]
    NotRegular(PathBuf),
    #[error("the runtime {} is this program itself", .0.display())]
    Ourselves(PathBuf),
    #[error("the runtime {} is a script that calls this program again", .0.display())]
    LeadsBack(PathBuf),
    #[error("can't run {}", .0.display())]
    Exec(PathBuf, #[source] nix::errno::Errno),
    #[error("an argument contains a zero byte")]
    ZeroByte,
}

/// Finds the real runtime: an absolute path, or a name to be looked for.
pub(super) fn find(runtime: impl AsRef<Path>) -> Result<PathBuf, HandoffError> {
    let runtime = runtime.as_ref();
    if runtime.is_absolute() {
        return usable(runtime.to_owned());
    }
    if runtime.file_name() != Some(runtime.as_os_str()) {
        return Err(HandoffError::Relative(runtime.to_owned()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // podman calls some verbs with no environment at all.
    let directories = std::env::split_paths(&path).chain(std::env::split_paths(HOST_PATH));
    first_in(directories, runtime)
}

/// Finds a runtime of this name among those that CRI-O's packages bring.
pub(super) fn find_of_crio(name: &str) -> Result<PathBuf, HandoffError> {
    first_in(std::iter::once(PathBuf::from(CRIO_PATH)), Path::new(name))
}

/// Where CRI-O's packages keep their runtimes, which no `PATH` leads to.
const CRIO_PATH: &str = "/usr/libexec/crio";

fn first_in(
    directories: impl Iterator<Item = PathBuf>,
    runtime: &Path,
) -> Result<PathBuf, HandoffError> {
    let mut failure = None;
    for candidate in directories
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(runtime))
    {
        match usable(candidate) {
            Ok(found) => return Ok(found),
            Err(HandoffError::Unusable(
                _,
                nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR,
            )) => {}
            // A link of the runtime's name that leads to us stands before the real one: look on.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| HandoffError::NotFound(runtime.to_owned())))
}

/// Checks that a program can be run and is not this one, links followed.
fn usable(path: PathBuf) -> Result<PathBuf, HandoffError> {
    if let Err(error) = access(&path, AccessFlags::X_OK) {
        return Err(HandoffError::Unusable(path, error));
    }
    if is_this_program(&path) {
        return Err(HandoffError::Ourselves(path));
    }
    if !path.is_file() {
        return Err(HandoffError::NotRegular(path));
    }
    if leads_back(&path) {
        Err(HandoffError::LeadsBack(path))
    } else {
        Ok(path)
    }
}

/// Whether a program is a script that names us, as dockerd's wrappers for `runtimeArgs` do: it
/// would call us for ever. What can't be read isn't a script.
fn leads_back(path: &Path) -> bool {
    let mut text = Vec::with_capacity(2);
    let Ok(mut file) = std::fs::File::open(path) else {
        return false;
    };
    if file.by_ref().take(2).read_to_end(&mut text).is_err() || text != b"#!" {
        return false;
    }
    let read = file.take(SCRIPT_LIMIT).read_to_end(&mut text);
    let ours = |name: &[u8]| text.windows(name.len()).any(|words| words == name);
    read.is_ok() && OUR_NAMES.into_iter().any(ours)
}

/// The most that is read of a script.
const SCRIPT_LIMIT: u64 = 64 << 10;
/// What a script calls us by: the program, and the links that stand for policies
/// (`integrate::binary`).
const OUR_NAMES: [&[u8]; 2] = [b"bin/boundary-", b"boundary-shim"];

/// Whether a path leads to the file that runs now, links followed.
pub(super) fn is_this_program(path: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    matches!((identity(path), identity(Path::new(OURSELVES))), (Ok(other), Ok(own)) if other == own)
}

/// Executes the program in place of this one. Its `argv[0]` is its path: crun chooses a handler by
/// it. `file`: what it is to inherit besides the descriptors that this process did.
pub(super) fn become_program(
    path: &Path,
    arguments: &[OsString],
    file: Option<&Sealed>,
) -> anyhow::Result<Infallible> {
    let text = |word: &OsStr| CString::new(word.as_bytes()).map_err(|_| HandoffError::ZeroByte);
    let program = text(path.as_os_str())?;
    let words = std::iter::once(path.as_os_str()).chain(arguments.iter().map(OsString::as_os_str));
    let words = words.map(text).collect::<Result<Vec<_>, _>>()?;
    signal::restore_pipe()?;
    file.map_or(Ok(()), Sealed::hand_on)?;
    // `execv` passes the environment as it is, entries without `=` included; a copy of ours would
    // lose those.
    nix::unistd::execv(&program, &words)
        .map_err(|error| HandoffError::Exec(path.to_owned(), error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_this_program_is_not_the_real_runtime() {
        let directory = tempfile::tempdir().unwrap();
        let (link, other) = (directory.path().join("runc"), directory.path().join("link"));
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &link).unwrap();
        std::os::unix::fs::symlink(&link, &other).unwrap();
        for path in [link, other] {
            assert_eq!(find(&path), Err(HandoffError::Ourselves(path)));
        }
    }

    #[test]
    fn a_script_that_calls_this_program_is_not_the_real_runtime() {
        let directory = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let path = directory.path().join(name);
            crate::sys::file::replace(&path, text.as_bytes(), 0o755).unwrap();
            find(&path)
        };
        assert!(matches!(
            script("runc", "#!/bin/sh\n/opt/bin/boundary-npm $@\n"),
            Err(HandoffError::LeadsBack(_))
        ));
        assert!(matches!(
            script("a", "#!/bin/sh\nexec boundary-shim \"$@\"\n"),
            Err(HandoffError::LeadsBack(_))
        ));
        assert!(script("b", "#!/bin/sh\nexec runc \"$@\"\n").is_ok());
        assert!(script("c", "no script: boundary-shim").is_ok());
    }

    #[test]
    fn what_can_not_be_run_is_refused_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::File::create(&path).unwrap();
        assert!(matches!(find(&path), Err(HandoffError::Unusable(..))));
        assert_eq!(
            find(directory.path()),
            Err(HandoffError::NotRegular(directory.path().into()))
        );
        assert!(matches!(find("a/b"), Err(HandoffError::Relative(_))));
        assert!(matches!(find(""), Err(HandoffError::Relative(_))));
        assert!(matches!(
            find("no-such-runtime"),
            Err(HandoffError::NotFound(_))
        ));
    }
}
