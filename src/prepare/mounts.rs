//! Looks up where a container's mounts lead on the host, and where this program's own files are.
//!
//! This happens twice. At `create`, by device and inode, as the kernel finds them: through symbolic
//! links, `..`, and mounts of one folder in two places. At `start`, by the mounts that the
//! container has by then: in between, whoever can write to a folder on the way (such as another
//! container that has it mounted) may have put a symbolic link there for the runtime to follow.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};

use crate::container::state;
use crate::container::state::ProcessId;
use crate::container::trust;
use crate::settings;
use crate::settings::{BoundaryMounts, Settings};
use crate::spec::mounts::{self as spec_mounts, HostFiles, Inode, Location};
use crate::spec::{Spec, SpecError};
use crate::sys::mountinfo::{self, Mount};

/// The host's files that a container would see, and this program's own.
/// `mounts`: this process's own.
pub(crate) fn look(
    settings: &Settings,
    spec: &Spec,
    bundle: &Path,
    mounts: &[Mount],
) -> anyhow::Result<HostFiles> {
    let given = spec_mounts::sources(spec, bundle);
    let given = given.iter().map(|path| locate(path));
    let mut own = Vec::new();
    for one in kept(settings)? {
        for path in one.place(mounts)?.appearances(mounts) {
            own.push(one.shown_at(path).locate()?);
        }
        own.push(one.locate()?);
    }
    Ok(HostFiles {
        given: given.collect::<anyhow::Result<_>>()?,
        own,
    })
}

/// Refuses a container whose mounts show this program's files, however the runtime got there; but for
/// those that the container with this state directory is given to trust its gateway.
pub(crate) fn refuse_mounted(
    settings: &Settings,
    init: ProcessId,
    state: &Path,
) -> anyhow::Result<()> {
    // Who is among the host's mounts was judged by `privileged`, when it was created.
    let namespace = |process: &str| {
        std::fs::read_link(format!("/proc/{process}/ns/mnt"))
            .with_context(|| format!("can't determine the mount namespace of process {process}"))
    };
    if settings.boundary_mounts == BoundaryMounts::Allow
        || namespace("self")? == namespace(&init.pid.to_string())?
    {
        return Ok(());
    }
    let mounts = mountinfo::of("self").context("can't read the mount table")?;
    let given =
        mountinfo::of(&init.pid.to_string()).context("can't read the container's mount table")?;
    if !init.alive() {
        bail!("the container's init is gone");
    }
    let trust = MountPlace::of(&trust::directory(state)?, &mounts)?;
    for own in kept(settings)? {
        let place = own.place(&mounts)?;
        let shows = |mount: &&Mount| place.shown_by(mount).is_some() && !trust.holds(mount);
        if let Some(mount) = given.iter().find(shows) {
            bail!(SpecError::boundary_mount(&mount.point, own.path()));
        }
    }
    Ok(())
}

/// Where a file is, regardless of the mounts through which it is seen.
#[derive(Debug, PartialEq, Eq)]
struct MountPlace {
    /// Its file system.
    device: String,
    /// The path in there.
    within: PathBuf,
}

impl MountPlace {
    /// Of what is not there, the place where it would be.
    fn of(path: &Path, mounts: &[Mount]) -> anyhow::Result<Self> {
        let place = || -> io::Result<Self> {
            let (there, missing) = existing(path)?;
            let id = mountinfo::id_at(&there)?;
            let mount = mounts
                .iter()
                .find(|mount| mount.id == id)
                .ok_or(io::ErrorKind::NotFound)?;
            let below = there.strip_prefix(&mount.point).map_err(io::Error::other)?;
            Ok(Self {
                device: mount.device.clone(),
                within: mount.root.join(below).join(missing),
            })
        };
        place().with_context(|| format!("can't determine where {} is mounted", path.display()))
    }

    /// Where mounts show it, or something below it. (Those of other file systems aren't looked at:
    /// a dead network file system would never answer.)
    fn appearances(&self, mounts: &[Mount]) -> Vec<PathBuf> {
        mounts
            .iter()
            .filter_map(|mount| self.shown_by(mount))
            .collect()
    }

    /// Whether all that a mount shows is below it.
    fn holds(&self, mount: &Mount) -> bool {
        mount.device == self.device
            && mount.root != self.within
            && mount.root.starts_with(&self.within)
    }

    fn shown_by(&self, mount: &Mount) -> Option<PathBuf> {
        let below = mount
            .root
            .starts_with(&self.within)
            .then(|| mount.point.clone());
        mount
            .locate(&self.within)
            .or(below)
            .filter(|_| mount.device == self.device)
    }
}

/// What of a path is there, free of links, and what is not.
fn existing(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let (there, found) = nearest(path, |path| std::fs::canonicalize(path))?;
    Ok((
        found,
        path.strip_prefix(there)
            .map_err(io::Error::other)?
            .to_owned(),
    ))
}

