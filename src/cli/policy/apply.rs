//! `policy apply`: another file's rules in the place of containers' own.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::change::{self, Wanted};
use super::choice::choose;
use crate::policy::PolicyName;
use crate::policy::text::{self, RuleFile, all_of};
use crate::settings::{self, select};

/// `policy apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo boundary-shim policy apply ./wider.yaml web")]
pub(super) struct ApplyArguments {
    /// A policy file, root's own and writable by nobody else
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The containers; all, if none is named
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Does it. Annotations, and the ceiling over them, hold as they do for the container's own file.
///
/// # Errors
/// The file has mistakes; it failed for one of the containers.
pub(super) fn run(arguments: &ApplyArguments) -> anyhow::Result<()> {
    let settings = super::host::settings()?;
    let file = std::path::absolute(&arguments.file)?;
    let rules = read(&file)?;
    let name = name(&file);
    let records = choose(&arguments.containers)?;
    change::each(&records, |record| {
        let started = &record.plan.policy;
        let read = settings::read_trusted;
        match select::with_rules(&settings, started, &name, rules.clone(), read) {
            Ok(source) if source.hash() == record.policy().hash() => {
                Wanted::AsItIs("unchanged".to_owned())
            }
            Ok(source) => Wanted::Policy(source, Some(file.clone())),
            Err(mistakes) => Wanted::Mistaken(mistakes),
        }
    })
}

/// The rules in the file.
fn read(file: &Path) -> anyhow::Result<RuleFile> {
    let origin = file.display().to_string();
    let text = settings::read_trusted(file).with_context(|| format!("can't read {origin}"))?;
    let text = text.with_context(|| format!("{origin} does not exist"))?;
    text::parse_file(&origin, &text).map_err(|mistakes| all_of(&mistakes))
}

/// By which records know its rules: the file's name, where a policy could be called so.
fn name(file: &Path) -> String {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    stem.filter(|stem| PolicyName::parse(stem).is_ok())
        .unwrap_or("applied")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_called_as_its_file_where_that_is_a_policys_name() {
        for (file, expected) in [
            ("/etc/boundary/policies/npm.yaml", "npm"),
            ("/tmp/npm", "npm"),
            ("/tmp/My rules.yaml", "applied"),
            ("/", "applied"),
        ] {
            assert_eq!(name(Path::new(file)), expected, "{file}");
        }
    }
}
