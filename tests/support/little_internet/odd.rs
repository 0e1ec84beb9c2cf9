//! A web server with manners of its own, as old and unusual ones have them. What it answers goes by
//! the path, byte for byte; it tells what it was asked, byte for byte, too.

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::Ends;

/// - `/headers/N`: that many headers more than usual
/// - `/folded`, `/spaced`, `/bracketed`: a folded header, a blank before the colon, brackets in a
///   header's name
/// - any path with an `Upgrade`: it is agreed to, and from then on everything comes back
/// - `/head`: the whole head of the request; everything else: its first line
pub(crate) async fn serve(stream: TcpStream, ends: Ends) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(head) = read_head(&mut stream).await? {
        let line = head.lines().next().unwrap_or_default();
        ends.log("odd", line);
        if let Some(protocol) = value(&head, "upgrade") {
            let answer = format!(
                "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await?;
            return crate::echo::serve_tcp(stream.into_inner(), ends).await;
        }
        let path = line.split(' ').nth(1).context("no path")?;
        let extra = match path {
            "/folded" => "X-Long: a\r\n  b\r\n".to_owned(),
            "/spaced" => "X-Odd : v\r\n".to_owned(),
            "/bracketed" => "X[odd]: v\r\n".to_owned(),
            _ => match path.strip_prefix("/headers/").map(str::parse::<usize>) {
                Some(Ok(count)) => (0..count).map(|n| format!("X-H{n}: v\r\n")).collect(),
                _ => String::new(),
            },
        };
        let body = match path {
            "/head" => head.clone(),
            _ => format!("asked: {line}\n"),
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{extra}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        let asked_to_close = value(&head, "connection").is_some_and(|value| value == "close");
        if asked_to_close || line.ends_with("HTTP/1.0") {
            break;
        }
    }
    stream.shutdown().await?;
    Ok(())
}

/// With the empty line that ends it; none where the client has closed.
async fn read_head(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

fn value<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim_end().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}
