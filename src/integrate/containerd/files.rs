//! The files that containerd reads: the main one and those it imports, and which of them takes
//! effect. Before 2.x, that is only the last file with a section for the CRI plugin.
//!
//! Must not know the form of a file (`file`, `document`).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::document::{ConfigVersion, TomlDocument};
use super::entry;
use super::file::{TomlFile, file_name, matches};
use super::malformed::MalformedToml;
use super::version::{OWN_NAMES, version_of};
use crate::integrate::error::IntegrateError;
use crate::integrate::runtime_name::RuntimeName;

/// Files that are followed at most; far more than anyone has.
const MOST: usize = 256;

/// All of them, the main one first, later ones over earlier ones.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) version: ConfigVersion,
    pub(super) list: Vec<TomlFile>,
    /// Whether what several files say of one plugin is merged (2.x), or the last one's word alone
    /// counts (1.x).
    merged: bool,
}

impl Files {
    /// None where there is no main file.
    pub(super) fn read(config: &Path, program: &Path) -> Result<Option<Self>, IntegrateError> {
        TomlFile::read(config)?
            .map(|main| Self::beginning_with(main, program))
            .transpose()
    }

    /// Where there is no main file, one is made.
    pub(super) fn read_or_new(config: &Path, program: &Path) -> Result<Self, IntegrateError> {
        if let Some(files) = Self::read(config, program)? {
            return Ok(files);
        }
        if config.extension().is_some_and(|kind| kind == "tmpl") {
            return Err(IntegrateError::Malformed {
                path: config.to_owned(),
                source: MalformedToml::NewTemplate.into(),
            });
        }
        let (major, _) = version_of(program, "the format of a new configuration file")?;
        let drop_ins = config.with_file_name("conf.d").join("*.toml");
        let drop_ins = drop_ins
            .to_str()
            .ok_or_else(|| IntegrateError::NotText(drop_ins.clone()))?;
        let document = match major {
            ..2 => TomlDocument::new(ConfigVersion::Two, None),
            2.. => TomlDocument::new(ConfigVersion::Three, Some(drop_ins)),
        };
        let changes = vec![format!("new file, for containerd {major}.x")];
        let main = TomlFile {
            path: config.to_owned(),
            before: None,
            document,
            changes,
        };
        Self::beginning_with(main, program)
    }

    /// In the order in which containerd reads them: all of one level, then those that they import.
    fn beginning_with(main: TomlFile, program: &Path) -> Result<Self, IntegrateError> {
        let version = main.explain(main.document.version())?;
        let mut files = Self {
            version,
            list: Vec::new(),
            merged: version > ConfigVersion::Two,
        };
        let mut next = VecDeque::from([main]);
        while let Some(file) = next.pop_front() {
            if files.list.iter().any(|seen| seen.path == file.path) {
                continue;
            }
            for path in file.imported(version)? {
                next.extend(TomlFile::read(&path)?);
            }
            if files.list.len() + next.len() >= MOST {
                return file.explain(Err(MalformedToml::TooMany(MOST)));
            }
            files.list.push(file);
        }
        files.read_by_names(program)?;
        if version == ConfigVersion::Two && files.saying_anything()?.len() > 1 {
            files.merged = version_of(program, "which of several files takes effect")? >= (2, 0);
        }
        Ok(files)
    }

    /// An imported file without a version goes by the main file's names, and so does one of
    /// another version, except with a containerd that knows better.
    fn read_by_names(&mut self, program: &Path) -> Result<(), IntegrateError> {
        let mut by_own_names = (self.version == ConfigVersion::Four).then_some(true);
        for file in &mut self.list {
            let own_names_say_something = file.explain(file.document.has_cri())?;
            file.document.read_as(self.version);
            if !own_names_say_something || file.explain(file.document.has_cri())? {
                continue;
            }
            let own = file.document.version().unwrap_or(ConfigVersion::Two);
            let counts = match by_own_names {
                Some(counts) => counts,
                None => version_of(program, "which of several files takes effect")? >= OWN_NAMES,
            };
            by_own_names = Some(counts);
            if counts {
                file.document.read_as(own);
            }
        }
        Ok(())
    }

    /// Makes containerd offer the runtime, where it doesn't yet.
    pub(super) fn add_runtime(
        &mut self,
        name: &RuntimeName,
        path: &str,
    ) -> Result<(), IntegrateError> {
        let usual = self.usual_runtime(name)?;
        let like = usual
            .as_ref()
            .map_or_else(|| "runc".to_owned(), |usual| usual.name.clone());
        if let Some(file) = self.offering(name)? {
            let was = file.ours(name)?.unwrap_or_default();
            // Where nothing says what is usual here, what an earlier install wrote stays.
            let own = file.explain(file.document.runtime(name.as_str()))?;
            let systemd_cgroup = match &usual {
                Some(usual) => entry::systemd_cgroup(&usual.entry),
                None => own.and_then(entry::systemd_cgroup),
            };
            let fitted = file
                .document
                .fit_runtime(name.as_str(), path, systemd_cgroup);
            if file.explain(fitted)? {
                file.changes.push(format!(
                    "runtime {name}: {path}, otherwise like {like} (was {was})"
                ));
            }
            return Ok(());
        }
        let version = self.version;
        let file = self.target(name)?;
        if version == ConfigVersion::Two && !file.explain(file.document.has_runtimes())? {
            let added = file.document.add_runtime("runc", entry::stand_in());
            file.explain(added)?;
            file.changes.push(
                "runtime runc: containerd 1.x's default, which it drops once another runtime is listed"
                    .to_owned(),
            );
        }
        let added = entry::like(usual.map(|usual| usual.entry), path)
            .and_then(|entry| file.document.add_runtime(name.as_str(), entry));
        file.explain(added)?;
        file.changes
            .push(format!("runtime {name}: {path}, otherwise like {like}"));
        Ok(())
    }

