//! Judges which Unix sockets the command connects to, where a supervisor can be had: those that are files
//! are in no network namespace, and the list of those that are hidden ([`super::masks`]) knows neither an SSH
//! agent's nor one that a daemon makes anew.
//!
//! Every connect(2) waits. It is this process that connects: a descriptor of its own for the command's
//! socket, whatever that is, to its own copy of the address. So it does for TCP and UDP, too, which go to
//! the kernel's capture as they would: were the kernel told to go on, it would look once more, and
//! the descriptor could be a Unix socket by then.
//!
//! Invariant: nothing is decided by memory or a descriptor that the kernel reads again. Where nothing
//! can be judged, the kernel makes every call, and it is said so.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::jail::allowed_sockets::AllowedSockets;
use crate::jail::inner::{Handed, LISTENER, Outer};
use crate::jail::notify::address::{self, Address};
use crate::jail::notify::pool::{self, Answers, Outcome};
use crate::jail::notify::request::{self, Request, Settled};
use crate::jail::notify::unix_sockets::{SocketFile, say_shut};
use crate::sys::call_filter::Rules;
use crate::sys::credentials::Credentials;
use crate::sys::notify::{self, Answer, Listener, Notification};
use crate::sys::sock_diag::{self, UnixSockets};
use crate::sys::stand_in;

/// Threads that answer, at most: each connection of a socket that blocks takes one while it is made.
const THREADS: usize = 256;

/// On the command's side: installs the rules, with a supervisor where one can be had. `judged`: those
/// by which it is asked; `alone`: those without.
///
/// # Errors
/// What the kernel gives: nothing may be run then.
pub(super) fn install(judged: &Rules, alone: &Rules, outer: &Outer<'_>) -> anyhow::Result<()> {
    match Listener::install(&judged.program()?) {
        Ok(listener) => {
            // By a call that doesn't wait.
            outer
                .hand(LISTENER, listener.as_fd())
                .context("hand the listener out")?;
            drop(listener);
            // Answered when the supervisor has tried what it needs.
            let _ = notify::probe_by(&UnixDatagram::unbound()?);
            Ok(())
        }
        Err(error) => {
            say_unjudged(&error);
            Ok(alone.program()?.install()?)
        }
    }
}

fn say_unjudged(why: &io::Error) {
    let by_another = why.raw_os_error() == Some(libc::EBUSY);
    let why = if by_another {
        "another supervisor is asked already".to_owned()
    } else {
        why.to_string()
    };
    log::info!(
        "Unix sockets are not judged here ({why}): those of resolvers, message buses and engines are hidden, others stay open"
    );
}

/// What judges.
#[derive(Debug)]
struct Judge {
    listener: Listener,
    /// Whether it can.
    able: bool,
    /// Unix sockets that are open to the command.
    allowed: Arc<AllowedSockets>,
    /// Tells of the jail's own.
    jails: Mutex<UnixSockets>,
}

/// Judges, when the command has handed out where its calls arrive. Ends where that fails.
pub(super) async fn judge(
    mut handed: UnboundedReceiver<Handed>,
    jails: UnixSockets,
    allowed: Arc<AllowedSockets>,
) -> anyhow::Error {
    while let Some(Handed { what, descriptor }) = handed.recv().await {
        if what == LISTENER {
            let listener = Listener::from_sent(descriptor);
            if let Err(error) = begin(listener, jails, allowed) {
                return anyhow::Error::from(error).context("the supervisor");
            }
            break;
        }
    }
    std::future::pending().await
}

fn begin(listener: Listener, jails: UnixSockets, allowed: Arc<AllowedSockets>) -> io::Result<()> {
    listener.run_in_turns();
    let Ok(call) = listener.receive() else {
        // It has ended before it was anything.
        return Ok(());
    };
    let tried = try_on(&call);
    if let Err(error) = &tried {
        say_unjudged(error);
    }
    listener.answer(call.id, Answer::Errno(libc::EBADF));
    let judge = Judge {
        listener,
        able: tried.is_ok(),
        allowed,
        jails: Mutex::new(jails),
    };
    pool::answer(Arc::new(judge), THREADS)
}

/// Whether the memory and the sockets of who makes this call can be had.
fn try_on(call: &Notification) -> io::Result<()> {
    let [socket, at, ..] = call.arguments;
    let mut seen = [0; notify::PROBE.len()];
    notify::read_memory(call.thread, at, &mut seen)?;
    notify::socket_of(call.thread, i32::try_from(socket).unwrap_or(-1)).map(drop)
}

impl Answers for Judge {
    fn listener(&self) -> &Listener {
        &self.listener
    }

    fn serve(self: &Arc<Self>, call: &Notification) -> io::Result<Outcome> {
        if !self.able {
            return Ok(Outcome::CONTINUE);
        }
        let (socket, address) = match request::read(call.call, call.arguments) {
            Ok(Request::Connect { socket, address }) => (socket, address),
            Err(Settled::Fails(number)) => return Err(io::Error::from_raw_os_error(number)),
            _ => return Err(io::Error::from_raw_os_error(libc::ENOSYS)),
        };
        let socket = notify::socket_of(call.thread, socket)?;
        let address = self.said(call, address)?;
        match stand_in::family(&socket)? {
            libc::AF_INET | libc::AF_INET6 => stand_in::connect_as_said(&socket, &address)?,
            libc::AF_UNIX => self.connect_unix(call, &socket, &address)?,
            // To others than the kernel it takes a right that this process may have, and the command hasn't.
            libc::AF_NETLINK if address::is_kernels(&address) => {
                stand_in::connect_as_said(&socket, &address)?;
            }
            _ => return Err(io::Error::from_raw_os_error(libc::EPERM)),
        }
        Ok(Outcome::value(0))
    }
}

impl Judge {
    fn connect_unix(&self, call: &Notification, socket: &OwnedFd, to: &[u8]) -> io::Result<()> {
        let rights = Credentials::of(call.thread)?;
        let Some(Address::Path(path)) = address::read(to) else {
            self.still_waits(call)?;
            // By a name, those of the socket's own network are reached, which is the jail's.
            return rights.acting(|| stand_in::connect_as_said(socket, to))?;
        };
        let file = SocketFile::of(call.thread, &rights, &path)?;
        let open = self.allowed.have(file.file()) || self.is_jails(call.thread, &file)?;
        self.still_waits(call)?;
        if !open {
            say_shut(&file);
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        }
        rights.acting(|| stand_in::connect_to_file(socket, file.file().as_fd()))?
    }

    /// Whether it is one of the jail's own servers': a socket of its network, and no other by the same
    /// file.
    fn is_jails(&self, thread: i32, file: &SocketFile) -> io::Result<bool> {
        let jails = self.jails.lock().unwrap_or_else(PoisonError::into_inner);
        let jails = jails.named()?;
        let all = [jails.as_slice(), &sock_diag::unix_sockets()?].concat();
        file.is_of(thread, &all, |one| jails.contains(one))
    }
}

/// The word by which [`UnixSockets`] are handed out.
pub(super) const UNIX_SOCKETS: &str = "unix sockets";

/// On the command's side, in the jail's network: hands out what tells of its Unix sockets.
///
/// # Errors
/// What opening gives.
pub(super) fn hand_out_sockets(outer: &Outer<'_>) -> anyhow::Result<()> {
    UnixSockets::open()
        .and_then(|sockets| outer.hand(UNIX_SOCKETS, sockets.as_fd()))
        .context("ask for the jail's Unix sockets")
}
