//! The proxy's control socket, in its state directory (root's alone): one connection, one line, one answer.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::proxy::accept::accepted;

/// How long a caller may take for its line.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes the socket. Before the runtime, so that it is there when the hook returns.
pub(super) fn bind(state: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let path = state.join("control");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A caller that asked for `settle`, and waits for the answer.
#[derive(Debug)]
pub(super) struct Caller(UnixStream);

/// Waits for the next caller that says a word we know. Others are dropped.
pub(super) async fn next(listener: &UnixListener) -> io::Result<Caller> {
    loop {
        let (mut stream, _) = accepted(|| listener.accept()).await?;
        let mut line = [0; 7];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut line)).await;
        if matches!(read, Ok(Ok(_))) && &line == b"settle\n" {
            return Ok(Caller(stream));
        }
    }
}

impl Caller {
    /// Says how it went. A caller that is gone by now has decided for itself.
    pub(super) async fn answer(mut self, outcome: &anyhow::Result<()>) {
        let line = match outcome {
            Ok(()) => "ok\n".to_owned(),
            Err(error) => format!("error {error:#}\n"),
        };
        let _ = tokio::time::timeout(PATIENCE, self.0.write_all(line.as_bytes())).await;
    }
}
