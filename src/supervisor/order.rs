//! What a hook says to a keeper, and hears from it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::container::plan::Plan;
use crate::container::state::ProcessId;
use crate::sys::process;

/// What the hook sends on standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// What was decided for the container.
    pub plan: Plan,
    /// The container that it is made for first: the plan's, or one of its pod.
    pub container: String,
    /// That container's first process.
    pub init: ProcessId,
    /// The process whose end has the engine make the network anew, and which is ended when the
    /// gateway is gone without it. None where there is no such process.
    pub holder: Option<ProcessId>,
}

/// Reads the order of the hook that started this process.
pub(super) fn read() -> anyhow::Result<Order> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    serde_json::from_str(&text).context("read the order")
}

/// What a keeper says first to the hook that came to it: the container is known to it, and others find
/// that.
pub(super) const TAKEN: &str = "taken";

/// The hook that waits for this keeper's words.
pub(super) enum Hook {
    /// It started this process, and reads its standard output.
    Started,
    /// It came to the process that `create` began, and waits until all is ready, or only until the
    /// container is taken.
    Came { stream: UnixStream, waits: bool },
}

impl Hook {
    /// The container's engagement stands: others find it.
    pub(super) fn taken(&self) -> io::Result<()> {
        match self {
            Self::Started => Ok(()),
            Self::Came { stream, .. } => {
                let word = format!("{}\n", TAKEN);
                (&mut &*stream).write_all(word.as_bytes())
            }
        }
    }

    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Started | Self::Came { waits: true, .. })
    }

    /// Tells it what came of the preparation, once: `ok` or `error …`.
    pub(super) fn tell(self, outcome: Result<(), &anyhow::Error>) -> io::Result<()> {
        let word = match outcome {
            Ok(()) => "ok\n".to_owned(),
            Err(error) => format!("error {error:#}\n"),
        };
        match self {
            Self::Started => {
                io::stdout().write_all(word.as_bytes())?;
                process::detach()
            }
            Self::Came { mut stream, .. } => stream.write_all(word.as_bytes()),
        }
    }
}

/// What a keeper said last of its preparation.
///
/// # Errors
/// Anything but that it is ready.
pub fn heed(word: &str) -> anyhow::Result<()> {
    match word.trim_end().strip_prefix("error ") {
        None if word.trim_end() == "ok" => Ok(()),
        Some(reason) => bail!("{reason}"),
        None => bail!("the proxy ended before it was ready"),
    }
}
