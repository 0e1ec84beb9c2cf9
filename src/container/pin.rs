//! A network namespace that a mount at a path holds, and no process (ip-netns(8), CRI-O's
//! `namespaces_dir`).
//!
//! The path is the host's: nobody in a container can mount or unmount there.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Such a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Where it is.
    pub path: PathBuf,
    /// The namespace's inode.
    pub inode: u64,
}

impl Pin {
    /// The one at a path. None where a process holds the namespace, as for every path into `/proc`:
    /// what stands there is a link, not a mount.
    ///
    /// # Errors
    /// What `lstat(2)` gives.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        // Nothing is opened: whoever unmounts it just now would find it busy.
        let (found, namespaces) = (
            std::fs::symlink_metadata(path)?,
            std::fs::metadata("/proc/self/ns/net")?,
        );
        Ok((found.dev() == namespaces.dev()).then(|| Self {
            path: path.to_owned(),
            inode: found.ino(),
        }))
    }

    /// Whether it is still there. Where that can't be told, it isn't.
    #[must_use]
    pub fn stands(&self) -> bool {
        Self::at(&self.path).is_ok_and(|now| now.as_ref() == Some(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_holds_and_what_is_no_namespace_is_no_pin() {
        for path in ["/proc/self/ns/net", "/etc/passwd", "/proc", "/"] {
            assert_eq!(Pin::at(Path::new(path)).unwrap(), None, "{path}");
        }
        assert!(Pin::at(Path::new("/no/such/file")).is_err());
        let gone = Pin {
            path: "/no/such/file".into(),
            inode: 1,
        };
        assert!(!gone.stands());
    }
}
