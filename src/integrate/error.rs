//! Why an engine is left as it is: one list, so that the same cause has the same words whichever
//! the engine.
//!
//! Must not know engines: what only one of them can tell is handed in.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::binary::BinaryError;
use super::runtime_name::RuntimeName;

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
