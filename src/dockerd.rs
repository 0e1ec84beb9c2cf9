//! Running dockerds: which one reads a given configuration file or keeps a container's files, with
//! which flags, whether it was started with `dns`, and how to have it reload its file.
//!
//! Which processes they are, `daemon` says. dockerd doesn't reveal which DNS servers it was started
//! with, so that is derived from what no container can write: its command line, its file, and the
//! times of both.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::daemon::{self, DaemonKind, DaemonProcess, resolved};
use crate::sys::{file, links, process};

/// What dockerd reads unless `--config-file` names another.
pub const DEFAULT_CONFIG: &str = "/etc/docker/daemon.json";
/// Where it keeps what it knows, unless it is told otherwise.
const DEFAULT_DATA: &str = "/var/lib/docker";
/// The bridge of its network `bridge`, unless it is told otherwise.
const DEFAULT_BRIDGE: &str = "docker0";
/// Where it listens unless it is told otherwise.
const SOCKET: &str = "unix:///var/run/docker.sock";
/// How long it may take to answer: one that starts many containers is slow.
const PATIENCE: Duration = Duration::from_secs(10);
/// One empty file for each dockerd that was seen to go by `dns`, named by its process.
pub const SEEN: &str = "/run/boundary-dockerd";
/// The most that is read of its file.
const LARGEST: u64 = 1 << 20;

/// A running dockerd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon(DaemonProcess);

/// How one is found.
const DOCKERD: DaemonKind = DaemonKind {
    program: "dockerd",
    config_flags: &["--config-file"],
    default_config: DEFAULT_CONFIG,
};

/// The dockerds that read this configuration file; the file itself need not exist yet.
///
/// # Errors
/// `/proc` can't be read. Processes that end meanwhile are skipped.
pub fn reading(config: &Path) -> io::Result<Vec<Daemon>> {
    let config = resolved(config);
    Ok(all()?
        .filter(|daemon| daemon.0.config() == config)
        .collect())
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

/// Where these dockerds keep what they know; if there is none, where one would that is `told` in its file.
#[must_use]
pub fn data(daemons: &[Daemon], told: Option<&str>) -> Vec<PathBuf> {
    if daemons.is_empty() {
        return vec![resolved(Path::new(told.unwrap_or(DEFAULT_DATA)))];
    }
    daemons.iter().map(Daemon::data).collect()
}

fn all() -> io::Result<impl Iterator<Item = Daemon>> {
    Ok(daemon::all(DOCKERD)?.map(Daemon))
}

impl Daemon {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.0.process().pid
    }

    /// Whether it was started with DNS servers of its own, which it asks through containers'
    /// networks. A reload changes nothing about that (tried with 20.10.24 and 28.5.2), so what was
    /// once seen counts as long as the process lives, whatever becomes of its file: it is noted
    /// under `/run`.
    #[must_use]
    pub fn goes_by_dns(&self) -> bool {
        let process = self.0.process();
        let note = Path::new(SEEN).join(format!("{}-{}", process.pid, process.started));
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
            || (!strings(&self.settings(), "dns").is_empty()
                && self.0.began_after(&[self.0.config()]))
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

    /// Who manages its control groups, where its command line or its file says so: `systemd`, or
    /// `cgroupfs`.
    #[must_use]
    pub fn cgroup_driver(&self) -> Option<String> {
        let flags = self.flag("--exec-opt").into_iter().map(str::to_owned);
        let mut options = flags.chain(strings(&self.settings(), "exec-opts"));
        options.find_map(|option| Some(option.strip_prefix("native.cgroupdriver=")?.to_owned()))
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
        self.0.flag(flag)
    }

    /// Asks it about itself, by Docker's client: its answer in a format of that.
    ///
    /// # Errors
    /// There is no client, or it failed; `TimedOut`.
    pub fn ask(&self, format: &str) -> io::Result<String> {
        let hosts = [self.flag("-H"), self.flag("--host")].concat();
        let mut hosts = hosts.into_iter();
        let host = hosts
            .find(|host| host.starts_with("unix://"))
            .unwrap_or(SOCKET);
        let arguments = ["-H", host, "info", "--format", format];
        process::answer_within(PATIENCE, Path::new("docker"), &arguments)
    }

    /// Whether it knows a runtime of this name, as it runs.
    ///
    /// # Errors
    /// As for [`Self::ask`].
    pub fn knows_runtime(&self, name: &str) -> io::Result<bool> {
        let names = self.ask("{{range $name, $_ := .Runtimes}}{{println $name}}{{end}}")?;
        Ok(names.lines().any(|one| one == name))
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
        DaemonProcess::of(pid, DOCKERD).map(Self)
    }

    /// Its file's content; nothing where it has none.
    fn settings(&self) -> Value {
        serde_json::from_slice(&file::read_regular(self.0.config(), LARGEST).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::state::ProcessId;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    /// This process, as a dockerd that was told this file.
    fn this_process(config: &Path, arguments: &str) -> Daemon {
        let process =
            ProcessId::of(i32::try_from(std::process::id()).expect("a pid")).expect("it lives");
        Daemon(DaemonProcess::told(
            process,
            config.to_owned(),
            words(arguments),
        ))
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
        let process = daemon.0.process();
        let later = Daemon(DaemonProcess::told(
            ProcessId {
                started: process.started + 100_000,
                ..process
            },
            config,
            words("dockerd"),
        ));
        assert!(later.was_started_with_dns());
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
