//! The `net.ipv4` and `net.ipv6` settings of one namespace, through directories opened inside it.
//!
//! `/proc/sys/net` is resolved in the namespace of whoever looks it up, but the directory behind
//! it, `/proc/sys/net/ipv4`, belongs to one namespace and stays there once it is open.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// The settings of one namespace. They are named `ipv4/…` and `ipv6/…`.
#[derive(Debug)]
pub struct Sysctls {
    ipv4: File,
    /// None where the kernel has no IPv6.
    ipv6: Option<File>,
}

impl Sysctls {
    /// Opens those of the namespace of this thread.
    ///
    /// # Errors
    /// What `open(2)` gives.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            ipv4: File::open("/proc/sys/net/ipv4")?,
            ipv6: File::open("/proc/sys/net/ipv6").ok(),
        })
    }

    /// Reads one setting, without its end of line.
    ///
    /// # Errors
    /// `NotFound` where this kernel or interface has none; what `read(2)` gives.
    pub fn read(&self, name: &str) -> io::Result<String> {
        // One read: a setting's value comes whole, is short, and some hundred of them are read for
        // each interface.
        let mut buffer = [0; 512];
        let length = self.file(name, OFlag::O_RDONLY)?.read(&mut buffer)?;
        let text = buffer
            .get(..length)
            .and_then(|bytes| std::str::from_utf8(bytes).ok());
        Ok(text
            .ok_or(io::ErrorKind::InvalidData)?
            .trim_end()
            .to_owned())
    }

    /// Writes one setting.
    ///
    /// # Errors
    /// As [`Self::read`], with the setting's name.
    pub fn write(&self, name: &str, value: &str) -> io::Result<()> {
        let written = self
            .file(name, OFlag::O_WRONLY)
            .and_then(|mut file| file.write_all(value.as_bytes()));
        written.map_err(|error| io::Error::new(error.kind(), format!("{name} = {value}: {error}")))
    }

    /// Writes one setting of the namespace of this thread, by its name below `net/`: for those that
    /// come with a kernel module which may be loaded later than these directories were opened.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_here(name: &str, value: &str) -> io::Result<()> {
        let path = format!("/proc/sys/net/{name}");
        let written = File::options()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(value.as_bytes()));
        written.map_err(|error| io::Error::new(error.kind(), format!("{name} = {value}: {error}")))
    }

    /// The families that the kernel has: the first words of the settings' names.
    #[must_use]
    pub fn families(&self) -> &'static [&'static str] {
        if self.has_ipv6() {
            &["ipv4", "ipv6"]
        } else {
            &["ipv4"]
        }
    }

    /// Whether the kernel has IPv6.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        self.ipv6.is_some()
    }

    /// The names of the settings in one directory.
    ///
    /// # Errors
    /// `NotFound` where there is no such directory.
    pub fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        let (base, directory) = self.place(directory)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = nix::dir::Dir::openat(base, directory, flags, Mode::empty())?;
        let names = directory
            .iter()
            .filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
        Ok(names.filter(|name| !name.starts_with('.')).collect())
    }

    fn file(&self, name: &str, how: OFlag) -> io::Result<File> {
        let (base, name) = self.place(name)?;
        Ok(openat(base, name, how | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }

    fn place<'a>(&self, name: &'a str) -> io::Result<(BorrowedFd<'_>, &'a str)> {
        let none = || io::Error::from(io::ErrorKind::NotFound);
        let (family, rest) = name.split_once('/').ok_or_else(none)?;
        let base = match family {
            "ipv4" => &self.ipv4,
            "ipv6" => self.ipv6.as_ref().ok_or_else(none)?,
            _ => return Err(none()),
        };
        Ok((base.as_fd(), rest))
    }
}
