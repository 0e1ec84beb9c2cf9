//! The policy of a jail: rules of the command line, and of a file. Read once, before anything runs.

use anyhow::{Context, anyhow};

use super::options::Options;
use crate::policy::text::{self, RuleFile};
use crate::policy::{Policy, PolicySource};
use crate::settings;

/// What was asked for.
///
/// # Errors
/// The file can't be read, could have been written by others, or has a mistake.
pub(super) fn source(options: &Options) -> anyhow::Result<PolicySource> {
    let file = match &options.policy {
        None => RuleFile {
            tls: options.tls.clone(),
            ..RuleFile::default()
        },
        Some(path) => {
            let origin = format!("policy {}", path.display());
            let text = settings::read_trusted(path)
                .context(origin.clone())?
                .ok_or_else(|| anyhow!("{origin}: there is no such file"))?;
            text::parse_file(&origin, &text).map_err(|all| text::all_of(&all))?
        }
    };
    let name = options.policy.as_ref().and_then(|path| path.file_stem());
    Ok(PolicySource {
        name: name.map_or_else(
            || "command line".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        ),
        mode: options.mode,
        allow: [file.allow(), options.allow.clone()].concat(),
        deny: [file.deny(), options.deny.clone()].concat(),
        tls: file.tls,
        ..PolicySource::default()
    })
}

/// Compiles it.
///
/// # Errors
/// Every mistake in every rule.
pub(super) fn compile(source: &PolicySource) -> anyhow::Result<Policy> {
    Policy::compile(source).map_err(|all| text::all_of(&all))
}
