//! `policy sync`: the files of a folder become this host's policies, layers, presets and configuration, as a
//! node gets them from a ConfigMap.
//!
//! Invariant: nothing is changed while one of the files has a mistake; no file is removed that a sync didn't
//! write; and all of it changes as one. Who chooses a container's policy meanwhile waits (`container::state`), and
//! where a sync was interrupted, refuses until another has finished (`settings::select`).

mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use self::target::{CONFIGURATION, LAYERS, POLICIES, PRESETS, is_layer, is_ours, target};
use super::reload;
use crate::container::state;
use crate::policy::PolicyName;
use crate::policy::text::{self, Mistake, all_of};
use crate::settings::select::{self, SYNCED, UNFINISHED};
use crate::settings::{self, MOST_LAYERS, Settings, Shelves};
use crate::sys::file;

/// The link by which the kubelet says which version of a volume counts. It swaps that first, and makes the links of
/// keys that are new afterwards.
const VERSION: &str = "..data";
/// As many files may be in the folder; a ConfigMap has at most 1 MiB.
const MOST: usize = 1000;
/// Policies and settings are everyone's to read.
const MODE: u32 = 0o644;

/// Texts by their names in the folder.
type Files = BTreeMap<String, String>;

/// `policy sync`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
NAME.yaml becomes a policy, ceiling.d.NAME.yaml and presets.d.NAME.yaml become NAME.yaml in ceiling.d and presets.d, and config.toml
the configuration; others are left out. What was written so before and isn't in the folder any more is removed; files that somebody
else put beside them stay. Then it reloads the policies of the containers that run. If it is interrupted, nothing starts until it was run again.

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
        writeln!(io::stdout(), "unchanged")?;
    }
    told.iter()
        .try_for_each(|line| writeln!(io::stdout(), "{line}"))?;
    // Also where all was as it should be: who put it there may have ended before that was said.
    if let Err(error) = reload::all() {
        log::warn!("{error:#}");
    }
    Ok(())
}

/// What the folder has for us, all of one version.
fn read(folder: &Path) -> anyhow::Result<Files> {
    let before = version(folder)?;
    let files = read_version(&before)?;
    ensure!(
        version(folder)? == before,
        "{} was changed while it was read: try again",
        folder.display()
    );
    Ok(files)
}

