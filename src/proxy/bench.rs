//! For tests: a judge with the given rules and a record in a directory of its own, a budget, and
//! resolvers on loopback.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::budget::{Budget, FIXED};
use super::dial::Dialler;
use super::dns::{DeniedAnswers, DnsServer, Learned, Resolver};
use super::egress::Egress;
use super::in_force::InForce;
use super::inside::Inside;
use super::judge::Judge;
use super::stream::Streams;
use super::udp;
use crate::audit::Journal;
use crate::audit::line::About;
use crate::audit::test_attempts::{AttemptSummary, attempts};
use crate::policy::{DeniedNames, Exit, Policy, PolicySource};

/// Queries a second.
pub(super) const DNS_RATE_LIMIT: NonZeroU32 = NonZeroU32::new(400).expect("not zero");

#[derive(Debug)]
pub(super) struct Bench {
    pub(super) judge: Judge,
    pub(super) streams: Streams,
    pub(super) egress: Arc<Egress>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) dns: Arc<DnsServer>,
    directory: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new(allow: &[&str], resolvers: Vec<SocketAddr>) -> Self {
        Self::within((64 << 20) - FIXED, allow, &[], resolvers)
    }

    pub(super) fn within(
        bytes: usize,
        allow: &[&str],
        deny: &[&str],
        resolvers: Vec<SocketAddr>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let owned = |rules: &[&str]| rules.iter().map(ToString::to_string).collect();
        let source = PolicySource {
            name: "test".to_owned(),
            allow: owned(allow),
            deny: owned(deny),
            ..PolicySource::default()
        };
        let budget = Budget::new(bytes);
        let egress = Arc::new(Egress::by(Exit::Host));
        let judge = Judge {
            in_force: InForce::new(Policy::compile(&source).unwrap()),
            learned: Arc::new(Learned::within(budget.clone())),
            given: Arc::default(),
            egress: Arc::clone(&egress),
            journal: Journal::open(&directory.path().join("c.jsonl"), "c", About::default())
                .unwrap(),
        };
        let streams = Streams::new(budget.clone());
        let resolver = Arc::new(Resolver::new(
            resolvers,
            Arc::clone(&egress),
            budget.clone(),
        ));
        let dns = DnsServer::new(
            judge.clone(),
            Arc::clone(&resolver),
            Arc::new(Inside::Here),
            budget,
            DNS_RATE_LIMIT,
            DeniedAnswers {
                setting: DeniedNames::Nxdomain,
                given: Arc::clone(&judge.given),
                egress: Arc::clone(&egress),
            },
        );
        Self {
            judge,
            streams,
            egress,
            resolver,
            dns: Arc::new(dns),
            directory,
        }
    }

    pub(super) fn dialler(&self) -> Dialler {
        Dialler {
            streams: self.streams.clone(),
            resolver: Arc::clone(&self.resolver),
            egress: Arc::clone(&self.egress),
            given: Arc::clone(&self.judge.given),
        }
    }

    pub(super) fn relay(&self) -> udp::Relay {
        udp::Relay::new(udp::RelayServices {
            judge: self.judge.clone(),
            dialler: Arc::new(self.dialler()),
            inside: Arc::new(Inside::Here),
            budget: self.streams.budget.clone(),
        })
    }

    /// What was recorded so far.
    pub(super) fn records(&self) -> Vec<AttemptSummary> {
        attempts(&self.directory.path().join("c.jsonl"))
    }
}
