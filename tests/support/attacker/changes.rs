//! While the host changes what is allowed: flows that were open before, and new ones all the time. The
//! script and the host tell each other by two files.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// Made when the host may begin, and when it is done.
const READY: &str = "/tmp/ready";
const DONE: &str = "/tmp/done";

const PATIENCE: Duration = Duration::from_secs(10);
/// Of connections that race, at a time.
const RACERS: usize = 4;

/// Opens what is open to `server`, has each answered, and says `secret` on all of them once the host is
/// done. What is cut by then is no failure.
pub(crate) fn hold(server: IpAddr, secret: &str) -> anyhow::Result<()> {
    let connect = |port: u16| -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&(server, port).into(), PATIENCE);
        let stream = stream.with_context(|| format!("port {port}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let head = |line: &str| format!("{line} HTTP/1.1\r\nHost: a.wild.test\r\n");
    let raw = (String::from("hello"), secret.to_owned());
    let asked = (
        head("GET /") + "\r\n",
        head(&format!("GET /{secret}")) + "\r\n",
    );
    let told = (
        head("POST /") + "Content-Length: 4000\r\n\r\n",
        secret.to_owned(),
    );
    let mut open = Vec::new();
    for (port, (before, after), is_answered) in [
        (8080, raw.clone(), true),
        (5432, raw, true),
        (80, asked, true),
        (80, told, false),
    ] {
        let mut stream = connect(port)?;
        stream.write_all(before.as_bytes())?;
        if is_answered {
            let length = stream.read(&mut [0; 4096])?;
            anyhow::ensure!(length > 0, "port {port} ends");
        }
        open.push((stream, after));
    }
    let any = match server {
        IpAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let datagrams = UdpSocket::bind(any)?;
    datagrams.connect((server, 9999))?;
    datagrams.set_read_timeout(Some(PATIENCE))?;
    datagrams.send(b"hello")?;
    datagrams.recv(&mut [0; 64]).context("datagrams")?;
    std::fs::File::create(READY)?;
    while !is_done() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let streams = open.iter_mut();
    let cut = streams.filter_map(|(stream, after)| stream.write_all(after.as_bytes()).err());
    println!("cut: {}", cut.count());
    // Whatever came of it: the judge looks at the wire.
    datagrams.send(secret.as_bytes()).ok();
    Ok(())
}

/// Connects to `target` as fast as it goes, and says `words` each time, until the host is done.
pub(crate) fn race(target: SocketAddr, words: &str) {
    let run = || {
        let mut connected = 0;
        while !is_done() {
            let Ok(mut stream) = TcpStream::connect_timeout(&target, PATIENCE) else {
                continue;
            };
            connected += 1;
            stream.write_all(words.as_bytes()).ok();
            stream
                .set_read_timeout(Some(Duration::from_millis(20)))
                .ok();
            stream.read_exact(&mut [0]).ok();
        }
        connected
    };
    let connected: u64 = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..RACERS).map(|_| scope.spawn(run)).collect();
        racers
            .into_iter()
            .filter_map(|racer| racer.join().ok())
            .sum()
    });
    println!("connected: {connected}");
}

fn is_done() -> bool {
    Path::new(DONE).exists()
}
