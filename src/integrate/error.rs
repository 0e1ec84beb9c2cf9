//! Why an engine's configuration can't be changed: one list, so that the same cause has the same
//! message for every engine.
//!
//! Must not know engines: what only one of them knows is passed in.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::binary::BinaryError;
use super::runtime_name::RuntimeName;
use crate::text::listed;

/// Why nothing can be done.
#[derive(Debug, thiserror::Error)]
pub enum IntegrateError {
    /// Our own file won't do.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// A file or `/proc` can't be read.
    #[error("can't read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// JSON and TOML have no word for the path.
    #[error("{0} is not valid UTF-8")]
    NotText(PathBuf),
    /// The configuration isn't what the engine could read, or what can be edited safely.
    #[error("{path} was not changed")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The name belongs to another runtime.
    #[error("the runtime {name} in {path} runs {runs}, not this program: choose another --name")]
    ForeignRuntime {
        /// The runtime's name.
        name: RuntimeName,
        /// The file.
        path: PathBuf,
        /// What it runs.
        runs: String,
    },
    /// The file that would be the runtime's is somebody else's.
    #[error("{0} was not created by this program: choose another --name, or move the file away")]
    ForeignFile(PathBuf),
    /// The default is set where a file can't change it.
    #[error(
        "dockerd (pid {pid}) was started with --default-runtime, beside which it takes none from its file: change it there"
    )]
    DefaultByFlag {
        /// dockerd's process.
        pid: i32,
    },
    /// Containers were made with the runtime.
    #[error("{} need it to be started: remove them first", listed(.0))]
    InUse(BTreeSet<String>),
    /// An engine still knows a runtime of ours.
    #[error("{0} still names this program: uninstall it there first")]
    Named(PathBuf),
    /// Without the runtime containers, or the engine itself, would not start.
    #[error("{name} is {what}: change {setting} first")]
    IsDefault {
        /// The runtime's name.
        name: RuntimeName,
        /// Whose default.
        what: &'static str,
        /// The engine's setting that says so.
        setting: String,
    },
    /// It depends on the engine's version what is right, and that can't be found out.
    #[error("can't determine the version of {program}, which decides {what}")]
    Version {
        /// The engine's program.
        program: PathBuf,
        /// What depends on it.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Nobody of whom a restart could be asked.
    #[error(
        "dockerd (pid {pid}) is not a systemd service, so --restart can't restart it: leave out --restart, and restart \
         dockerd yourself"
    )]
    NotAService {
        /// dockerd's process.
        pid: i32,
    },
    /// It can't be told whether a restart ends containers.
    #[error("can't find out with docker info whether containers survive a restart of dockerd")]
    AskDockerd {
        /// Why not.
        source: io::Error,
    },
    /// A restart would end containers.
    #[error(
        "restarting dockerd would stop its {running} running containers: put \"live-restore\": true into {config}, \
         run sudo systemctl reload docker and try again; or stop the containers"
    )]
    WouldStop {
        /// How many.
        running: u64,
        /// dockerd's configuration file.
        config: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrate::containerd::Containerd;
    use crate::integrate::docker::Docker;
    use crate::integrate::test_host::TestHost;
    use crate::integrate::{Engine, step};

    /// `{:#}` joins what each error of a chain says, so none may repeat the next.
    fn assert_each_cause_is_said_once(error: anyhow::Error, causes: usize) {
        let chain: Vec<_> = error.chain().map(ToString::to_string).collect();
        assert_eq!(chain.len(), causes, "{chain:?}");
        let whole = format!("{error:#}");
        for said in &chain {
            assert_eq!(whole.matches(said).count(), 1, "{said:?} in {whole:?}");
        }
    }

    fn denied() -> io::Error {
        io::ErrorKind::PermissionDenied.into()
    }

    #[test]
    fn each_cause_is_said_once() {
        let path = || PathBuf::from("/etc/x");
        for error in [
            IntegrateError::Read {
                path: path(),
                source: denied(),
            },
            IntegrateError::Version {
                program: path(),
                what: "the format",
                source: denied(),
            },
            IntegrateError::AskDockerd { source: denied() },
            IntegrateError::Binary(BinaryError::Unreadable {
                path: path(),
                source: denied(),
            }),
        ] {
            assert_each_cause_is_said_once(error.into(), 2);
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_once() {
        let docker = TestHost::new(|at| Engine::Docker(Docker::reading(at("daemon.json"))));
        docker.put("daemon.json", "{");
        let error = docker.install().expect_err("not JSON");
        assert_each_cause_is_said_once(error.into(), 3);

        let containerd = TestHost::new(|at| {
            Engine::Containerd(Containerd {
                config: at("config.toml"),
                program: at("containerd"),
            })
        });
        containerd.put("config.toml", "[");
        let error = containerd.install().expect_err("not TOML");
        assert_each_cause_is_said_once(error.into(), 2);
    }

    #[test]
    fn why_a_step_failed_is_said_once() {
        let step = step::Step::Unlink("/nonexistent/link".into());
        let error = step::apply(&[step], |_| Ok(())).expect_err("there is no link");
        assert_each_cause_is_said_once(error.into(), 2);
    }
}
