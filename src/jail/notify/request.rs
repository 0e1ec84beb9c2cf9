//! What a call that waits asks for, by its registers. Pure: nothing of anybody's memory is read.
//!
//! Which sockets there are is decided here, too: TCP's, UDP's and Unix sockets are made by the
//! supervisor; of netlink, the protocol by which programs ask for addresses and routes is the kernel's
//! own to make, and all others don't exist.

use std::ffi::c_int;

/// A piece of a command's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub at: u64,
    /// How long it is said to be.
    pub length: u64,
}

/// What a socket is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TCP's, over IPv6 or IPv4.
    Tcp {
        /// Whether over IPv6.
        v6: bool,
    },
    /// UDP's.
    Udp {
        /// Whether over IPv6.
        v6: bool,
    },
    /// A Unix socket of this type (`SOCK_STREAM`, …).
    Unix(c_int),
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the calls' own arguments: see their manual pages"
)]
pub enum Request {
    /// A socket.
    Make {
        kind: Kind,
        nonblocking: bool,
        closes_on_exec: bool,
    },
    /// connect(2)
    Connect { socket: c_int, address: Piece },
    /// bind(2)
    Bind { socket: c_int, address: Piece },
    /// listen(2)
    Listen { socket: c_int, backlog: c_int },
    /// getsockname(2), getpeername(2): `length` is where the address's length stands.
    Name {
        socket: c_int,
        of_peer: bool,
        at: u64,
        length: u64,
    },
    /// sendto(2) with an address.
    Send {
        socket: c_int,
        payload: Piece,
        address: Piece,
    },
    /// sendmsg(2)
    SendMessage { socket: c_int, message: u64 },
    /// sendmmsg(2)
    SendMessages {
        socket: c_int,
        messages: u64,
        count: u32,
    },
    /// recvfrom(2) with room for an address.
    Receive {
        socket: c_int,
        payload: Piece,
        flags: c_int,
        address: u64,
        length: u64,
    },
    /// recvmsg(2)
    ReceiveMessage {
        socket: c_int,
        message: u64,
        flags: c_int,
    },
    /// setsockopt(2) on one of the levels that UDP's stand-ins haven't.
    SetOption { socket: c_int },
}

/// What can be said without looking further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It fails with this number (errno(3)).
    Fails(c_int),
    /// The kernel may do it: it depends on registers alone.
    Passes,
}

/// Reads one.
///
/// # Errors
/// Where there is nothing to ask.
pub fn read(call: i64, arguments: [u64; 6]) -> Result<Request, Settled> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let socket = int(first);
    let piece = |at, length| Piece { at, length };
    Ok(match call {
        libc::SYS_socket => return make(int(first), int(second), int(third)),
        libc::SYS_connect => Request::Connect {
            socket,
            address: piece(second, length(third)?),
        },
        libc::SYS_bind => Request::Bind {
            socket,
            address: piece(second, length(third)?),
        },
        libc::SYS_listen => Request::Listen {
            socket,
            backlog: int(second),
        },
        libc::SYS_getsockname | libc::SYS_getpeername => Request::Name {
            socket,
            of_peer: call == libc::SYS_getpeername,
            at: second,
            length: third,
        },
        libc::SYS_sendto => {
            no_fast_open(int(fourth))?;
            Request::Send {
                socket,
                payload: piece(second, third),
                address: piece(fifth, length(sixth)?),
            }
        }
        libc::SYS_sendmsg => {
            no_fast_open(int(third))?;
            Request::SendMessage {
                socket,
                message: second,
            }
        }
        libc::SYS_sendmmsg => {
            no_fast_open(int(fourth))?;
            Request::SendMessages {
                socket,
                messages: second,
                count: int(third).cast_unsigned(),
            }
        }
        libc::SYS_recvfrom => Request::Receive {
            socket,
            payload: piece(second, third),
            flags: int(fourth),
            address: fifth,
            length: sixth,
        },
        libc::SYS_recvmsg => Request::ReceiveMessage {
            socket,
            message: second,
            flags: int(third),
        },
        libc::SYS_setsockopt => Request::SetOption { socket },
        _ => return Err(Settled::Fails(libc::ENOSYS)),
    })
}

/// With it, the first bytes that are sent connect: to an address that is read once more then.
fn no_fast_open(flags: c_int) -> Result<(), Settled> {
    if flags & libc::MSG_FASTOPEN == 0 {
        Ok(())
    } else {
        Err(Settled::Fails(libc::EOPNOTSUPP))
    }
}

fn make(family: c_int, kind: c_int, protocol: c_int) -> Result<Request, Settled> {
    const NETLINK_ROUTE: c_int = 0;
    const FLAGS: c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let (flags, kind) = (kind & FLAGS, kind & !FLAGS);
    let v6 = family == libc::AF_INET6;
    let kind = match (family, kind, protocol) {
        (libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_DGRAM | libc::SOCK_SEQPACKET, 0 | 1) => {
            Kind::Unix(kind)
        }
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => {
            Kind::Tcp { v6 }
        }
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => {
            Kind::Udp { v6 }
        }
        (libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_DGRAM, NETLINK_ROUTE) => {
            return Err(Settled::Passes);
        }
        (libc::AF_INET | libc::AF_INET6 | libc::AF_NETLINK | libc::AF_UNIX, _, _) => {
            return Err(Settled::Fails(libc::EPROTONOSUPPORT));
        }
        _ => return Err(Settled::Fails(libc::EAFNOSUPPORT)),
    };
    Ok(Request::Make {
        kind,
        nonblocking: flags & libc::SOCK_NONBLOCK != 0,
        closes_on_exec: flags & libc::SOCK_CLOEXEC != 0,
    })
}

