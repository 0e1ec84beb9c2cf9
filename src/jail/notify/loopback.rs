//! Who listens on this host's loopback, as the kernel tells it: a command may connect to its own
//! servers there, and to nobody else's.
//!
//! Invariant: a connection may go to any listener whose address fits it, so all of those have to be
//! the command's own. Its sockets are known by their numbers, not by their ports: a port is another's
//! when its socket is closed.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    /// The number of its file.
    pub number: u64,
}

/// Those of this process's network namespace.
///
/// # Errors
/// What reading `/proc` gives.
pub fn listening() -> io::Result<Vec<Listening>> {
    let mut all = read(&std::fs::read_to_string("/proc/thread-self/net/tcp")?);
    match std::fs::read_to_string("/proc/thread-self/net/tcp6") {
        Ok(text) => all.extend(read(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(all)
}

/// Whether a connection to `to` would go to a socket of which `is_own` is true, and to no other.
#[must_use]
pub fn is_own(all: &[Listening], to: SocketAddr, is_own: impl Fn(u64) -> bool) -> bool {
    let ip = to.ip().to_canonical();
    let fits = |one: &&Listening| {
        let at = one.address.ip().to_canonical();
        one.address.port() == to.port() && (at == ip || at.is_unspecified())
    };
    let mut fitting = all.iter().filter(fits).peekable();
    fitting.peek().is_some() && fitting.all(|one| is_own(one.number))
}

/// The listening sockets of `/proc/net/tcp` or `tcp6` (proc_pid_net(5)).
fn read(text: &str) -> Vec<Listening> {
    const LISTEN: &str = "0A";
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        let (address, state) = (words.nth(1)?, words.nth(1)?);
        let number = words.nth(5)?.parse().ok()?;
        let address = address_of(address)?;
        (state == LISTEN).then_some(Listening { address, number })
    };
    text.lines().skip(1).filter_map(one).collect()
}

/// An address in the kernel's way: words of 32 bits in the order of this machine, then the port.
fn address_of(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let (words, rest) = ip.as_bytes().as_chunks::<8>();
    let word = |word: &[u8; 8]| {
        let word = u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let words: Vec<[u8; 4]> = words.iter().map(word).collect::<Option<_>>()?;
    let bytes = words.concat();
    let ip = match bytes.len() {
        _ if !rest.is_empty() => return None,
        4 => IpAddr::from(*bytes.first_chunk::<4>()?),
        16 => IpAddr::from(Ipv6Addr::from(*bytes.first_chunk::<16>()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 ffff 100 0 0 10 0
   1: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 ffff 100 0 0 10 0
   2: 0100007F:1F42 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 13 1 ffff 100 0 0 10 0
";
    #[cfg(target_endian = "little")]
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:1F40 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21 1 ffff 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:1F43 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1 ffff 100 0 0 10 0
";

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_tables_are_read() {
        let one = |address, number| Listening {
            address: at(address),
            number,
        };
        assert_eq!(
            read(TCP),
            [one("127.0.0.1:8000", 11), one("0.0.0.0:8001", 12)]
        );
        assert_eq!(
            read(TCP6),
            [one("[::1]:8000", 21), one("[::ffff:127.0.0.1]:8003", 22)]
        );
        assert_eq!(read("a header\nrubbish\n 0: x:y z 0A a b c d e\n"), []);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn all_that_could_be_met_has_to_be_own() {
        let all = [read(TCP), read(TCP6)].concat();
        let own = |to, numbers: &[u64]| is_own(&all, at(to), |number| numbers.contains(&number));
        assert!(own("127.0.0.1:8000", &[11]));
        assert!(!own("127.0.0.1:8000", &[21]));
        assert!(own("[::1]:8000", &[21]));
        assert!(own("127.0.0.1:8003", &[22]));
        // Another address, the same port.
        assert!(!own("127.0.0.2:8000", &[11, 12, 21, 22]));
        assert!(own("127.0.0.2:8001", &[12]));
        assert!(!own("127.0.0.1:8002", &[13]));
        let mut shared = all.clone();
        shared.push(Listening {
            address: at("127.0.0.1:8000"),
            number: 99,
        });
        assert!(!is_own(&shared, at("127.0.0.1:8000"), |number| number == 11));
    }

    #[test]
    fn a_listener_is_found_by_its_number() {
        use std::os::fd::OwnedFd;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let number = crate::sys::stand_in::number(&OwnedFd::from(listener.try_clone().unwrap()));
        let number = number.unwrap();
        let all = listening().unwrap();
        assert!(is_own(&all, address, |own| own == number));
        drop(listener);
        assert!(!is_own(&listening().unwrap(), address, |_| true));
    }
}
