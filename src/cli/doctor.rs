//! `doctor`: what of this program works here, whether this host meets the runtime's requirements, and
//! what to do if it doesn't.
//!
//! Owns the words and the exit code. `look` collects facts by trying things out; `host`, `process`, `place`
//! and `ways` judge them; `report` is what is printed.
//!
//! Invariant: a line that needs action looks different from one that doesn't. Whoever runs this
//! wants to know why a container doesn't start.

mod facts;
mod finding;
mod findings;
mod host;
mod look;
mod place;
mod process;
mod report;
mod ways;

use std::io;

use anyhow::ensure;
use clap::{Args, Subcommand};

use super::install::ContainerdWords;

/// `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 1 if something would fail (FAIL); in a container, and for others than root, only if no way works.
Marks: ok    as it has to be          is    a fact
       note  worth knowing            FAIL  to be mended
       no    a way that doesn't work  ?     one that only the host, or root, can tell of

Examples:
  sudo boundary-shim doctor
  boundary-shim doctor --json
  sudo boundary-shim doctor containerd")]
pub struct DoctorArguments {
    /// Host configuration file to check
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    engine: Option<DoctorEngine>,
}

#[derive(Debug, Subcommand)]
enum DoctorEngine {
    /// Check this host for containerd alone: that it runs with the runtime is then a requirement
    #[command(after_help = "\
Examples:
  sudo boundary-shim doctor containerd --name boundary-npm")]
    Containerd(ContainerdWords),
}

/// Reports on this place and its host.
///
/// # Errors
/// Something would fail; every problem has been printed.
pub fn run(arguments: DoctorArguments) -> anyhow::Result<()> {
    let only = arguments
        .engine
        .map(|DoctorEngine::Containerd(words)| words.into());
    let report = findings::report(&look::look(arguments.config.as_deref(), only)?);
    let mut out = io::stdout().lock();
    if arguments.json {
        report.write_json(&mut out)?;
    } else {
        report.write_text(&mut out)?;
    }
    let broken = report.broken();
    let problems = if broken == 1 { "problem" } else { "problems" };
    ensure!(broken == 0, "{broken} {problems} found");
    Ok(())
}
