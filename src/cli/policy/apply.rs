//! `policy apply`: another file's rules in the place of containers' own.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::change::{self, Wanted};
use super::choice::choose;
use super::host::settings_of;
use crate::container::state::SavedState;
use crate::policy::text::{self, Mistake, RuleFile, all_of};
use crate::policy::{PolicyName, PolicySource};
use crate::settings::{self, Settings, Shelves, select};

/// `policy apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What FILE includes is looked for among the policies and presets that the container's own file has, wherever FILE is.

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
    let file = std::path::absolute(&arguments.file)?;
    let text = text_of(&file)?;
    let records = choose(&arguments.containers)?;
    // What is wrong with the file is said once, and nothing is changed.
    change::undisturbed(|| check(&records, &file, &text))?.map_err(|mistakes| all_of(&mistakes))?;
    change::each(&records, |record| {
        match wanted(record, &file, &text, settings::read_trusted) {
            Ok(source) if source.hash() == record.policy().hash() => {
                Wanted::AsItIs("unchanged".to_owned())
            }
            Ok(source) => Wanted::Policy(Box::new(source), Some(file.clone())),
            Err(mistakes) => Wanted::Mistaken(mistakes),
        }
    })
}

fn check(records: &[SavedState], file: &Path, text: &str) -> Result<(), Vec<Mistake>> {
    let mut settings = records.iter().map(settings_of).filter_map(Result::ok);
    settings.try_for_each(|settings| rules(&settings, file, text, settings::read_trusted).map(drop))
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    let origin = file.display();
    let text = settings::read_trusted(file).with_context(|| format!("can't read {origin}"))?;
    text.with_context(|| format!("{origin} does not exist"))
}

/// The policy that a container has with the file's rules; what these include is read by `read`.
///
/// # Errors
/// Every mistake in the file, or for which it would be given none.
pub(super) fn wanted(
    record: &SavedState,
    file: &Path,
    text: &str,
    read: impl Fn(&Path) -> io::Result<Option<String>>,
) -> Result<PolicySource, Vec<Mistake>> {
    let settings = settings_of(record)?;
    let rules = rules(&settings, file, text, &read)?;
    let started = &record.plan.policy;
    select::with_rules(&settings, started, &name(file), rules, read)
}

/// The rules in the file, with what it includes: of the policies and presets that containers with these
/// settings have, wherever the file is.
fn rules(
    settings: &Settings,
    file: &Path,
    text: &str,
    read: impl Fn(&Path) -> io::Result<Option<String>>,
) -> Result<RuleFile, Vec<Mistake>> {
    let shelves = Shelves::of_host(settings, read);
    let library = |name: &PolicyName| shelves.find(name);
    text::parse_whole(&file.display().to_string(), text, &library)
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
