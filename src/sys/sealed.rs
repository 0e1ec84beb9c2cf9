//! Files in memory that nobody can change any more (memfd_create(2), sealed).

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{Whence, lseek};

/// Such a file. Programs that are started don't inherit it, unless [`Sealed::hand_on`] says so.
#[derive(Debug)]
pub struct Sealed(OwnedFd);

impl Sealed {
    /// A program, which can be run.
    ///
    /// # Errors
    /// What memfd_create(2), reading, writing and fcntl(2) give.
    pub fn program(content: impl Read) -> io::Result<Self> {
        Self::holding(content, libc::MFD_EXEC, 0o555)
    }

    /// Data, which can't be run, and which root alone may open.
    ///
    /// # Errors
    /// As for [`Sealed::program`].
    pub fn data(content: impl Read) -> io::Result<Self> {
        Self::holding(content, libc::MFD_NOEXEC_SEAL, 0o400)
    }

    /// `word` says whether it will be run.
    fn holding(mut content: impl Read, word: libc::c_uint, mode: u32) -> io::Result<Self> {
        let make = |flags| {
            memfd_create(
                "boundary-shim",
                MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING | flags,
            )
        };
        // Linux 6.3 wants to be told, and older ones don't know the word.
        let file = make(MFdFlags::from_bits_retain(word)).or_else(|_| make(MFdFlags::empty()))?;
        let mut file = File::from(file);
        io::copy(&mut content, &mut file)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        let seals = SealFlag::F_SEAL_SEAL
            | SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Self(file.into()))
    }

    /// The same file under a descriptor that is at least `lowest`.
    ///
    /// # Errors
    /// What fcntl(2) gives: `EINVAL` and `EMFILE` where no such descriptor may be open.
    #[expect(unsafe_code, reason = "takes a descriptor over")]
    pub fn numbered_from(self, lowest: u32) -> io::Result<Self> {
        let lowest = lowest
            .try_into()
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let copy = fcntl(&self.0, FcntlArg::F_DUPFD_CLOEXEC(lowest))?;
        // SAFETY: fcntl just made this descriptor, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(copy) }))
    }

    /// The path by which whoever holds the descriptor opens the file.
    #[must_use]
    pub fn path(&self) -> OsString {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// Has whoever is given the descriptor, and can only read on, begin at its beginning.
    ///
    /// # Errors
    /// What lseek(2) gives.
    pub fn rewind(&self) -> io::Result<()> {
        lseek(&self.0, 0, Whence::SeekSet)?;
        Ok(())
    }

    /// Lets programs that are started from now on, or that this process becomes, inherit it.
    ///
    /// # Errors
    /// What fcntl(2) gives.
    pub fn hand_on(&self) -> io::Result<()> {
        fcntl(&self.0, FcntlArg::F_SETFD(FdFlag::empty()))
            .map(drop)
            .map_err(io::Error::from)
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn it_can_be_read_by_its_path_any_number_of_times_and_not_changed() {
        let sealed = Sealed::data(&b"what it says"[..]).unwrap();
        let sealed = sealed.numbered_from(70).unwrap();
        let path = sealed.path();
        assert!(sealed.0.as_raw_fd() >= 70);
        for _ in 0..2 {
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "what it says");
        }
        let mut writing = File::options().write(true).open(&path);
        let error = writing
            .as_mut()
            .map(|file| file.write(b"x").unwrap_err().raw_os_error());
        assert!(matches!(error, Ok(Some(libc::EPERM)) | Err(_)), "{error:?}");
    }

    #[test]
    fn a_number_that_no_descriptor_can_have_is_an_error() {
        for lowest in [u32::MAX, u32::MAX / 2] {
            let sealed = Sealed::data(&b""[..]).unwrap();
            assert!(sealed.numbered_from(lowest).is_err(), "{lowest}");
        }
    }
}
