//! `policy sync`: the files of a folder become this host's policies, layers, presets and configuration, as a
//! node gets them from a ConfigMap.
//!
//! Invariant: nothing is changed while one of the files has a mistake; no file is removed that a sync didn't
//! write; and wherever it ends, each policy that is there stands below the layers that came with it, or more.
//! Who chooses a container's policy meanwhile waits (`container::state`).

mod steps;
mod target;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use self::steps::{Files, Step, steps};
use self::target::{CONFIGURATION, LAYERS, POLICIES, PRESETS, is_ours, target};
use super::reload;
use crate::container::state;
use crate::policy::PolicyName;
use crate::policy::text::{self, Mistake, all_of};
use crate::settings::{self, Settings, Shelves, select};
use crate::sys::file;

/// The list of what was written, among the policies: no policy can be called so.
const LIST: &str = "policies/.synced";
/// As many files may be in the folder; a ConfigMap has at most 1 MiB.
const MOST: usize = 1000;
/// Policies and settings are everyone's to read.
const MODE: u32 = 0o644;

/// `policy sync`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
NAME.yaml becomes a policy, ceiling.d.NAME.yaml and presets.d.NAME.yaml become NAME.yaml in ceiling.d and presets.d, and config.toml
the configuration; others are left out. What was written so before and isn't in the folder any more is removed; files that somebody
else put beside them stay. Then it reloads the policies of the containers that run.

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
    let place = Place {
        directory: settings::DIRECTORY.into(),
        lock: state::LOCK.into(),
    };
    let wanted = read(&arguments.folder)?;
    let told = place.hold(&wanted)?;
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

/// What the folder has for us.
fn read(folder: &Path) -> anyhow::Result<Files> {
    let cant = || format!("can't read {}", folder.display());
    let mut found = Files::new();
    for (count, entry) in fs::read_dir(folder).with_context(cant)?.enumerate() {
        ensure!(
            count < MOST,
            "more than {MOST} files in {}",
            folder.display()
        );
        let entry = entry.with_context(cant)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_ours(&name) {
            continue;
        }
        let cant = || format!("can't read {}", entry.path().display());
        let text = settings::read_trusted(&entry.path())
            .with_context(cant)?
            .with_context(cant)?;
        found.insert(name, text);
    }
    Ok(found)
}

/// Where this host's files are.
struct Place {
    directory: PathBuf,
    lock: PathBuf,
}

impl Place {
    /// Has these files there, and none that an earlier one wrote. Says what became different.
    fn hold(&self, wanted: &Files) -> anyhow::Result<Vec<String>> {
        let before = self.written_before()?;
        let mistakes: Vec<Mistake> = wanted
            .iter()
            .flat_map(|(name, text)| self.mistakes_of(name, text, wanted, &before))
            .collect();
        ensure!(mistakes.is_empty(), all_of(&mistakes));
        let there = before.iter().chain(wanted.keys());
        let there: Files = there
            .filter_map(|name| Some((name.clone(), self.get(name)?)))
            .collect();
        let steps = steps(&there, wanted, |name| !self.path(name).exists());
        let known: BTreeSet<String> = before.iter().chain(wanted.keys()).cloned().collect();
        if !steps.is_empty() {
            self.swap(&steps, known)?;
        }
        if !steps.is_empty() || !wanted.keys().eq(&before) {
            self.list(wanted.keys())?;
        }
        let lasting = steps.iter().filter(|step| step.lasts);
        Ok(lasting
            .map(|step| {
                let verb = step.text.map_or("remove", |_| "write");
                format!("{verb} {}", self.path(&step.name).display())
            })
            .collect())
    }

    /// Does them as one for all who ask for the lock.
    fn swap(&self, steps: &[Step<'_>], known: BTreeSet<String>) -> anyhow::Result<()> {
        let _alone = state::swapping_policies(&self.lock)
            .with_context(|| format!("can't lock {}", self.lock.display()))?;
        // First, so that what is written now is known to be ours, wherever this ends.
        let written = steps.iter().map(|step| &step.name);
        self.list(known.iter().chain(written))?;
        for step in steps {
            let path = self.path(&step.name);
            match step.text {
                Some(text) => write(&path, text)?,
                None => remove(&path)?,
            }
        }
        Ok(())
    }

    /// Keeps these names in mind; without any, nothing of a sync is left.
    fn list<'a>(&self, names: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
        let list = self.directory.join(LIST);
        let names: BTreeSet<&String> = names.collect();
        if !names.is_empty() {
            return write(
                &list,
                &names
                    .iter()
                    .map(|name| format!("{name}\n"))
                    .collect::<String>(),
            );
        }
        remove(&list)?;
        // Where others' files are in them, they stay.
        for folder in [POLICIES, PRESETS, LAYERS, ""] {
            let _ = fs::remove_dir(self.directory.join(folder));
        }
        Ok(())
    }

