//! How a Unix socket is connected: to the very file that was judged, with no right that its owner hasn't.

use std::io;
use std::os::fd::AsFd;
use std::sync::PoisonError;

use super::address::Address;
use super::pool::Answers;
use super::sockets::Unix;
use super::supervisor::Supervisor;
use super::unix_sockets::{SocketFile, name_is_of, say_shut};
use crate::sys::credentials::Credentials;
use crate::sys::notify::Notification;
use crate::sys::sock_diag::{self, UnixSocket};
use crate::sys::stand_in;

impl Supervisor {
    /// Connects one to where its owner wants to go, if that is open to it.
    pub(super) fn connect_unix(
        &self,
        call: &Notification,
        unix: &Unix,
        to: &Address,
    ) -> io::Result<()> {
        let refused = || io::Error::from_raw_os_error(libc::EACCES);
        let mut held = unix.held.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = held
            .as_ref()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EISCONN))?;
        let own = |one: &UnixSocket| self.sockets.has_unix(one.number.into(), one.cookie);
        match to {
            Address::Path(path) => {
                let rights = Credentials::of(call.thread)?;
                let file = SocketFile::of(call.thread, &rights, path)?;
                let open = self.post.allowed.have(file.file())
                    || file.is_of(call.thread, &sock_diag::unix_sockets()?, own)?;
                self.still_waits(call)?;
                if !open {
                    say_shut(&file);
                    return Err(refused());
                }
                let connect = || stand_in::connect_to_file(socket, file.file().as_fd());
                rights.acting(connect)??;
            }
            Address::Abstract(name) => {
                if !name_is_of(name, own)? {
                    return Err(refused());
                }
                let rights = Credentials::of(call.thread)?;
                self.still_waits(call)?;
                rights.acting(|| stand_in::connect_to_name(socket, name))??;
            }
            Address::Unspecified if unix.kind == libc::SOCK_DGRAM => stand_in::disconnect(socket)?,
            _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
        if unix.kind != libc::SOCK_DGRAM {
            *held = None;
        }
        Ok(())
    }
}