/// Where the files are that belong together: the folder itself, where nobody swaps what is in it.
fn version(folder: &Path) -> anyhow::Result<PathBuf> {
    let link = folder.join(VERSION);
    match fs::read_link(&link) {
        Ok(version) => Ok(folder.join(version)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(folder.to_owned()),
        Err(error) => Err(error).with_context(|| format!("can't read {}", link.display())),
    }
}

fn read_version(folder: &Path) -> anyhow::Result<Files> {
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

/// What an earlier sync wrote.
struct Before {
    names: BTreeSet<String>,
    /// It may be of two versions.
    unfinished: bool,
}

/// Where this host's files are.
struct Place {
    directory: PathBuf,
    lock: PathBuf,
}

impl Place {
    /// Has these files there, and none that an earlier one wrote. Says what became different.
    fn hold(&self, wanted: &Files) -> anyhow::Result<Vec<String>> {
        let _alone = state::swapping_policies(&self.lock)
            .with_context(|| format!("can't lock {}", self.lock.display()))?;
        let before = self.written_before()?;
        let mistakes: Vec<Mistake> = wanted
            .iter()
            .flat_map(|(name, text)| self.mistakes_of(name, text, wanted, &before.names))
            .chain(self.too_many_layers(wanted, &before.names))
            .collect();
        ensure!(mistakes.is_empty(), all_of(&mistakes));
        let changes = self.changes(wanted, &before.names);
        if !changes.is_empty() || before.unfinished || !wanted.keys().eq(&before.names) {
            self.swap(&changes, wanted, &before.names)?;
        }
        let told = changes.iter().map(|(name, text)| {
            let verb = text.map_or("remove", |_| "write");
            format!("{verb} {}", self.path(name).display())
        });
        Ok(told.collect())
    }

    /// The files that become different, with what they say then.
    fn changes<'a>(
        &self,
        wanted: &'a Files,
        before: &'a BTreeSet<String>,
    ) -> BTreeMap<&'a String, Option<&'a String>> {
        let there = before.iter().chain(wanted.keys());
        let pairs = there.map(|name| (name, self.get(name), wanted.get(name)));
        pairs
            .filter(|(_, is, shall)| is.as_ref() != *shall)
            .map(|(name, _, shall)| (name, shall))
            .collect()
    }

    /// Does them as one for all who ask for the lock.
    fn swap(
        &self,
        changes: &BTreeMap<&String, Option<&String>>,
        wanted: &Files,
        before: &BTreeSet<String>,
    ) -> anyhow::Result<()> {
        // First, so that what is written now is known to be ours, and counts for nobody, until all of it is there.
        let ours: BTreeSet<&String> = before.iter().chain(wanted.keys()).collect();
        self.list(
            [UNFINISHED]
                .into_iter()
                .chain(ours.into_iter().map(String::as_str)),
        )?;
        for (name, text) in changes {
            let path = self.path(name);
            match text {
                Some(text) => write(&path, text)?,
                None => remove(&path)?,
            }
        }
        if !wanted.is_empty() {
            return self.list(wanted.keys().map(String::as_str));
        }
        remove(&self.list_file())?;
        // Where others' files are in them, they stay.
        for folder in [POLICIES, PRESETS, LAYERS, ""] {
            let _ = fs::remove_dir(self.directory.join(folder));
        }
        Ok(())
    }

    /// Keeps this in mind.
    fn list<'a>(&self, lines: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        write(&self.list_file(), &text)
    }

    /// With more layers than are taken, nothing would start.
    fn too_many_layers(&self, wanted: &Files, before: &BTreeSet<String>) -> Option<Mistake> {
        let paths = |names: &mut dyn Iterator<Item = &String>| -> BTreeSet<PathBuf> {
            let layers = names.filter(|name| is_layer(name));
            layers.map(|name| self.path(name)).collect()
        };
        let (shall, were) = (paths(&mut wanted.keys()), paths(&mut before.iter()));
        let there = settings::policy_files(&self.directory.join(LAYERS));
        let others = there
            .iter()
            .filter(|path| !were.contains(*path) && !shall.contains(*path))
            .count();
        let count = others + shall.len();
        let message = format!(
            "{count} layers, of which {others} are this host's own: {MOST_LAYERS} are the most"
        );
        (count > MOST_LAYERS).then(|| mistake(LAYERS, message))
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

    fn written_before(&self) -> anyhow::Result<Before> {
        let list = self.list_file();
        let text = settings::read_trusted(&list)
            .with_context(|| format!("can't read {}", list.display()))?
            .unwrap_or_default();
        let names = text.lines().filter(|name| target(name).is_ok());
        Ok(Before {
            names: names.map(str::to_owned).collect(),
            unfinished: select::is_unfinished(&text),
        })
    }

    fn list_file(&self) -> PathBuf {
        self.directory.join(POLICIES).join(SYNCED)
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
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use test_support::lock;

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

        /// As the kubelet does: a folder of its own, a link to it that is swapped, and then a link for each key.
        fn mounted(&self, version: &str, files: &[(&str, &str)]) {
            self.swapped(version, files);
            let folder = self.folder();
            for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                if is_ours(&entry.file_name().to_string_lossy()) {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
            for (name, _) in files {
                symlink(format!("..data/{name}"), folder.join(name)).unwrap();
            }
        }

        /// Up to where links for the keys are made.
        fn swapped(&self, version: &str, files: &[(&str, &str)]) {
            let folder = self.folder();
            for (name, text) in files {
                write(&folder.join(version).join(name), text).unwrap();
            }
            symlink(version, folder.join("..data_tmp")).unwrap();
            fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        }

        fn folder(&self) -> PathBuf {
            self.directory.path().join("folder")
        }

        fn sync(&self) -> anyhow::Result<usize> {
            let wanted = read(&self.folder())?;
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
        let configuration = ("config.toml", "");
        let version = |text| {
            [
                configuration,
                ("default.yaml", text),
                ("ceiling.d.corp.yaml", text),
            ]
        };
        world.mounted("..1", &version(A));
        world.sync().unwrap();
        world.mounted("..2", &version(B));
        // It can't be written.
        let policy = world.place.path("default.yaml");
        fs::remove_file(&policy).unwrap();
        fs::create_dir(&policy).unwrap();
        world.sync().unwrap_err();
        let refused = all_of(&world.chosen().unwrap_err()).to_string();
        assert!(
            refused.contains("policies/.synced") && refused.contains("run it again"),
            "{refused}"
        );
        fs::remove_dir(&policy).unwrap();
        world.sync().unwrap();
        assert_eq!(world.chosen().unwrap().allow, ["domain=b.test"]);
        for name in ["default.yaml", "ceiling.d.corp.yaml"] {
            assert_eq!(world.get(name).as_deref(), Some(B));
        }
    }

    /// It ended before its list said so.
    #[test]
    fn a_sync_that_only_lacked_its_end_gets_it_from_the_next() {
        let world = World::new();
        world.mounted("..1", &[("config.toml", ""), ("default.yaml", A)]);
        world.sync().unwrap();
        world
            .place
            .list([UNFINISHED, "config.toml", "default.yaml"].into_iter())
            .unwrap();
        world.chosen().unwrap_err();
        assert_eq!(world.sync().unwrap(), 0);
        world.chosen().unwrap();
    }

    #[test]
    fn a_key_that_is_new_counts_before_its_link_is_there() {
        let world = World::new();
        world.mounted("..1", &[("default.yaml", A)]);
        world.swapped("..2", &[("default.yaml", A), ("ceiling.d.corp.yaml", B)]);
        assert_eq!(world.sync().unwrap(), 2);
        assert_eq!(world.get("ceiling.d.corp.yaml").as_deref(), Some(B));
    }

    #[test]
    fn what_is_read_while_versions_come_and_go_is_all_of_one() {
        let world = &World::new();
        let names: Vec<String> = (0..20).map(|number| format!("p{number}.yaml")).collect();
        let over = &AtomicBool::new(false);
        let version = |text| -> Vec<(&str, &str)> {
            names.iter().map(|name| (name.as_str(), text)).collect()
        };
        world.swapped("..0", &version(A));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..200 {
                    let text = if number % 2 == 0 { A } else { B };
                    world.swapped(&format!("..{number}"), &version(text));
                    let before = format!("..{}", number - 1);
                    fs::remove_dir_all(world.folder().join(before)).unwrap();
                }
                over.store(true, Ordering::Relaxed);
            });
            while !over.load(Ordering::Relaxed) {
                if let Ok(files) = read(&world.folder()) {
                    let texts: BTreeSet<&String> = files.values().collect();
                    assert_eq!((files.len(), texts.len()), (names.len(), 1));
                }
            }
        });
    }

    /// Two classes of a node have each a pod that syncs.
    #[test]
    fn syncs_at_once_take_turns() {
        let world = &World::new();
        let swapping = state::swapping_policies(&world.place.lock).unwrap();
        let files = |name: &str| Files::from([(name.to_owned(), A.to_owned())]);
        std::thread::scope(|scope| {
            let later = scope.spawn(|| world.place.hold(&files("b.yaml")).unwrap().len());
            lock::until_wanted(&swapping);
            // What the first one writes, the other finds.
            write(&world.place.path("a.yaml"), A).unwrap();
            world.place.list(["a.yaml"].into_iter()).unwrap();
            drop(swapping);
            assert_eq!(later.join().unwrap(), 2);
        });
        assert_eq!(
            (world.get("a.yaml"), world.get("b.yaml").as_deref()),
            (None, Some(A))
        );
    }

    #[test]
    fn more_layers_than_are_taken_are_a_mistake() {
        let world = World::new();
        let own = world.place.directory.join(LAYERS).join("own.yaml");
        write(&own, A).unwrap();
        write(&world.place.path(CONFIGURATION), "").unwrap();
        let names: Vec<String> = (0..MOST_LAYERS)
            .map(|number| format!("ceiling.d.l{number}.yaml"))
            .collect();
        let files = |count| -> Vec<(&str, &str)> {
            names
                .iter()
                .take(count)
                .map(|name| (name.as_str(), A))
                .collect()
        };
        world.mounted("..1", &files(MOST_LAYERS));
        let error = world.sync().unwrap_err().to_string();
        assert!(error.contains("65 layers, of which 1"), "{error}");
        assert_eq!(world.get(&names[0]), None);
        world.mounted("..2", &files(MOST_LAYERS - 1));
        world.sync().unwrap();
        world.chosen().unwrap();
        // All of them become different, and one is this host's own no more.
        let mut others: Vec<(&str, &str)> = files(MOST_LAYERS - 2)
            .into_iter()
            .map(|(name, _)| (name, B))
            .collect();
        others.push(("ceiling.d.own.yaml", B));
        world.mounted("..3", &others);
        world.sync().unwrap();
        assert_eq!(world.chosen().unwrap().layers.len(), MOST_LAYERS - 1);
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
