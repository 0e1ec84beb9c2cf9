//! The `net.*` settings of one namespace, through a directory opened in there (`/proc/sys/net` shows the namespace of whoever
//! opens it, and goes on showing that one).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// `/proc/sys/net` of one namespace.
#[derive(Debug)]
pub struct Sysctls(OwnedFd);

impl Sysctls {
    /// Opens that of the namespace of this thread.
    ///
    /// # Errors
    /// What `open(2)` gives.
    pub fn open() -> io::Result<Self> {
        Ok(Self(File::open("/proc/sys/net")?.into()))
    }

    /// Reads one setting, without its end of line.
    ///
    /// # Errors
    /// `NotFound` where this kernel or interface has none; what `read(2)` gives.
    pub fn read(&self, name: &str) -> io::Result<String> {
        let mut text = String::new();
        self.file(name, OFlag::O_RDONLY)?.read_to_string(&mut text)?;
        text.truncate(text.trim_end().len());
        Ok(text)
    }

    /// Writes one setting.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn write(&self, name: &str, value: &str) -> io::Result<()> {
        self.file(name, OFlag::O_WRONLY)?.write_all(value.as_bytes())
    }

    /// The names of the settings in one directory.
    ///
    /// # Errors
    /// `NotFound` where there is no such directory.
    pub fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut directory =
            nix::dir::Dir::openat(self.0.as_fd(), directory, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let names = directory.iter().filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
        Ok(names.filter(|name| !name.starts_with('.')).collect())
    }

    fn file(&self, name: &str, how: OFlag) -> io::Result<File> {
        Ok(openat(self.0.as_fd(), name, how | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }
}
