//! One change to the host, as a value: printed by `--dry-run`, otherwise applied, and undone if a
//! later one fails.
//!
//! Must not know any engine. Steps are planned only if needed: an empty list means that nothing is
//! left to do.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::dns_probe;
use crate::dockerd::Daemon;
use crate::sys::{file, process};

/// Mode of a file that wasn't there: engines' configuration is everyone's to read.
const NEW_FILE: u32 = 0o644;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a directory that isn't there, mode 0755.
    Directory(PathBuf),
    /// Make a symbolic link that isn't there.
    Link {
        /// The link.
        link: PathBuf,
        /// What it points to, relative to the link's directory.
        target: PathBuf,
    },
    /// Replace a file, or make it with mode 0644.
    Write {
        /// The file.
        path: PathBuf,
        /// All of its content now; none where it isn't there.
        before: Option<String>,
        /// All of its new content.
        after: String,
        /// What is different, one line each.
        changes: Vec<String>,
    },
    /// Have a running dockerd read its file again.
    Reload(Daemon),
    /// Restart a service of systemd's.
    Restart(String),
    /// Ask a DNS server, which must answer.
    Ask(IpAddr),
    /// Load the AppArmor profiles that a file defines.
    LoadProfiles {
        /// The program that does it.
        parser: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// Unload them.
    UnloadProfiles {
        /// The program that does it.
        parser: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// Remove a symbolic link.
    Unlink(PathBuf),
    /// Remove a directory in which nothing is left.
    RemoveFolder(PathBuf),
    /// Remove a file, or a directory and all that is in it.
    RemoveTree(PathBuf),
    /// Remove a file of ours in which nothing is left.
    Remove {
        /// The file.
        path: PathBuf,
        /// All of its content now.
        before: String,
        /// What is different without it, one line each.
        changes: Vec<String>,
    },
}

/// A step that failed; those before it are undone as far as they can be.
#[derive(Debug, thiserror::Error)]
#[error("can't {step}")]
pub struct StepError {
    /// In the imperative: `create /etc/boundary`.
    step: String,
    source: io::Error,
}

/// Applies steps in order, telling each as it is done.
///
/// # Errors
/// The first failure. What was made before it is gone again, and a written file is as it was.
pub fn apply(
    steps: &[Step],
    mut done: impl FnMut(&Step) -> io::Result<()>,
) -> Result<(), StepError> {
    for (index, step) in steps.iter().enumerate() {
        if let Err(source) = step.apply() {
            let made = steps.iter().take(index);
            made.clone().rev().for_each(Step::undo);
            // Services read their files as these are again.
            let restarts = made.filter(|step| matches!(step, Step::Restart(_)));
            restarts.for_each(|step| drop(step.apply()));
            return Err(StepError {
                step: step.to_string(),
                source,
            });
        }
        // The world's state matters more than a closed stdout.
        let _ = done(step);
    }
    Ok(())
}

impl Step {
    /// What will be different in a written file, one line each.
    #[must_use]
    pub fn changes(&self) -> &[String] {
        match self {
            Self::Write { changes, .. } | Self::Remove { changes, .. } => changes,
            _ => &[],
        }
    }

    fn apply(&self) -> io::Result<()> {
        match self {
            Self::Directory(path) => std::fs::DirBuilder::new().mode(0o755).create(path),
            Self::Link { link, target } => std::os::unix::fs::symlink(target, link),
            Self::Write { path, after, .. } => file::replace(path, after.as_bytes(), NEW_FILE),
            Self::Reload(daemon) => daemon.reload(),
            Self::Restart(unit) => {
                process::answer(Path::new("systemctl"), &["restart", unit]).map(drop)
            }
            Self::Ask(server) if dns_probe::answers(*server) => Ok(()),
            Self::Ask(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no response")),
            Self::LoadProfiles { parser, file } => load_profiles(parser, file),
            Self::UnloadProfiles { parser, file } => unload_profiles(parser, file),
            Self::Unlink(path) | Self::Remove { path, .. } => std::fs::remove_file(path),
            Self::RemoveFolder(path) => std::fs::remove_dir(path),
            Self::RemoveTree(path) if path.is_dir() => std::fs::remove_dir_all(path),
            Self::RemoveTree(path) => std::fs::remove_file(path),
        }
    }

    /// Best effort: the error that matters is the one that led here. A directory that others filled
    /// meanwhile stays.
    fn undo(&self) {
        let _ = match self {
            Self::Directory(path) => std::fs::remove_dir(path),
            Self::Link { link, .. } => std::fs::remove_file(link),
            Self::Write {
                path,
                before: Some(before),
                ..
            }
            | Self::Remove { path, before, .. } => file::replace(path, before.as_bytes(), NEW_FILE),
            Self::Write {
                path, before: None, ..
            } => std::fs::remove_file(path),
            Self::UnloadProfiles { parser, file } => load_profiles(parser, file),
            Self::RemoveFolder(path) => Self::Directory(path.clone()).apply(),
            // A profile that no container is given changes nothing.
            Self::LoadProfiles { .. }
            | Self::Reload(_)
            | Self::Restart(_)
            | Self::Ask(_)
            | Self::RemoveTree(_)
            | Self::Unlink(_) => Ok(()),
        };
    }
}

/// Has the kernel replace the profiles of a file by those in it, and caches them for the next boot.
fn load_profiles(parser: &Path, file: &Path) -> io::Result<()> {
    let file = file.to_string_lossy();
    process::answer(parser, &["--replace", "--write-cache", &file]).map(drop)
}

/// Has the kernel remove the profiles of a file. It is an error if one of them isn't loaded.
fn unload_profiles(parser: &Path, file: &Path) -> io::Result<()> {
    let file = file.to_string_lossy();
    process::answer(parser, &["--remove", &file]).map(drop)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "create {}", path.display()),
            Self::Link { link, target } => {
                write!(f, "link {} to {}", link.display(), target.display())
            }
            Self::Write { path, .. } => write!(f, "write {}", path.display()),
            Self::Reload(daemon) => write!(
                f,
                "reload the configuration of dockerd (pid {})",
                daemon.pid()
            ),
            Self::Restart(unit) => write!(f, "restart {unit}"),
            Self::Ask(server) => write!(f, "query the DNS server {server}"),
            Self::LoadProfiles { file, .. } => {
                write!(f, "load the AppArmor profiles of {}", file.display())
            }
            Self::UnloadProfiles { file, .. } => {
                write!(f, "unload the AppArmor profiles of {}", file.display())
            }
            Self::Unlink(path) | Self::Remove { path, .. } | Self::RemoveFolder(path) => {
                write!(f, "remove {}", path.display())
            }
            Self::RemoveTree(path) => write!(f, "remove all of {}", path.display()),
        }
    }
}
