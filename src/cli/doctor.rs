//! `doctor`: whether this host can do what the runtime needs, and what to do where it can't.
//!
//! Owns the output. `look` finds out, by trying; `findings` judges, and knows no file. What must
//! not be forgotten: whoever runs this looks for why a container doesn't start, so a line that
//! needs no action must look different from one that does.

mod findings;
mod look;

use std::io::{self, Write};

use anyhow::ensure;
use clap::Args;

use findings::{Finding, Verdict, findings};

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Host configuration file to check
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
}

/// Reports on the host.
///
/// # Errors
/// Something would fail; each has been said.
pub fn run(arguments: &DoctorArguments) -> anyhow::Result<()> {
    let found = findings(&look::look(arguments.config.as_deref())?);
    let mut out = io::stdout().lock();
    found
        .iter()
        .try_for_each(|finding| tell(&mut out, finding))?;
    let broken = found
        .iter()
        .filter(|finding| finding.verdict == Verdict::Broken)
        .count();
    let problems = if broken == 1 { "problem" } else { "problems" };
    ensure!(broken == 0, "{broken} {problems} found");
    Ok(())
}

fn tell(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let mark = match finding.verdict {
        Verdict::Fine => "ok  ",
        Verdict::Note => "note",
        Verdict::Broken => "FAIL",
    };
    writeln!(out, "{mark}  {}", finding.what)?;
    finding
        .remarks
        .iter()
        .try_for_each(|remark| writeln!(out, "      {remark}"))
}
