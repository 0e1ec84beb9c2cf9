//! Who listens on this host's loopback, as the kernel tells it: a command may connect to its own
//! servers there, and to nobody else's.
//!
//! Invariant: a connection may go to any listener whose address fits it, so all of those have to be
//! the command's own. Its sockets are known by their numbers, not by their ports: a port is another's
//! when its socket is closed.

use std::net::SocketAddr;

use crate::sys::sock_diag::TcpListening;

/// Whether a connection to `to` would go to a socket of which `is_own` is true, and to no other.
#[must_use]
pub fn is_own(
    all: &[TcpListening],
    to: SocketAddr,
    is_own: impl Fn(&TcpListening) -> bool,
) -> bool {
    let ip = to.ip().to_canonical();
    let fits = |one: &&TcpListening| {
        let at = one.address.ip().to_canonical();
        one.address.port() == to.port() && (at == ip || at.is_unspecified())
    };
    let mut fitting = all.iter().filter(fits).peekable();
    fitting.peek().is_some() && fitting.all(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn all_that_could_be_met_has_to_be_own() {
        let one = |address, number| TcpListening {
            address: at(address),
            number,
        };
        let all = [
            one("127.0.0.1:8000", 11),
            one("0.0.0.0:8001", 12),
            one("[::1]:8000", 21),
            one("[::ffff:127.0.0.1]:8003", 22),
        ];
        let own = |to, numbers: &[u64]| is_own(&all, at(to), |one| numbers.contains(&one.number));
        assert!(own("127.0.0.1:8000", &[11]));
        assert!(!own("127.0.0.1:8000", &[21]));
        assert!(own("[::1]:8000", &[21]));
        assert!(own("127.0.0.1:8003", &[22]));
        // Another address, the same port.
        assert!(!own("127.0.0.2:8000", &[11, 12, 21, 22]));
        assert!(own("127.0.0.2:8001", &[12]));
        assert!(!own("127.0.0.1:8002", &[13]));
        let shared = [&all[..], &[one("127.0.0.1:8000", 99)]].concat();
        assert!(!is_own(&shared, at("127.0.0.1:8000"), |one| one.number == 11));
    }
}
