//! Ports of the loopback that are open between the jail and its host, in one direction each: the
//! command's servers to this host (`--publish`), this host's to the command (`--allow-host-port`).
//!
//! Only moves bytes, in the jail's own process. Invariant: which ports these are was said on the command
//! line; nothing that the command does opens another.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Context;
use tokio::io::copy_bidirectional;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::init::Init;
use super::options::Publish;
use crate::proxy::accept::accepted;
use crate::sys::socket;

/// Connections at once, of each kind; the next ones wait to be accepted.
const CONNECTIONS: usize = 256;

/// The ports of this host that lead to the command's servers.
#[derive(Debug)]
pub(super) struct Published(Vec<(TcpListener, u16)>);

impl Published {
    /// Listens on them, on this host's loopback.
    ///
    /// # Errors
    /// One of them is in use.
    pub(super) fn open(ports: &[Publish]) -> anyhow::Result<Self> {
        let open = |one: &Publish| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, one.outside))
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
            let listener =
                listener.with_context(|| format!("can't publish on port {}", one.outside))?;
            Ok((listener, one.inside))
        };
        ports
            .iter()
            .map(open)
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Passes connections on. The init makes the other half of each, and gives it to `answers`, in the
    /// order in which it was asked; none where it can't.
    pub(super) async fn serve(
        self,
        init: &Init,
        mut answers: mpsc::UnboundedReceiver<Option<OwnedFd>>,
    ) -> anyhow::Error {
        let mut taken = take_all(self.0);
        let mut waiting = VecDeque::new();
        loop {
            tokio::select! {
                Some(one) = taken.recv() => {
                    let asked = one.map_err(anyhow::Error::from).and_then(|one| {
                        init.connect(one.port).map(|()| one)
                    });
                    match asked {
                        Ok(one) => waiting.push_back(one),
                        Err(error) => return error,
                    }
                }
                Some(answer) = answers.recv() => {
                    if let (Some(one), Some(other)) = (waiting.pop_front(), answer) {
                        tokio::spawn(one.relay(TcpStream::from(other)));
                    }
                }
            }
        }
    }
}

/// Passes what comes to these listeners, which are the jail's, on to the same ports of this host.
pub(super) async fn lead_outside(listeners: Vec<(u16, OwnedFd)>) -> anyhow::Error {
    let listeners = listeners.into_iter();
    let mut taken = take_all(listeners.map(|(port, listener)| (TcpListener::from(listener), port)));
    loop {
        match taken.recv().await {
            // Where nobody is there, its client is told so by the end.
            Some(Ok(one)) => match socket::to_own_port(one.port) {
                Ok(other) => drop(tokio::spawn(one.relay(other))),
                Err(_) => continue,
            },
            Some(Err(error)) => return error.into(),
            // There is none.
            None => std::future::pending().await,
        }
    }
}

/// A connection that was accepted.
struct Taken {
    /// The port that its listener stands for.
    port: u16,
    stream: tokio::net::TcpStream,
    /// Its place among those at once.
    place: OwnedSemaphorePermit,
}

/// Takes the connections that come to these listeners, each of which stands for a port. The first error
/// is the last that is given.
fn take_all(
    listeners: impl IntoIterator<Item = (TcpListener, u16)>,
) -> mpsc::Receiver<io::Result<Taken>> {
    let limit = Arc::new(Semaphore::new(CONNECTIONS));
    let (give, given) = mpsc::channel(1);
    for (listener, port) in listeners {
        let (limit, give) = (Arc::clone(&limit), give.clone());
        tokio::spawn(async move {
            if let Err(error) = take(listener, port, limit, &give).await {
                // Nobody waits for it any more at the end.
                let _ = give.send(Err(error)).await;
            }
        });
    }
    given
}

async fn take(
    listener: TcpListener,
    port: u16,
    limit: Arc<Semaphore>,
    give: &mpsc::Sender<io::Result<Taken>>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let place = Arc::clone(&limit).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let (stream, _) = accepted(|| listener.accept()).await?;
        let one = Taken {
            port,
            stream,
            place,
        };
        if give.send(Ok(one)).await.is_err() {
            return Ok(());
        }
    }
}

impl Taken {
    /// Moves bytes both ways until both have ended.
    async fn relay(self, other: TcpStream) {
        // Whoever has ended ends the other.
        let _ = relay(self.stream, other).await;
        drop(self.place);
    }
}

/// Moves bytes both ways, once the other half is connected.
async fn relay(mut stream: tokio::net::TcpStream, other: TcpStream) -> io::Result<()> {
    let mut other = tokio::net::TcpStream::from_std(other)?;
    other.writable().await?;
    match other.take_error()? {
        None => copy_bidirectional(&mut stream, &mut other).await.map(drop),
        Some(error) => {
            // The client fails as it would have there.
            let _ = socket::reset_on_close(&stream);
            Err(error)
        }
    }
}
