//! What CRI-O runs by default, by its own configuration: crio.conf, then the files beside it in the
//! order of their names; a later one takes the place of an earlier one's entry (crio.conf(5),
//! crio.conf.d(5)).
//!
//! Only read. What can't be read or isn't TOML says nothing here: CRI-O itself refuses it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item};

use super::config_file;
use crate::sys::process;

/// The most files that are read.
const MOST: usize = 100;

/// The path of its default runtime, where its configuration names one that isn't found by its name
/// anyway. Its packages keep theirs where no `PATH` leads.
pub(super) fn default_runtime(folder: &Path) -> Option<String> {
    let (mut default, mut paths) = (None, HashMap::new());
    for document in files(folder)
        .iter()
        .filter_map(|file| config_file::read(file).ok()?.1?.parse::<DocumentMut>().ok())
    {
        let runtime = document.get("crio").and_then(|crio| crio.get("runtime"));
        let name = runtime.and_then(|runtime| runtime.get("default_runtime")?.as_str());
        default = name.map(str::to_owned).or(default);
        let listed = runtime.and_then(|runtime| runtime.get("runtimes")?.as_table_like());
        for (name, entry) in listed.into_iter().flat_map(|listed| listed.iter()) {
            let path = entry.get("runtime_path").and_then(Item::as_str);
            paths.insert(name.to_owned(), path.unwrap_or_default().to_owned());
        }
    }
    let name = default?;
    let path = paths.remove(&name).filter(|path| !path.is_empty())?;
    let by_name = process::on_host(Path::new(&path).file_name()?.to_str()?);
    (by_name.as_deref() != Some(Path::new(&path))).then_some(path)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut beside: Vec<_> = entries.map(|entry| entry.path()).take(MOST).collect();
    beside.sort();
    let main = folder.parent().map(|above| above.join("crio.conf"));
    main.into_iter().chain(beside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in the file 10-crio.conf of CRI-O's packages.
    const PACKAGED: &str = "[crio.runtime]\ndefault_runtime = \"crun\"\n\
        [crio.runtime.runtimes.crun]\nruntime_path = \"/usr/libexec/crio/crun\"\nruntime_root = \"/run/crun\"\n\
        [crio.runtime.runtimes.runc]\nruntime_path = \"/usr/libexec/crio/runc\"\n";

    fn of(files: &[(&str, &str)]) -> Option<String> {
        let directory = tempfile::tempdir().expect("a directory");
        let folder = directory.path().join("crio.conf.d");
        std::fs::create_dir(&folder).expect("made");
        for (name, text) in files {
            crate::sys::file::replace(&folder.join(name), text.as_bytes(), 0o644).expect("written");
        }
        default_runtime(&folder)
    }

    #[test]
    fn the_default_of_cri_os_packages_is_found_out_of_path() {
        let found = of(&[("10-crio.conf", PACKAGED)]);
        assert_eq!(found.as_deref(), Some("/usr/libexec/crio/crun"));
    }

    #[test]
    fn later_files_take_the_place_of_earlier_ones() {
        let runc = "[crio.runtime]\ndefault_runtime = \"runc\"\n";
        let found = of(&[("10-crio.conf", PACKAGED), ("20-own.conf", runc)]);
        assert_eq!(found.as_deref(), Some("/usr/libexec/crio/runc"));
        let found = of(&[("../crio.conf", PACKAGED), ("20-own.conf", runc)]);
        assert_eq!(found.as_deref(), Some("/usr/libexec/crio/runc"));
        let moved = "[crio.runtime.runtimes.crun]\nruntime_path = \"/opt/crun\"\n";
        let found = of(&[("10-crio.conf", PACKAGED), ("20-own.conf", moved)]);
        assert_eq!(found.as_deref(), Some("/opt/crun"));
    }

    #[test]
    fn what_says_nothing_or_is_broken_names_nothing() {
        let nameless = "[crio.runtime]\ndefault_runtime = \"crun\"\n";
        let searched = "[crio.runtime]\ndefault_runtime = \"crun\"\n[crio.runtime.runtimes.crun]\nruntime_path = \"\"\n";
        for text in ["", "crio = 7", "[crio", nameless, searched] {
            assert_eq!(of(&[("10-crio.conf", text)]), None, "{text}");
        }
        assert_eq!(default_runtime(Path::new("/no/such/folder")), None);
    }
}
