//! Running daemons of engines: which processes they are, which configuration file each was told to
//! read, and whether it began after its files were last changed.
//!
//! A process is taken for one only where it runs as root and sees our root directory: one inside a
//! container has a file of the same path that isn't ours. What it goes by is derived from what no
//! container can write: its command line, its files, and the times of both. Must not know what is
//! in those files.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::container::state::ProcessId;

/// How an engine's daemon is known.
#[derive(Debug, Clone, Copy)]
pub struct DaemonKind {
    /// Its process's name.
    pub program: &'static str,
    /// The flags that name its configuration file.
    pub config_flags: &'static [&'static str],
    /// What it reads without them.
    pub default_config: &'static str,
}

/// One that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonProcess {
    process: ProcessId,
    /// Its configuration file as it was named, and without links.
    named: PathBuf,
    config: PathBuf,
    arguments: Vec<String>,
}

/// All of a kind.
///
/// # Errors
/// `/proc` can't be read. Processes that end meanwhile are skipped.
pub fn all(kind: DaemonKind) -> io::Result<impl Iterator<Item = DaemonProcess>> {
    let pids = std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter_map(move |pid| DaemonProcess::of(pid, kind)))
}

impl DaemonProcess {
    /// The process, if it is such a daemon in our view of the file system.
    #[must_use]
    pub fn of(pid: i32, kind: DaemonKind) -> Option<Self> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let name = std::fs::read(proc.join("comm")).ok()?;
        if name.strip_suffix(b"\n")? != kind.program.as_bytes()
            || proc.metadata().ok()?.uid() != 0
            || !same_file(&proc.join("root"), Path::new("/"))?
        {
            return None;
        }
        let arguments = arguments(&proc.join("cmdline")).ok()?;
        let named = kind
            .config_flags
            .iter()
            .find_map(|flag| values(&arguments, flag).last().copied())
            .unwrap_or(kind.default_config)
            .to_owned();
        let directory = std::fs::read_link(proc.join("cwd")).ok()?;
        let process = ProcessId::of(pid).ok()?;
        Some(Self::told(process, directory.join(named), arguments))
    }

    /// A process that was told to read this file.
    #[must_use]
    pub fn told(process: ProcessId, named: PathBuf, arguments: Vec<String>) -> Self {
        Self {
            process,
            config: resolved(&named),
            named,
            arguments,
        }
    }

    /// Which process it is.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Its configuration file, without links.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The values of a flag on its command line, `--flag value` and `--flag=value` alike.
    #[must_use]
    pub fn flag(&self, flag: &str) -> Vec<&str> {
        values(&self.arguments, flag)
    }

    /// Whether none of these, nor a link by which its file was named, was changed since it began. By
    /// the time of the inode's change, which no copying sets back; what can't be told counts as
    /// changed.
    #[must_use]
    pub fn began_after(&self, files: &[impl AsRef<Path>]) -> bool {
        let link = self.named.symlink_metadata().ok();
        let all = files.iter().map(|file| file.as_ref().metadata());
        let began = self.process.began();
        all.chain(link.map(Ok)).all(|meta| {
            meta.ok()
                .and_then(|meta| changed(&meta))
                .zip(began)
                .is_some_and(|(changed, began)| changed < began)
        })
    }
}

/// A path without links, as far as it exists.
#[must_use]
pub fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute
        .ancestors()
        .find_map(|above| Some((above.canonicalize().ok()?, above)));
    match existing {
        Some((real, above)) => match absolute.strip_prefix(above) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
        None => absolute,
    }
}

fn changed(meta: &std::fs::Metadata) -> Option<SystemTime> {
    let since = Duration::new(
        meta.ctime().try_into().ok()?,
        meta.ctime_nsec().try_into().ok()?,
    );
    SystemTime::UNIX_EPOCH.checked_add(since)
}

fn same_file(one: &Path, other: &Path) -> Option<bool> {
    let (one, other) = (one.metadata().ok()?, other.metadata().ok()?);
    Some((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

fn arguments(cmdline: &Path) -> io::Result<Vec<String>> {
    /// The kernel's own limit for a single argument (`MAX_ARG_STRLEN`); daemons have far less in
    /// all.
    const MOST: u64 = 128 * 1024;
    let mut bytes = Vec::new();
    std::fs::File::open(cmdline)?
        .take(MOST)
        .read_to_end(&mut bytes)?;
    Ok(bytes
        .split(|byte| *byte == 0)
        .map(|word| OsStr::from_bytes(word).to_string_lossy().into_owned())
        .collect())
}

/// As pflag reads it. A value that looks like a flag is taken for one: that errs towards touching
/// less.
fn values<'a>(arguments: &'a [String], flag: &str) -> Vec<&'a str> {
    let next = arguments.iter().skip(1).map(String::as_str).chain([""]);
    let value = |(word, next): (&'a String, &'a str)| match word.strip_prefix(flag)? {
        "" => Some(next),
        rest => rest.strip_prefix('='),
    };
    arguments.iter().zip(next).filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn values_are_found_attached_and_apart() {
        let line = words(
            "dockerd --dns 1.1.1.1 --dns=8.8.8.8 --dns-search x --config-file=/a --config-file /b -H fd://",
        );
        assert_eq!(values(&line, "--dns"), ["1.1.1.1", "8.8.8.8"]);
        assert_eq!(values(&line, "--config-file"), ["/a", "/b"]);
        assert!(values(&line, "--add-runtime").is_empty());
        assert_eq!(values(&words("dockerd --dns"), "--dns"), [""]);
    }

    #[test]
    fn paths_are_the_same_through_links_and_before_they_exist() {
        let directory = tempfile::tempdir().expect("a directory");
        let real = directory.path().canonicalize().expect("a path");
        std::os::unix::fs::symlink(&real, real.join("link")).expect("a link");
        assert_eq!(
            resolved(&real.join("link/a/daemon.json")),
            real.join("a/daemon.json")
        );
        assert_eq!(resolved(&real.join("link")), real);
    }

    #[test]
    fn every_file_counts_and_the_link_to_the_first() {
        let directory = tempfile::tempdir().expect("a directory");
        let new = directory.path().join("new");
        std::fs::File::create(&new).expect("written");
        let old = Path::new("/etc/passwd");
        let process =
            ProcessId::of(i32::try_from(std::process::id()).expect("a pid")).expect("it lives");
        let told = |named: &Path| DaemonProcess::told(process, named.to_owned(), Vec::new());
        assert!(told(old).began_after(&[old]));
        assert!(!told(old).began_after(&[old, &new]));
        assert!(!told(old).began_after(&[&directory.path().join("missing")]));
        std::os::unix::fs::symlink(old, directory.path().join("link")).expect("a link");
        assert!(!told(&directory.path().join("link")).began_after(&[old]));
    }
}
