//! A gateway's control socket, in the words that the gateway understands: whatever is pending there is
//! approved. And somebody on the host who hands such a socket in.

use std::fs::{self, Permissions};
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// As an ID begins in an answer, and how long it is.
const ID: &str = "\"id\":\"";
const ID_LENGTH: usize = 32;

/// Tries each socket, or hands one in.
pub(crate) fn run(what: &str, words: &[&str]) -> io::Result<()> {
    if let ("hand-in", [socket, path]) = (what, words) {
        return hand_in(socket, path);
    }
    for socket in words {
        match everything(socket) {
            Ok(approved) => println!("{socket}: approved {approved}"),
            Err(error) => println!("{socket}: {error}"),
        }
    }
    Ok(())
}

/// Has all approved that is pending; gives how many rules that were.
fn everything(socket: &str) -> io::Result<usize> {
    let pending = ask(socket, "\"pending\"")?;
    let ids = pending.split(ID).skip(1);
    let mut approved = 0;
    for id in ids.filter_map(|rest| rest.get(..ID_LENGTH)) {
        let answer = ask(
            socket,
            &format!("{{\"approve\":{{\"id\":\"{id}\",\"seconds\":null}}}}"),
        )?;
        approved += usize::from(answer.contains("\"approved\""));
    }
    Ok(approved)
}

/// One frame there, and one back.
fn ask(socket: &str, request: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = format!("{{\"v\":1,\"request\":{request}}}");
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::other("hung up on"));
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Passes on whatever anybody says at a new socket, as itself.
fn hand_in(from: &str, to: &str) -> io::Result<()> {
    let listener = UnixListener::bind(to)?;
    fs::set_permissions(to, Permissions::from_mode(0o666))?;
    for caller in listener.incoming() {
        let (mut caller, mut gateway) = (caller?, UnixStream::connect(from)?);
        let (mut asked, mut told) = (caller.try_clone()?, gateway.try_clone()?);
        thread::spawn(move || io::copy(&mut asked, &mut told));
        io::copy(&mut gateway, &mut caller)?;
        // The other thread holds it, too.
        caller.shutdown(Shutdown::Both)?;
    }
    Ok(())
}
