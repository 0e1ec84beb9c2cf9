//! A client with a C library of its own, whose resolver is another than glibc's: `musl HOST:PORT`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

fn main() -> std::io::Result<()> {
    let target = std::env::args().nth(1).expect("HOST:PORT");
    let mut server = TcpStream::connect(&target)?;
    write!(server, "GET / HTTP/1.0\r\nHost: {target}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    println!("{}", answer.lines().last().unwrap_or_default());
    std::process::exit(i32::from(!answer.starts_with("HTTP/1.1 200")));
}
