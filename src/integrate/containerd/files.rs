//! The files that containerd reads: the main one and those it imports, and which of them counts.
//!
//! Keeps a line about each change for the user. Writes nothing.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use toml_edit::Table;

use super::document::{self, Document, Malformed, Version};
use super::{ContainerdError, Places};
use crate::integrate::binary;
use crate::integrate::config_file::read;
use crate::integrate::runtime_name::RuntimeName;
use crate::sys::process;

/// Files that are followed at most; far more than anyone has.
const MOST: usize = 256;

/// All of them, the main one first, later ones over earlier ones.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) version: Version,
    pub(super) list: Vec<File>,
    /// Whether what several files say of one plugin is merged (2.x), or the last one's word alone counts (1.x).
    merged: bool,
}

/// One file, and what has been changed in it so far.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) before: Option<String>,
    pub(super) document: Document,
    pub(super) changes: Vec<String>,
}

impl Files {
    /// None where there is no main file.
    pub(super) fn read(places: &Places) -> Result<Option<Self>, ContainerdError> {
        File::read(&places.config)?.map(|main| Self::beginning_with(main, &places.containerd)).transpose()
    }

    /// Where there is no main file, one is made.
    pub(super) fn read_or_new(places: &Places) -> Result<Self, ContainerdError> {
        if let Some(files) = Self::read(places)? {
            return Ok(files);
        }
        let major = major_version(&places.containerd, "how a new configuration file is to be written")?;
        let drop_ins = places.config.with_file_name("conf.d").join("*.toml");
        let drop_ins = drop_ins.to_str().ok_or_else(|| ContainerdError::NotText(drop_ins.clone()))?;
        let document = match major {
            ..2 => Document::new(Version::Two, None),
            2.. => Document::new(Version::Three, Some(drop_ins)),
        };
        let changes = vec![format!("a new file, for containerd {major}.x")];
        let main = File { path: places.config.clone(), before: None, document, changes };
        Self::beginning_with(main, &places.containerd)
    }

    /// In the order in which containerd reads them: all of one level, then those that they import.
    fn beginning_with(main: File, containerd: &Path) -> Result<Self, ContainerdError> {
        let version = main.explain(main.document.version())?;
        let mut files = Self { version, list: Vec::new(), merged: version == Version::Three };
        let mut next = VecDeque::from([main]);
        while let Some(file) = next.pop_front() {
            if files.list.iter().any(|seen| seen.path == file.path) {
                continue;
            }
            for path in file.imported(version)? {
                next.extend(File::read(&path)?);
            }
            if files.list.len() + next.len() >= MOST {
                return file.explain(Err(Malformed::TooMany(MOST)));
            }
            files.list.push(file);
        }
        if version == Version::Two && files.saying_anything()?.len() > 1 {
            files.merged = major_version(containerd, "which of several files counts")? >= 2;
        }
        Ok(files)
    }

    /// Makes containerd offer the runtime, where it doesn't yet.
    pub(super) fn add_runtime(&mut self, name: &RuntimeName, path: &str) -> Result<(), ContainerdError> {
        let (version, runc) = (self.version, self.runc()?);
        if let Some(file) = self.offering(name)? {
            let was = file.ours(version, name)?.unwrap_or_default();
            let systemd_cgroup = runc.as_ref().and_then(document::systemd_cgroup);
            let fitted = file.document.fit_runtime(version, name.as_str(), path, systemd_cgroup);
            if file.explain(fitted)? {
                file.changes.push(format!("runtime {name}: {path}, as runc is (was {was})"));
            }
            return Ok(());
        }
        let file = self.target(name)?;
        if version == Version::Two && !file.explain(file.document.has_runtimes(version))? {
            let added = file.document.add_runtime(version, "runc", document::stand_in());
            file.explain(added)?;
            file.changes
                .push("runtime runc: as containerd 1.x has it, which drops it where another is written".to_owned());
        }
        let added =
            document::entry(runc, path).and_then(|entry| file.document.add_runtime(version, name.as_str(), entry));
        file.explain(added)?;
        file.changes.push(format!("runtime {name}: {path}, else as runc is"));
        Ok(())
    }

