//! The file that lines are appended to: opened safely, bounded in size, continued after a crash.
//!
//! Knows lines and their sequence numbers, nothing of what they say. Invariant: one line is one
//! `write(2)` of a file opened with `O_APPEND`, so a killed process leaves at most one torn line,
//! the last; a number once taken is never given again, so whatever was lost shows as a gap.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Size at which the file is put aside as `.1`, in bytes: with the one kept, a container's records
/// take twice this at most.
pub(super) const ROTATE_AT: u64 = 64 << 20;

/// How much of a file's end is read to find its last sequence number, in bytes: several of the
/// longest lines, each of which is under 16 KiB (the limits in `record`, every byte escaped).
const TAIL: u64 = 64 << 10;

/// How often the kernel is asked whether the file still has a name, and how long it is: it costs
/// about as much as a line. What is written to a file that somebody removed meanwhile is lost, and
/// its numbers show that.
const LOOKED: Duration = Duration::from_secs(1);

/// Where another file comes from when the old one is full or gone.
pub trait Renew: fmt::Debug + Send {
    /// Gives the file to go on with.
    ///
    /// # Errors
    /// There is none: nothing can be recorded.
    fn renew(&self) -> io::Result<File>;
}

impl Renew for Box<dyn Renew> {
    fn renew(&self) -> io::Result<File> {
        self.as_ref().renew()
    }
}

/// An audit file by its path, for who may open and rename it.
#[derive(Debug)]
pub struct AtPath {
    path: PathBuf,
    rotate_at: u64,
    /// Of the file that was given last.
    inode: AtomicU64,
}

impl AtPath {
    /// The audit file of this path.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self::bounded(path, ROTATE_AT)
    }

    fn bounded(path: &Path, rotate_at: u64) -> Self {
        let inode = std::fs::symlink_metadata(path).map_or(0, |status| status.ino());
        Self {
            path: path.to_owned(),
            rotate_at,
            inode: AtomicU64::new(inode),
        }
    }

    /// The inode of the file that was given last; before that, of the one that stood there when
    /// this was made.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode.load(Relaxed)
    }
}

impl Renew for AtPath {
    /// Puts a full file aside; takes a new one where ours was removed by somebody.
    fn renew(&self) -> io::Result<File> {
        let full = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|status| status.len() >= self.rotate_at);
        if full {
            std::fs::rename(&self.path, set_aside(&self.path))?;
        }
        let file = append_to(&self.path)?;
        self.inode.store(file.metadata()?.ino(), Relaxed);
        Ok(file)
    }
}

/// Until there is a source ([`super::Journal::come_from`]).
#[derive(Debug)]
struct NoOther;

impl Renew for NoOther {
    fn renew(&self) -> io::Result<File> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A stream that somebody reads, such as standard error.
#[derive(Debug)]
pub struct Stream(File);

impl Stream {
    /// This one.
    #[must_use]
    pub fn of(stream: File) -> Self {
        Self(stream)
    }
}

impl Renew for Stream {
    /// There is no other.
    fn renew(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

/// Makes the line that each file begins with, of its number.
pub(super) type Header = Box<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

/// An open audit file.
pub(super) struct LineFile {
    source: Box<dyn Renew>,
    file: File,
    /// Its length, if nobody else changed it since it was looked at.
    length: u64,
    looked: Instant,
    rotate_at: u64,
    header: Header,
    /// Whether it was written into this file.
    begun: bool,
    /// Whether to go on in another file.
    left: bool,
    /// The next line's number.
    next: u64,
    /// Whether the file ends in the middle of a line.
    torn: bool,
}

impl fmt::Debug for LineFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineFile")
            .field("file", &self.file)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl LineFile {
    /// Opens or makes the file, and its directory (0750) where that is missing.
    pub(super) fn open(path: &Path, rotate_at: u64, header: Header) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o750)
                .create(directory)?;
        }
        let file = append_to(path)?;
        let mut end = read_end(&readable(&file)?)?;
        if end == End::default() {
            // Nothing in it: perhaps we were killed between putting the old file aside and the
            // first line.
            end.last = match open_plain(OpenOptions::new().read(true), &set_aside(path)) {
                Ok(old) => read_end(&old)?.taken(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
        }
        let source = Box::new(AtPath::bounded(path, rotate_at));
        let (next, torn) = (end.taken() + 1, end.torn);
        Ok(Self {
            source,
            length: file.metadata()?.len(),
            file,
            looked: Instant::now(),
            rotate_at,
            header,
            begun: false,
            left: false,
            next,
            torn,
        })
    }

    /// Writes to a stream, which is never full.
    pub(super) fn stream(file: File, header: Header) -> Self {
        Self {
            source: Box::new(NoOther),
            length: 0,
            file,
            looked: Instant::now(),
            rotate_at: u64::MAX,
            header,
            begun: false,
            left: false,
            next: 1,
            torn: false,
        }
    }

    /// Has another source from now on, of files that are full at the same size.
    pub(super) fn come_from(&mut self, source: Box<dyn Renew>) {
        self.source = source;
    }

    /// The file that is written to now.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Goes on in another file from the next line on.
    pub(super) fn leave(&mut self) {
        self.left = true;
    }

    /// Writes what the file begins with, where that isn't there yet.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if !self.begun {
            let number = self.take_number();
            self.write((self.header)(number))?;
            self.begun = true;
        }
        Ok(())
    }

