//! `doctor`: whether this host meets the runtime's requirements, and what to do if it doesn't.
//!
//! Owns the output. `look` collects facts by trying things out; `findings` judges them.
//!
//! Invariant: a line that needs action looks different from one that doesn't. Whoever runs this
//! wants to know why a container doesn't start.

mod findings;
mod look;

use std::io::{self, Write};

use anyhow::ensure;
use clap::{Args, Subcommand};

use super::install::ContainerdWords;
use findings::{Finding, Severity, findings};

/// `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 1 if something would fail.

Examples:
  sudo boundary-shim doctor
  sudo boundary-shim doctor containerd")]
pub struct DoctorArguments {
    /// Host configuration file to check
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
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

/// Reports on the host.
///
/// # Errors
/// Something would fail; every problem has been printed.
pub fn run(arguments: DoctorArguments) -> anyhow::Result<()> {
    let only = arguments
        .engine
        .map(|DoctorEngine::Containerd(words)| words.into());
    let found = findings(&look::look(arguments.config.as_deref(), only)?);
    let mut out = io::stdout().lock();
    found
        .iter()
        .try_for_each(|finding| tell(&mut out, finding))?;
    let broken = found
        .iter()
        .filter(|finding| finding.severity == Severity::Broken)
        .count();
    let problems = if broken == 1 { "problem" } else { "problems" };
    ensure!(broken == 0, "{broken} {problems} found");
    Ok(())
}

fn tell(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let mark = match finding.severity {
        Severity::Fine => "ok  ",
        Severity::Note => "note",
        Severity::Broken => "FAIL",
    };
    writeln!(out, "{mark}  {}", finding.what)?;
    finding
        .remarks
        .iter()
        .try_for_each(|remark| writeln!(out, "      {remark}"))
}
