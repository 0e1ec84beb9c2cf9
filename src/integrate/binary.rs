//! The program's executable as engines run it: where it is, who could replace it, and its links.
//!
//! Invariant: no engine is told a path that others than root could replace. An engine runs the file
//! as root, so whoever can write to it, or to a directory above it, is root.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::step::Step;
use crate::policy::{Mode, PolicyName};

/// The policy that the binary itself stands for, without a link.
pub const DEFAULT_POLICY: &str = "default";

/// Links to the binary are called this and the policy's name, and `+observe` where that is the mode.
pub(super) const LINK_PREFIX: &str = "boundary-";

/// Why an engine must not be told of a file.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// It or a directory above it can't be looked at.
    #[error("can't access {path}")]
    Unreadable {
        /// What was looked at.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else than root could replace it.
    #[error("{path} {why}, who could become root by replacing it: {ADVICE}")]
    Replaceable {
        /// The file, or the directory on the way to it.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something else has the link's name.
    #[error("{path} exists and isn't a link to {binary}: remove it, or choose another policy name")]
    Occupied {
        /// The link's path.
        path: PathBuf,
        /// What it should point to.
        binary: PathBuf,
    },
    /// `boundary-shim` is the program's own name and follows the default policy.
    #[error(
        "the policy can't be called {0}, as {LINK_PREFIX}{0} means the default policy: choose another name"
    )]
    Taken(PolicyName),
}

/// What follows [`LINK_PREFIX`] in the program's own name.
const PROGRAM: &str = "shim";

const ADVICE: &str = "run sudo install -m 755 boundary-shim /usr/local/bin/ and use that copy";

/// This program's file, links resolved, where nobody but root can replace it.
///
/// # Errors
/// The file or a directory above it isn't root's, or others may write to it.
pub fn trusted(binary: &Path) -> Result<PathBuf, BinaryError> {
    let unreadable = |source| BinaryError::Unreadable {
        path: binary.to_owned(),
        source,
    };
    let binary = binary.canonicalize().map_err(unreadable)?;
    for path in binary.ancestors() {
        let meta = path.metadata().map_err(|source| BinaryError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        // Debian's /usr/local may be writable for the group `staff`, which is root's equal there by
        // policy.
        let writers = if path == binary { 0o022 } else { 0o002 };
        let why = match &meta {
            meta if meta.uid() != 0 => "isn't owned by root",
            meta if meta.mode() & writers != 0 => "is writable by others",
            _ => continue,
        };
        return Err(BinaryError::Replaceable {
            path: path.to_owned(),
            why,
        });
    }
    Ok(binary)
}

/// The path that makes the runtime follow `policy` in this mode, and the step that makes it where it isn't
/// there.
///
/// # Errors
/// Something else is in the link's place, or means something else.
pub fn path_for(
    binary: &Path,
    policy: &PolicyName,
    mode: Mode,
) -> Result<(PathBuf, Option<Step>), BinaryError> {
    // No policy's name has a plus in it.
    let name = match (policy.as_str(), mode) {
        (DEFAULT_POLICY, Mode::Enforce) => return Ok((binary.to_owned(), None)),
        (PROGRAM, _) => return Err(BinaryError::Taken(policy.clone())),
        (DEFAULT_POLICY, Mode::Observe) => format!("{PROGRAM}+{mode}"),
        (policy, Mode::Enforce) => policy.to_owned(),
        (policy, Mode::Observe) => format!("{policy}+{mode}"),
    };
    let link = binary.with_file_name(format!("{LINK_PREFIX}{name}"));
    match link.symlink_metadata() {
        Ok(meta)
            if meta.is_symlink() && link.canonicalize().is_ok_and(|target| target == binary) =>
        {
            Ok((link, None))
        }
        Ok(_) => Err(BinaryError::Occupied {
            path: link,
            binary: binary.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Relative, so that it holds where the directory is seen under another path.
            let target = binary
                .file_name()
                .map_or_else(|| binary.to_owned(), PathBuf::from);
            Ok((link.clone(), Some(Step::Link { link, target })))
        }
        Err(source) => Err(BinaryError::Unreadable { path: link, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::integrate::ownership;

    #[test]
    fn the_systems_own_programs_are_trusted() {
        let shell = Path::new("/bin/sh");
        assert_eq!(
            trusted(shell).expect("root owns it"),
            shell.canonicalize().expect("it exists")
        );
    }

    #[test]
    fn a_file_below_a_directory_that_anyone_may_write_to_is_refused() {
        let directory = tempfile::tempdir_in("/tmp").expect("a directory");
        let file = directory.path().join("boundary-shim");
        std::fs::File::create(&file).expect("a file");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("a mode");
        let error = trusted(&file).expect_err("/tmp is on the way").to_string();
        assert!(error.contains("install -m 755"), "{error}");
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        assert_eq!(
            trusted(Path::new("/nonexistent/shim"))
                .expect_err("not there")
                .to_string(),
            "can't access /nonexistent/shim"
        );
    }

    #[test]
    fn a_policy_is_followed_through_a_link_beside_the_binary() {
        let directory = tempfile::tempdir().expect("a directory");
        let binary = directory
            .path()
            .canonicalize()
            .expect("a path")
            .join("boundary-shim");
        std::fs::File::create(&binary).expect("a file");
        let npm: PolicyName = "npm".parse().expect("a name");

        let (path, step) = path_for(&binary, &npm, Mode::Enforce).expect("free");
        assert_eq!(
            step,
            Some(Step::Link {
                link: path.clone(),
                target: "boundary-shim".into()
            })
        );
        symlink("boundary-shim", &path).expect("a link");
        assert_eq!(
            path_for(&binary, &npm, Mode::Enforce).expect("ours"),
            (path.clone(), None)
        );
        assert!(ownership::is_link(&path) && !ownership::is_link(&binary));

        std::fs::remove_file(&path).expect("removed");
        symlink("/bin/sh", &path).expect("a link");
        assert!(matches!(
            path_for(&binary, &npm, Mode::Enforce),
            Err(BinaryError::Occupied { .. })
        ));
    }

    #[test]
    fn the_default_policy_needs_no_link() {
        let binary = Path::new("/usr/local/bin/boundary-shim");
        let policy = DEFAULT_POLICY.parse().expect("a name");
        assert_eq!(
            path_for(binary, &policy, Mode::Enforce).expect("nothing to look at"),
            (binary.to_owned(), None)
        );
    }

    #[test]
    fn the_programs_own_name_stands_for_no_policy() {
        let shim = PolicyName::parse(PROGRAM).expect("a name");
        let error = path_for(Path::new("/opt/other"), &shim, Mode::Enforce)
            .expect_err("it means the default")
            .to_string();
        assert!(
            error.contains("boundary-shim means the default policy"),
            "{error}"
        );
    }

    #[test]
    fn the_mode_is_in_the_links_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let binary = directory.path().join("boundary-shim");
        for (policy, expected) in [
            ("npm", "boundary-npm+observe"),
            ("default", "boundary-shim+observe"),
        ] {
            let policy = policy.parse().expect("a name");
            let (link, step) = path_for(&binary, &policy, Mode::Observe).expect("free");
            assert_eq!(link, directory.path().join(expected));
            assert!(matches!(step, Some(Step::Link { .. })), "{policy}");
        }
        let taken = "shim".parse().expect("a name");
        assert!(path_for(&binary, &taken, Mode::Observe).is_err());
    }
}
