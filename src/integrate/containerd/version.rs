//! The node's containerd, asked for its version.

use std::io;
use std::path::Path;

use crate::integrate::error::IntegrateError;
use crate::sys::process;

/// The first containerd that reads each file by the names of the file's own version
/// (`LoadConfigWithPlugins`); before, all went by the main file's.
pub(super) const OWN_NAMES: (u32, u32) = (2, 3);

/// Major and minor, from `containerd github.com/containerd/containerd/v2 v2.1.4 …`.
pub(super) fn version_of(program: &Path, what: &'static str) -> Result<(u32, u32), IntegrateError> {
    let version = process::answer(program, &["--version"]).and_then(|said| {
        let number = said.split_whitespace().nth(2).and_then(|word| {
            let mut numbers = word.trim_start_matches('v').split(['.', '-', '+', '~']);
            let mut next = || numbers.next()?.parse().ok();
            Some((next()?, next()?))
        });
        number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "malformed response"))
    });
    version.map_err(|source| IntegrateError::Version {
        program: program.to_owned(),
        what,
        source,
    })
}
