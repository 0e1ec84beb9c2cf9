//! One of containerd's files: its content, the changes to it, and which files it imports.
//!
//! Keeps a line about each change for the user. Plans only.
//!
//! Invariant: an import that can't be followed is an error, since it may override what we see.

use std::io;
use std::path::{Path, PathBuf};

use super::document::{ConfigVersion, TomlDocument};
use super::entry;
use super::malformed::MalformedToml;
use crate::integrate::change_plan::ChangePlan;
use crate::integrate::error::IntegrateError;
use crate::integrate::runtime_name::RuntimeName;
use crate::integrate::step::Step;
use crate::integrate::{config_file, ownership};

/// One file, and what has been changed in it so far.
#[derive(Debug)]
pub(super) struct TomlFile {
    pub(super) path: PathBuf,
    pub(super) before: Option<String>,
    pub(super) document: TomlDocument,
    pub(super) changes: Vec<String>,
}

impl TomlFile {
    /// None where there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, IntegrateError> {
        let (path, Some(text)) = config_file::read(path)? else {
            return Ok(None);
        };
        match TomlDocument::parse(&text) {
            Ok(document) => Ok(Some(Self {
                path,
                before: Some(text),
                document,
                changes: Vec::new(),
            })),
            Err(source) => {
                let template = text.contains("{{").then_some(MalformedToml::Template);
                Err(IntegrateError::Malformed {
                    path,
                    source: template.unwrap_or(source).into(),
                })
            }
        }
    }

    /// What the runtime runs, if it is there and runs us.
    pub(super) fn ours(&self, name: &RuntimeName) -> Result<Option<String>, IntegrateError> {
        let entry = self.explain(self.document.runtime(name.as_str()))?;
        let runs = entry.map(|entry| entry::binary_name(entry).unwrap_or_default());
        runs.map(|runs| ownership::ours(name, &self.path, runs))
            .transpose()
    }

    /// One of ours in which nothing is left goes.
    ///
    /// # Errors
    /// Something else makes the file, and would make it again without the changes.
    pub(super) fn write(self, plan: &mut ChangePlan) -> Result<(), IntegrateError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        self.explain(self.made_by_nobody_else())?;
        let Self {
            path,
            before,
            document,
            changes,
        } = self;
        match before {
            Some(before) if document.is_left_over() => plan.steps.push(Step::Remove {
                path,
                before,
                changes,
            }),
            before => plan.write(path, before, document.text(), changes),
        }
        Ok(())
    }

    /// Generated files say so above their first line, except those of MicroK8s, which have what
    /// they are made from beside them.
    fn made_by_nobody_else(&self) -> Result<(), MalformedToml> {
        /// As much as is quoted.
        const LONGEST: usize = 120;
        let head = self.before.iter().flat_map(|text| text.lines());
        let says = head
            .take_while(|line| line.is_empty() || line.starts_with('#'))
            .find(|line| line.to_ascii_lowercase().contains("do not edit"));
        if let Some(line) = says {
            let says = line.trim_start_matches(['#', ' ']);
            return Err(MalformedToml::Generated(
                says.chars().take(LONGEST).collect(),
            ));
        }
        let name = file_name(&self.path);
        let template = name
            .strip_suffix(".toml")
            .map(|stem| self.beside(&format!("{stem}-template.toml")));
        match template.filter(|template| template.exists()) {
            Some(template) => Err(MalformedToml::MadeFrom(template)),
            None => Ok(()),
        }
    }

    /// The files that it imports. As in containerd, `*` may find nothing.
    pub(super) fn imported(&self, version: ConfigVersion) -> Result<Vec<PathBuf>, IntegrateError> {
        let mut all = Vec::new();
        for import in self.explain(self.document.imports())? {
            let path = self.beside(import);
            if !import.contains('*') {
                all.push(path);
                continue;
            }
            // 1.x looks for relative patterns in its working directory; and Go knows more patterns
            // than we do.
            let relative = version == ConfigVersion::Two && !import.starts_with('/');
            let elsewhere = path
                .parent()
                .and_then(Path::to_str)
                .is_none_or(|above| above.contains('*'));
            if relative || elsewhere || import.contains(['?', '[', '\\']) {
                return self.explain(Err(MalformedToml::Pattern(import.to_owned())));
            }
            all.extend(found(&path).map_err(|source| IntegrateError::Read { path, source })?);
        }
        Ok(all)
    }

    /// A path as this file means it.
    pub(super) fn beside(&self, import: &str) -> PathBuf {
        self.path
            .parent()
            .unwrap_or_else(|| Path::new("/"))
            .join(import)
    }

    pub(super) fn explain<T>(&self, result: Result<T, MalformedToml>) -> Result<T, IntegrateError> {
        result.map_err(|source| IntegrateError::Malformed {
            path: self.path.clone(),
            source: source.into(),
        })
    }
}

/// The files that a pattern finds, in order of their names.
fn found(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = pattern.parent().unwrap_or_else(|| Path::new("/"));
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<_> = paths
        .into_iter()
        .filter(|path| matches(file_name(pattern), file_name(path)))
        .collect();
    paths.sort();
    Ok(paths)
}

pub(super) fn file_name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

/// Whether a name fits a pattern whose only sign is `*`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut literals = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(literals.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = literals.next_back() else {
        return rest.is_empty();
    };
    for literal in literals {
        let Some((_, after)) = rest.split_once(literal) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name) in [
            ("*.toml", "a.toml"),
            ("*", "x"),
            ("a*c*e.toml", "abcde.toml"),
            ("a.toml", "a.toml"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.toml", "a.tom"),
            ("a*a", "a"),
            ("a.toml", "a.toml2"),
            ("b*", "ab"),
            ("*x*y", "yx"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