/// As much of a path as is there, and what is found at it.
fn nearest<T>(path: &Path, find: impl Fn(&Path) -> io::Result<T>) -> io::Result<(&Path, T)> {
    let is_missing = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    };
    let mut there = path;
    loop {
        match find(there) {
            Err(error) if is_missing(&error) => there = there.parent().ok_or(error)?,
            found => return Ok((there, found?)),
        }
    }
}

/// What no container may see: this program's own files, or a link on the way to them, in whose place
/// root in a container could put another.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    File(PathBuf),
    /// By a folder that is free of links, and its name in there.
    Link(PathBuf),
}

impl Kept {
    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Link(path) => path,
        }
    }

    /// The same, where a mount shows it.
    fn shown_at(&self, path: PathBuf) -> Self {
        match self {
            Self::File(_) => Self::File(path),
            Self::Link(_) => Self::Link(path),
        }
    }

    fn place(&self, mounts: &[Mount]) -> anyhow::Result<MountPlace> {
        match self {
            Self::File(path) => MountPlace::of(path, mounts),
            Self::Link(path) => {
                let mut place = MountPlace::of(folder_of(path), mounts)?;
                place.within.extend(path.file_name());
                Ok(place)
            }
        }
    }

    fn locate(&self) -> anyhow::Result<Location> {
        match self {
            Self::File(path) => locate(path),
            // A mount of the link itself gives what it leads to, which is another of these.
            Self::Link(path) => Ok(Location {
                path: path.clone(),
                inode: None,
                above: lineage(folder_of(path).to_owned())
                    .with_context(|| format!("can't look up {}", path.display()))?,
            }),
        }
    }
}

fn kept(settings: &Settings) -> anyhow::Result<Vec<Kept>> {
    let own = own(settings)?;
    let links: BTreeSet<PathBuf> = own.iter().flat_map(|path| links_on(path)).collect();
    let files = own.into_iter().map(Kept::File);
    Ok(files.chain(links.into_iter().map(Kept::Link)).collect())
}

/// The links that the kernel follows on the way to a path, each in a folder that is free of links.
fn links_on(path: &Path) -> Vec<PathBuf> {
    /// As many as the kernel follows: `path_resolution(7)`.
    const MOST: usize = 40;
    let (mut at, mut links) = (PathBuf::from("/"), Vec::new());
    let mut rest = path.to_owned();
    while links.len() <= MOST {
        let mut parts = rest.components();
        let Some(part) = parts.next() else { break };
        let next = match part {
            Component::ParentDir => {
                at.pop();
                None
            }
            Component::CurDir => None,
            part => Some(at.join(part)),
        };
        let behind = parts.as_path().to_owned();
        match next.as_ref().map(std::fs::read_link) {
            Some(Ok(target)) => {
                rest = target.join(behind);
                links.extend(next);
            }
            _ => {
                at = next.unwrap_or(at);
                rest = behind;
            }
        }
    }
    links
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("/"))
}

/// Files by which a container is filtered, or by which it is told what was filtered.
fn own(settings: &Settings) -> anyhow::Result<Vec<PathBuf>> {
    let mut own = vec![
        settings::DIRECTORY.into(),
        state::DIRECTORY.into(),
        trust::DIRECTORY.into(),
    ];
    for settings in [settings, &Settings::default()] {
        own.extend([settings.file.clone(), settings.audit_directory.clone()]);
        for folder in [
            settings.policies.clone(),
            settings.presets.clone(),
            settings.layers_directory(),
        ] {
            own.extend(linked(&folder));
            own.push(folder);
        }
    }
    let beside = folder_of(Path::new(state::DIRECTORY));
    for entry in
        std::fs::read_dir(beside).with_context(|| format!("can't list {}", beside.display()))?
    {
        let path = entry?.path();
        // The proofs, and whatever else there will be.
        if path
            .as_os_str()
            .as_encoded_bytes()
            .starts_with(state::DIRECTORY.as_bytes())
        {
            own.push(path);
        }
    }
    Ok(own)
}

