//! Ways to end a client's connection: at once, or so that the last words arrive.
//!
//! A socket that is closed with unread bytes in it sends a reset, and a reset makes the peer's
//! kernel throw away what it has not read yet (RFC 9293 3.10.7.4; RFC 9112 9.6). So whoever has
//! said something last waits for the peer's end.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::proxy::stream::Stream;
use crate::sys::socket::reset_on_close;

/// The peer fails at once.
pub(crate) fn reset(client: impl AsFd) {
    // Best effort: without it the peer reads an end instead of a reset, also at once.
    let _ = reset_on_close(&client);
    drop(client);
}

/// A fatal `access_denied` alert (RFC 8446 6, code 49) in a record of TLS 1.2's version, which
/// every version takes.
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// Tells a TLS client that it is denied.
pub(crate) async fn alert(mut client: Stream) {
    if client.write_all(&ACCESS_DENIED).await.is_ok() {
        close_gently(client).await;
    }
}

/// How long the peer has to take the last words and close, as long as it goes on to say something.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);
/// How long it may say nothing meanwhile.
const CLOSE_SILENT: Duration = Duration::from_secs(1);
/// How much of what the peer still says is read away: an upload that is under way, of a client that
/// reads its answer only when all is sent.
const CLOSE_BYTES: u64 = 64 * 1024 * 1024;

/// Closes after the peer has had the chance to read everything.
pub(crate) async fn close_gently(mut client: Stream) {
    let closing = async {
        client.shutdown().await?;
        // Not on the stack: it would be part of every connection's task from its start.
        let mut rest = vec![0; 4096];
        let mut left = CLOSE_BYTES;
        while left > 0 {
            match timeout(CLOSE_SILENT, client.read(&mut rest)).await?? {
                0 => break,
                count => left = left.saturating_sub(count as u64),
            }
        }
        io::Result::Ok(())
    };
    // However it went: the connection ends here.
    let _ = timeout(CLOSE_WITHIN, closing).await;
}
