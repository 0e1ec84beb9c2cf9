//! Very many requests, each for a name that nobody has asked for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, bail};

/// So many, on as few connections as the other side lets stand. Gives how many were answered with a
/// denial.
pub(crate) fn run(target: SocketAddr, count: usize) -> anyhow::Result<usize> {
    let mut connection = None;
    let mut denied = 0;
    for number in 0..count {
        let mut open = match connection.take() {
            Some(open) => open,
            None => BufReader::new(TcpStream::connect(target)?),
        };
        let request = format!("GET / HTTP/1.1\r\nHost: n{number}.flood.test\r\n\r\n");
        open.get_mut().write_all(request.as_bytes())?;
        let (status, goes_on) = answer(&mut open)?;
        denied += usize::from(status == 403);
        connection = goes_on.then_some(open);
    }
    Ok(denied)
}

/// The status of one answer, and whether the connection stays.
fn answer(server: &mut BufReader<TcpStream>) -> anyhow::Result<(u16, bool)> {
    let mut line = String::new();
    server.read_line(&mut line)?;
    let status = line.split(' ').nth(1).context("no answer")?.parse()?;
    let (mut length, mut goes_on) = (None, true);
    loop {
        line.clear();
        if server.read_line(&mut line)? == 0 {
            bail!("half an answer");
        }
        let field = line.trim_end().to_ascii_lowercase();
        match field.split_once(": ") {
            Some(("content-length", value)) => length = Some(value.parse()?),
            Some(("connection", "close")) => goes_on = false,
            _ if field.is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length.context("an answer without a length")?];
    server.read_exact(&mut body)?;
    Ok((status, goes_on))
}
