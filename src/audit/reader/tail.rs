//! Reads one file of records line by line, as far as it has been written.
//!
//! Knows nothing of what lines mean. A line longer than [`MAX_LINE`] is cut there and the rest of
//! it skipped.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use super::super::file::open_plain;
use super::entry::MAX_LINE;

/// A file, read up to some point.
#[derive(Debug)]
pub(in crate::audit) struct Tail {
    reader: BufReader<File>,
    inode: (u64, u64),
    /// The beginning of a line whose end isn't there yet.
    begun: Vec<u8>,
    /// Whether what comes next is the rest of a line that was too long.
    passing: bool,
}

impl Tail {
    /// Opens a regular file; none where there is none.
    pub(in crate::audit) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match open_plain(OpenOptions::new().read(true), path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let status = file.metadata()?;
        let inode = (status.dev(), status.ino());
        let reader = BufReader::with_capacity(MAX_LINE, file);
        Ok(Some(Self {
            reader,
            inode,
            begun: Vec::new(),
            passing: false,
        }))
    }

    /// The file.
    pub(in crate::audit) fn file(&self) -> &File {
        self.reader.get_ref()
    }

    /// Whether both are the same file, by whatever names.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.inode == other.inode
    }

    /// When it was last written to.
    pub(super) fn modified(&self) -> io::Result<SystemTime> {
        self.reader.get_ref().metadata()?.modified()
    }

    /// Goes on with the first whole line of its last [`MAX_LINE`] bytes.
    pub(super) fn skip_to_end(&mut self) -> io::Result<()> {
        let length = self.reader.get_ref().metadata()?.len();
        let from = length.saturating_sub(MAX_LINE as u64);
        self.reader.seek(SeekFrom::Start(from))?;
        self.passing = from > 0;
        self.begun.clear();
        Ok(())
    }

    /// The next line, without its end; none where no whole one is there yet.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.passing && !self.pass()? {
            return Ok(None);
        }
        self.passing = false;
        let room = MAX_LINE.saturating_sub(self.begun.len());
        (&mut self.reader)
            .take(room as u64)
            .read_until(b'\n', &mut self.begun)?;
        if self.begun.last() == Some(&b'\n') {
            self.begun.pop();
        } else if self.begun.len() >= MAX_LINE {
            self.passing = true;
        } else {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.begun)))
    }

    /// Passes over the rest of a line; false where its end isn't there yet.
    fn pass(&mut self) -> io::Result<bool> {
        loop {
            let chunk = self.reader.fill_buf()?;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.reader.consume(used);
            if used == 0 || end.is_some() {
                return Ok(end.is_some());
            }
        }
    }
}
