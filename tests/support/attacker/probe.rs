//! Polite attempts, each with an outcome in one word and a deadline.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use socket2::{Domain, Protocol, Socket, Type};

/// Longer than any refusal may take.
const DEADLINE: Duration = Duration::from_secs(3);

pub(crate) fn tcp(target: SocketAddr) -> anyhow::Result<String> {
    Ok(word(
        TcpStream::connect_timeout(&target, DEADLINE),
        "connected",
    ))
}

/// One line for each target, in their order: the target, what connect(2) gave, and after how many
/// milliseconds. Who connected says nothing, and closes when all have their answer.
pub(crate) fn knock(deadline: Duration, targets: &[SocketAddr]) {
    let knocked = std::thread::scope(|scope| {
        let knocking: Vec<_> = targets
            .iter()
            .map(|target| {
                scope.spawn(move || {
                    let start = Instant::now();
                    let outcome = connect(*target, deadline);
                    (outcome, start.elapsed())
                })
            })
            .collect();
        knocking
            .into_iter()
            .map(|thread| thread.join().expect("it doesn't panic"))
            .collect::<Vec<_>>()
    });
    for (target, (outcome, took)) in targets.iter().zip(&knocked) {
        let word = match outcome {
            Ok(_) => "connected".to_owned(),
            Err(error) => match error.raw_os_error() {
                // connect(2), of one that waits no longer (SO_SNDTIMEO in socket(7)).
                Some(libc::EINPROGRESS) => "timeout".to_owned(),
                Some(number) => format!("{:?}", nix::errno::Errno::from_raw(number)),
                None => error.to_string().replace(' ', "-"),
            },
        };
        println!("{target} {word} {}", took.as_millis());
    }
}

/// It waits in connect(2): poll(2) tells of an ICMP error a moment before the kernel (6.18) says
/// which it is.
fn connect(target: SocketAddr, deadline: Duration) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_write_timeout(Some(deadline))?;
    socket.connect(&target.into())?;
    Ok(socket)
}

pub(crate) fn udp(target: SocketAddr) -> anyhow::Result<String> {
    let socket = udp_socket(target)?;
    let answer = socket
        .send(b"anyone there?")
        .and_then(|_| uninterrupted(|| socket.recv(&mut [0; 64])));
    Ok(word(answer, "answered"))
}

/// Says nothing, and waits for the server's first words.
pub(crate) fn greeting(target: SocketAddr) -> anyhow::Result<String> {
    let heard = TcpStream::connect_timeout(&target, DEADLINE).and_then(|mut stream| {
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.read_exact(&mut [0; 1])
    });
    Ok(word(heard, "heard"))
}

/// One line over a connection.
pub(crate) fn send_tcp(target: SocketAddr, secret: &str) -> anyhow::Result<String> {
    let connection = TcpStream::connect_timeout(&target, DEADLINE);
    Ok(word(
        connection.and_then(|mut stream| stream.write_all(format!("{secret}\r\n").as_bytes())),
        "sent",
    ))
}

/// One datagram, to everybody, too, from an address of the caller's choice.
pub(crate) fn send_udp(
    source: Option<IpAddr>,
    target: SocketAddr,
    secret: &str,
) -> anyhow::Result<String> {
    let any = if target.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    let socket = UdpSocket::bind((source.unwrap_or(any), 0))?;
    socket.set_broadcast(true)?;
    Ok(word(socket.send_to(secret.as_bytes(), target), "sent"))
}

/// An echo request through a ping socket: no capability needed.
pub(crate) fn icmp(target: IpAddr) -> anyhow::Result<String> {
    let (domain, protocol, kind) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.connect(&SocketAddr::new(target, 0).into())?;
    // Type, code, checksum (the kernel's), identifier (the kernel's), sequence number.
    let answer = socket
        .send(&[kind, 0, 0, 0, 0, 0, 0, 1])
        .and_then(|_| uninterrupted(|| (&socket).read(&mut [0; 64])));
    Ok(word(answer, "answered"))
}

pub(crate) fn dns_udp(server: SocketAddr, name: &str) -> anyhow::Result<String> {
    let socket = udp_socket(server)?;
    let mut buffer = [0; 4096];
    let length = match socket
        .send(&question(name)?)
        .and_then(|_| uninterrupted(|| socket.recv(&mut buffer)))
    {
        Ok(length) => length,
        Err(error) => return Ok(failure(&error)),
    };
    response_code(buffer.get(..length).unwrap_or_default())
}

pub(crate) fn dns_tcp(server: SocketAddr, name: &str) -> anyhow::Result<String> {
    let mut stream = match TcpStream::connect_timeout(&server, DEADLINE) {
        Ok(stream) => stream,
        Err(error) => return Ok(failure(&error)),
    };
    stream.set_read_timeout(Some(DEADLINE))?;
    let question = question(name)?;
    stream.write_all(&u16::try_from(question.len())?.to_be_bytes())?;
    stream.write_all(&question)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    response_code(&answer)
}

/// How many connections came about.
pub(crate) fn storm(target: SocketAddr, length: Duration) -> u64 {
    let end = Instant::now() + length;
    let mut made = 0;
    while Instant::now() < end {
        made += u64::from(TcpStream::connect_timeout(&target, DEADLINE).is_ok());
    }
    made
}

/// One datagram each from so many ports of ours.
pub(crate) fn scatter(target: SocketAddr, count: u16) -> anyhow::Result<()> {
    const FIRST_PORT: u16 = 10_000;
    for port in FIRST_PORT..FIRST_PORT + count {
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?.send_to(b"x", target)?;
    }
    Ok(())
}

fn udp_socket(target: SocketAddr) -> std::io::Result<UdpSocket> {
    let any = if target.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(DEADLINE))?;
    // Connected, so that ICMP errors are told to us.
    socket.connect(target)?;
    Ok(socket)
}

pub(crate) fn question(name: &str) -> anyhow::Result<Vec<u8>> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name)?, RecordType::A));
    Ok(message.to_vec()?)
}

fn response_code(answer: &[u8]) -> anyhow::Result<String> {
    let message = Message::from_vec(answer)?;
    Ok(format!("{:?}", message.metadata.response_code).to_lowercase())
}

/// What `read` gives, once it isn't broken off: one with a time limit ends, too, when its process was
/// stopped and goes on (signal(7)).
fn uninterrupted<T>(mut read: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn word<T>(result: std::io::Result<T>, success: &str) -> String {
    result.map_or_else(|error| failure(&error), |_| success.to_owned())
}

/// One word for what the kernel said.
pub(crate) fn failure(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "timeout".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "unreachable".to_owned(),
        ErrorKind::PermissionDenied => "prohibited".to_owned(),
        kind => format!("{kind:?}").to_lowercase(),
    }
}
