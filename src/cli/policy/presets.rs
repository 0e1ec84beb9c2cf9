//! `policy presets`: what a policy can include besides other policies.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;

use crate::audit::record::MAX_TEXT;
use crate::escape::clean;
use crate::policy::{PolicyName, preset, presets};
use crate::settings;

/// `policy presets`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A policy includes one by its name: include: [github]. A policy of that name comes before it, and a file of that name in presets.d
before one of this program's.

What an installation needed becomes one of the administrator's own by policy suggest, into presets.d.

Examples:
  boundary-shim policy presets
  boundary-shim policy presets github")]
pub(super) struct PresetsArguments {
    /// The preset to print; without it, all are listed
    name: Option<PolicyName>,
}

/// Lists them, or prints one.
///
/// # Errors
/// There is none of that name, or it can't be read; standard output is gone.
pub(super) fn run(arguments: &PresetsArguments) -> anyhow::Result<()> {
    let folder = super::host::settings()?.presets;
    let out = &mut io::stdout().lock();
    match &arguments.name {
        Some(name) => print(&folder, name, out),
        None => Ok(list(&folder, out)?),
    }
}

fn print(folder: &Path, name: &PolicyName, out: &mut impl Write) -> anyhow::Result<()> {
    let file = name.file(folder);
    let own = settings::read_trusted(&file).with_context(|| file.display().to_string())?;
    let text = own.as_deref().or_else(|| preset(name.as_str()));
    let text = text.context("there is no such preset: see policy presets")?;
    Ok(write!(out, "{text}")?)
}

/// The administrator's, then those of this program that none of them stands for.
fn list(folder: &Path, out: &mut impl Write) -> io::Result<()> {
    let files = settings::policy_files(folder);
    let name_of = |file: &Path| file.file_stem().map(|name| name.display().to_string());
    let own: Vec<_> = files.iter().filter_map(|file| name_of(file)).collect();
    for (name, file) in own.iter().zip(&files) {
        let what = match settings::read_trusted(file) {
            Ok(text) => what_for(&text.unwrap_or_default()),
            Err(error) => error.to_string(),
        };
        writeln!(out, "{name:<22}{what} ({})", file.display())?;
    }
    let ours = presets().filter(|(name, _)| !own.iter().any(|own| own == name));
    for (name, text) in ours {
        writeln!(out, "{name:<22}{}", what_for(text))?;
    }
    Ok(())
}

/// What a preset's first line says, if that is for people.
fn what_for(text: &str) -> String {
    let first = text.lines().next().and_then(|line| line.strip_prefix("# "));
    clean(first.unwrap_or_default(), MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file::replace;

    #[test]
    fn the_administrators_come_first_and_stand_for_those_of_the_same_name() {
        let folder = tempfile::tempdir().unwrap();
        let listed = || {
            let mut out = Vec::new();
            list(folder.path(), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let printed = |name: &str| {
            let mut out = Vec::new();
            let name = PolicyName::parse(name).unwrap();
            print(folder.path(), &name, &mut out)
                .map(|()| String::from_utf8(out).unwrap())
                .map_err(|error| error.to_string())
        };
        let before = listed();
        for (name, text) in [
            ("python", "# What pip\u{1b} needs\nallow: [domain=a.test]\n"),
            ("github", "allow: []\n"),
        ] {
            let file = folder.path().join(format!("{name}.yaml"));
            replace(&file, text.as_bytes(), 0o644).unwrap();
        }
        let after = listed();
        assert_eq!(after.lines().count(), before.lines().count() + 1, "{after}");
        let lines: Vec<_> = after.lines().collect();
        assert!(lines[0].starts_with("github                 ("), "{after}");
        let python = "python                What pip\\u{1b} needs (";
        assert!(lines[1].starts_with(python), "{after}");
        assert!(before.contains(lines[2]), "{after}");
        assert_eq!(printed("github").unwrap(), "allow: []\n");
        assert_eq!(printed("gitlab").unwrap(), preset("gitlab").unwrap());
        assert!(printed("none").unwrap_err().contains("no such preset"));
    }
}
