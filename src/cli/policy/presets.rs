//! `policy presets`: what a policy can include without a file of the host's.

use std::io::{self, Write};

use anyhow::Context;

use crate::policy::{preset, presets};

/// `policy presets`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A policy includes one by its name: include: [github]. A policy of that name, or a file of that name in presets.d, comes before it.

What an installation needed becomes one of the administrator's own by policy suggest, into presets.d.

Examples:
  boundary-shim policy presets
  boundary-shim policy presets github")]
pub(super) struct PresetsArguments {
    /// The preset to print; without it, all are listed
    name: Option<String>,
}

/// Lists them, or prints one.
///
/// # Errors
/// There is none of that name; standard output is gone.
pub(super) fn run(arguments: &PresetsArguments) -> anyhow::Result<()> {
    let out = &mut io::stdout().lock();
    if let Some(name) = &arguments.name {
        let text = preset(name).context("there is no such preset: see policy presets")?;
        return Ok(write!(out, "{text}")?);
    }
    for (name, text) in presets() {
        let what = text.lines().next().unwrap_or_default();
        writeln!(out, "{name:<22}{}", what.trim_start_matches("# "))?;
    }
    Ok(())
}
