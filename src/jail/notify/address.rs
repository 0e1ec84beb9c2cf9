//! Socket addresses as a command's memory has them (`struct sockaddr`), and as they are meant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The longest that the kernel takes, in bytes (`struct sockaddr_storage`).
pub const LONGEST: usize = 128;

/// The two bytes that say which family it is.
const FAMILY: usize = 2;
/// What one of IPv4's takes, and one of IPv6's at least (without its scope, before RFC 2553).
const V4: usize = 16;
const V6: usize = 24;
/// What is written of one of IPv6's.
const V6_WHOLE: usize = 28;

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// No address: dissolves an association (connect(2)).
    Unspecified,
    /// One of IPv4's or IPv6's.
    Ip(SocketAddr),
    /// A Unix socket in the file system, by its path.
    Path(Vec<u8>),
    /// A Unix socket by a name, without the zero that it begins with.
    Abstract(Vec<u8>),
    /// A Unix socket without a name, which is given one (unix(7), "autobind").
    Unnamed,
    /// One of another family, of this number.
    Other(u16),
}

/// What these bytes mean; none where they are too short for what they begin as.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Address> {
    let (family, rest) = bytes.split_first_chunk::<FAMILY>()?;
    let family = u16::from_ne_bytes(*family);
    match i32::from(family) {
        libc::AF_UNSPEC => Some(Address::Unspecified),
        libc::AF_INET => {
            let rest = rest.get(..V4 - FAMILY)?;
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
            let port = u16::from_be_bytes(*port);
            Some(Address::Ip(SocketAddr::new(ip.into(), port)))
        }
        libc::AF_INET6 => {
            let scope = rest
                .get(V6 - FAMILY..)
                .and_then(|scope| scope.first_chunk::<4>());
            let (port, rest) = rest.get(..V6 - FAMILY)?.split_first_chunk::<2>()?;
            let ip = Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?);
            let port = u16::from_be_bytes(*port);
            let scope = scope.map_or(0, |scope| u32::from_ne_bytes(*scope));
            Some(Address::Ip(SocketAddrV6::new(ip, port, 0, scope).into()))
        }
        libc::AF_UNIX => Some(match rest.split_first() {
            None => Address::Unnamed,
            Some((0, name)) => Address::Abstract(name.to_vec()),
            Some(_) => Address::Path(until_zero(rest).to_vec()),
        }),
        _ => Some(Address::Other(family)),
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Whether it is the kernel's own address of netlink's: no process, no group (`struct sockaddr_nl`).
#[must_use]
pub fn is_kernels(bytes: &[u8]) -> bool {
    const ALL: usize = 12;
    let whole = bytes.len() >= ALL && bytes.starts_with(&family(libc::AF_NETLINK));
    whole
        && bytes
            .get(4..ALL)
            .is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
}

/// An address as a socket of this family says it: one of IPv4's in IPv6's clothes, where the socket is
/// one of IPv6's.
#[must_use]
pub fn written(address: SocketAddr, as_v6: bool) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    if as_v6 {
        let (ip, scope) = match address {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
        };
        let mut bytes = family(libc::AF_INET6).to_vec();
        bytes.extend(port);
        bytes.extend([0; 4]);
        bytes.extend(ip.octets());
        bytes.extend(scope.to_ne_bytes());
        debug_assert_eq!(bytes.len(), V6_WHOLE);
        return bytes;
    }
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let mut bytes = family(libc::AF_INET).to_vec();
    bytes.extend(port);
    bytes.extend(ip.octets());
    bytes.extend([0; 8]);
    bytes
}

fn family(number: i32) -> [u8; FAMILY] {
    u16::try_from(number).unwrap_or_default().to_ne_bytes()
}

/// Where packets to this address go: `0.0.0.0` and `::` are this host, and an IPv4 address in IPv6's
/// clothes is that address.
#[must_use]
pub fn destination(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (text, as_v6) in [
            ("192.0.2.7:443", false),
            ("[2001:db8::7]:443", true),
            ("[::ffff:192.0.2.7]:80", true),
        ] {
            let bytes = written(ip(text), as_v6);
            assert_eq!(read(&bytes), Some(Address::Ip(ip(text))));
        }
        let clothed = written(ip("192.0.2.7:443"), true);
        assert_eq!(
            read(&clothed),
            Some(Address::Ip(ip("[::ffff:192.0.2.7]:443")))
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_said_is_read_or_not(bytes in proptest::collection::vec(0_u8.., 0..LONGEST), family in 0_u8..12) {
            let bytes = [&[family, 0], bytes.as_slice()].concat();
            if let Some(Address::Ip(ip)) = read(&bytes) {
                let again = read(&written(ip, ip.is_ipv6()));
                proptest::prop_assert_eq!(again, Some(Address::Ip(ip)));
                proptest::prop_assert!(!destination(ip).ip().is_unspecified());
            }
        }
    }

    #[test]
    fn what_is_too_short_means_nothing() {
        let v4 = written(ip("192.0.2.7:443"), false);
        let v6 = written(ip("[2001:db8::7]:443"), true);
        for length in 0..V4 {
            assert_eq!(read(&v4[..length]), None, "{length}");
        }
        for length in 0..V6 {
            assert_eq!(read(&v6[..length]), None, "{length}");
        }
        assert!(read(&v6[..V6]).is_some());
    }

    #[test]
    fn unix_sockets_are_told_apart() {
        let unix = |rest: &[u8]| read(&[&family(libc::AF_UNIX), rest].concat());
        assert_eq!(unix(b""), Some(Address::Unnamed));
        assert_eq!(unix(b"/a\0b"), Some(Address::Path(b"/a".to_vec())));
        assert_eq!(unix(b"./a"), Some(Address::Path(b"./a".to_vec())));
        // The length ends a name, not a zero.
        assert_eq!(unix(b"\0a\0"), Some(Address::Abstract(b"a\0".to_vec())));
    }

    #[test]
    fn every_way_to_say_this_host_is_this_host() {
        for (said, meant) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            ("[::ffff:0.0.0.0]:80", "127.0.0.1:80"),
            ("192.0.2.7:80", "192.0.2.7:80"),
        ] {
            assert_eq!(destination(ip(said)), ip(meant));
        }
    }
}
