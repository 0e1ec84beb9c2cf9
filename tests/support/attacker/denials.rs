//! Very many requests, each for a name that nobody has asked for.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, ensure};

/// Connections at once, each to an address of its own: the ports of one would be used up.
const AT_ONCE: usize = 16;

/// So many. Gives how many were answered with a denial.
pub(crate) fn run(target: SocketAddr, count: usize) -> anyhow::Result<usize> {
    let SocketAddr::V4(target) = target else {
        anyhow::bail!("to an IPv4 address, please");
    };
    std::thread::scope(|scope| {
        let asking = (0..AT_ONCE).map(|first| {
            let neighbour = u32::from(*target.ip()).wrapping_add(u32::try_from(first)?);
            let target = SocketAddr::new(std::net::Ipv4Addr::from(neighbour).into(), target.port());
            let numbers = (first..count).step_by(AT_ONCE);
            Ok(scope.spawn(move || {
                let denied = numbers.map(|number| ask(target, number));
                denied.sum::<anyhow::Result<usize>>()
            }))
        });
        let asking: Vec<_> = asking.collect::<anyhow::Result<_>>()?;
        let denied = asking.into_iter();
        denied
            .map(|thread| thread.join().expect("it doesn't panic"))
            .sum()
    })
}

/// Asks once: one where it is denied.
fn ask(target: SocketAddr, number: usize) -> anyhow::Result<usize> {
    let mut server = TcpStream::connect(target).context("connecting")?;
    let request = format!("GET / HTTP/1.1\r\nHost: n{number}.flood.test\r\n\r\n");
    server.write_all(request.as_bytes()).context("asking")?;
    let mut answer = Vec::new();
    let read = server.read_to_end(&mut answer);
    let source = server.local_addr()?;
    read.with_context(|| format!("after {} bytes of the answer to {source}", answer.len()))?;
    let status = answer.get(9..12).context("no answer")?;
    ensure!(status.is_ascii(), "no status");
    Ok(usize::from(status == b"403"))
}
