//! A gate for tests: a policy of the given rules, a journal in a directory of its own, sockets on
//! loopback.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use super::budget::{Budget, FIXED};
use super::stream::Streams;
use super::{Gate, dial, dns};
use crate::audit::Journal;
use crate::audit::line::About;
use crate::audit::test_attempts::{AttemptSummary, attempts};
use crate::policy::{Policy, PolicySource};

#[derive(Debug)]
pub(super) struct TestGate {
    pub(super) gate: Arc<Gate>,
    directory: tempfile::TempDir,
}

impl TestGate {
    pub(super) fn new(allow: &[&str], resolvers: Vec<SocketAddr>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let allow = allow.iter().map(ToString::to_string).collect();
        let source = PolicySource {
            name: "test".to_owned(),
            allow,
            ..PolicySource::default()
        };
        let gate = Arc::new(Gate {
            streams: Streams::new(Budget::new((64 << 20) - FIXED)),
            policy: Policy::compile(&source).unwrap(),
            journal: Journal::open(&directory.path().join("c.jsonl"), "c", About::default())
                .unwrap(),
            resolver: dns::Resolver::new(resolvers),
            exit: dial::Exit::AsHost,
            inside: None,
            interfaces: RwLock::default(),
        });
        Self { gate, directory }
    }

    /// What was recorded so far.
    pub(super) fn records(&self) -> Vec<AttemptSummary> {
        attempts(&self.directory.path().join("c.jsonl"))
    }
}
