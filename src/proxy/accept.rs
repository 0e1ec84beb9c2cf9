//! How a listener goes on when `accept(2)` fails: most of its errors are about one connection, or
//! pass.

use std::io;
use std::time::Duration;

use crate::logging::Seldom;

/// How long it is left alone where the host is out of something: what waits to be accepted would
/// wake it again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// The next that `accept` gives, whatever becomes of others before it.
///
/// # Errors
/// What makes the listener of no use any more.
pub async fn accepted<T, F: Future<Output = io::Result<T>>>(
    accept: impl Fn() -> F,
) -> io::Result<T> {
    static SAID: Seldom = Seldom::new();
    loop {
        let error = match accept().await {
            Err(error) => error,
            accepted => return accepted,
        };
        match error.raw_os_error() {
            Some(libc::ECONNABORTED | libc::EINTR | libc::EPROTO | libc::EPERM) => {}
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                if SAID.due() {
                    log::warn!("can't accept connections for the moment: {error}");
                }
                tokio::time::sleep(PAUSE).await;
            }
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What becomes of these outcomes of `accept(2)`, in this order; how long that takes, and how
    /// many of them are left.
    async fn after(outcomes: &[Result<u8, i32>]) -> (Result<u8, Option<i32>>, Duration, usize) {
        let left = RefCell::new(outcomes.iter().copied());
        let next = || {
            let outcome = left
                .borrow_mut()
                .next()
                .unwrap()
                .map_err(io::Error::from_raw_os_error);
            async { outcome }
        };
        let start = tokio::time::Instant::now();
        let got = accepted(next).await.map_err(|error| error.raw_os_error());
        (got, start.elapsed(), left.into_inner().len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_gone_is_not_the_listeners_end() {
        let gone = [
            Err(libc::ECONNABORTED),
            Err(libc::EPROTO),
            Err(libc::EINTR),
            Err(libc::EPERM),
            Ok(1),
            Ok(2),
        ];
        assert_eq!(after(&gone).await, (Ok(1), Duration::ZERO, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_out_of_something_is_not_asked_again_at_once() {
        for short in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(
                after(&[Err(short), Err(short), Ok(1)]).await,
                (Ok(1), PAUSE * 2, 0)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_is_of_no_use_is_given_up() {
        assert_eq!(
            after(&[Err(libc::EBADF), Ok(1)]).await,
            (Err(Some(libc::EBADF)), Duration::ZERO, 1)
        );
    }
}
