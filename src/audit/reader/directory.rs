//! The directory of records: which containers have some, and in which files.
//!
//! Invariant: file names come from listing the directory, never from what somebody typed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::file::set_aside;
use super::super::members::{self, Member};

/// A container's current file is its ID with this behind it.
const EXTENSION: &str = ".jsonl";

/// The folder of records.
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

/// A container of which there are records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordFiles {
    /// Its ID; of a very long one, what its record is called (`container::plan::record_name`).
    pub id: String,
    /// Its current file, whether it is there or only the one put aside.
    pub(super) path: PathBuf,
}

impl Directory {
    /// The folder of this path.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The containers that have records, at most `limit` of them, by their IDs; a file put aside is
    /// enough.
    ///
    /// # Errors
    /// What listing gives.
    pub fn list(&self, limit: usize) -> io::Result<Vec<RecordFiles>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.0)?.take(limit) {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name
                .to_str()
                .filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file()))
            else {
                continue;
            };
            let Some(id) = name
                .strip_suffix(".1")
                .unwrap_or(name)
                .strip_suffix(EXTENSION)
            else {
                continue;
            };
            found.push(RecordFiles {
                id: id.to_owned(),
                path: self.0.join(format!("{id}{EXTENSION}")),
            });
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

impl RecordFiles {
    /// The record in this file, wherever it is.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self {
            id: path.display().to_string(),
            path: path.to_owned(),
        }
    }

    /// The containers that joined its network, whose attempts it holds, too.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        members::of(&self.path)
    }

    /// The file of these.
    pub(in crate::audit) fn members_file(&self) -> PathBuf {
        members::beside(&self.path)
    }

    /// Its files that are there, with when each was last written to and its size: the older first.
    ///
    /// # Errors
    /// What looking gives.
    pub fn files(&self) -> io::Result<Vec<(PathBuf, SystemTime, u64)>> {
        let mut files = Vec::new();
        for path in [set_aside(&self.path), self.path.clone()] {
            match std::fs::symlink_metadata(&path) {
                Ok(status) if status.is_file() => {
                    files.push((path, status.modified()?, status.len()))
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(files)
    }
}
