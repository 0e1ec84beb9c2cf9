//! Looks up where a container's mounts lead on the host, and where this program's own files are.
//!
//! By device and inode, as the kernel finds them: through symbolic links, `..`, and mounts of one folder in two places.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use crate::settings::Settings;
use crate::spec::mounts::{self, HostFiles, Inode, Location};
use crate::{settings, state};

/// Mounts as this process sees them, and so the real runtime (`proc_pid_mountinfo(5)`).
const MOUNTS: &str = "/proc/self/mountinfo";

/// What a container would be given of the host, and what it must not be.
pub(crate) fn look(settings: &Settings, spec: &Value, bundle: &Path) -> anyhow::Result<HostFiles> {
    let locate_all = |paths: Vec<PathBuf>| paths.iter().map(|path| locate(path)).collect::<anyhow::Result<Vec<_>>>();
    let own = locate_all(own(settings)?)?;
    let mut given = locate_all(mounts::sources(spec, bundle))?;
    let table = std::fs::read_to_string(MOUNTS).context("can't read the table of mounts")?;
    let devices: Vec<u64> =
        own.iter().flat_map(|own| own.inode.iter().chain(&own.above)).map(|(device, _)| *device).collect();
    let below = given.iter().flat_map(|given| mounted_below(&table, &given.path, &devices)).collect();
    given.extend(locate_all(below)?);
    Ok(HostFiles { given, own })
}

/// Files by which a container is filtered, or by which it is told what was filtered.
fn own(settings: &Settings) -> anyhow::Result<Vec<PathBuf>> {
    let mut own = vec![settings::DEFAULT_FILE.into(), settings::DEFAULT_POLICIES.into(), state::DIRECTORY.into()];
    own.extend([settings.file.clone(), settings.policies.clone(), settings.audit_directory.clone()]);
    own.push(Settings::default().audit_directory);
    let beside = Path::new(state::DIRECTORY).parent().unwrap_or_else(|| Path::new("/"));
    for entry in std::fs::read_dir(beside).with_context(|| format!("can't list {}", beside.display()))? {
        let path = entry?.path();
        // The proofs, and whatever else there will be.
        if path.as_os_str().as_encoded_bytes().starts_with(state::DIRECTORY.as_bytes()) {
            own.push(path);
        }
    }
    Ok(own)
}

fn locate(path: &Path) -> anyhow::Result<Location> {
    let location = || -> io::Result<Location> {
        let mut there = path;
        let found = loop {
            match std::fs::metadata(there) {
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    there = there.parent().ok_or(error)?;
                }
                found => break found?,
            }
        };
        let exists = there == path;
        let folder = match found.is_dir() {
            true => there.to_owned(),
            false => std::fs::canonicalize(there)?.parent().unwrap_or_else(|| Path::new("/")).to_owned(),
        };
        let above = if exists && found.is_dir() { lineage(folder.join(".."))? } else { lineage(folder)? };
        Ok(Location { path: path.to_owned(), inode: exists.then(|| inode(&found)), above })
    };
    location().with_context(|| format!("can't tell what {} is", path.display()))
}

/// A folder and those above it. The root's parent is the root.
fn lineage(mut folder: PathBuf) -> io::Result<Vec<Inode>> {
    let mut above: Vec<Inode> = Vec::new();
    loop {
        let next = inode(&std::fs::metadata(&folder)?);
        if above.last() == Some(&next) {
            return Ok(above);
        }
        above.push(next);
        folder.push("..");
    }
}

/// Where one of these devices is mounted below a path: a recursive bind takes it along. (Others aren't looked at: a dead
/// network file system would never answer.)
fn mounted_below(table: &str, path: &Path, devices: &[u64]) -> Vec<PathBuf> {
    let Ok(path) = std::fs::canonicalize(path) else { return Vec::new() };
    let device = |text: &str| -> Option<u64> {
        let (major, minor) = text.split_once(':')?;
        Some(nix::sys::stat::makedev(major.parse().ok()?, minor.parse().ok()?))
    };
    let mount = |line: &str| -> Option<PathBuf> {
        let mut fields = line.split(' ').skip(2);
        let known = devices.contains(&device(fields.next()?)?);
        let point = PathBuf::from(unescaped(fields.nth(1)?));
        (known && point != path && point.starts_with(&path)).then_some(point)
    };
    table.lines().filter_map(mount).collect()
}

/// The table writes spaces, tabs, line ends and backslashes as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

fn inode(found: &std::fs::Metadata) -> Inode {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_is_found_through_links_and_dots() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("run/boundary")).unwrap();
        symlink("run", at("link")).unwrap();
        let straight = locate(&at("run/boundary")).unwrap();
        for other in ["link/boundary", "link/../run/boundary", "run/boundary/", "run/./boundary/.."] {
            let found = locate(&at(other)).unwrap();
            let expected = if other.ends_with("..") { straight.above.first() } else { straight.inode.as_ref() };
            assert_eq!(found.inode.as_ref(), expected, "{other}");
        }
        assert_eq!(straight.above.last(), locate(Path::new("/")).unwrap().inode.as_ref());
    }

    #[test]
    fn what_is_not_there_has_the_folders_where_it_would_be() {
        let root = tempfile::tempdir().unwrap();
        let found = locate(&root.path().join("a/b")).unwrap();
        assert_eq!((found.inode, found.above.first()), (None, locate(root.path()).unwrap().inode.as_ref()));
    }

    #[test]
    fn only_mounts_below_and_of_these_devices_are_found() {
        let root = tempfile::tempdir().unwrap();
        let path = std::fs::canonicalize(root.path()).unwrap();
        let line = |device: &str, point: &str| format!("36 35 {device} /root {point} rw master:1 - ext4 /dev/x rw");
        let below = format!("{}/a\\040b", path.display());
        let table = [line("8:1", &below), line("8:2", &below), line("8:1", "/elsewhere"), "torn".to_owned()].join("\n");
        let devices = [nix::sys::stat::makedev(8, 1)];
        assert_eq!(mounted_below(&table, &path, &devices), [path.join("a b")]);
    }
}