    /// A policy may include others of the folder, and what this host has besides.
    fn mistakes_of(
        &self,
        name: &str,
        text: &str,
        wanted: &Files,
        before: &BTreeSet<String>,
    ) -> Vec<Mistake> {
        let target = match target(name) {
            Ok(target) => target,
            Err(message) => return vec![mistake(name, message)],
        };
        if name == CONFIGURATION {
            return settings::parse(name, text).err().unwrap_or_default();
        }
        let read = |path: &Path| {
            let is_there = |name: &&String| self.path(name) == path;
            match wanted.keys().find(is_there) {
                Some(name) => Ok(wanted.get(name).cloned()),
                None if before.iter().any(|name| is_there(&name)) => Ok(None),
                None => settings::read_trusted(path),
            }
        };
        let host = Settings {
            policies: self.directory.join(POLICIES),
            presets: self.directory.join(PRESETS),
            ..Settings::default()
        };
        let shelves = Shelves::of_host(&host, read);
        let library = |policy: &PolicyName| shelves.find(policy);
        let whole = text::parse_whole(name, text, &library);
        match whole {
            Ok(rules) if target.starts_with(LAYERS) => {
                let layer = select::layer(Path::new(name), rules);
                layer.err().into_iter().collect()
            }
            whole => whole.err().unwrap_or_default(),
        }
    }

    fn written_before(&self) -> anyhow::Result<BTreeSet<String>> {
        let list = self.directory.join(LIST);
        let text = settings::read_trusted(&list)
            .with_context(|| format!("can't read {}", list.display()))?;
        let names = text.unwrap_or_default();
        Ok(names
            .lines()
            .filter(|name| target(name).is_ok())
            .map(str::to_owned)
            .collect())
    }

    fn get(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// The path of a name that was looked at.
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(target(name).unwrap_or_default())
    }
}

