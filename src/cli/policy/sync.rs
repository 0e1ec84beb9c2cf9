//! `policy sync`: the files of a folder become this host's policies and its configuration, as a node gets
//! them from a ConfigMap.
//!
//! Invariant: nothing is changed while one of the files has a mistake; and no file is removed that a sync
//! didn't write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::reload;
use crate::policy::PolicyName;
use crate::policy::text::{self, Found, Mistake, all_of};
use crate::settings::{self, Settings, Shelves};
use crate::sys::file;

/// The configuration's name in the folder.
const CONFIGURATION: &str = "config.toml";
/// The list of what was written, among the policies: no policy can be called so.
const LIST: &str = ".synced";
/// As many files may be in the folder; a ConfigMap has at most 1 MiB.
const MOST: usize = 1000;
/// Policies and settings are everyone's to read.
const MODE: u32 = 0o644;

/// `policy sync`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Files called NAME.yaml become policies, config.toml the configuration, and others are left out. What was written so before and isn't in
the folder any more is removed; files that somebody else put beside them stay. Then it reloads the policies of the containers that run.

Exit status: 1 where a file has a mistake; nothing is changed then.

Examples:
  sudo boundary-shim policy sync /mnt/boundary")]
pub(super) struct SyncArguments {
    /// A folder, as a ConfigMap is mounted
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Does it.
///
/// # Errors
/// A file has mistakes or can't be read; this host's files can't be written. What a gateway can't do at
/// once is said, and holds from its container's next start.
pub(super) fn run(arguments: &SyncArguments) -> anyhow::Result<()> {
    let wanted = read(&arguments.folder)?;
    let told = Place {
        configuration: settings::DEFAULT_FILE.into(),
        policies: settings::DEFAULT_POLICIES.into(),
    }
    .hold(&wanted)?;
    if told.is_empty() {
        return Ok(writeln!(io::stdout(), "unchanged")?);
    }
    told.iter()
        .try_for_each(|line| writeln!(io::stdout(), "{line}"))?;
    if let Err(error) = reload::all() {
        log::warn!("{error:#}");
    }
    Ok(())
}

/// What the folder has for us, by file name.
fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let cant = || format!("can't read {}", folder.display());
    let mut found = BTreeMap::new();
    for (count, entry) in fs::read_dir(folder).with_context(cant)?.enumerate() {
        ensure!(
            count < MOST,
            "more than {MOST} files in {}",
            folder.display()
        );
        let entry = entry.with_context(cant)?;
        let Some(name) = entry
            .file_name()
            .to_str()
            .filter(|name| is_ours(name))
            .map(str::to_owned)
        else {
            continue;
        };
        let cant = || format!("can't read {}", entry.path().display());
        let text = settings::read_trusted(&entry.path())
            .with_context(cant)?
            .with_context(cant)?;
        found.insert(name, text);
    }
    let mistakes: Vec<Mistake> = found
        .iter()
        .flat_map(|(name, text)| mistakes_of(name, text, &found))
        .collect();
    ensure!(mistakes.is_empty(), all_of(&mistakes));
    Ok(found)
}

fn is_ours(name: &str) -> bool {
    let policy = name.strip_suffix(".yaml").map(PolicyName::parse);
    name == CONFIGURATION || matches!(policy, Some(Ok(_)))
}

/// A policy may include others of the folder, and what this host has besides.
fn mistakes_of(name: &str, text: &str, folder: &BTreeMap<String, String>) -> Vec<Mistake> {
    if name == CONFIGURATION {
        return settings::parse(name, text).err().unwrap_or_default();
    }
    let here = Shelves::of_host(&Settings::default(), settings::read_trusted);
    let library = |policy: &PolicyName| {
        let name = format!("{policy}.yaml");
        folder.get(&name).map_or_else(
            || here.find(policy),
            |content| {
                Ok(Some(Found {
                    origin: name.clone(),
                    name: name.clone(),
                    content: content.clone().into(),
                }))
            },
        )
    };
    text::parse_whole(name, text, &library)
        .err()
        .unwrap_or_default()
}

/// Where this host's files are.
struct Place {
    configuration: PathBuf,
    policies: PathBuf,
}

impl Place {
    /// Has these files there, and none that an earlier one wrote. Says what became different.
    fn hold(&self, wanted: &BTreeMap<String, String>) -> anyhow::Result<Vec<String>> {
        let list = self.policies.join(LIST);
        let before = self.written_before(&list)?;
        let mut told = Vec::new();
        if !wanted.is_empty() {
            make(&self.policies)?;
            // First, so that what is written now is known to be ours, wherever this ends.
            let all: BTreeSet<&str> = before
                .iter()
                .chain(wanted.keys())
                .map(String::as_str)
                .collect();
            write(
                &list,
                &all.into_iter()
                    .map(|name| format!("{name}\n"))
                    .collect::<String>(),
            )?;
        }
        for (name, text) in wanted {
            let path = self.path(name);
            if fs::read_to_string(&path).ok().as_ref() != Some(text) {
                write(&path, text)?;
                told.push(format!("write {}", path.display()));
            }
        }
        for name in before.iter().filter(|name| !wanted.contains_key(*name)) {
            let path = self.path(name);
            remove(&path)?;
            told.push(format!("remove {}", path.display()));
        }
        if wanted.is_empty() {
            remove(&list)?;
            // Where others' files are in them, they stay.
            let _ = fs::remove_dir(&self.policies);
            let _ = self.policies.parent().map(fs::remove_dir);
        } else if !told.is_empty() {
            write(
                &list,
                &wanted
                    .keys()
                    .map(|name| format!("{name}\n"))
                    .collect::<String>(),
            )?;
        }
        Ok(told)
    }

