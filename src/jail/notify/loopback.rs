//! Who listens on this host's loopback, as the kernel tells it: a command may connect to its own
//! servers there, and to nobody else's.
//!
//! Invariant: a connection may go to any listener whose address fits it, so all of those have to be
//! the command's own. Its sockets are known by their numbers, not by their ports: a port is another's
//! when its socket is closed.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
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
    let open = |file: &str| File::open(format!("/proc/thread-self/net/{file}"));
    let mut all = read(BufReader::new(open("tcp")?))?;
    match open("tcp6") {
        Ok(file) => all.extend(read(BufReader::new(file))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(all)
}

/// Whether a connection to `to` would go to a socket of which `is_own` is true, and to no other.
#[must_use]
pub fn is_own(all: &[Listening], to: SocketAddr, is_own: impl Fn(&Listening) -> bool) -> bool {
    let ip = to.ip().to_canonical();
    let fits = |one: &&Listening| {
        let at = one.address.ip().to_canonical();
        one.address.port() == to.port() && (at == ip || at.is_unspecified())
    };
    let mut fitting = all.iter().filter(fits).peekable();
    fitting.peek().is_some() && fitting.all(is_own)
}

/// The listening sockets of `/proc/net/tcp` or `tcp6` (proc_pid_net(5)), which come first: of connections
/// there may be many thousands.
fn read(table: impl BufRead) -> io::Result<Vec<Listening>> {
    const LISTEN: &str = "0A";
    let mut all = Vec::new();
    for line in table.lines().skip(1) {
        let line = line?;
        let mut words = line.split_whitespace();
        let (address, state) = (words.nth(1), words.nth(1));
        if state != Some(LISTEN) {
            break;
        }
        let number = words.nth(5).and_then(|number| number.parse().ok());
        let one = address.and_then(address_of).zip(number);
        // One that can't be read could be anybody's.
        let (address, number) = one.ok_or(io::ErrorKind::InvalidData)?;
        all.push(Listening { address, number });
    }
    Ok(all)
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
            read(TCP.as_bytes()).unwrap(),
            [one("127.0.0.1:8000", 11), one("0.0.0.0:8001", 12)]
        );
        assert_eq!(
            read(TCP6.as_bytes()).unwrap(),
            [one("[::1]:8000", 21), one("[::ffff:127.0.0.1]:8003", 22)]
        );
        let rubbish = "a header\n 0: x:y z 0A a b c d e\n";
        assert!(read(rubbish.as_bytes()).is_err());
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn all_that_could_be_met_has_to_be_own() {
        let all = [
            read(TCP.as_bytes()).unwrap(),
            read(TCP6.as_bytes()).unwrap(),
        ]
        .concat();
        let own = |to, numbers: &[u64]| is_own(&all, at(to), |one| numbers.contains(&one.number));
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
        assert!(!is_own(&shared, at("127.0.0.1:8000"), |one| one.number == 11));
    }

    #[test]
    fn a_listener_is_found_by_its_number() {
        use std::os::fd::OwnedFd;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let number = crate::sys::stand_in::number(&OwnedFd::from(listener.try_clone().unwrap()));
        let number = number.unwrap();
        let all = listening().unwrap();
        assert!(is_own(&all, address, |own| own.number == number));
        drop(listener);
        assert!(!is_own(&listening().unwrap(), address, |_| true));
    }
}
