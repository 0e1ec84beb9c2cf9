//! Services that send back what they get, over TCP and UDP: anything that is neither web nor DNS.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::Ends;

pub(crate) async fn serve_tcp(mut stream: TcpStream, ends: Ends) -> anyhow::Result<()> {
    if ends.server.port() == 22 {
        stream.write_all(b"SSH-2.0-little\r\n").await?;
    }
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        stream
            .write_all(buffer.get(..length).unwrap_or_default())
            .await?;
    }
}

pub(crate) async fn serve_udp(address: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(address)
        .await
        .with_context(|| format!("udp {address}"))?;
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            Ends {
                client,
                server: address,
            }
            .log("udp", &format!("{length} bytes"));
            socket
                .send_to(buffer.get(..length).unwrap_or_default(), client)
                .await
                .ok();
        }
    });
    Ok(())
}