    fn written_before(&self, list: &Path) -> anyhow::Result<BTreeSet<String>> {
        let text = settings::read_trusted(list)
            .with_context(|| format!("can't read {}", list.display()))?;
        let names = text.unwrap_or_default();
        Ok(names
            .lines()
            .filter(|name| is_ours(name))
            .map(str::to_owned)
            .collect())
    }

    fn path(&self, name: &str) -> PathBuf {
        if name == CONFIGURATION {
            self.configuration.clone()
        } else {
            self.policies.join(name)
        }
    }
}

fn make(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    file::replace(path, text.as_bytes(), MODE)
        .with_context(|| format!("can't write {}", path.display()))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "allow:\n  - domain=a.test\n";
    const B: &str = "allow:\n  - domain=b.test\n";

    struct World {
        directory: tempfile::TempDir,
        place: Place,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let place = Place {
                configuration: directory.path().join("boundary/config.toml"),
                policies: directory.path().join("boundary/policies"),
            };
            make(&directory.path().join("folder")).unwrap();
            Self { directory, place }
        }

        /// As the kubelet does: a folder of its own, and a link to it that is swapped.
        fn mounted(&self, version: &str, files: &[(&str, &str)]) {
            let folder = self.directory.path().join("folder");
            make(&folder.join(version)).unwrap();
            for (name, text) in files {
                write(&folder.join(version).join(name), text).unwrap();
                let link = folder.join(name);
                let _ = fs::remove_file(&link);
                std::os::unix::fs::symlink(format!("..data/{name}"), link).unwrap();
            }
            let data = folder.join("..data");
            let _ = fs::remove_file(&data);
            std::os::unix::fs::symlink(version, data).unwrap();
        }

        fn sync(&self) -> anyhow::Result<usize> {
            let wanted = read(&self.directory.path().join("folder"))?;
            Ok(self.place.hold(&wanted)?.len())
        }

        fn get(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.place.path(name)).ok()
        }
    }

    #[test]
    fn a_folders_files_are_there_and_go_with_it() {
        let world = World::new();
        world.mounted(
            "..1",
            &[
                ("default.yaml", A),
                ("npm.yaml", A),
                ("config.toml", "policy = \"npm\"\n"),
                ("README", "x"),
            ],
        );
        assert_eq!(world.sync().unwrap(), 3);
        assert_eq!(world.sync().unwrap(), 0);
        assert_eq!(world.get("default.yaml").as_deref(), Some(A));
        write(&world.place.policies.join("own.yaml"), B).unwrap();
        world.mounted("..2", &[("default.yaml", B)]);
        for gone in ["npm.yaml", "config.toml"] {
            fs::remove_file(world.directory.path().join("folder").join(gone)).unwrap();
        }
        assert_eq!(world.sync().unwrap(), 3);
        assert_eq!(
            (
                world.get("default.yaml").as_deref(),
                world.get("npm.yaml"),
                world.get("config.toml")
            ),
            (Some(B), None, None)
        );
        assert_eq!(world.get("own.yaml").as_deref(), Some(B));
        assert_eq!(world.place.hold(&BTreeMap::new()).unwrap().len(), 1);
        assert_eq!(
            (world.get("default.yaml"), world.get("own.yaml").as_deref()),
            (None, Some(B))
        );
        fs::remove_file(world.place.path("own.yaml")).unwrap();
        world.place.hold(&BTreeMap::new()).unwrap();
        assert!(!world.place.policies.parent().unwrap().exists());
    }

    #[test]
    fn what_a_policy_includes_is_in_the_folder_or_known() {
        let world = World::new();
        let including = "include: [base, github]\nallow:\n  - domain=a.test\n";
        world.mounted("..1", &[("default.yaml", including), ("base.yaml", B)]);
        assert_eq!(world.sync().unwrap(), 2);
        world.mounted(
            "..2",
            &[("default.yaml", "include: [nowhere]\n"), ("base.yaml", B)],
        );
        let error = world.sync().unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
    }

    #[test]
    fn one_mistake_keeps_all_as_it_was() {
        let world = World::new();
        world.mounted("..1", &[("default.yaml", A)]);
        world.sync().unwrap();
        for (name, text) in [
            ("npm.yaml", "allow:\n  - domian=x\n"),
            ("config.toml", "polciy = \"npm\"\n"),
        ] {
            world.mounted("..2", &[("default.yaml", B), (name, text)]);
            let error = world.sync().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert_eq!(world.get("default.yaml").as_deref(), Some(A));
            fs::remove_file(world.directory.path().join("folder").join(name)).unwrap();
        }
    }

    #[test]
    fn what_others_could_write_is_not_taken() {
        let world = World::new();
        world.mounted("..1", &[("default.yaml", A)]);
        let file = world.directory.path().join("folder/..1/default.yaml");
        fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert!(world.sync().is_err());
        assert_eq!(world.get("default.yaml"), None);
    }
}
