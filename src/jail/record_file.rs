//! The file with a command's record, and what became of it: whether it still stands where it was, with what it
//! began with.
//!
//! The command has the user, the groups and the rights to files of whoever opened it, so it can write to that
//! file, too, and that is said. What it did to lines that came later is not found out.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::audit::{AtPath, Renew};

/// How much of its beginning, up to where the command began, is remembered.
const REMEMBERED: u64 = 4096;

/// The file with the record, as it was when the command began.
#[derive(Debug)]
pub(super) struct RecordFile {
    path: PathBuf,
    file: File,
    given: Arc<AtPath>,
    /// What it held, from there on.
    held: (u64, Vec<u8>),
}

/// Where further files for the record come from.
#[derive(Debug)]
struct Further(Arc<AtPath>);

impl Renew for Further {
    fn renew(&self) -> io::Result<File> {
        self.0.renew()
    }
}

impl RecordFile {
    /// The one at this path, into which the beginning was written.
    ///
    /// # Errors
    /// What opening and reading it give.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(path)?;
        let end = file.metadata()?.len();
        let from = end.saturating_sub(REMEMBERED);
        Ok(Self {
            path: std::path::absolute(path)?,
            given: Arc::new(AtPath::new(path)),
            held: (from, read(&file, from, end - from)?),
            file,
        })
    }

    /// Where the filter gets further files from.
    pub(super) fn further(&self) -> Box<dyn Renew> {
        Box::new(Further(Arc::clone(&self.given)))
    }

    /// What has to be known of it at the end, and whether that is that somebody changed it.
    pub(super) fn doubt(&self) -> (String, bool) {
        let path = self.path.display();
        if !self.stands() {
            return (
                format!("the record {path} was moved or removed while the command ran"),
                true,
            );
        }
        if !self.is_whole() {
            return (
                format!("the record {path} was changed while the command ran"),
                true,
            );
        }
        (
            format!("the command's user can write to the record {path}"),
            false,
        )
    }

    /// Whether the last one that the filter was given is where it belongs.
    fn stands(&self) -> bool {
        let there = std::fs::symlink_metadata(&self.path);
        there.is_ok_and(|status| status.ino() == self.given.inode())
            && self.file.metadata().is_ok_and(|status| status.nlink() > 0)
    }

    /// Whether it begins as it did.
    fn is_whole(&self) -> bool {
        let (from, held) = &self.held;
        read(&self.file, *from, held.len() as u64).is_ok_and(|now| now == *held)
    }
}

fn read(file: &File, from: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "files of a test's, which are to be written in place"
)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_it_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let says = |change: &dyn Fn()| {
            std::fs::remove_file(&path).ok();
            std::fs::write(&path, "start\n").unwrap();
            let file = RecordFile::at(&path).unwrap();
            change();
            file.doubt()
        };
        let (said, changed) = says(&|| {
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            io::Write::write_all(&mut file, b"more\n").unwrap();
        });
        assert!(
            said.contains("can write to the record /") && !changed,
            "{said}"
        );
        let (said, changed) = says(&|| std::fs::write(&path, "other\nmore\n").unwrap());
        assert!(
            said.ends_with("was changed while the command ran") && changed,
            "{said}"
        );
        for change in [
            &(|| std::fs::remove_file(&path).unwrap()) as &dyn Fn(),
            &|| std::fs::rename(&path, folder.path().join("other")).unwrap(),
            &|| {
                std::fs::write(folder.path().join("other"), "start\n").unwrap();
                std::fs::rename(folder.path().join("other"), &path).unwrap();
            },
        ] {
            let (said, changed) = says(change);
            assert!(said.contains(" moved or removed ") && changed, "{said}");
        }
    }

    #[test]
    fn one_that_is_put_aside_because_it_is_full_still_stands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        std::fs::write(&path, "start\n").unwrap();
        let file = RecordFile::at(&path).unwrap();
        std::fs::rename(&path, folder.path().join("record.1")).unwrap();
        file.further().renew().unwrap();
        assert!(!file.doubt().1);
    }
}