    /// Takes the runtime out of every file, and gives what it ran.
    pub(super) fn remove_runtime(&mut self, name: &RuntimeName) -> Result<Vec<String>, ContainerdError> {
        let version = self.version;
        let mut paths = Vec::new();
        for file in &mut self.list {
            if file.explain(file.document.default_runtime(version))? == Some(name.as_str()) {
                return Err(ContainerdError::IsDefault { name: name.clone(), path: file.path.clone() });
            }
            let Some(path) = file.ours(version, name)? else { continue };
            file.document.remove_runtime(version, name.as_str());
            file.changes.push(format!("no runtime {name} (was {path})"));
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
        let of = |file: &File| file.document.binaries(self.version).is_ok_and(|binaries| binaries.contains(&path));
        self.list.iter().any(of)
    }

    /// runc's entry, as containerd understands all that count.
    pub(super) fn runc(&self) -> Result<Option<Table>, ContainerdError> {
        let mut merged = None;
        for index in self.counting()? {
            let Some(file) = self.list.get(index) else { continue };
            if let Some(entry) = file.explain(file.document.runtime(self.version, "runc"))? {
                document::merge(merged.get_or_insert_with(Table::new), entry);
            }
        }
        Ok(merged)
    }

    /// The last file with such an entry, of those that count.
    fn offering(&mut self, name: &RuntimeName) -> Result<Option<&mut File>, ContainerdError> {
        let mut found = None;
        for index in self.counting()? {
            let Some(file) = self.list.get(index) else { continue };
            if file.explain(file.document.runtime(self.version, name.as_str()))?.is_some() {
                found = Some(index);
            }
        }
        Ok(found.and_then(|index| self.list.get_mut(index)))
    }

    /// Where a new entry goes: a file of our own where that is safe, else the last one that counts.
    fn target(&mut self, name: &RuntimeName) -> Result<&mut File, ContainerdError> {
        let index = match self.drop_in(name)? {
            Some(path) => {
                let document = Document::new(self.version, None);
                self.list.push(File { path, before: None, document, changes: Vec::new() });
                self.list.len() - 1
            }
            None if self.merged => 0,
            None => self.counting()?.last().copied().unwrap_or_default(),
        };
        Ok(self.list.get_mut(index).expect("the main file is always there"))
    }

    /// A path for a file of our own that the main file imports already, and that isn't there.
    fn drop_in(&self, name: &RuntimeName) -> Result<Option<PathBuf>, ContainerdError> {
        let (Version::Three, Some(main)) = (self.version, self.list.first()) else { return Ok(None) };
        let own = format!("boundary-shim-{name}.toml");
        let patterns = main.explain(main.document.imports())?.into_iter().map(|import| main.beside(import));
        let fitting = |path: &PathBuf| matches(file_name(path), &own) && file_name(path).contains('*');
        Ok(patterns.filter(fitting).map(|path| path.with_file_name(&own)).find(|path| !path.exists()))
    }

    /// By index.
    fn counting(&self) -> Result<Vec<usize>, ContainerdError> {
        if self.merged {
            return Ok((0..self.list.len()).collect());
        }
        Ok(vec![self.saying_anything()?.last().copied().unwrap_or_default()])
    }

    /// The files that say anything of the CRI plugin, by index.
    fn saying_anything(&self) -> Result<Vec<usize>, ContainerdError> {
        let mut found = Vec::new();
        for (index, file) in self.list.iter().enumerate() {
            if file.explain(file.document.has_cri(self.version))? {
                found.push(index);
            }
        }
        Ok(found)
    }
}

impl File {
    /// None where there is no such file.
    fn read(path: &Path) -> Result<Option<Self>, ContainerdError> {
        let unreadable = |source| ContainerdError::Read { path: path.to_owned(), source };
        let (path, Some(text)) = read(path).map_err(unreadable)? else { return Ok(None) };
        match Document::parse(&text) {
            Ok(document) => Ok(Some(Self { path, before: Some(text), document, changes: Vec::new() })),
            Err(source) => Err(ContainerdError::Malformed { path, source }),
        }
    }

    /// What the runtime runs, if it is there and runs us.
    fn ours(&self, version: Version, name: &RuntimeName) -> Result<Option<String>, ContainerdError> {
        let Some(entry) = self.explain(self.document.runtime(version, name.as_str()))? else { return Ok(None) };
        let runs = document::binary_name(entry).unwrap_or("something else").to_owned();
        if binary::is_ours(&runs) {
            Ok(Some(runs))
        } else {
            Err(ContainerdError::Foreign { name: name.clone(), path: self.path.clone(), runs })
        }
    }

    /// The files that it imports. As in containerd, `*` may find nothing.
    fn imported(&self, version: Version) -> Result<Vec<PathBuf>, ContainerdError> {
        let mut all = Vec::new();
        for import in self.explain(self.document.imports())? {
            let path = self.beside(import);
            if !import.contains('*') {
                all.push(path);
                continue;
            }
            // 1.x looks for relative patterns in its working directory; and Go knows more patterns than we do.
            let relative = version == Version::Two && !import.starts_with('/');
            let elsewhere = path.parent().and_then(Path::to_str).is_none_or(|above| above.contains('*'));
            if relative || elsewhere || import.contains(['?', '[', '\\']) {
                return self.explain(Err(Malformed::Pattern(import.to_owned())));
            }
            all.extend(found(&path).map_err(|source| ContainerdError::Read { path, source })?);
        }
        Ok(all)
    }

    /// A path as this file means it.
    fn beside(&self, import: &str) -> PathBuf {
        self.path.parent().unwrap_or_else(|| Path::new("/")).join(import)
    }

    fn explain<T>(&self, result: Result<T, Malformed>) -> Result<T, ContainerdError> {
        result.map_err(|source| ContainerdError::Malformed { path: self.path.clone(), source })
    }
}

/// The files that a pattern finds, in order of their names.
fn found(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = pattern.parent().unwrap_or_else(|| Path::new("/"));
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<_> = paths.into_iter().filter(|path| matches(file_name(pattern), file_name(path))).collect();
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Whether a name fits a pattern whose only sign is `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut literals = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(literals.next().unwrap_or_default()) else { return false };
    let Some(last) = literals.next_back() else { return rest.is_empty() };
    for literal in literals {
        let Some((_, after)) = rest.split_once(literal) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// 1 or 2, from `containerd github.com/containerd/containerd/v2 v2.1.4 …`.
fn major_version(program: &Path, what: &'static str) -> Result<u32, ContainerdError> {
    let version = process::answer(program, &["--version"]).and_then(|said| {
        let number = said.split_whitespace().nth(2).map(|word| word.trim_start_matches('v'));
        let major = number.and_then(|number| number.split('.').next()?.parse().ok());
        major.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its answer can't be understood"))
    });
    version.map_err(|source| ContainerdError::Version { program: program.to_owned(), what, source })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name) in [("*.toml", "a.toml"), ("*", "x"), ("a*c*e.toml", "abcde.toml"), ("a.toml", "a.toml")] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.toml", "a.tom"), ("a*a", "a"), ("a.toml", "a.toml2"), ("b*", "ab"), ("*x*y", "yx")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
