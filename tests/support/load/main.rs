//! Visits a web server as fast as it goes, and tells how fast that was: the client of
//! `scripts/bench`. Two threads, each with half of the connections, so that it isn't the slowest
//! part.
//!
//! - `load ADDRESS:PORT NAME http|https WHAT CONNECTIONS SECONDS`: prints two numbers
//!   - WHAT is `new`: each request on a connection (and TLS session) of its own, which the server
//!     closes; `kept`: one after the other on open connections. Requests a second; the median of
//!     one's time, in microseconds
//!   - or `paced`: as `new`, a few hundred a second: below the rate up to which a filter asks the server
//!     before it accepts
//!   - or `bulk`: one long answer on each connection. Bytes a second; 0
//!   - or `parts`: as `bulk`, of long answers that end, each on a connection of its own that ends with
//!     it: for a gateway that sends none before it has all of it
//! - `load ADDRESS:PORT NAME http hold CONNECTIONS`: opens connections, has one request answered on
//!   each, says so, and keeps them until its standard input ends
//!
//! `/` and `/part` have to be answered with a Content-Length, `/bulk` to last longer than SECONDS. Certificates
//! are not looked at. Anything but a 200, and a connection that breaks, ends it: what is printed is
//! of answers alone.

#![expect(clippy::print_stdout, reason = "its findings are its standard output")]

mod visit;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use visit::{Target, Visit};

const THREADS: usize = 2;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    New,
    Paced,
    Kept,
    Bulk,
    Parts,
}

/// What lies between the end of one visit and the next.
const PACE: Duration = Duration::from_millis(2);

/// What one thread, or all, came to.
#[derive(Debug, Default)]
struct Sum {
    /// Of all that was read.
    bytes: u64,
    /// How long each request took.
    times: Vec<Duration>,
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words.as_slice() {
        [server, name, "http", "hold", connections] => {
            hold(&Target::new(server, name, "http")?, connections.parse()?)
        }
        [server, name, scheme, what, connections, seconds] => {
            let what = match what {
                "new" => What::New,
                "paced" => What::Paced,
                "kept" => What::Kept,
                "bulk" => What::Bulk,
                "parts" => What::Parts,
                _ => bail!("{what}: not new, paced, kept, bulk or parts"),
            };
            let target = Arc::new(Target::new(server, name, scheme)?);
            let seconds = seconds.parse()?;
            let sum = all(
                &target,
                what,
                connections.parse()?,
                Duration::from_secs_f64(seconds),
            )?;
            report(what, sum, seconds);
            Ok(())
        }
        _ => bail!(
            "usage: load ADDRESS:PORT NAME http|https new|paced|kept|bulk|parts|hold CONNECTIONS [SECONDS]"
        ),
    }
}

fn report(what: What, mut sum: Sum, seconds: f64) {
    sum.times.sort_unstable();
    let median = sum.times.get(sum.times.len() / 2).copied();
    let count = match what {
        What::Bulk | What::Parts => sum.bytes as f64,
        What::New | What::Paced | What::Kept => sum.times.len() as f64,
    };
    let median = median.unwrap_or_default().as_secs_f64() * 1e6;
    println!("{:.0} {median:.1}", count / seconds);
}

fn all(
    target: &Arc<Target>,
    what: What,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Sum> {
    let end = Instant::now() + time;
    let shares = (0..THREADS).map(|thread| (connections + thread) / THREADS);
    let threads: Vec<_> = shares
        .filter(|share| *share > 0)
        .map(|share| {
            let target = Arc::clone(target);
            std::thread::spawn(move || some(&target, what, share, end))
        })
        .collect();
    let mut sum = Sum::default();
    for thread in threads {
        let part = thread.join().ok().context("a thread panicked")??;
        sum.bytes += part.bytes;
        sum.times.extend(part.times);
    }
    Ok(sum)
}

/// One thread's work.
fn some(target: &Target, what: What, connections: usize, end: Instant) -> anyhow::Result<Sum> {
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    let open = |slot: usize| -> anyhow::Result<Visit> {
        let visit = Visit::begin(target, request(target, what))?;
        // Edge by edge: registered once, for the connect, for what can be read and for the end.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        epoll.add(visit.as_fd(), EpollEvent::new(flags, slot as u64))?;
        Ok(visit)
    };
    let mut visits = (0..connections)
        .map(&open)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut sum = Sum::default();
    let mut events = [EpollEvent::empty(); 64];
    let mut buffer = vec![0; 256 << 10];
    while Instant::now() < end {
        let ready = epoll.wait(&mut events, EpollTimeout::from(50_u8))?;
        for event in events.iter().take(ready) {
            let slot = usize::try_from(event.data())?;
            let visit = visits.get_mut(slot).context("a visit")?;
            match what {
                What::Bulk | What::Parts => {
                    let (bytes, ended) = visit.drain(&mut buffer, end)?;
                    sum.bytes += bytes;
                    if ended {
                        ensure!(what == What::Parts, "the long answer ended");
                        *visit = open(slot)?;
                    }
                }
                What::Kept => {
                    while visit.answered(&mut buffer)? {
                        sum.times.push(visit.took());
                        visit.again(request(target, what))?;
                    }
                }
                What::New | What::Paced => {
                    if visit.ended(&mut buffer)? {
                        sum.times.push(visit.took());
                        if what == What::Paced {
                            std::thread::sleep(PACE);
                        }
                        *visit = open(slot)?;
                    }
                }
            }
        }
    }
    Ok(sum)
}

fn request(target: &Target, what: What) -> &str {
    match what {
        What::New | What::Paced => &target.once,
        What::Kept => &target.kept,
        What::Bulk => &target.bulk,
        What::Parts => &target.part,
    }
}

/// A gateway may have no room for so many at once: what is turned away comes again, for a while.
fn hold(target: &Target, connections: usize) -> anyhow::Result<()> {
    let mut held = Vec::new();
    let end = Instant::now() + Duration::from_secs(20);
    while held.len() < connections {
        match answered_once(target) {
            Ok(stream) => held.push(stream),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    println!("held {}", held.len());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn answered_once(target: &Target) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(target.server)?;
    stream.write_all(target.kept.as_bytes())?;
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer)?;
    let answer = buffer.get(..length).unwrap_or_default();
    ensure!(answer.starts_with(visit::GOOD), "no 200");
    Ok(stream)
}
