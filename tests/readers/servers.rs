//! The servers: each tells, in an answer's header, how it understood a request.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;
use test_support::command::{run, wait_for};
use test_support::programs::{REPOSITORY, build_go_program};

use crate::hyper_server;
use crate::wire::hex;

/// A server, or a way to run one.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    /// Its port on the loopback.
    pub(crate) port: u16,
    /// What must be installed.
    program: Option<&'static str>,
    /// Its command line: `SERVERS` is where its sources are, `PLACE` a directory of its own.
    command: &'static [&'static str],
}

/// All of them.
pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "hyper",
        port: 8001,
        program: None,
        command: &[],
    },
    Reader {
        name: "python",
        port: 8002,
        program: Some("python3"),
        command: &["python3", "SERVERS/server.py", "8002"],
    },
    Reader {
        name: "node",
        port: 8003,
        program: Some("node"),
        command: &["node", "SERVERS/server.js", "8003"],
    },
    Reader {
        name: "node-lenient",
        port: 8004,
        program: Some("node"),
        command: &["node", "SERVERS/server.js", "8004", "lenient"],
    },
    Reader {
        name: "go",
        port: 8005,
        program: Some("go"),
        command: &["PLACE/go-server", "8005"],
    },
    Reader {
        name: "nginx",
        port: 8006,
        program: Some("nginx"),
        command: &["nginx", "-p", "PLACE", "-c", "nginx.conf"],
    },
    Reader {
        name: "haproxy",
        port: 8007,
        program: Some("haproxy"),
        command: &["haproxy", "-db", "-f", "PLACE/haproxy.cfg"],
    },
];

/// Where [`answer_for_nginx`] listens.
const BACK_END: u16 = 8010;

impl Reader {
    pub(crate) fn is_there(&self) -> bool {
        self.program.is_none_or(|program| {
            std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|directory| directory.join(program).exists())
            })
        })
    }
}

/// Gives this process a network of its own, with a loopback.
pub(crate) fn make_private() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    run(10, &["ip", "link", "set", "lo", "up"]).must_succeed();
    Ok(())
}

/// Those that were started.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    children: Mutex<Vec<Child>>,
    /// Where their configuration is, once they have started.
    place: OnceLock<TempDir>,
}

impl Servers {
    /// Starts those that are there, once.
    pub(crate) fn start(&self) {
        self.place.get_or_init(|| {
            let place = TempDir::new().unwrap();
            configure(place.path());
            let listener = TcpListener::bind(("127.0.0.1", BACK_END)).unwrap();
            std::thread::spawn(move || {
                for connection in listener.incoming() {
                    std::thread::spawn(move || answer_for_nginx(connection?));
                }
            });
            for reader in READERS.iter().filter(|reader| reader.is_there()) {
                match reader.command {
                    [] => hyper_server::start(reader.port),
                    command => self
                        .children
                        .lock()
                        .unwrap()
                        .push(begin(command, place.path())),
                }
            }
            for reader in READERS.iter().filter(|reader| reader.is_there()) {
                wait_for(reader.name, || {
                    TcpStream::connect(("127.0.0.1", reader.port)).is_ok()
                });
            }
            place
        });
    }

    /// Ends them.
    pub(crate) fn stop(&self) {
        for mut child in self.children.lock().unwrap().drain(..) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

fn sources() -> String {
    format!("{REPOSITORY}/tests/readers/servers")
}

fn configure(place: &Path) {
    for (file, port) in [("nginx.conf", "8006"), ("haproxy.cfg", "8007")] {
        let text = fs::read_to_string(format!("{}/{file}", sources())).unwrap();
        let text = text
            .replace("PORT", port)
            .replace("BACKEND", &BACK_END.to_string());
        fs::write(place.join(file), text).unwrap();
    }
    if READERS.iter().any(|one| one.name == "go" && one.is_there()) {
        build_go_program("tests/readers/servers/server.go", &place.join("go-server"));
    }
}

fn begin(command: &[&str], place: &Path) -> Child {
    let place = place.to_str().unwrap();
    let words: Vec<_> = command
        .iter()
        .map(|word| word.replace("SERVERS", &sources()).replace("PLACE", place))
        .collect();
    let (program, arguments) = words.split_first().unwrap();
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// nginx can't write a body's bytes anywhere: who gets them from it tells them, with what nginx says
/// of the rest. What it sends has a plain length.
fn answer_for_nginx(connection: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let (mut told, mut length) = ([const { Vec::new() }; 3], 0);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 2 {
        let text = line.trim_ascii_end();
        let name = text.split(|byte| *byte == b':').next().unwrap();
        let value = text.get(name.len() + 2..).unwrap_or_default();
        match name {
            b"X-Read-Method" => told[0] = value.to_owned(),
            b"X-Read-Target" => told[1] = value.to_owned(),
            b"X-Read-Host" => told[2] = value.to_owned(),
            b"Content-Length" => length = str::from_utf8(value).unwrap().parse().unwrap(),
            _ => {}
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let saw = format!("{},{}", told.map(hex).join(","), hex(&body));
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Saw: {saw}\r\n\r\n");
    (&connection).write_all(answer.as_bytes())
}
