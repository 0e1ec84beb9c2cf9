//! `policy check`: mistakes in policy files, and what their authors should know.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::policy::PolicyName;
use crate::policy::advice;
use crate::policy::text::{self, List, Mistake, RuleFile};
use crate::settings::{self, Settings, Shelves, select};

/// The setting of the ceiling over annotations.
const CEILING: &str = "annotations.ceiling";

/// `policy check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line for each mistake, and one for each rule that decides nothing or allows more than it seems to. Exit status: 1 where there
is a mistake, so that no container would start by the file. What FILE includes is looked for in its own folder, among presets.d
beside that, and among the presets of this program. A file in a folder called ceiling.d is taken for one that bounds policies.

Examples:
  boundary-shim policy check
  boundary-shim policy check /etc/boundary/policies/default.yaml")]
pub(super) struct CheckArguments {
    /// Policy files; without any, those of the host: policies, presets.d, ceiling.d, and what the configuration names
    files: Vec<PathBuf>,
}

/// Checks files.
///
/// # Errors
/// Standard output is gone.
pub(super) fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout().lock();
    let mut all_right = true;
    let files = match arguments.files.as_slice() {
        [] => {
            let settings = super::host::settings()?;
            let missing = missing(&settings);
            all_right &= missing.is_empty();
            tell(out, &missing)?;
            let folders = [&settings.policies, &settings.presets];
            let files = folders.map(|folder| settings::policy_files(folder));
            [files.concat(), settings.layers].concat()
        }
        files => files.to_vec(),
    };
    for file in files {
        let Checked {
            mistakes,
            advice,
            rules,
        } = check(&file);
        all_right &= mistakes.is_empty();
        tell(out, &mistakes)?;
        tell(out, &advice)?;
        if mistakes.is_empty() {
            let [allow, deny] = rules;
            writeln!(
                out,
                "{}: no mistakes; {allow} rules allow, {deny} deny",
                file.display()
            )?;
        }
    }
    Ok(if all_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[derive(Debug, Default)]
struct Checked {
    mistakes: Vec<Mistake>,
    advice: Vec<Mistake>,
    /// How many allow, and how many deny.
    rules: [usize; 2],
}

fn check(file: &Path) -> Checked {
    let origin = file.display().to_string();
    let content = match fs::read_to_string(file) {
        Ok(content) => content,
        Err(error) => return Checked::broken(&origin, &error.to_string()),
    };
    let shelves = Shelves::beside(file, anybodys);
    let library = |name: &PolicyName| shelves.find(name);
    match text::parse_whole(&origin, &content, &library) {
        Err(mistakes) => Checked {
            mistakes,
            ..Checked::default()
        },
        Ok(rules) if is_layer(file) => layer(file, rules),
        Ok(rules) => Checked {
            mistakes: Vec::new(),
            advice: advice(&origin, &rules),
            rules: count(&rules),
        },
    }
}

/// A file's text. Its owner doesn't matter as long as nothing runs by it.
fn anybodys(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn is_layer(file: &Path) -> bool {
    let folder = file.parent().and_then(Path::file_name);
    folder.is_some_and(|folder| folder == "ceiling.d")
}

fn layer(file: &Path, rules: RuleFile) -> Checked {
    let (count, shuts) = (count(&rules), rules.says_allow && rules.allow().is_empty());
    let message = "allows nothing: no container reaches anything";
    let advice = shuts.then(|| about(&file.display().to_string(), "allow", message));
    Checked {
        mistakes: select::layer(file, rules).err().into_iter().collect(),
        advice: advice.into_iter().collect(),
        rules: count,
    }
}

/// How many rules allow, and how many deny.
fn count(rules: &RuleFile) -> [usize; 2] {
    [List::Allow, List::Deny].map(|list| rules.rules.iter().filter(|one| one.list == list).count())
}

fn about(origin: &str, key: &str, message: &str) -> Mistake {
    Mistake {
        origin: origin.to_owned(),
        line: None,
        key: key.to_owned(),
        message: message.to_owned(),
    }
}

impl Checked {
    fn broken(origin: &str, message: &str) -> Self {
        Self {
            mistakes: vec![about(origin, "", message)],
            ..Self::default()
        }
    }
}

/// Policies that the configuration names and that have no file, or, as a ceiling, no rule that allows.
fn missing(settings: &Settings) -> Vec<Mistake> {
    let of = |key: &str, name: &PolicyName| {
        let file = name.file(&settings.policies);
        let message = match settings::read_trusted(&file) {
            Ok(Some(_)) if key == CEILING && !allows(settings, &file) => {
                format!("policy {name} allows nothing, so that boundary.allow can allow nothing")
            }
            Ok(Some(_)) => return None,
            Ok(None) => format!("policy {name} has no file {}", file.display()),
            Err(error) => format!("policy {name}: {}: {error}", file.display()),
        };
        Some(about(&settings.file.display().to_string(), key, &message))
    };
    let annotations = &settings.annotations;
    let policies = annotations.policies.iter();
    let named = policies.map(|name| ("annotations.policies", name));
    let ceiling = annotations.ceiling.iter();
    let named = named.chain(ceiling.map(|name| (CEILING, name)));
    named.filter_map(|(key, name)| of(key, name)).collect()
}

/// Whether a policy's file has a rule that allows, or a mistake, which is told of the file itself.
fn allows(settings: &Settings, file: &Path) -> bool {
    let shelves = Shelves::of_host(settings, settings::read_trusted);
    let library = |name: &PolicyName| shelves.find(name);
    let content = settings::read_trusted(file)
        .ok()
        .flatten()
        .unwrap_or_default();
    let read = text::parse_whole(&file.display().to_string(), &content, &library);
    read.map_or(true, |rules| !rules.allow().is_empty())
}

fn tell(out: &mut impl Write, mistakes: &[Mistake]) -> io::Result<()> {
    mistakes.iter().try_for_each(|one| writeln!(out, "{one}"))
}
