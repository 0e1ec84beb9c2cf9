//! Running dockerds: which one reads a given configuration file or keeps a container's files, with
//! which flags, whether it was started with `dns`, and how to have it reload its file.
//!
//! A process is taken for dockerd only where it runs as root and sees our root directory: one
//! inside a container has a file of the same path that isn't ours. dockerd doesn't reveal which DNS
//! servers it was started with, so that is derived from what no container can write: its command
//! line, its file, and the times of both.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::container::state::ProcessId;
use crate::sys::{file, links};

/// What dockerd reads unless `--config-file` names another.
pub const DEFAULT_CONFIG: &str = "/etc/docker/daemon.json";
/// Where it keeps what it knows, unless it is told otherwise.
const DEFAULT_DATA: &str = "/var/lib/docker";
/// The bridge of its network `bridge`, unless it is told otherwise.
const DEFAULT_BRIDGE: &str = "docker0";
/// One empty file for each dockerd that was seen to go by `dns`, named by its process.
const SEEN: &str = "/run/boundary-dockerd";
/// The most that is read of its file.
const LARGEST: u64 = 1 << 20;

/// A running dockerd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    process: ProcessId,
    /// Its configuration file as it was named, and without links.
    named: PathBuf,
    config: PathBuf,
    arguments: Vec<String>,
}

/// The dockerds that read this configuration file; the file itself need not exist yet.
///
/// # Errors
/// `/proc` can't be read. Processes that end meanwhile are skipped.
pub fn reading(config: &Path) -> io::Result<Vec<Daemon>> {
    let config = resolved(config);
    Ok(all()?.filter(|daemon| daemon.config == config).collect())
}

/// The dockerds below whose data this directory is.
///
/// # Errors
/// `/proc` can't be read. Processes that end meanwhile are skipped.
pub fn keeping(directory: &Path) -> io::Result<Vec<Daemon>> {
    let directory = resolved(directory);
    Ok(all()?
        .filter(|daemon| directory.starts_with(daemon.data()))
        .collect())
}

fn all() -> io::Result<impl Iterator<Item = Daemon>> {
    let pids = std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter_map(Daemon::of))
}

impl Daemon {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Whether it was started with DNS servers of its own, which it asks through containers'
    /// networks. A reload changes nothing about that (tried with 20.10.24 and 28.5.2), so what was
    /// once seen counts as long as the process lives, whatever becomes of its file: it is noted
    /// under `/run`.
    #[must_use]
    pub fn goes_by_dns(&self) -> bool {
        let note = Path::new(SEEN).join(format!("{}-{}", self.process.pid, self.process.started));
        if note.exists() {
            return true;
        }
        let does = self.was_started_with_dns();
        if does {
            // Without the note the next change of the file asks for a restart that isn't needed.
            let _ = std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(SEEN);
            let _ = file::replace(&note, b"", 0o600);
        }
        does
    }

    /// By its command line, or its file, if that is older than the process.
    fn was_started_with_dns(&self) -> bool {
        !self.flag("--dns").is_empty()
            || (!strings(&self.settings(), "dns").is_empty() && self.began_after_its_file())
    }

    /// The DNS servers of its command line and its file, as that is now.
    #[must_use]
    pub fn servers(&self) -> Vec<IpAddr> {
        let flags = self.flag("--dns").into_iter().map(str::to_owned);
        flags
            .chain(strings(&self.settings(), "dns"))
            .filter_map(|server| server.parse().ok())
            .collect()
    }

    /// The search domains that it gives to containers that were told none, as its command line and
    /// its file have them now.
    #[must_use]
    pub fn search(&self) -> Vec<String> {
        let flags = self.flag("--dns-search").into_iter().map(str::to_owned);
        flags
            .chain(strings(&self.settings(), "dns-search"))
            .collect()
    }

    /// What the word `host-gateway` stands for in `--add-host`: what it was told, else the
    /// addresses of the default bridge (moby's `setHostGatewayIP`; 20.10 takes the IPv4 one where
    /// there are both, 28 both).
    #[must_use]
    pub fn host_gateways(&self) -> Vec<IpAddr> {
        let settings = self.settings();
        let flags = self
            .flag("--host-gateway-ip")
            .into_iter()
            .map(str::to_owned);
        let told: Vec<_> = flags
            .chain(strings(&settings, "host-gateway-ip"))
            .chain(strings(&settings, "host-gateway-ips"))
            .filter_map(|address| address.parse().ok())
            .collect();
        if !told.is_empty() {
            return told;
        }
        let flagged = ["--bridge", "-b"]
            .into_iter()
            .find_map(|flag| self.flag(flag).last().map(|name| (*name).to_owned()));
        let bridge = flagged.or_else(|| strings(&settings, "bridge").pop());
        links::addresses(bridge.as_deref().unwrap_or(DEFAULT_BRIDGE))
    }

