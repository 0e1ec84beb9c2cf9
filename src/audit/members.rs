//! Whose attempts a record holds besides those of the container that it is named after: the
//! containers that joined its network, as those of a pod do.
//!
//! A file beside the record, with a line for each, written by the hook of the container that joins:
//! the filter, which a container may have taken over, can write the record but not this. It is for
//! finding the record by such a container's ID, also after all of them have ended, and goes with the
//! record.
//!
//! Invariant: it is bounded. A pod whose containers crash for months keeps the last ones.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file::open_plain;
use super::line::ContainerIdentity;
use super::record::MAX_NAME;
use crate::escape::clean;

/// The size at which the older half is dropped, in bytes: some hundred containers.
const MOST: u64 = 64 << 10;

/// A container that joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its ID, as its engine gave it.
    pub id: String,
    /// Who it is.
    #[serde(flatten)]
    pub identity: ContainerIdentity,
}

/// Adds a container to those of the record at this path. Where two are added in the very moment in
/// which older ones are dropped, one of them may be missing.
///
/// # Errors
/// What opening, reading and writing give, and where something other than a file stands there.
pub fn add(record: &Path, member: Member) -> io::Result<()> {
    let path = beside(record);
    let mut file = open_plain(
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o640),
        &path,
    )?;
    let mut line = serde_json::to_vec(&cleaned(member))?;
    line.push(b'\n');
    if file.metadata()?.len() >= MOST {
        let newer = newer_half(&read(&file)?);
        file.set_len(0)?;
        line.splice(0..0, newer);
    }
    // One write: nobody's line ends up within another's.
    file.write_all(&line)
}

/// The containers that joined the one whose record is at this path, in the order in which they did;
/// none where nothing can be read.
#[must_use]
pub fn of(record: &Path) -> Vec<Member> {
    let opened = open_plain(OpenOptions::new().read(true), &beside(record));
    let bytes = opened.and_then(|file| read(&file)).unwrap_or_default();
    let lines = bytes.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .map(cleaned)
        .collect()
}

/// As everything that goes into a record's folder or comes out of it.
fn cleaned(member: Member) -> Member {
    let text = |text: String| clean(&text, MAX_NAME);
    let identity = ContainerIdentity {
        engine: member.identity.engine.map(text),
        name: member.identity.name.map(text),
        image: member.identity.image.map(text),
        pod: member.identity.pod.map(text),
        namespace: member.identity.namespace.map(text),
        labels: BTreeMap::new(),
    };
    Member {
        id: text(member.id),
        identity,
    }
}

/// Forgets them, with the record.
pub fn forget(record: &Path) {
    // There is nobody to tell, and most have none.
    let _ = std::fs::remove_file(beside(record));
}

/// The file of a record's members.
pub(super) fn beside(record: &Path) -> PathBuf {
    record.with_extension("members")
}

/// What is in a file, at most what can have been written by [`add`].
fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(2 * MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whole lines from the middle on.
fn newer_half(bytes: &[u8]) -> Vec<u8> {
    let (_, newer) = bytes.split_at(bytes.len() / 2);
    let begins = newer.iter().position(|byte| *byte == b'\n');
    newer
        .get(begins.map_or(newer.len(), |at| at + 1)..)
        .unwrap_or_default()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str) -> Member {
        let identity = ContainerIdentity {
            pod: Some("web".to_owned()),
            image: Some("images.example.org/web:1".to_owned()),
            ..ContainerIdentity::default()
        };
        Member {
            id: id.to_owned(),
            identity,
        }
    }

    fn write(path: &Path, text: &str) {
        File::create(path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    #[test]
    fn those_that_joined_are_told_in_order_and_the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("c.jsonl");
        assert_eq!(of(&record), []);
        add(&record, member("one")).unwrap();
        add(&record, member("two")).unwrap();
        assert_eq!(of(&record), [member("one"), member("two")]);
        forget(&record);
        assert_eq!(of(&record), []);
        for n in 0..2000 {
            add(&record, member(&format!("crashed-{n}"))).unwrap();
        }
        let kept = of(&record);
        assert_eq!(kept.last(), Some(&member("crashed-1999")));
        let size = std::fs::metadata(beside(&record)).unwrap().len();
        assert!(kept.len() > 200 && size < MOST + 1024, "{size}");
    }

    #[test]
    fn what_stands_there_besides_is_not_followed_and_no_member() {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("c.jsonl");
        let other = folder.path().join("other");
        write(&other, "{\"id\":\"x\"}\n");
        std::os::unix::fs::symlink(&other, beside(&record)).unwrap();
        add(&record, member("one")).unwrap_err();
        assert_eq!(of(&record), []);
        std::fs::remove_file(beside(&record)).unwrap();
        write(
            &beside(&record),
            "{\"id\":\"x\"\nnot json\n{\"id\":\"y\"}\n",
        );
        assert_eq!(of(&record).len(), 1);
    }
}