/// Where links among a folder's policies lead, or would: root in a container writes files that are root's
/// on the host, and would be read for the host's own.
fn linked(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    // A device is never read for a policy, and many containers have one of the host's.
    let may_be_read = |target: &PathBuf| match target.metadata() {
        Ok(found) => found.is_file(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    targets
        .map(|target| folder.join(target))
        .filter(may_be_read)
        .collect()
}

fn locate(path: &Path) -> anyhow::Result<Location> {
    let location = || -> io::Result<Location> {
        let (there, found) = nearest(path, |path| std::fs::metadata(path))?;
        let exists = there == path;
        let folder = match found.is_dir() {
            true => there.to_owned(),
            false => folder_of(&std::fs::canonicalize(there)?).to_owned(),
        };
        let above = if exists && found.is_dir() {
            lineage(folder.join(".."))?
        } else {
            lineage(folder)?
        };
        Ok(Location {
            path: path.to_owned(),
            inode: exists.then(|| inode(&found)),
            above,
        })
    };
    location().with_context(|| format!("can't look up {}", path.display()))
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
        for other in [
            "link/boundary",
            "link/../run/boundary",
            "run/boundary/",
            "run/./boundary/..",
        ] {
            let found = locate(&at(other)).unwrap();
            let expected = if other.ends_with("..") {
                straight.above.first()
            } else {
                straight.inode.as_ref()
            };
            assert_eq!(found.inode.as_ref(), expected, "{other}");
        }
        assert_eq!(
            straight.above.last(),
            locate(Path::new("/")).unwrap().inode.as_ref()
        );
    }

    #[test]
    fn what_is_not_there_has_the_folders_where_it_would_be() {
        let root = tempfile::tempdir().unwrap();
        let found = locate(&root.path().join("a/b")).unwrap();
        assert_eq!(
            (found.inode, found.above.first()),
            (None, locate(root.path()).unwrap().inode.as_ref())
        );
    }

    #[test]
    fn a_file_appears_wherever_its_file_system_is_mounted_from_above_it_or_from_within() {
        let mounts = mountinfo::parse(
            b"20 1 8:1 / / rw - ext4 /dev/a rw\n\
              21 20 8:1 /deploy/var /var rw - ext4 /dev/a rw\n\
              22 20 8:1 /deploy/var/log/boundary/x /narrow rw - ext4 /dev/a rw\n\
              23 20 8:1 /deploy/varnish /neighbour rw - ext4 /dev/a rw\n\
              24 20 8:2 /deploy/var /other rw - ext4 /dev/b rw\n",
        );
        let place = MountPlace {
            device: "8:1".into(),
            within: "/deploy/var/log/boundary".into(),
        };
        let expected = ["/deploy/var/log/boundary", "/var/log/boundary", "/narrow"];
        assert_eq!(place.appearances(&mounts), expected.map(PathBuf::from));
    }

    #[test]
    fn a_policy_is_where_its_link_leads() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("policies/..data")).unwrap();
        std::fs::create_dir(at("project")).unwrap();
        for file in [
            "project/there.yaml",
            "policies/..data/volume.yaml",
            "policies/own.yaml",
        ] {
            std::fs::File::create(at(file)).unwrap();
        }
        for (target, name) in [
            (at("project/there.yaml").to_str().unwrap(), "absolute.yaml"),
            ("../project/to-come.yaml", "relative.yaml"),
            ("..data/volume.yaml", "volume.yaml"),
            ("..data", "folder"),
            ("/dev/null", "shut.yaml"),
        ] {
            symlink(target, at("policies").join(name)).unwrap();
        }
        let mut found = linked(&at("policies"));
        found.sort();
        let expected = [
            "policies/../project/to-come.yaml",
            "policies/..data/volume.yaml",
            "project/there.yaml",
        ];
        assert_eq!(found, expected.map(at));
        assert!(linked(&at("missing")).is_empty());
    }

    #[test]
    fn every_link_on_the_way_is_found_where_it_is() {
        let root = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(root.path()).unwrap();
        let at = |name: &str| root.join(name);
        std::fs::create_dir_all(at("rel/1")).unwrap();
        std::fs::create_dir(at("conf")).unwrap();
        symlink("../rel/1", at("conf/current")).unwrap();
        symlink(at("conf"), at("etc")).unwrap();
        symlink("../../last", at("rel/1/web.yaml")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let found = links_on(&at("etc/./current/web.yaml"));
        let expected = ["etc", "conf/current", "rel/1/web.yaml"];
        assert_eq!(found, expected.map(at));
        assert!(links_on(&at("rel/1/../missing/there")).is_empty());
        assert!(links_on(&at("loop")).len() > 40);
        let mounts = mountinfo::of("self").unwrap();
        let link = Kept::Link(at("conf/current"));
        let place = link.place(&mounts).unwrap();
        assert!(place.within.ends_with("conf/current"), "{place:?}");
        let location = link.locate().unwrap();
        assert_eq!(location.inode, None);
        assert_eq!(location.above, lineage(at("conf")).unwrap());
    }

    #[test]
    fn what_is_not_there_has_the_place_where_it_would_be() {
        let root = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(root.path()).unwrap();
        symlink(&root, root.join("link")).unwrap();
        let mounts = mountinfo::of("self").unwrap();
        let of = |path: &str| MountPlace::of(&root.join(path), &mounts).unwrap();
        assert_eq!(of("link/a/b"), of("a/b"));
        assert!(of("a/b").appearances(&mounts).contains(&root.join("a/b")));
    }
}
