//! `policy check`: mistakes in policy files, and what their authors should know.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::policy::PolicyName;
use crate::policy::advice;
use crate::policy::text::{self, List, Mistake};
use crate::settings::{self, Settings};

/// `policy check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line for each mistake, and one for each rule that decides nothing or allows more than it seems to. Exit status: 1 where there
is a mistake, so that no container would start by the file.

Examples:
  boundary-shim policy check
  boundary-shim policy check /etc/boundary/policies/default.yaml")]
pub(super) struct CheckArguments {
    /// Policy files; without any, those in the policies' folder, and what the configuration names
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
            settings::policy_files(&settings.policies)
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
    // Its owner doesn't matter as long as nothing runs by it.
    let content = match fs::read(file).map(String::from_utf8) {
        Ok(Ok(content)) => content,
        Ok(Err(_)) => return Checked::broken(&origin, "not UTF-8"),
        Err(error) => return Checked::broken(&origin, &error.to_string()),
    };
    match text::parse_file(&origin, &content) {
        Err(mistakes) => Checked {
            mistakes,
            ..Checked::default()
        },
        Ok(rules) => {
            let count = |list| rules.rules.iter().filter(|one| one.list == list).count();
            Checked {
                mistakes: Vec::new(),
                advice: advice(&origin, &rules),
                rules: [count(List::Allow), count(List::Deny)],
            }
        }
    }
}

impl Checked {
    fn broken(origin: &str, message: &str) -> Self {
        let mistakes = vec![Mistake {
            origin: origin.to_owned(),
            line: None,
            key: String::new(),
            message: message.to_owned(),
        }];
        Self {
            mistakes,
            ..Self::default()
        }
    }
}

/// Policies that the configuration names and that have no file, or, as a ceiling, no rule that allows.
fn missing(settings: &Settings) -> Vec<Mistake> {
    let of = |key: &str, name: &PolicyName| {
        let file = name.file(&settings.policies);
        let message = match settings::read_trusted(&file) {
            Ok(Some(_)) => return None,
            Ok(None) => format!("policy {name} has no file {}", file.display()),
            Err(error) => format!("policy {name}: {}: {error}", file.display()),
        };
        Some(Mistake {
            origin: settings.file.display().to_string(),
            line: None,
            key: key.to_owned(),
            message,
        })
    };
    let annotations = &settings.annotations;
    let policies = annotations.policies.iter();
    let named = policies.map(|name| ("annotations.policies", name));
    let ceiling = annotations.ceiling.iter();
    let named = named.chain(ceiling.map(|name| ("annotations.ceiling", name)));
    named.filter_map(|(key, name)| of(key, name)).collect()
}

fn tell(out: &mut impl Write, mistakes: &[Mistake]) -> io::Result<()> {
    mistakes.iter().try_for_each(|one| writeln!(out, "{one}"))
}
