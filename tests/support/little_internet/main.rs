//! A little internet in one process: name server, web servers and echo services for the hosts of
//! `test_support::hosts`.
//!
//! It runs in a network namespace where every address of the zone is local (`scripts/bed` makes it)
//! and prints one line for each connection, request, datagram and query that reaches it: the
//! outside's word on what got out. It knows nothing of containers or filters. Whatever Host or SNI
//! a client names, the answer tells the address that was really reached, so a filter that is talked
//! into the wrong address is found out.
//!
//! `little-internet DIR` writes its authority's certificate to `DIR/ca.pem` when everything
//! listens.

#![expect(clippy::print_stdout, reason = "its log is its standard output")]

mod echo;
mod names;
mod odd;
mod web;
mod zone;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use test_support::hosts::OLD_RESOLVER;
use tokio::net::TcpListener;

/// Ports on which whatever is sent comes back. 22 greets first, as SSH servers do.
const TCP_ECHO_PORTS: [u16; 3] = [22, 5432, 8080];
/// The same over UDP; 443 stands for QUIC, 123 for NTP.
const UDP_ECHO_PORTS: [u16; 4] = [123, 443, 5353, 9999];
/// Where the web server has manners of its own.
const ODD_PORTS: [u16; 3] = [8087, 8088, 8089];
/// Where TLS is spoken.
const TLS_PORTS: [u16; 2] = [443, 993];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = PathBuf::from(
        std::env::args_os()
            .nth(1)
            .context("usage: little-internet DIR")?,
    );
    let authority = web::Authority::new()?;
    let tls = authority.acceptor()?;
    serve_tcp(80, |stream, end| web::serve(stream, end, "http")).await?;
    for port in TLS_PORTS {
        let tls = tls.clone();
        serve_tcp(port, move |stream, end| {
            web::serve_tls(tls.clone(), stream, end)
        })
        .await?;
    }
    for port in ODD_PORTS {
        serve_tcp(port, odd::serve).await?;
    }
    serve_tcp(53, names::serve_tcp).await?;
    names::serve_udp(SocketAddr::new(IpAddr::V4(OLD_RESOLVER), 53)).await?;
    for port in TCP_ECHO_PORTS {
        serve_tcp(port, echo::serve_tcp).await?;
    }
    for host in zone::HOSTS {
        for address in [IpAddr::V4(host.v4), IpAddr::V6(host.v6)] {
            names::serve_udp(SocketAddr::new(address, 53)).await?;
            for port in UDP_ECHO_PORTS {
                echo::serve_udp(SocketAddr::new(address, port)).await?;
            }
        }
    }
    authority.publish(&directory)?;
    std::future::pending().await
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
struct Ends {
    client: SocketAddr,
    server: SocketAddr,
}

impl Ends {
    /// `tcp CLIENT -> SERVER WHAT`, the form of every line.
    fn log(&self, protocol: &str, what: &str) {
        println!("{protocol} {} -> {} {what}", self.client, self.server);
    }
}

/// Serves every address of the namespace on one port.
async fn serve_tcp<F, T>(port: u16, serve: F) -> anyhow::Result<()>
where
    F: Fn(tokio::net::TcpStream, Ends) -> T + Send + Sync + 'static,
    T: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let any = SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), port);
    let listener = TcpListener::bind(any)
        .await
        .with_context(|| format!("port {port}"))?;
    let serve = Arc::new(serve);
    tokio::spawn(async move {
        while let Ok((stream, client)) = listener.accept().await {
            // As web servers have it.
            let _ = stream.set_nodelay(true);
            let Ok(server) = stream.local_addr() else {
                continue;
            };
            let ends = Ends {
                client: canonical(client),
                server: canonical(server),
            };
            ends.log("tcp", "connected");
            let serve = Arc::clone(&serve);
            // How a visitor behaves is its own affair: an error ends the connection, not the
            // server.
            tokio::spawn(async move { serve(stream, ends).await.ok() });
        }
    });
    Ok(())
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
