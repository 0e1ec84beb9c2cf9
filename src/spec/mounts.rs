//! The host's files that a container would see: none of this program's own may be among them.
//!
//! Whoever reaches a gateway's control socket or a plan in `/run/boundary`, the record or the
//! settings, decides how they are filtered; a read-only mount doesn't prevent connecting to a
//! socket. Pure: paths come out of the spec, and where they lead on the host comes in as
//! [`Location`]s.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::checked::Spec;
use super::error::SpecError;
use crate::settings::BoundaryMounts;

/// A file or folder by its device and inode, the same for every path that leads to it.
pub type Inode = (u64, u64);

/// Where a path leads on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The path, as it was written.
    pub path: PathBuf,
    /// What is there; none where nothing is.
    pub inode: Option<Inode>,
    /// The folders above, up to the root.
    pub above: Vec<Inode>,
}

impl Location {
    /// Whether a container that is given this can see the other: it is the same, or one is below
    /// the other.
    fn shows(&self, other: &Self) -> bool {
        let is_or_is_above = |upper: &Self, lower: &Self| {
            upper
                .inode
                .is_some_and(|inode| lower.inode == Some(inode) || lower.above.contains(&inode))
        };
        is_or_is_above(self, other) || is_or_is_above(other, self)
    }
}

/// Files of the host: those that a container would be given, and those that it must not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFiles {
    /// What the spec names.
    pub given: Vec<Location>,
    /// This program's own, wherever it is mounted.
    pub own: Vec<Location>,
}

/// Every path of the host that a spec gives to its container, from the bundle's folder: the root,
/// sources of mounts, layers of overlays. Some are not paths (`tmpfs`, `proc`): nothing is there.
#[must_use]
pub fn sources(spec: &Spec, bundle: &Path) -> Vec<PathBuf> {
    let text = |holder: Option<&Value>, key: &str| holder?.get(key)?.as_str().map(str::to_owned);
    let mounts = || {
        spec.get("mounts")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let options = mounts()
        .filter_map(|mount| mount.get("options")?.as_array())
        .flatten()
        .filter_map(Value::as_str);
    let root = text(spec.get("root"), "path");
    let named = mounts().filter_map(|mount| text(Some(mount), "source"));
    let layers = options
        .flat_map(|options| parts(options, ','))
        .filter_map(layers)
        .flatten();
    // Relative to the bundle (config.md#mounts); joining an absolute one gives just that.
    root.into_iter()
        .chain(named)
        .chain(layers)
        .map(|path| bundle.join(path))
        .collect()
}

/// The folders that an option of overlayfs names (`filesystems/overlayfs.rst`), all or one.
fn layers(option: &str) -> Option<Vec<String>> {
    let (key, folders) = option.split_once('=')?;
    let folders: Vec<&str> = match key {
        "lowerdir" => parts(folders, ':').collect(),
        "lowerdir+" | "datadir+" | "upperdir" | "workdir" => vec![folders],
        _ => return None,
    };
    Some(folders.into_iter().map(unescaped).collect())
}

/// Without the backslashes that stand before other letters.
fn unescaped(text: &str) -> String {
    let mut escaped = false;
    let plain = text.chars().filter(|letter| {
        escaped = *letter == '\\' && !escaped;
        !escaped
    });
    plain.collect()
}

/// The parts of a text between a separator that no backslash stands before.
fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |letter| {
        let separates = letter == separator && !escaped;
        escaped = letter == '\\' && !escaped;
        separates
    })
}

/// Refuses a container that would see this program's files.
pub(super) fn refuse_own(files: &HostFiles, setting: BoundaryMounts) -> Result<(), SpecError> {
    let HostFiles { given, own } = files;
    let shown = given
        .iter()
        .find_map(|given| Some((given, own.iter().find(|own| given.shows(own))?)));
    match (shown, setting) {
        (Some((given, own)), BoundaryMounts::Refuse) => {
            Err(SpecError::boundary_mount(&given.path, &own.path))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(spec: Value) -> Spec {
        Spec::check(spec).unwrap()
    }

    fn location(inode: u64, above: &[u64]) -> Location {
        let above = above.iter().map(|inode| (1, *inode)).collect();
        Location {
            path: PathBuf::from("/x"),
            inode: (inode > 0).then_some((1, inode)),
            above,
        }
    }

    #[test]
    fn what_is_above_or_below_or_the_same_is_seen_and_a_neighbour_is_not() {
        let own = location(5, &[4, 3, 2]);
        for shown in [
            location(5, &[9, 2]),
            location(4, &[3, 2]),
            location(2, &[]),
            location(7, &[6, 5, 4, 3, 2]),
        ] {
            assert!(shown.shows(&own), "{shown:?}");
        }
        for hidden in [location(8, &[4, 3, 2]), location(0, &[4, 3, 2])] {
            assert!(!hidden.shows(&own), "{hidden:?}");
        }
        let other_device = Location {
            inode: Some((2, 4)),
            ..location(1, &[])
        };
        assert!(!other_device.shows(&own));
        // Not there yet: it would come to be in a folder that the container has.
        let absent = location(0, &[3, 2]);
        assert!(location(3, &[2]).shows(&absent) && !location(8, &[3, 2]).shows(&absent));
    }

    #[test]
    fn every_path_of_the_host_is_found() {
        let spec = json!({
            "root": {"path": "rootfs"},
            "mounts": [
                {"source": "/run", "options": ["rbind"]},
                {"source": "../up", "type": "bind"},
                {"destination": "/proc"},
                {"source": "overlay", "type": "overlay", "options": ["ro", "lowerdir=/a:/b", "upperdir=/c", "lowerdir+=/d"]},
                {"source": null, "options": [1]},
                {"type": "overlay", "options": [r"xino=off,lowerdir=/e\:f:/g\,h\\:/i", "x"]},
            ],
        });
        let found = sources(&checked(spec), Path::new("/bundle"));
        let named = ["/bundle/rootfs", "/run", "/bundle/../up", "/bundle/overlay"];
        let layers = ["/a", "/b", "/c", "/d", "/e:f", r"/g,h\", "/i"];
        let texts: Vec<_> = named.into_iter().chain(layers).collect();
        assert_eq!(
            found,
            texts.into_iter().map(PathBuf::from).collect::<Vec<_>>()
        );
        assert_eq!(
            sources(&checked(json!({})), Path::new("/")),
            Vec::<PathBuf>::new()
        );
    }
}
