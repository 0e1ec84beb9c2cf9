//! Connects to the address that answers first, of several (Happy Eyeballs, RFC 8305).
//!
//! Owns when an attempt begins and how long it may take; knows neither addresses nor sockets, so
//! that only the dialler says to what is connected.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// How long an attempt has the field to itself: the connection attempt delay of RFC 8305, 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// For one address: three SYNs (1 + 2 + 4 s) and some.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Why nothing is connected.
#[derive(Debug)]
pub(super) enum Lost<A> {
    /// There is no room for an attempt.
    NoRoom,
    /// It took too long, all together.
    Late,
    /// All attempts failed; the first address, and how its own did.
    Failed(A, io::Error),
}

/// Gives what the first attempt that succeeds gives, and drops the others. One begins at once, each
/// further one when the one before is 250 ms old or has failed; in the order of `addresses`, of
/// which there is at least one. An attempt may take ten seconds, all of them as long as `until`.
///
/// `attempt` begins one, where there is room for it: beside others it then waits, alone it fails.
///
/// # Errors
/// Why none succeeded.
pub(super) async fn first<A: Copy, C, F: Future<Output = io::Result<C>>>(
    addresses: &[A],
    until: Instant,
    attempt: impl Fn(A) -> Option<F>,
) -> Result<C, Lost<A>> {
    let mut left = addresses.iter().copied().enumerate();
    let (mut next, mut begins) = (left.next(), Instant::now());
    let mut running = Running(Vec::with_capacity(1));
    // That of the address to be tried first says most.
    let mut failure = None;
    loop {
        let now = Instant::now();
        if now >= until {
            return Err(Lost::Late);
        }
        if let Some((place, address)) = next.filter(|_| now >= begins) {
            match attempt(address) {
                Some(connecting) => {
                    running.begin(place, address, connecting, now + CONNECT_WITHIN);
                    next = left.next();
                }
                None if running.is_empty() => return Err(Lost::NoRoom),
                None => {}
            }
            begins = now + ATTEMPT_DELAY;
        }
        // One timer for all of them.
        let wakes = [running.until(), next.map(|_| begins)]
            .into_iter()
            .flatten()
            .fold(until, Instant::min);
        let (place, address, error) = match timeout_at(wakes, running.ended()).await {
            Ok((_, _, Ok(connected))) => return Ok(connected),
            Ok((place, address, Err(error))) => (place, address, error),
            Err(_) => match running.take_late() {
                Some((place, address)) => (place, address, io::ErrorKind::TimedOut.into()),
                None => continue,
            },
        };
        if place == 0 || failure.is_none() {
            failure = Some((address, error));
        }
        begins = Instant::now();
        if running.is_empty()
            && next.is_none()
            && let Some((address, error)) = failure
        {
            return Err(Lost::Failed(address, error));
        }
    }
}

/// Attempts that are under way, the oldest first.
struct Running<A, F>(Vec<Contender<A, F>>);

struct Contender<A, F> {
    place: usize,
    address: A,
    until: Instant,
    connecting: Pin<Box<F>>,
}

