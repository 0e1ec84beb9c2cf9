//! Files: read without following links, and replaced so that nobody ever sees half of one.

use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Reads a regular file of at most `limit` bytes. A link, a FIFO or a device in its place is an
/// error, never a wait.
///
/// # Errors
/// Whatever opening and reading give; `InvalidInput` if it is not a regular file, `FileTooLarge`
/// beyond the limit.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| {
            // ELOOP says "too many levels of symbolic links", which puzzles whoever has just one.
            if error.raw_os_error() == Some(libc::ELOOP) {
                not_regular()
            } else {
                error
            }
        })?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(not_regular());
    }
    // With room for all that it says to have, and one byte more, it is read in two calls.
    let expected = meta.len().min(limit).saturating_add(1);
    let mut content = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    file.take(limit.saturating_add(1))
        .read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {limit} bytes"),
        ));
    }
    Ok(content)
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Replaces a file's content atomically: a new file beside it, then `rename(2)`. An existing file's
/// mode and owner are kept; a new one gets `mode`. A reader sees the old content or the new.
///
/// # Errors
/// Whatever creating, writing or renaming gives; the old file is then as it was, and no other is
/// left.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let old = match std::fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_file() => return Err(not_regular()),
        Ok(meta) => Some(meta),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let fresh = beside(path)?;
    let result = (|| {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(content)?;
        if let Some(old) = &old {
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        let mode = old.as_ref().map_or(mode, |meta| meta.mode() & 0o7777);
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        std::fs::rename(&fresh, path)
    })();
    if result.is_err() {
        // Best effort: the error that matters is the one being returned.
        let _ = std::fs::remove_file(&fresh);
    }
    result
}

/// A name in the same directory that nobody else uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("no file name"))?;
    let mut fresh = std::ffi::OsString::from(".");
    fresh.push(name);
    fresh.push(format!(".{}", std::process::id()));
    Ok(path.with_file_name(fresh))
}

/// Whether nothing is in a directory, or it is missing.
#[must_use]
pub fn is_empty(directory: &Path) -> bool {
    !std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}