    /// The values of a flag on its command line, `--flag value` and `--flag=value` alike.
    #[must_use]
    pub fn flag(&self, flag: &str) -> Vec<&str> {
        values(&self.arguments, flag)
    }

    /// The service of systemd's that it is.
    #[must_use]
    pub fn unit(&self) -> Option<String> {
        unit(&std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid())).ok()?)
    }

    /// Has it read its configuration again (SIGHUP). What a reload changes is dockerd's choice:
    /// runtimes yes, `dns` no. A dockerd that has ended meanwhile is not an error: it reads the
    /// file when it starts.
    ///
    /// # Errors
    /// The signal can't be sent.
    pub fn reload(&self) -> io::Result<()> {
        // Looked at again, so that a reused process id isn't taken for it: SIGHUP ends most
        // programs.
        if Self::of(self.pid()).as_ref() != Some(self) {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid()), Signal::SIGHUP) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The process, if it is a dockerd in our view of the file system.
    fn of(pid: i32) -> Option<Self> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let is_dockerd = std::fs::read(proc.join("comm")).ok()? == b"dockerd\n";
        if !is_dockerd
            || proc.metadata().ok()?.uid() != 0
            || !same_file(&proc.join("root"), Path::new("/"))?
        {
            return None;
        }
        let arguments = arguments(&proc.join("cmdline")).ok()?;
        let named = values(&arguments, "--config-file")
            .last()
            .map_or(DEFAULT_CONFIG, |value| *value)
            .to_owned();
        let directory = std::fs::read_link(proc.join("cwd")).ok()?;
        let named = directory.join(named);
        Some(Self {
            process: ProcessId::of(pid).ok()?,
            config: resolved(&named),
            named,
            arguments,
        })
    }

    /// Its file's content; nothing where it has none.
    fn settings(&self) -> Value {
        serde_json::from_slice(&file::read_regular(&self.config, LARGEST).unwrap_or_default())
            .unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        let flagged = ["--data-root", "--graph", "-g"]
            .into_iter()
            .find_map(|flag| self.flag(flag).last().copied());
        let settings = self.settings();
        let written = || {
            ["data-root", "graph"]
                .into_iter()
                .find_map(|key| settings.get(key)?.as_str())
        };
        resolved(Path::new(flagged.or_else(written).unwrap_or(DEFAULT_DATA)))
    }

    /// Whether neither the file nor the link to it was changed since the process began. By the time
    /// of the inode's change, which no copying sets back; what can't be told counts as changed.
    fn began_after_its_file(&self) -> bool {
        let files = [self.named.symlink_metadata(), self.config.metadata()];
        let began = self.process.began();
        files.into_iter().all(|meta| {
            meta.ok()
                .and_then(|meta| changed(&meta))
                .zip(began)
                .is_some_and(|(c, b)| c < b)
        })
    }
}