fn mistake(name: &str, message: String) -> Mistake {
    Mistake {
        origin: name.to_owned(),
        line: None,
        key: String::new(),
        message,
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let cant = || format!("can't write {}", path.display());
    let folder = path.parent().with_context(cant)?;
    fs::create_dir_all(folder)
        .and_then(|()| file::replace(path, text.as_bytes(), MODE))
        .with_context(cant)
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
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::policy::PolicySource;
    use crate::settings::select::Named;

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
                directory: directory.path().join("boundary"),
                lock: directory.path().join("lock"),
            };
            fs::create_dir(directory.path().join("folder")).unwrap();
            Self { directory, place }
        }

        /// As the kubelet does: a folder of its own, and a link to it that is swapped.
        fn mounted(&self, version: &str, files: &[(&str, &str)]) {
            let folder = self.directory.path().join("folder");
            for entry in fs::read_dir(&folder).unwrap() {
                let _ = fs::remove_file(entry.unwrap().path());
            }
            for (name, text) in files {
                write(&folder.join(version).join(name), text).unwrap();
                std::os::unix::fs::symlink(format!("..data/{name}"), folder.join(name)).unwrap();
            }
            std::os::unix::fs::symlink(version, folder.join("..data")).unwrap();
        }

        fn sync(&self) -> anyhow::Result<usize> {
            let wanted = read(&self.directory.path().join("folder"))?;
            Ok(self.place.hold(&wanted)?.len())
        }

        fn get(&self, name: &str) -> Option<String> {
            self.place.get(name)
        }

        /// The policy that a container gets that is created now.
        fn chosen(&self) -> Result<PolicySource, Vec<Mistake>> {
            let _reading = state::reading_policies(&self.place.lock).unwrap();
            let settings = settings::load(Some(&self.place.path(CONFIGURATION)))?;
            let read = settings::read_trusted;
            select::select(&settings, Named::default(), &BTreeMap::new(), read)
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
        write(&world.place.path("own.yaml"), B).unwrap();
        world.mounted("..2", &[("default.yaml", B)]);
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
        assert_eq!(world.place.hold(&Files::new()).unwrap().len(), 1);
        assert_eq!(
            (world.get("default.yaml"), world.get("own.yaml").as_deref()),
            (None, Some(B))
        );
        fs::remove_file(world.place.path("own.yaml")).unwrap();
        world.mounted(
            "..3",
            &[("ceiling.d.corp.yaml", A), ("presets.d.b.yaml", A)],
        );
        assert_eq!(world.sync().unwrap(), 2);
        assert_eq!(world.place.hold(&Files::new()).unwrap().len(), 2);
        assert!(!world.place.directory.exists());
    }

    #[test]
    fn layers_and_presets_are_checked_as_what_they_are() {
        let world = World::new();
        let policy = ("default.yaml", "include: [shared]\n");
        let preset = ("presets.d.shared.yaml", A);
        world.mounted("..1", &[policy, preset, ("ceiling.d.corp.yaml", B)]);
        assert_eq!(world.sync().unwrap(), 3);
        let corp = world.place.directory.join("ceiling.d/corp.yaml");
        assert_eq!(fs::read_to_string(&corp).unwrap(), B);
        for (name, text, why) in [
            ("ceiling.d.corp.yaml", "", "bounds nothing"),
            (
                "ceiling.d.corp.yaml",
                "tls:\n  intercept: auto\n",
                "policies say",
            ),
            ("presets.d.shared.yaml", "alow: []\n", "alow"),
            ("ceiling.corp.yaml", A, "ceiling.d.NAME.yaml"),
            ("Corp.yaml", A, "not a valid policy name"),
        ] {
            world.mounted("..2", &[("default.yaml", B), (name, text)]);
            let error = world.sync().unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(why), "{error}");
            assert_eq!(world.get("default.yaml").as_deref(), Some(policy.1));
        }
        world.mounted("..3", &[policy]);
        let error = world.sync().unwrap_err().to_string();
        assert!(
            error.contains("shared"),
            "it still stands on the host: {error}"
        );
    }

    #[test]
    fn what_an_interrupted_sync_left_is_mended_by_the_next() {
        let world = World::new();
        world.mounted("..1", &[("default.yaml", A), ("ceiling.d.corp.yaml", A)]);
        world.sync().unwrap();
        world.mounted("..2", &[("default.yaml", B), ("ceiling.d.corp.yaml", B)]);
        // It can't be written: by then the layer stands there twice.
        let policy = world.place.path("default.yaml");
        fs::remove_file(&policy).unwrap();
        fs::create_dir(&policy).unwrap();
        world.sync().unwrap_err();
        let layers = || {
            let layers = fs::read_dir(world.place.directory.join(LAYERS)).unwrap();
            layers.count()
        };
        assert_eq!(layers(), 2);
        fs::remove_dir(&policy).unwrap();
        world.sync().unwrap();
        assert_eq!(layers(), 1);
        for name in ["default.yaml", "ceiling.d.corp.yaml"] {
            assert_eq!(world.get(name).as_deref(), Some(B));
        }
    }

    /// A layer and the policy below it are of one version, whenever a container is created.
    #[test]
    fn who_chooses_a_policy_meanwhile_gets_all_of_one_version() {
        let world = &World::new();
        let over = &AtomicBool::new(false);
        let versions = [A, B].map(|text| {
            ["default.yaml", "config.toml", "ceiling.d.corp.yaml"]
                .map(|name| (name.to_owned(), text.to_owned()))
        });
        let wanted = versions.map(|files| {
            let mut files = Files::from(files);
            files.insert(CONFIGURATION.to_owned(), String::new());
            files
        });
        world.place.hold(&wanted[0]).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for version in wanted.iter().cycle().take(100) {
                    world.place.hold(version).unwrap();
                }
                over.store(true, Ordering::Relaxed);
            });
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                let chosen = world.chosen().unwrap();
                let [layer] = &chosen.layers[..] else {
                    panic!("{chosen:?}");
                };
                assert_eq!(layer.allow.as_ref(), Some(&chosen.allow));
                seen.insert(chosen.allow.clone());
            }
            assert_eq!(seen.len(), 2);
        });
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
