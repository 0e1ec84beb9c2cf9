//! Removes the records of containers that ended long ago.
//!
//! The age of a record is taken from the last modification of its files, which is when the gateway
//! wrote its last line. Which containers are running is the caller's to know.

use std::io;
use std::time::SystemTime;

use super::reader::{Directory, RecordFiles};
use crate::sys::random;

/// What a sweep lists of the folder, at most, and how many containers' files it looks at: some
/// milliseconds of a `create`.
const SWEEP_LIST: usize = 16_384;
const SWEEP_LOOK: usize = 64;

/// The containers whose records were last written before `before`, but for those that run. Removes
/// nothing.
///
/// # Errors
/// What listing and looking give.
pub fn old(
    directory: &Directory,
    before: SystemTime,
    runs: impl Fn(&str) -> bool,
) -> io::Result<Vec<RecordFiles>> {
    let mut old = directory.list(usize::MAX)?;
    old.retain(|recorded| !runs(&recorded.id));
    old.into_iter()
        .filter_map(|recorded| {
            is_old(&recorded, before)
                .map(|old| old.then_some(recorded))
                .transpose()
        })
        .collect()
}

/// Removes a container's record if it was still not written to since `before`: the container may
/// have been started again. Gives the bytes that its files took.
///
/// # Errors
/// What looking and removing give; part of it may be gone then.
pub fn remove(recorded: &RecordFiles, before: SystemTime) -> io::Result<Option<u64>> {
    if !is_old(recorded, before)? {
        return Ok(None);
    }
    let mut bytes = 0;
    let files = recorded.files()?.into_iter();
    let files = files.map(|(path, _, size)| (path, size));
    for (path, size) in files.chain([(recorded.members_file(), 0)]) {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => bytes += size,
        }
    }
    Ok(Some(bytes))
}

/// Removes what is old of a few containers, others at each call. A courtesy: what can't be done now
/// is left to the next.
pub fn sweep(directory: &Directory, before: SystemTime, runs: impl Fn(&str) -> bool) {
    let listed = directory.list(SWEEP_LIST).unwrap_or_default();
    let anywhere = usize::try_from(random::number().unwrap_or_default() >> 1).unwrap_or_default();
    let from = anywhere.checked_rem(listed.len()).unwrap_or_default();
    for recorded in listed
        .iter()
        .cycle()
        .skip(from)
        .take(SWEEP_LOOK.min(listed.len()))
    {
        if !runs(&recorded.id) {
            let _ = remove(recorded, before);
        }
    }
}

fn is_old(recorded: &RecordFiles, before: SystemTime) -> io::Result<bool> {
    let files = recorded.files()?;
    Ok(!files.is_empty() && files.iter().all(|(_, modified, _)| *modified < before))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    /// Files with how many days ago they were last written.
    fn folder(files: &[(&str, u64)]) -> (tempfile::TempDir, SystemTime) {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (name, days) in files {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_len(10).unwrap();
            file.set_modified(now - Duration::from_secs(days * 86_400))
                .unwrap();
        }
        (folder, now - Duration::from_secs(30 * 86_400))
    }

    fn left(folder: &tempfile::TempDir) -> Vec<String> {
        let mut names: Vec<_> = folder
            .path()
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    const FILES: [(&str, u64); 7] = [
        ("old.jsonl", 31),
        ("old.jsonl.1", 40),
        ("young.jsonl", 29),
        ("both.jsonl", 1),
        ("both.jsonl.1", 90),
        ("runs.jsonl", 90),
        ("notes.txt", 900),
    ];

    #[test]
    fn only_what_ended_before_goes_with_both_of_its_files() {
        let (folder, before) = folder(&FILES);
        let directory = Directory::new(folder.path());
        let old = old(&directory, before, |id| id == "runs").unwrap();
        assert_eq!(left(&folder).len(), FILES.len());
        let pruned: Vec<_> = old.iter().map(|one| remove(one, before).unwrap()).collect();
        assert_eq!(pruned, [Some(20)]);
        assert_eq!(
            left(&folder),
            [
                "both.jsonl",
                "both.jsonl.1",
                "notes.txt",
                "runs.jsonl",
                "young.jsonl"
            ]
        );
    }

    #[test]
    fn who_joined_goes_with_the_record() {
        let (folder, before) =
            folder(&[("old.jsonl", 31), ("old.members", 1), ("young.members", 1)]);
        let directory = Directory::new(folder.path());
        let old = old(&directory, before, |_| false).unwrap();
        assert_eq!(remove(&old[0], before).unwrap(), Some(10));
        assert_eq!(left(&folder), ["young.members"]);
    }

    #[test]
    fn one_that_was_started_again_meanwhile_stays() {
        let (folder, before) = folder(&FILES);
        let old = old(&Directory::new(folder.path()), before, |_| false).unwrap();
        let one = old.iter().find(|one| one.id == "old").unwrap();
        File::options()
            .append(true)
            .open(folder.path().join("old.jsonl"))
            .unwrap()
            .set_modified(SystemTime::now())
            .unwrap();
        assert_eq!(remove(one, before).unwrap(), None);
        assert_eq!(left(&folder).len(), FILES.len());
    }

    #[test]
    fn links_and_folders_are_nobodys_record() {
        let (folder, before) = folder(&[("kept.txt", 90)]);
        std::os::unix::fs::symlink("kept.txt", folder.path().join("link.jsonl")).unwrap();
        std::fs::create_dir(folder.path().join("folder.jsonl")).unwrap();
        assert_eq!(
            old(&Directory::new(folder.path()), SystemTime::now(), |_| false).unwrap(),
            []
        );
        sweep(&Directory::new(folder.path()), before, |_| false);
        assert_eq!(left(&folder), ["folder.jsonl", "kept.txt", "link.jsonl"]);
    }

    #[test]
    fn a_sweep_looks_at_few_and_comes_to_all() {
        let names: Vec<String> = (0..SWEEP_LOOK * 2).map(|n| format!("c{n}.jsonl")).collect();
        let files: Vec<(&str, u64)> = names
            .iter()
            .map(|name| (name.as_str(), 31))
            .chain([("runs.jsonl", 31)])
            .collect();
        let (folder, before) = folder(&files);
        let directory = Directory::new(folder.path());
        sweep(&directory, before, |id| id == "runs");
        assert!(left(&folder).len() >= files.len() - SWEEP_LOOK);
        for _ in 0..1000 {
            sweep(&directory, before, |id| id == "runs");
        }
        assert_eq!(left(&folder), ["runs.jsonl"]);
        sweep(
            &Directory::new(&folder.path().join("missing")),
            before,
            |_| false,
        );
    }
}
