//! A program in a container that has connections open while the policy changes, and tells what
//! becomes of each.

use std::time::Duration;

use test_support::bed::{Bed, unique};
use test_support::command::{Answer, comes_about};
use test_support::docker::Container;

use crate::servers::PROGRAMS;

/// What every such program begins with. `tell` is heard by [`Flows::told`], `wait` waits for
/// [`Flows::go_on`].
const PRELUDE: &str = r"
import os, socket, ssl, sys, time
HOST = 'allowed.test'
said = open('/tmp/said', 'a', buffering=1)
def tell(*words): print(*words, file=said)
def wait(word):
    while not os.path.exists('/tmp/go-' + word): time.sleep(0.02)
def dial(port=80, host=HOST):
    return socket.create_connection((host, port), 10)
def secure(port=443, alpn=None):
    context = ssl.create_default_context()
    if alpn: context.set_alpn_protocols([alpn])
    return context.wrap_socket(dial(port), server_hostname=HOST)
def ask(stream, path, more='', host=HOST):
    stream.sendall(f'GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n'.encode())
def exactly(stream, length):
    whole = b''
    while len(whole) < length:
        piece = stream.recv(min(length - len(whole), 65536))
        if not piece: raise ConnectionResetError('it ended')
        whole += piece
    return whole
def head(stream):
    text = b''
    while not text.endswith(b'\r\n\r\n'): text += exactly(stream, 1)
    lines = text.decode().lower().split('\r\n')
    fields = dict(line.split(': ', 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), int(fields.get('content-length', 0))
def answer(stream):
    status, length = head(stream)
    return status, exactly(stream, length)
def is_cut(stream, rest=0):
    'Whether it ends, after so many bytes at most that were on the way.'
    stream.settimeout(10)
    try:
        while piece := stream.recv(65536):
            rest -= len(piece)
            if rest < 0: return False
        return True
    except TimeoutError: return False
    except OSError: return True
";

/// How long it may take from one word to the next.
const PATIENCE: Duration = Duration::from_secs(40);

/// A container that runs one.
pub(crate) struct Flows<'bed> {
    bed: &'bed Bed,
    pub(crate) container: Container<'bed>,
}

impl<'bed> Flows<'bed> {
    /// A container with this machine's Python, under these rules.
    pub(crate) fn under(bed: &'bed Bed, runtime: &str, rules: &[&str]) -> Self {
        let container = bed.start_with(runtime, &PROGRAMS, &["sleep", "600"]);
        let flows = Self { bed, container };
        flows.apply(rules).must_succeed();
        flows
    }

    /// Begins the program; returns when it has told `open`.
    pub(crate) fn begin(&self, program: &str) {
        let script = format!(
            "cat >/tmp/open.py <<'END'\n{PRELUDE}{program}\ntell('over')\nEND\nexec /usr/bin/python3 /tmp/open.py 2>/tmp/error"
        );
        let words = ["exec", "--detach", &self.container.name, "sh", "-c"];
        self.bed
            .docker(&[&words[..], &[&script]].concat())
            .must_succeed();
        self.told("open");
    }

    /// Puts these rules into force.
    pub(crate) fn apply(&self, rules: &[&str]) -> Answer {
        apply(self.bed, rules, &self.container.name)
    }

    /// Has the program go on that waits for this word.
    pub(crate) fn go_on(&self, word: &str) {
        self.container
            .exec(&format!("touch /tmp/go-{word}"))
            .must_succeed();
    }

    /// Waits until it has told this, in a line of its own; gives all that it has told.
    #[track_caller]
    pub(crate) fn told(&self, line: &str) -> String {
        let is_told = comes_about(PATIENCE, || self.has_told(line));
        let told = self.said();
        assert!(is_told, "no {line} in {told}");
        told
    }

    /// Whether it has told this by now, in a line of its own.
    #[track_caller]
    pub(crate) fn has_told(&self, line: &str) -> bool {
        self.said().lines().any(|one| one == line)
    }

    #[track_caller]
    fn said(&self) -> String {
        let said = self.container.exec("cat /tmp/said /tmp/error 2>/dev/null");
        assert!(!said.stdout.contains("Traceback"), "{}", said.stdout);
        said.stdout
    }
}

/// Puts a file of these rules into force.
pub(crate) fn apply(bed: &Bed, rules: &[&str], container: &str) -> Answer {
    let file = file(bed, rules);
    bed.exec(&["boundary-shim", "policy", "apply", &file, container])
}

/// A policy file of these rules.
pub(crate) fn file(bed: &Bed, rules: &[&str]) -> String {
    let path = format!("/etc/boundary/{}.yaml", unique("live"));
    let rules: Vec<_> = rules.iter().map(|rule| format!("  - {rule}\n")).collect();
    let text = format!("allow:\n{}", rules.concat());
    let write = ["bash", "-c", "printf %s \"$1\" > \"$2\"", "bash"];
    bed.exec(&[&write[..], &[&text, &path]].concat())
        .must_succeed();
    path
}
