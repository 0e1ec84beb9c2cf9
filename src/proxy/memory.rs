//! Looks after the gateway's memory: buffers of quiet connections are made small, and what was
//! freed goes back to the kernel.
//!
//! Sleeps where nothing is large and nothing was given back: a gateway without traffic wakes
//! nobody.

use std::convert::Infallible;
use std::time::Duration;

use super::stream::Streams;
use crate::sys::memory;

/// How often it looks, while there is something to look at.
const EVERY: Duration = Duration::from_secs(1);
/// What must have been given back for the kernel to get it: below that, it will be used again, and
/// a page fault costs more.
const WORTH_WHILE: usize = 1024 * 1024;

/// For as long as the gateway serves.
pub(super) async fn tend(streams: &Streams) -> Infallible {
    let mut freed = 0;
    loop {
        streams.budget.changed().await;
        loop {
            tokio::time::sleep(EVERY).await;
            let large = streams.calm();
            let given_back = streams.budget.given_back();
            freed += given_back;
            if freed >= WORTH_WHILE {
                memory::give_back();
                freed = 0;
            }
            if !large && given_back == 0 {
                break;
            }
        }
    }
}
