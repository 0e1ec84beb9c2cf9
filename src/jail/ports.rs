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

use anyhow::{Context, anyhow};
use tokio::io::copy_bidirectional;
use tokio::sync::{Semaphore, mpsc};

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
        let limit = Arc::new(Semaphore::new(CONNECTIONS));
        let (give, mut given) = mpsc::channel(1);
        for (listener, inside) in self.0 {
            let taken = take(listener, inside, Arc::clone(&limit), give.clone());
            tokio::spawn(taken);
        }
        let mut waiting = VecDeque::new();
        loop {
            tokio::select! {
                Some((port, stream, permit)) = given.recv() => {
                    if let Err(error) = init.connect(port) {
                        return error;
                    }
                    waiting.push_back((stream, permit));
                }
                Some(answer) = answers.recv() => {
                    let (Some((stream, permit)), Some(other)) = (waiting.pop_front(), answer) else {
                        continue;
                    };
                    tokio::spawn(async move {
                        // Whoever has ended ends the other.
                        let _ = relay(stream, TcpStream::from(other)).await;
                        drop(permit);
                    });
                }
            }
        }
    }
}

type Taken = (
    u16,
    tokio::net::TcpStream,
    tokio::sync::OwnedSemaphorePermit,
);

async fn take(
    listener: TcpListener,
    inside: u16,
    limit: Arc<Semaphore>,
    give: mpsc::Sender<Taken>,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let permit = Arc::clone(&limit).acquire_owned().await?;
        let (stream, _) = accepted(|| listener.accept()).await?;
        give.send((inside, stream, permit)).await?;
    }
}

/// Passes what comes to these listeners, which are the jail's, on to the same ports of this host.
pub(super) async fn lead_outside(listeners: Vec<(u16, OwnedFd)>) -> anyhow::Error {
    let limit = Arc::new(Semaphore::new(CONNECTIONS));
    let mut loops = tokio::task::JoinSet::new();
    for (port, listener) in listeners {
        loops.spawn(lead(port, TcpListener::from(listener), Arc::clone(&limit)));
    }
    let ended = loops.join_next().await;
    let error = ended.and_then(|ended| ended.ok()?.err());
    error.unwrap_or_else(|| anyhow!("a port of this host is not served any more"))
}

async fn lead(port: u16, listener: TcpListener, limit: Arc<Semaphore>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let permit = Arc::clone(&limit).acquire_owned().await?;
        let (stream, _) = accepted(|| listener.accept()).await?;
        tokio::spawn(async move {
            if let Ok(other) = socket::to_own_port(port) {
                let _ = relay(stream, other).await;
            }
            drop(permit);
        });
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
