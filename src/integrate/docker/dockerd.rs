//! Running dockerds: which one reads a given configuration file, with what flags, and how it reads it again.
//!
//! Must not know what is in the file. A process is believed to be dockerd only where it is root's and sees our root
//! directory: one inside a container has a file of the same path that isn't ours.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What dockerd reads unless `--config-file` names another.
pub const DEFAULT_CONFIG: &str = "/etc/docker/daemon.json";

/// A running dockerd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    pid: i32,
    config: PathBuf,
    arguments: Vec<String>,
}

/// The dockerds that read this configuration file; the file itself need not exist yet.
///
/// # Errors
/// `/proc` can't be read. Processes that end meanwhile are no error.
pub fn reading(config: &Path) -> io::Result<Vec<Daemon>> {
    let config = resolved(config);
    let pids = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter_map(Daemon::of).filter(|daemon| daemon.config == config).collect())
}

impl Daemon {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The values of a flag on its command line, `--flag value` and `--flag=value` alike.
    #[must_use]
    pub fn flag(&self, flag: &str) -> Vec<&str> {
        values(&self.arguments, flag)
    }

    /// Has it read its configuration again (SIGHUP). What a reload changes is dockerd's choice: runtimes yes, `dns` no.
    /// A dockerd that has ended meanwhile is no error: it reads the file when it starts.
    ///
    /// # Errors
    /// The signal can't be sent.
    pub fn reload(&self) -> io::Result<()> {
        // Looked at again, so that a reused process id isn't taken for it: SIGHUP ends most programs.
        if Self::of(self.pid).as_ref() != Some(self) {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), Signal::SIGHUP) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The process, if it is a dockerd in our view of the file system.
    fn of(pid: i32) -> Option<Self> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let is_dockerd = std::fs::read(proc.join("comm")).ok()? == b"dockerd\n";
        if !is_dockerd || proc.metadata().ok()?.uid() != 0 || !same_file(&proc.join("root"), Path::new("/"))? {
            return None;
        }
        let arguments = arguments(&proc.join("cmdline")).ok()?;
        let named = values(&arguments, "--config-file").last().map_or(DEFAULT_CONFIG, |value| *value).to_owned();
        let directory = std::fs::read_link(proc.join("cwd")).ok()?;
        Some(Self { pid, config: resolved(&directory.join(named)), arguments })
    }
}

fn same_file(one: &Path, other: &Path) -> Option<bool> {
    let (one, other) = (one.metadata().ok()?, other.metadata().ok()?);
    Some((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

fn arguments(cmdline: &Path) -> io::Result<Vec<String>> {
    /// The kernel's own limit for a single argument (`MAX_ARG_STRLEN`); dockerds have far less in all.
    const MOST: u64 = 128 * 1024;
    let mut bytes = Vec::new();
    std::fs::File::open(cmdline)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_string_lossy().into_owned()).collect())
}

/// As pflag reads it. A value that looks like a flag is taken for one: that errs towards touching less.
fn values<'a>(arguments: &'a [String], flag: &str) -> Vec<&'a str> {
    let next = arguments.iter().skip(1).map(String::as_str).chain([""]);
    let value = |(word, next): (&'a String, &'a str)| match word.strip_prefix(flag)? {
        "" => Some(next),
        rest => rest.strip_prefix('='),
    };
    arguments.iter().zip(next).filter_map(value).collect()
}

/// A path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute.ancestors().find_map(|above| Some((above.canonicalize().ok()?, above)));
    match existing {
        Some((real, above)) => match absolute.strip_prefix(above) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
        None => absolute,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn values_are_found_attached_and_apart() {
        let line =
            words("dockerd --dns 1.1.1.1 --dns=8.8.8.8 --dns-search x --config-file=/a --config-file /b -H fd://");
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
        assert_eq!(resolved(&real.join("link/a/daemon.json")), real.join("a/daemon.json"));
        assert_eq!(resolved(&real.join("link")), real);
    }

    #[test]
    fn this_test_is_no_dockerd() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        assert_eq!(Daemon::of(own), None);
    }
}