    /// Appends the line that `render` makes of its number, and gives that. It is used up even when
    /// writing fails. Where nothing is made of it, nothing is written.
    pub(super) fn append(&mut self, render: impl FnOnce(u64) -> Vec<u8>) -> io::Result<u64> {
        let ready = self.keep_within_bounds().and_then(|()| self.begin());
        let number = self.take_number();
        ready.and_then(|()| self.write(render(number)))?;
        Ok(number)
    }

    /// Appends a last line to a file that is over: however large it is, and whoever began it.
    pub(super) fn append_last(&mut self, render: impl FnOnce(u64) -> Vec<u8>) -> io::Result<()> {
        let number = self.take_number();
        self.write(render(number))
    }

    /// The next line's number, and what is to stand before it. For [`Self::write_at_panic`].
    pub(super) fn next_at_panic(&mut self) -> (u64, &'static str) {
        (self.take_number(), if self.torn { "\n" } else { "" })
    }

    /// Writes a line as it is, without memory from the heap.
    pub(super) fn write_at_panic(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write(line).map(drop)
    }

    fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn write(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        if line.is_empty() {
            return Ok(());
        }
        line.push(b'\n');
        if self.torn {
            line.insert(0, b'\n');
        }
        let written = self.file.write(&line)?;
        self.length = self.length.saturating_add(written as u64);
        self.torn = written < line.len();
        if self.torn {
            Err(io::ErrorKind::WriteZero.into())
        } else {
            Ok(())
        }
    }

    fn keep_within_bounds(&mut self) -> io::Result<()> {
        let looks_well = self.length < self.rotate_at && self.looked.elapsed() < LOOKED;
        if !self.left && (looks_well || self.is_well()?) {
            return Ok(());
        }
        // Where there is none, it is asked for with each line.
        self.left = true;
        self.file = self.source.renew()?;
        (self.length, self.looked) = (self.file.metadata()?.len(), Instant::now());
        (self.torn, self.begun, self.left) = (false, false, false);
        Ok(())
    }

    /// Looks whether the file has a name and isn't full.
    fn is_well(&mut self) -> io::Result<bool> {
        let status = self.file.metadata()?;
        (self.length, self.looked) = (status.len(), Instant::now());
        Ok(status.nlink() > 0 && self.length < self.rotate_at)
    }
}

/// Where a full file goes: `x.jsonl` to `x.jsonl.1`.
#[must_use]
pub(crate) fn set_aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// Append-only: whoever is given nothing but this descriptor can't read or change what was written.
fn append_to(path: &Path) -> io::Result<File> {
    open_plain(
        OpenOptions::new().append(true).create(true).mode(0o640),
        path,
    )
}

/// Another handle, to read by.
fn readable(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Opens a regular file and nothing else. `O_NONBLOCK`: a fifo in its place must not hold us up.
pub(super) fn open_plain(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// The state of a file's end.
#[derive(Debug, Default, PartialEq, Eq)]
struct End {
    /// The last whole line's number; 0 where there is none.
    last: u64,
    /// Whether something without a line's end follows.
    torn: bool,
}

impl End {
    /// The last number taken: a torn line took one.
    fn taken(&self) -> u64 {
        self.last.saturating_add(u64::from(self.torn))
    }
}

fn read_end(mut file: &File) -> io::Result<End> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let last = tail
        .split(|byte| *byte == b'\n')
        .rev()
        .find_map(number_of)
        .unwrap_or(0);
    Ok(End {
        last,
        torn: tail.last().is_some_and(|byte| *byte != b'\n'),
    })
}

/// A line's number; none for what is no record (torn, or zeroes after a power cut).
fn number_of(line: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        seq: u64,
    }
    serde_json::from_slice::<Numbered>(line)
        .ok()
        .map(|numbered| numbered.seq)
}
