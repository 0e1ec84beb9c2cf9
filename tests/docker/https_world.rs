//! Servers in TLS that are real programs: in the little internet, at the allowed host's address, with
//! certificates of its authority.

use std::path::Path;

use test_support::bed::Bed;
use test_support::docker::Container;
use test_support::hosts::ALLOWED;
use test_support::programs::REPOSITORY;

use crate::servers::serve;

/// A key and a certificate for the allowed host's name and the wildcard's, in `/tmp`.
const CERTIFICATE: &str = "printf '[req]\ndistinguished_name = name\n[name]\n' >/tmp/openssl.cnf
    openssl req -config /tmp/openssl.cnf -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=allowed.test \
        -keyout /tmp/key.pem -out /tmp/request.pem 2>/dev/null
    echo subjectAltName=DNS:allowed.test,DNS:*.wild.test >/tmp/names
    openssl x509 -req -in /tmp/request.pem -CA /ca/ca.pem -CAkey /ca/key.pem -set_serial 7 -days 2 -extfile /tmp/names \
        -out /tmp/certificate.pem 2>/dev/null\n";

/// Starts a server with a certificate; returns when it listens on the port. `flags` are its
/// container's.
pub(crate) fn serve_tls<'bed>(
    bed: &'bed Bed,
    flags: &[&str],
    port: u16,
    script: &str,
) -> Container<'bed> {
    let authority = format!("{}:/ca:ro", bed.path("ca").display());
    let flags = [&["-v", &authority], flags].concat();
    serve(bed, &flags, port, &format!("{CERTIFICATE}{script}"))
}

/// The server of `tests/support/https`, after a script that makes what it serves.
pub(crate) fn python<'bed>(bed: &'bed Bed, port: u16, script: &str) -> Container<'bed> {
    let start = format!(
        "{script}\n{} {port} /tmp/certificate.pem /tmp/key.pem",
        start()
    );
    serve_tls(bed, &["-v", &program(bed)], port, &start)
}

/// The same server without TLS.
pub(crate) fn python_in_clear(bed: &Bed, port: u16) -> Container<'_> {
    let start = format!("{} {port}", start());
    serve(bed, &["-v", &program(bed)], port, &start)
}

/// A volume with its program.
fn program(bed: &Bed) -> String {
    let program = bed.path("https-server.py");
    let source = Path::new(REPOSITORY).join("tests/support/https/server.py");
    std::fs::copy(source, &program).expect("a copy");
    format!("{}:/server.py:ro", program.display())
}

fn start() -> String {
    format!("exec /usr/bin/python3 /server.py {}", ALLOWED.v4)
}