impl<A: Copy, C, F: Future<Output = io::Result<C>>> Running<A, F> {
    fn begin(&mut self, place: usize, address: A, connecting: F, until: Instant) {
        self.0.push(Contender {
            place,
            address,
            until,
            connecting: Box::pin(connecting),
        });
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the first of them has taken too long.
    fn until(&self) -> Option<Instant> {
        self.0.first().map(|oldest| oldest.until)
    }

    /// Gives up one that has taken too long.
    fn take_late(&mut self) -> Option<(usize, A)> {
        let late = |oldest: &mut Contender<A, F>| oldest.until <= Instant::now();
        let late = self.0.first_mut().is_some_and(late);
        late.then(|| self.0.remove(0))
            .map(|attempt| (attempt.place, attempt.address))
    }

    /// What the next that ends gives. Of none, nothing ever.
    async fn ended(&mut self) -> (usize, A, io::Result<C>) {
        poll_fn(|context| {
            let ended = self.0.iter_mut().enumerate().find_map(|(at, attempt)| {
                match attempt.connecting.as_mut().poll(context) {
                    Poll::Ready(result) => Some((at, attempt.place, attempt.address, result)),
                    Poll::Pending => None,
                }
            });
            let Some((at, place, address, result)) = ended else {
                return Poll::Pending;
            };
            self.0.remove(at);
            Poll::Ready((place, address, result))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::proxy::connect::tcp_connected;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// An address of this machine that takes no SYN, for as long as this lives: its queue is full.
    struct Dead {
        address: SocketAddr,
        _listener: TcpListener,
        _queued: Vec<TcpStream>,
    }

    async fn dead(at: &str) -> Dead {
        let at: SocketAddr = at.parse().unwrap();
        let socket = if at.is_ipv4() {
            TcpSocket::new_v4().unwrap()
        } else {
            TcpSocket::new_v6().unwrap()
        };
        socket.bind(at).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        let moment = Duration::from_millis(50);
        while let Ok(connected) = timeout(moment, tcp_connected(None, address, 1 << 16)).await {
            queued.push(connected.unwrap());
        }
        Dead {
            address,
            _listener: listener,
            _queued: queued,
        }
    }

    async fn alive() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Nothing listens there.
    async fn refusing() -> SocketAddr {
        alive().await.1
    }

    /// Races them with room for so many; the winner, the time it took, and how many were tried.
    async fn raced(
        addresses: &[SocketAddr],
        room: usize,
        within: Duration,
    ) -> (Result<SocketAddr, Lost<SocketAddr>>, Duration, usize) {
        let (rooms, tried) = (Arc::new(()), std::cell::Cell::new(0));
        let attempt = |address| {
            let taken = Arc::strong_count(&rooms) - 1;
            let room = (taken < room).then(|| Arc::clone(&rooms))?;
            tried.set(tried.get() + 1);
            Some(async move {
                let tcp = tcp_connected(None, address, 1 << 16).await;
                drop(room);
                tcp
            })
        };
        let began = Instant::now();
        let connected = first(addresses, began + within, attempt).await;
        assert_eq!(Arc::strong_count(&rooms), 1, "losers are dropped");
        let winner = connected.map(|tcp| tcp.peer_addr().unwrap());
        (winner, began.elapsed(), tried.get())
    }

    #[tokio::test]
    async fn a_dead_address_costs_a_quarter_of_a_second() {
        let (dead, (_listener, alive)) = (dead("[::1]:0").await, alive().await);
        let (winner, took, tried) = raced(&[dead.address, alive], 6, PATIENCE).await;
        assert_eq!((winner.unwrap(), tried), (alive, 2));
        assert!(took >= ATTEMPT_DELAY, "{took:?}");
        assert!(took < ATTEMPT_DELAY * 4, "{took:?}");
    }

    #[tokio::test]
    async fn the_first_is_preferred_and_one_that_fails_costs_nothing() {
        let (_first, first) = alive().await;
        let (_second, second) = alive().await;
        let (winner, _, tried) = raced(&[first, second], 6, PATIENCE).await;
        assert_eq!((winner.unwrap(), tried), (first, 1));
        let (winner, took, tried) = raced(&[refusing().await, second], 6, PATIENCE).await;
        assert_eq!((winner.unwrap(), tried), (second, 2));
        assert!(took < ATTEMPT_DELAY, "{took:?}");
    }

    #[tokio::test]
    async fn where_all_fail_the_first_ones_error_is_told() {
        let (first, second) = (refusing().await, dead("127.0.0.1:0").await);
        let (lost, ..) = raced(&[first], 6, PATIENCE).await;
        let Err(Lost::Failed(address, error)) = lost else {
            panic!("{lost:?}")
        };
        assert_eq!(
            (address, error.kind()),
            (first, io::ErrorKind::ConnectionRefused)
        );
        let short = Duration::from_millis(300);
        let (lost, took, _) = raced(&[second.address, second.address], 6, short).await;
        assert!(matches!(lost, Err(Lost::Late)), "{lost:?}");
        assert!(took >= short && took < PATIENCE, "{took:?}");
    }

    #[tokio::test]
    async fn without_room_beside_others_an_attempt_waits_for_theirs() {
        let (_listener, alive) = alive().await;
        let (winner, ..) = raced(&[refusing().await, alive], 1, PATIENCE).await;
        assert_eq!(winner.unwrap(), alive);
        let dead = dead("127.0.0.1:0").await;
        let short = Duration::from_millis(600);
        let (lost, _, tried) = raced(&[dead.address, alive], 1, short).await;
        assert!(matches!(lost, Err(Lost::Late)), "{lost:?}");
        assert_eq!(tried, 1);
        let (lost, ..) = raced(&[alive], 0, short).await;
        assert!(matches!(lost, Err(Lost::NoRoom)), "{lost:?}");
    }
}