    /// Takes the runtime out of every file, and gives what it ran.
    pub(super) fn remove_runtime(
        &mut self,
        name: &RuntimeName,
    ) -> Result<Vec<String>, IntegrateError> {
        let mut paths = Vec::new();
        for file in &mut self.list {
            if file.explain(file.document.default_runtime())? == Some(name.as_str()) {
                let setting = format!("default_runtime_name in {}", file.path.display());
                let what = "containerd's default runtime";
                return Err(IntegrateError::IsDefault {
                    name: name.clone(),
                    what,
                    setting,
                });
            }
            let Some(path) = file.ours(name)? else {
                continue;
            };
            file.document.remove_runtime(name.as_str());
            file.changes
                .push(format!("runtime {name} removed (was {path})"));
            paths.push(path);
        }
        // A main file that was made for it, and imports nothing else, goes with it.
        if !paths.is_empty() && self.list.iter().all(|file| file.document.is_left_over()) {
            let kept = self.list.iter_mut().filter(|file| file.changes.is_empty());
            kept.for_each(|file| file.changes.push("nothing is left in it".to_owned()));
        }
        Ok(paths)
    }

    /// Whether any runtime still runs `path`.
    pub(super) fn mention(&self, path: &str) -> bool {
        let of = |file: &TomlFile| {
            file.document
                .binaries()
                .is_ok_and(|binaries| binaries.contains(&path))
        };
        self.list.iter().any(of)
    }

    /// The last file with such an entry, of those that count.
    fn offering(&mut self, name: &RuntimeName) -> Result<Option<&mut TomlFile>, IntegrateError> {
        let mut found = None;
        for index in self.counting()? {
            let Some(file) = self.list.get(index) else {
                continue;
            };
            if file
                .explain(file.document.runtime(name.as_str()))?
                .is_some()
            {
                found = Some(index);
            }
        }
        Ok(found.and_then(|index| self.list.get_mut(index)))
    }

    /// Where a new entry goes: a file of our own where that is safe, else the last one that counts.
    fn target(&mut self, name: &RuntimeName) -> Result<&mut TomlFile, IntegrateError> {
        let index = match self.drop_in(name)? {
            Some(path) => {
                let document = TomlDocument::new(self.version, None);
                self.list.push(TomlFile {
                    path,
                    before: None,
                    document,
                    changes: Vec::new(),
                });
                self.list.len() - 1
            }
            None if self.merged => 0,
            None => self.counting()?.last().copied().unwrap_or_default(),
        };
        Ok(self
            .list
            .get_mut(index)
            .expect("the main file is always there"))
    }

    /// A path for a file of our own that the main file imports already, and that isn't there.
    fn drop_in(&self, name: &RuntimeName) -> Result<Option<PathBuf>, IntegrateError> {
        let Some(main) = self
            .list
            .first()
            .filter(|_| self.version > ConfigVersion::Two)
        else {
            return Ok(None);
        };
        let own = format!("boundary-shim-{name}.toml");
        let patterns = main
            .explain(main.document.imports())?
            .into_iter()
            .map(|import| main.beside(import));
        let fitting =
            |path: &PathBuf| matches(file_name(path), &own) && file_name(path).contains('*');
        Ok(patterns
            .filter(fitting)
            .map(|path| path.with_file_name(&own))
            .find(|path| !path.exists()))
    }

    /// The files, and the directories of which every file that fits a pattern is imported: such a
    /// directory changes when a file goes.
    pub(super) fn sources(&self) -> Result<Vec<PathBuf>, IntegrateError> {
        let mut all: Vec<_> = self.list.iter().map(|file| file.path.clone()).collect();
        for file in &self.list {
            let patterns = file
                .explain(file.document.imports())?
                .into_iter()
                .filter(|import| import.contains('*'))
                .map(|import| file.beside(import));
            let directories = patterns.filter_map(|pattern| pattern.parent().map(Path::to_owned));
            all.extend(directories.filter(|directory| directory.exists()));
        }
        Ok(all)
    }

    /// By index.
    pub(super) fn counting(&self) -> Result<Vec<usize>, IntegrateError> {
        if self.merged {
            return Ok((0..self.list.len()).collect());
        }
        Ok(vec![
            self.saying_anything()?.last().copied().unwrap_or_default(),
        ])
    }

    /// The files that say anything of the CRI plugin, by index.
    fn saying_anything(&self) -> Result<Vec<usize>, IntegrateError> {
        let mut found = Vec::new();
        for (index, file) in self.list.iter().enumerate() {
            if file.explain(file.document.has_cri())? {
                found.push(index);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