/// A register as the kernel takes it for an `int`.
fn int(register: u64) -> c_int {
    let [b0, b1, b2, b3, ..] = register.to_le_bytes();
    c_int::from_le_bytes([b0, b1, b2, b3])
}

/// The length of an address, as the kernel takes it (`move_addr_to_kernel`).
fn length(register: u64) -> Result<u64, Settled> {
    const SOCKADDR_STORAGE: c_int = 128;
    match int(register) {
        length @ 0..=SOCKADDR_STORAGE => Ok(u64::from(length.cast_unsigned())),
        _ => Err(Settled::Fails(libc::EINVAL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(family: c_int, kind: c_int, protocol: c_int) -> Result<Request, Settled> {
        let register = |int: c_int| u64::from(int.cast_unsigned());
        let arguments = [family, kind, protocol, 0, 0, 0].map(register);
        read(libc::SYS_socket, arguments)
    }

    #[test]
    fn sockets_of_tcp_udp_and_unix_are_made() {
        let kind = |family, kind, protocol| match socket(family, kind, protocol) {
            Ok(Request::Make { kind, .. }) => kind,
            other => panic!("{other:?}"),
        };
        let (v4, v6) = (libc::AF_INET, libc::AF_INET6);
        assert_eq!(kind(v4, libc::SOCK_STREAM, 0), Kind::Tcp { v6: false });
        assert_eq!(kind(v6, libc::SOCK_STREAM, 6), Kind::Tcp { v6: true });
        assert_eq!(kind(v6, libc::SOCK_DGRAM, 17), Kind::Udp { v6: true });
        let unix = kind(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0);
        assert_eq!(unix, Kind::Unix(libc::SOCK_SEQPACKET));
        assert_eq!(
            socket(v4, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0),
            Ok(Request::Make {
                kind: Kind::Tcp { v6: false },
                nonblocking: true,
                closes_on_exec: false,
            })
        );
        assert_eq!(socket(libc::AF_NETLINK, 3, 0), Err(Settled::Passes));
    }

    #[test]
    fn others_do_not_exist() {
        let (tcp, udp, raw) = (libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_RAW);
        for (family, kind, protocol) in [
            (libc::AF_INET, tcp, 262), // MPTCP
            (libc::AF_INET, tcp, 132), // SCTP
            (libc::AF_INET, tcp, 256), // SMC
            (libc::AF_INET, udp, 1),   // ping
            (libc::AF_INET, udp, 136), // UDP-Lite
            (libc::AF_INET, raw, 255),
            (libc::AF_INET, 6, 33), // DCCP
            (libc::AF_INET, 10, 3), // SOCK_PACKET
            (libc::AF_INET6, raw, 58),
            (libc::AF_NETLINK, raw, 4),  // SOCK_DIAG
            (libc::AF_NETLINK, raw, 12), // NETFILTER
        ] {
            let answer = socket(family, kind, protocol);
            let refused = Err(Settled::Fails(libc::EPROTONOSUPPORT));
            assert_eq!(answer, refused, "{family} {kind} {protocol}");
        }
        let families = [17, 30, 38, 40, 43, 44, -1, 0x100, i32::MAX];
        for family in families {
            let answer = socket(family, tcp, 0);
            assert_eq!(answer, Err(Settled::Fails(libc::EAFNOSUPPORT)), "{family}");
        }
    }

    #[test]
    fn the_kernel_looks_at_half_a_register() {
        let high = 0xdead_beef_0000_0000_u64;
        let tcp = read(libc::SYS_socket, [high | 2, high | 1, high, 0, 0, 0]);
        assert!(matches!(
            tcp,
            Ok(Request::Make {
                kind: Kind::Tcp { v6: false },
                ..
            })
        ));
        let connect = read(libc::SYS_connect, [high | 3, high | 64, high | 16, 0, 0, 0]);
        let address = Piece {
            at: high | 64,
            length: 16,
        };
        assert_eq!(connect, Ok(Request::Connect { socket: 3, address }));
    }

    #[test]
    fn an_address_has_a_length_that_the_kernel_takes() {
        for length in [129, 0x8000_0000, 0xffff_ffff] {
            let bound = read(libc::SYS_bind, [3, 64, length, 0, 0, 0]);
            assert_eq!(bound, Err(Settled::Fails(libc::EINVAL)));
        }
    }

    #[test]
    fn no_first_bytes_connect() {
        let fast = u64::from(libc::MSG_FASTOPEN.cast_unsigned());
        assert_eq!(
            read(libc::SYS_sendto, [3, 64, 1, fast, 64, 16]),
            Err(Settled::Fails(libc::EOPNOTSUPP))
        );
        assert!(read(libc::SYS_sendmsg, [3, 64, fast, 0, 0, 0]).is_err());
        assert!(read(libc::SYS_sendmmsg, [3, 64, 1, fast, 0, 0]).is_err());
        assert!(read(libc::SYS_sendmmsg, [3, 64, 1, 0, 0, 0]).is_ok());
    }
}
