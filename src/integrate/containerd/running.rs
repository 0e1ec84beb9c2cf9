//! What the containerd that runs was started with: its files as they are now, or as they were.
//!
//! Judged by the times of its process and its files, since it can't be asked without gRPC. So a
//! change that has nothing to do with the runtime counts, too: containerd doesn't know that either.

use std::path::{Path, PathBuf};

use super::file::file_name;
use crate::daemon::{self, DaemonKind, DaemonProcess};
use crate::integrate::error::IntegrateError;

/// What containerd reads unless `--config` names another.
pub const DEFAULT_CONFIG: &str = "/etc/containerd/config.toml";

/// What a daemon goes by that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunningConfig {
    /// None that reads these files was found.
    NotFound,
    /// It was started after they were last changed.
    Current,
    /// They were changed since: it may not know what is in them.
    Older,
}

const KIND: DaemonKind = DaemonKind {
    program: "containerd",
    config_flags: &["--config", "-c"],
    default_config: DEFAULT_CONFIG,
};

/// The containerds that read a main file, or what is made from it.
pub(super) fn readers(config: &Path) -> Result<Vec<DaemonProcess>, IntegrateError> {
    let read = daemon::resolved(&made_from(config));
    let all = daemon::all(KIND).map_err(|source| IntegrateError::Read {
        path: "/proc".into(),
        source,
    })?;
    Ok(all.filter(|daemon| daemon.config() == read).collect())
}

impl RunningConfig {
    /// What these go by, where `sources` is whatever changes when what they read changes.
    pub(in crate::integrate) fn of(readers: &[DaemonProcess], sources: &[PathBuf]) -> Self {
        if readers.is_empty() {
            Self::NotFound
        } else if readers.iter().all(|reader| reader.began_after(sources)) {
            Self::Current
        } else {
            Self::Older
        }
    }
}

/// The file that containerd reads where this one is a template (MicroK8s, k3s).
fn made_from(config: &Path) -> PathBuf {
    let name = file_name(config);
    let made = name
        .strip_suffix("-template.toml")
        .map(|stem| format!("{stem}.toml"))
        .or_else(|| name.strip_suffix(".tmpl").map(str::to_owned));
    made.map_or_else(|| config.to_owned(), |made| config.with_file_name(made))
}

#[cfg(test)]
mod tests {
    use super::super::test_host::{CONFIG, DROP_IN, host_with};
    use super::*;
    use crate::container::state::ProcessId;
    use crate::integrate::Engine;
    use crate::integrate::test_host::TestHost;

    /// This process, as a containerd that was started that long after it.
    fn containerd(host: &TestHost, ticks: u64) -> RunningConfig {
        let Engine::Containerd(containerd) = &host.engine else {
            panic!("containerd's")
        };
        let mut process =
            ProcessId::of(i32::try_from(std::process::id()).expect("a pid")).expect("it lives");
        process.started += ticks;
        let reader = DaemonProcess::told(process, host.path(CONFIG), Vec::new());
        RunningConfig::of(&[reader], &containerd.sources().expect("read"))
    }

    /// As if in a quarter of an hour.
    const LATER: u64 = 100_000;

    #[test]
    fn a_containerd_goes_by_what_was_there_when_it_began() {
        let host = host_with("version = 2\n");
        assert_eq!(containerd(&host, LATER), RunningConfig::Current);
        assert_eq!(containerd(&host, 0), RunningConfig::Older);
    }

    #[test]
    fn a_file_of_ours_counts_and_so_does_its_removal() {
        let host = host_with("version = 3\nimports = [\"conf.d/*.toml\"]\n");
        std::fs::create_dir_all(host.path(DROP_IN).parent().expect("a directory")).expect("made");
        let Engine::Containerd(engine) = &host.engine else {
            panic!("containerd's")
        };
        let sources = || engine.sources().expect("read");
        assert!(sources().contains(&host.path("etc/conf.d").canonicalize().expect("a path")));
        host.put(DROP_IN, "version = 3\n");
        assert!(sources().contains(&host.path(DROP_IN).canonicalize().expect("a path")));
        std::fs::remove_file(host.path(CONFIG)).expect("removed");
        assert_eq!(sources(), [host.path("etc")], "the directory lost a file");
    }

    #[test]
    fn a_template_is_not_what_containerd_reads() {
        for (config, read) in [
            ("/a/containerd-template.toml", "/a/containerd.toml"),
            ("/a/config.toml.tmpl", "/a/config.toml"),
            ("/a/config.toml", "/a/config.toml"),
        ] {
            assert_eq!(made_from(Path::new(config)), Path::new(read));
        }
    }

    #[test]
    fn without_a_containerd_nothing_can_be_told() {
        let host = host_with("version = 2\n");
        let Engine::Containerd(containerd) = &host.engine else {
            panic!("containerd's")
        };
        assert_eq!(
            containerd.runs_with().expect("judged"),
            RunningConfig::NotFound
        );
    }
}
