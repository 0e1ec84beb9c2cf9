//! Which programs in engines' configuration files are this one: by their names, since the files
//! themselves may be gone already.

use std::path::Path;

use super::binary::LINK_PREFIX;
use super::error::IntegrateError;
use super::runtime_name::RuntimeName;

/// What the entry of the runtime `name` runs, where that is this program.
///
/// # Errors
/// It runs another one, or doesn't say: the entry isn't ours to change.
pub(super) fn ours(name: &RuntimeName, file: &Path, runs: &str) -> Result<String, IntegrateError> {
    if is_ours(runs) {
        return Ok(runs.to_owned());
    }
    let runs = if runs.is_empty() {
        "something else"
    } else {
        runs
    };
    Err(IntegrateError::ForeignRuntime {
        name: name.clone(),
        path: file.to_owned(),
        runs: runs.to_owned(),
    })
}

/// Whether a path in an engine's configuration is this program, by its name: the file may be gone
/// already.
pub(super) fn is_ours(path: &str) -> bool {
    Path::new(path)
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with(LINK_PREFIX))
}

/// Whether `path` is one of our links (which `uninstall` takes away) and not the program's file
/// (which it doesn't).
pub(super) fn is_link(path: &Path) -> bool {
    path.to_str().is_some_and(is_ours)
        && path.symlink_metadata().is_ok_and(|meta| meta.is_symlink())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        assert!(is_ours("/opt/boundary-shim") && is_ours("/usr/local/bin/boundary-npm"));
        assert!(
            !is_ours("/usr/bin/runc")
                && !is_ours("/opt/boundary-shim/runc")
                && !is_ours("")
                && !is_ours("boundary")
        );
    }
}
