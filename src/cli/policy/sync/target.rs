//! Where a file of the folder belongs on the host, by its name.
//!
//! Pure. A ConfigMap has no folders, and no `/` in its keys: a host's folder is the beginning of a name.
//! Invariant: a name that looks like a policy's or a layer's and can't be one is a mistake: its author believes
//! that it narrows something.

use std::path::{Path, PathBuf};

use crate::policy::PolicyName;

/// The configuration.
pub(super) const CONFIGURATION: &str = "config.toml";
/// The policies' folder.
pub(super) const POLICIES: &str = "policies";
/// The folder of the layers that bound all policies.
pub(super) const LAYERS: &str = "ceiling.d";
/// The presets' folder.
pub(super) const PRESETS: &str = "presets.d";

/// Whether its author means a file for us, rightly or not.
pub(super) fn is_ours(name: &str) -> bool {
    let ends = [".yaml", ".yml"].iter().any(|end| name.ends_with(end));
    name == CONFIGURATION || (ends && !name.starts_with('.'))
}

/// Where it belongs, below the host's directory.
///
/// # Errors
/// Why it belongs nowhere.
pub(super) fn target(name: &str) -> Result<PathBuf, String> {
    if name == CONFIGURATION {
        return Ok(name.into());
    }
    let stem = name
        .strip_suffix(".yaml")
        .ok_or("a policy's name ends in .yaml")?;
    let (folder, stem) = [LAYERS, PRESETS]
        .iter()
        .find_map(|folder| Some((*folder, stem.strip_prefix(folder)?.strip_prefix('.')?)))
        .unwrap_or((POLICIES, stem));
    // As a policy it would bound nothing.
    let meant = |word: &&&str| folder == POLICIES && stem.starts_with(*word);
    if let Some(word) = ["ceiling.", "presets."].iter().find(meant) {
        return Err(format!("expected {word}d.NAME.yaml"));
    }
    Ok(PolicyName::parse(stem)?.file(Path::new(folder)))
}

/// Whether it is a layer.
pub(super) fn is_layer(name: &str) -> bool {
    target(name).is_ok_and(|target| target.starts_with(LAYERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_hosts_is_the_beginning_of_a_name() {
        for (name, path) in [
            ("config.toml", "config.toml"),
            ("npm.yaml", "policies/npm.yaml"),
            ("v1.2.yaml", "policies/v1.2.yaml"),
            ("ceilings.yaml", "policies/ceilings.yaml"),
            ("ceiling.d.corp.yaml", "ceiling.d/corp.yaml"),
            ("ceiling.d.ceiling.d.yaml", "ceiling.d/ceiling.d.yaml"),
            ("presets.d.npm.yaml", "presets.d/npm.yaml"),
        ] {
            assert!(is_ours(name), "{name}");
            assert_eq!(target(name).as_deref(), Ok(Path::new(path)), "{name}");
        }
    }

    #[test]
    fn what_looks_like_a_policys_name_and_is_none_is_a_mistake() {
        for name in [
            "ceiling.corp.yaml",
            "ceiling.d.yaml",
            "ceiling.d..yaml",
            "presets.npm.yaml",
            "Npm.yaml",
            "npm.yml",
            "ceiling.d.corp.yml",
            "a..b.yaml",
        ] {
            assert!(is_ours(name) && target(name).is_err(), "{name}");
        }
    }

    #[test]
    fn all_else_is_somebody_elses() {
        for name in ["README", "..data", ".hidden.yaml", "config.toml.bak"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
