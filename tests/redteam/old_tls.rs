//! The server that speaks old versions of TLS alone: this machine's Python, in the little internet.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use test_support::bed::Bed;
use test_support::command::wait_for;
use test_support::hosts::WILD;
use test_support::programs::REPOSITORY;

/// Where it listens, at every address.
pub(crate) const PORT: u16 = 8463;

/// While it runs; it ends with its standard input.
pub(crate) struct OldTls(Child);

impl OldTls {
    /// Returns when it listens.
    pub(crate) fn start(bed: &Bed) -> Self {
        let namespace = bed.inside("/run/netns/internet");
        let namespace = format!("--net={}", namespace.display());
        let mut server = Command::new("nsenter");
        server
            // It complains of what it is told to speak.
            .args([&namespace, "/usr/bin/python3", "-W", "ignore"])
            .arg(Path::new(REPOSITORY).join("tests/redteam/old_tls.py"))
            .arg(PORT.to_string())
            .args([bed.path("ca"), bed.path("internet.log")])
            .stdin(Stdio::piped());
        let server = Self(server.spawn().expect("it starts"));
        let knock = format!("exec 3<>/dev/tcp/{}/{PORT}", WILD.v4);
        wait_for("the server of old versions of TLS", || {
            let mut knock_there = Command::new("nsenter");
            knock_there.args([&namespace, "bash", "-c", &knock]);
            knock_there
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        });
        server
    }
}

impl Drop for OldTls {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}
