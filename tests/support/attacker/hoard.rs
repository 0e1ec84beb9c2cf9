//! Making the proxy keep things: connections that stop half-way, and datagrams that nobody can be
//! given yet.
//!
//! Every attempt is made once and then held until the time is up. What the attacker itself keeps is
//! bounded.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::probe;

/// How much one connection says at most: far more than anybody would keep for it.
const MOST: usize = 16 * 1024 * 1024;
/// What is written at once.
const PIECE: usize = 16 * 1024;
/// What a connection's own send buffer holds.
const OWN_BUFFER: usize = 32 * 1024;
/// For how many names is asked.
const NAMES: usize = 16;
/// The largest datagram, nearly.
const DATAGRAM: usize = 60_000;
/// A question that comes in one piece: fragments take so long that no other limit is met.
const QUESTION: usize = 1400;

/// One connection that says as much as it can.
struct Talker {
    stream: TcpStream,
    said: usize,
}

/// What connections begin with, by the name of the hoard; whether they go on after it, and up to
/// how many bytes in all.
fn opening(what: &str) -> anyhow::Result<(Vec<u8>, usize)> {
    let request = |line: &str, rest: &str| {
        format!("{line} HTTP/1.1\r\nHost: allowed.test\r\n{rest}").into_bytes()
    };
    Ok(match what {
        "heads" => (request("GET /", "x: "), 60 * 1024),
        "bodies" => (
            request("POST /unread", "Content-Length: 1000000000\r\n\r\n"),
            MOST,
        ),
        // Asked for, and not read.
        "answers" => (request("GET /bytes/16000000", "\r\n"), 0),
        // A record that says it is long, of a ClientHello that says it is longer.
        "hellos" => (
            b"\x16\x03\x01\x40\x00\x01\x00\x7f\x00\x03\x03".to_vec(),
            16_000,
        ),
        "streams" => (b"SSH-2.0-hoard\r\n".to_vec(), MOST),
        "quiet" => (b"SSH-2.0-hoard\r\n".to_vec(), 0),
        _ => bail!("nothing of that name is hoarded"),
    })
}

/// Opens `count` connections that say what they can and read nothing; gives how many came about.
pub(crate) fn streams(
    what: &str,
    target: SocketAddr,
    count: usize,
    length: Duration,
) -> anyhow::Result<usize> {
    let (opening, most) = opening(what)?;
    let end = Instant::now() + length;
    let mut talkers = Vec::new();
    while talkers.len() < count && Instant::now() < end {
        let Ok(stream) = TcpStream::connect_timeout(&target, Duration::from_secs(2)) else {
            continue;
        };
        let socket = socket2::SockRef::from(&stream);
        socket.set_send_buffer_size(OWN_BUFFER)?;
        socket.set_recv_buffer_size(OWN_BUFFER)?;
        // Ends with a reset: else the container's kernel would go on with what was said, for
        // minutes.
        socket.set_linger(Some(Duration::ZERO))?;
        stream.set_nonblocking(true)?;
        talkers.push(Talker { stream, said: 0 });
        if let Some(talker) = talkers.last_mut() {
            talker.say(&opening);
            talker.said = 0;
        }
    }
    let made = talkers.len();
    while Instant::now() < end {
        talkers.iter_mut().for_each(|talker| talker.go_on(most));
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(made)
}

impl Talker {
    fn say(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write(bytes) {
            Ok(written) => self.said += written,
            Err(_) => return false,
        }
        true
    }

    /// Until nobody takes more.
    fn go_on(&mut self, most: usize) {
        let filler = [b'a'; PIECE];
        while self.said < most && self.say(&filler[..PIECE.min(most - self.said)]) {}
    }
}

/// Sends large datagrams from `count` sockets in turn; `questions`, which are smaller, are for
/// names that are answered too late.
pub(crate) fn datagrams(
    what: &str,
    target: SocketAddr,
    count: usize,
    length: Duration,
) -> anyhow::Result<()> {
    let any = if target.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let sockets = (0..count)
        .map(|_| UdpSocket::bind(any))
        .collect::<Result<Vec<_>, _>>()?;
    let size = if what == "questions" {
        QUESTION
    } else {
        DATAGRAM
    };
    let (mut payload, end) = (vec![0; size], Instant::now() + length);
    let mut number = 0;
    while Instant::now() < end {
        for socket in &sockets {
            if what == "questions" {
                // Few names: more than so many lookups at once aren't begun, but any number may
                // wait for one.
                number = (number + 1) % NAMES;
                let question = probe::question(&format!("n{number:02}.late.test"))?;
                payload[..question.len()].copy_from_slice(&question);
            }
            // Refused, or no room: the next one may get through.
            let _ = socket.send_to(&payload, target);
        }
    }
    Ok(())
}