/// A text, or a list of texts.
fn strings(settings: &Value, key: &str) -> Vec<String> {
    let one_or_more = match settings.get(key) {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    let texts = one_or_more.iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn changed(meta: &std::fs::Metadata) -> Option<SystemTime> {
    let since = Duration::new(
        meta.ctime().try_into().ok()?,
        meta.ctime_nsec().try_into().ok()?,
    );
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// The service in the paths of `/proc/PID/cgroup`, as `12:pids:/system.slice/docker.service`.
fn unit(cgroups: &str) -> Option<String> {
    let mut parts = cgroups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .flat_map(|path| path.split('/'));
    parts
        .rfind(|part| part.ends_with(".service"))
        .map(str::to_owned)
}

fn same_file(one: &Path, other: &Path) -> Option<bool> {
    let (one, other) = (one.metadata().ok()?, other.metadata().ok()?);
    Some((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

fn arguments(cmdline: &Path) -> io::Result<Vec<String>> {
    /// The kernel's own limit for a single argument (`MAX_ARG_STRLEN`); dockerds have far less in
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

/// A path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
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

    /// This process, as a dockerd that was told this file.
    fn this_process(config: &Path, arguments: &str) -> Daemon {
        let process =
            ProcessId::of(i32::try_from(std::process::id()).expect("a pid")).expect("it lives");
        Daemon {
            process,
            named: config.to_owned(),
            config: resolved(config),
            arguments: words(arguments),
        }
    }

    #[test]
    fn a_file_counts_once_a_process_has_begun_after_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("daemon.json");
        file::replace(&config, br#"{"dns": ["192.0.2.1"]}"#, 0o644).expect("written");
        let daemon = this_process(&config, "dockerd");
        assert!(
            !daemon.was_started_with_dns(),
            "written after the process began"
        );
        assert_eq!(
            daemon.servers(),
            ["192.0.2.1".parse::<IpAddr>().expect("an address")]
        );
        // As if the process began in a quarter of an hour.
        let later = Daemon {
            process: ProcessId {
                started: daemon.process.started + 100_000,
                ..daemon.process
            },
            ..daemon
        };
        assert!(later.was_started_with_dns());
        // A link to it that is newer.
        let older = "/etc/passwd";
        assert!(
            this_process(Path::new(older), "dockerd").began_after_its_file(),
            "an old file"
        );
        std::os::unix::fs::symlink(older, directory.path().join("link")).expect("a link");
        assert!(
            !this_process(&directory.path().join("link"), "dockerd").began_after_its_file(),
            "a new link to it"
        );
        assert!(!this_process(&directory.path().join("missing"), "dockerd").was_started_with_dns());
    }

    #[test]
    fn a_service_is_known_by_its_control_group() {
        assert_eq!(
            unit("0::/system.slice/docker.service\n").as_deref(),
            Some("docker.service")
        );
        let hybrid = "12:pids:/system.slice/docker.service\n1:name=systemd:/system.slice/docker.service/x\n0::/\n";
        assert_eq!(unit(hybrid).as_deref(), Some("docker.service"));
        assert_eq!(unit("0::/user.slice/session-1.scope\n"), None);
    }

    #[test]
    fn the_command_line_always_counts() {
        assert!(
            this_process(Path::new("/nowhere"), "dockerd --dns 192.0.2.1").was_started_with_dns()
        );
        assert!(
            !this_process(Path::new("/nowhere"), "dockerd --dns-search x").was_started_with_dns()
        );
    }

    #[test]
    fn data_lies_where_the_command_line_or_the_file_says() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("daemon.json");
        assert_eq!(
            this_process(&config, "dockerd").data(),
            resolved(Path::new(DEFAULT_DATA))
        );
        file::replace(&config, br#"{"data-root": "/srv/a"}"#, 0o644).expect("written");
        assert_eq!(this_process(&config, "dockerd").data(), Path::new("/srv/a"));
        assert_eq!(
            this_process(&config, "dockerd --data-root=/srv/b").data(),
            Path::new("/srv/b")
        );
    }

    #[test]
    fn search_domains_come_from_the_command_line_and_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("daemon.json");
        file::replace(&config, br#"{"dns-search": ["a.test", "b.test"]}"#, 0o644).expect("written");
        assert_eq!(
            this_process(&config, "dockerd").search(),
            ["a.test", "b.test"]
        );
        let flagged = this_process(
            Path::new("/nowhere"),
            "dockerd --dns-search c.test --dns 192.0.2.1",
        );
        assert_eq!(flagged.search(), ["c.test"]);
    }

    #[test]
    fn the_hosts_gateway_is_what_dockerd_was_told_else_the_bridges_address() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("daemon.json");
        for (text, arguments, expected) in [
            (
                r#"{"host-gateway-ip": "192.0.2.1"}"#,
                "dockerd",
                &["192.0.2.1"][..],
            ),
            (
                r#"{"host-gateway-ips": ["192.0.2.1", "2001:db8::1"]}"#,
                "dockerd",
                &["192.0.2.1", "2001:db8::1"],
            ),
            ("{}", "dockerd --host-gateway-ip=192.0.2.2", &["192.0.2.2"]),
            (r#"{"bridge": "none"}"#, "dockerd", &[]),
        ] {
            file::replace(&config, text.as_bytes(), 0o644).expect("written");
            let expected: Vec<IpAddr> =
                expected.iter().map(|ip| ip.parse().expect("one")).collect();
            assert_eq!(
                this_process(&config, arguments).host_gateways(),
                expected,
                "{text}"
            );
        }
        for (text, arguments) in [(r#"{"bridge": "lo"}"#, "dockerd"), ("{}", "dockerd -b lo")] {
            file::replace(&config, text.as_bytes(), 0o644).expect("written");
            let found = this_process(&config, arguments).host_gateways();
            assert!(found.contains(&IpAddr::from([127, 0, 0, 1])), "{text}");
        }
    }

    #[test]
    fn this_test_is_no_dockerd() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        assert_eq!(Daemon::of(own), None);
    }
}
