//! Files below a folder that is somebody else's root: an image's, or what is mounted in one. Links are
//! followed as that root's own programs would follow them, never out of it.
//!
//! Invariant: whatever stands there, reading it neither waits, nor opens a device, nor takes more
//! than it is allowed to.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

/// How often a path is resolved anew, where somebody renames folders on its way meanwhile.
const TRIES: usize = 8;

/// Somebody else's root, or a file that stands for itself.
#[derive(Debug)]
pub struct Root(OwnedFd);

/// A file that was read.
#[derive(Debug)]
pub struct Found {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Where it is when no link is left, from the root on.
    pub path: PathBuf,
    /// What it is.
    pub meta: Metadata,
}

impl Root {
    /// That at a path of the host's.
    ///
    /// # Errors
    /// What opening it gives.
    pub fn at(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// Reads a regular file of at most `limit` bytes. An empty path is the root itself.
    ///
    /// # Errors
    /// What opening and reading give; `InvalidInput` where it is not a regular file, `FileTooLarge`
    /// beyond the limit.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Found> {
        // What it is has to be known before it is opened: to open a device may do something.
        let place = self.resolve(path, OFlag::O_PATH)?;
        let meta = File::from(place.try_clone()?).metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        if meta.len() > limit {
            return Err(too_large(limit));
        }
        let mut bytes = Vec::new();
        let file = File::open(link_to(&place))?;
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(too_large(limit));
        }
        let path = self.within(&place)?;
        Ok(Found { bytes, path, meta })
    }

    /// The names in a folder, at most `most` of them.
    ///
    /// # Errors
    /// What opening and reading it give.
    pub fn list(&self, path: &Path, most: usize) -> io::Result<Vec<String>> {
        let folder = self.resolve(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let names = Dir::from_fd(folder)?.into_iter().filter_map(|entry| {
            let name = entry.ok()?.file_name().to_str().ok()?.to_owned();
            (name != "." && name != "..").then_some(name)
        });
        Ok(names.take(most).collect())
    }

    fn resolve(&self, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        if relative == Path::new("") {
            return Ok(open(
                &link_to(&self.0),
                flags | OFlag::O_CLOEXEC,
                Mode::empty(),
            )?);
        }
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        for _ in 1..TRIES {
            match openat2(self.0.as_fd(), relative, how) {
                Err(Errno::EAGAIN) => {}
                opened => return Ok(opened?),
            }
        }
        Ok(openat2(self.0.as_fd(), relative, how)?)
    }

    /// Where a file is, from the root on.
    fn within(&self, place: &OwnedFd) -> io::Result<PathBuf> {
        let [root, path] = [&self.0, place].map(|one| std::fs::read_link(link_to(one)));
        let below = path?
            .strip_prefix(root?)
            .map(Path::to_owned)
            .map_err(io::Error::other)?;
        Ok(Path::new("/").join(below))
    }
}

/// By which a descriptor of this process is opened anew.
fn link_to(descriptor: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd()).into()
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("larger than {limit} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::unistd::mkfifo;

    use super::*;
    use crate::sys::file;

    fn put(path: &Path, content: &[u8]) {
        file::replace(path, content, 0o600).unwrap();
    }

    #[test]
    fn links_lead_nowhere_but_within_the_root() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        put(&outside.path().join("secret"), b"host");
        put(&root.join("etc/real"), b"image");
        for (target, link) in [
            ("/etc/real", "absolute"),
            ("../../../etc/real", "up"),
            ("../../secret", "etc/out"),
            ("/proc/self/root/etc/hostname", "magic"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let root = Root::at(&root).unwrap();
        for path in ["/etc/real", "absolute", "/up"] {
            let found = root.read(Path::new(path), 100).unwrap();
            assert_eq!(
                (found.bytes, found.path),
                (b"image".to_vec(), "/etc/real".into()),
                "{path}"
            );
        }
        for path in ["/etc/out", "/magic", "/../secret"] {
            let error = root.read(Path::new(path), 100).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{path}");
        }
    }

    #[test]
    fn what_is_no_file_of_that_size_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        File::create(at("huge")).unwrap().set_len(10 << 30).unwrap();
        put(&at("full"), &[0; 101]);
        put(&at("fits"), &[0; 100]);
        let root = Root::at(folder.path()).unwrap();
        let kind = |name: &str| {
            root.read(Path::new(name), 100)
                .map(drop)
                .map_err(|error| error.kind())
        };
        assert_eq!(kind("fits"), Ok(()));
        for (name, expected) in [
            ("fifo", io::ErrorKind::InvalidInput),
            ("folder", io::ErrorKind::InvalidInput),
            ("", io::ErrorKind::InvalidInput),
            ("huge", io::ErrorKind::FileTooLarge),
            ("full", io::ErrorKind::FileTooLarge),
        ] {
            assert_eq!(kind(name), Err(expected), "{name}");
        }
        let device = Root::at(Path::new("/dev")).unwrap();
        let error = device.read(Path::new("zero"), 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_may_stand_for_itself_and_a_folder_is_listed_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            put(&folder.path().join(name), name.as_bytes());
        }
        let file = Root::at(&folder.path().join("a")).unwrap();
        assert_eq!(file.read(Path::new(""), 9).unwrap().bytes, b"a");
        let root = Root::at(folder.path()).unwrap();
        assert_eq!(root.list(Path::new("/"), 2).unwrap().len(), 2);
        assert_eq!(root.list(Path::new(""), 9).unwrap().len(), 3);
        assert!(root.list(Path::new("/a"), 9).is_err());
    }
}
