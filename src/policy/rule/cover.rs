//! Whether one rule leaves anything to another: what a rule allows or denies that another does already
//! is decided by neither's absence.
//!
//! Invariant: true only where it is so for every attempt (property tests check this). Where that
//! can't be told from the words, the answer is no.

use ipnet::IpNet;

use super::Rule;
use crate::policy::attempt::Protocol;
use crate::policy::net;

const ALL: [Protocol; 4] = [
    Protocol::Http,
    Protocol::Https,
    Protocol::Tcp,
    Protocol::Udp,
];

impl Rule {
    /// Whether everything that `other` allows, this allows, too. Both stand in a list of rules that
    /// allow.
    pub(in crate::policy) fn allows_all_of(&self, other: &Self) -> bool {
        let names = match (&self.domains, &other.domains) {
            (None, None) => self.is_for_addresses() == other.is_for_addresses(),
            (None, Some(_)) => !self.is_for_addresses(),
            (Some(_), None) => false,
            (Some(_), Some(_)) => self.has_all_names_of(other),
        };
        // Where ranges are named, private ones among them are open that else aren't.
        let opens = |range: &IpNet| {
            let mut ranges = self.networks.iter();
            ranges.any(|own| {
                own.contains(range) && (net::names_private(own) || !net::names_private(range))
            })
        };
        names
            && self.networks.is_empty() == other.networks.is_empty()
            && other.networks.iter().all(opens)
            && self.asks_no_more_than(other)
            && other.usual_protocols().iter().all(|&protocol| {
                let mut ranges = other.usual_ports(protocol).iter();
                ranges.all(|range| self.allows_ports(protocol, *range))
            })
    }

    /// Whether everything that `other` denies, this denies, too. Both stand in a list of denials.
    pub(in crate::policy) fn denies_all_of(&self, other: &Self) -> bool {
        let ports = match (&self.ports, &other.ports) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.ranges().iter().all(|range| own.has_all(*range)),
        };
        let denied = other.denied_protocols();
        ports && self.denies_protocols(denied) && self.denies_words_of(other)
    }

    /// Whether this, in a list of denials, denies everything that `other` allows.
    pub(in crate::policy) fn denies_all_allowed_by(&self, other: &Self) -> bool {
        let ports = |protocol: &Protocol| {
            let mut ranges = other.usual_ports(*protocol).iter();
            ranges.all(|range| self.ports.as_ref().is_none_or(|own| own.has_all(*range)))
        };
        let allowed = other.usual_protocols();
        allowed.iter().all(ports) && self.denies_protocols(allowed) && self.denies_words_of(other)
    }

    /// The same for names, addresses and requests.
    fn denies_words_of(&self, other: &Self) -> bool {
        let names = self.domains.is_none() || self.has_all_names_of(other);
        let within = |range: &IpNet| self.networks.iter().any(|own| own.contains(range));
        let addresses = self.networks.is_empty()
            || !other.networks.is_empty() && other.networks.iter().all(within);
        names && addresses && self.asks_no_more_than(other)
    }

    /// Whether its names, less its exceptions, are at least those of `other`, less those.
    fn has_all_names_of(&self, other: &Self) -> bool {
        let own = self.domains.iter().flatten().collect::<Vec<_>>();
        let others = other.domains.iter().flatten();
        let excepted = |name| other.exceptions.iter().any(|one| one.has_all_of(name));
        other.domains.is_some()
            && others
                .into_iter()
                .all(|name| own.iter().any(|one| one.has_all_of(name)))
            && self.exceptions.iter().all(excepted)
    }

    /// Whether each request that `other` fits, this does, too, as far as method and path go.
    fn asks_no_more_than(&self, other: &Self) -> bool {
        let methods = self.methods.as_ref().is_none_or(|own| {
            let others = other.methods.as_ref();
            others.is_some_and(|others| others.iter().all(|method| own.contains(method)))
        });
        let paths = self.paths.as_ref().is_none_or(|own| {
            let fits = |path| own.iter().any(|one| one.has_all_of(path));
            other
                .paths
                .as_ref()
                .is_some_and(|others| others.iter().all(fits))
        });
        methods && paths
    }

    fn allows_ports(&self, protocol: Protocol, (first, last): (u16, u16)) -> bool {
        let own = self
            .usual_protocols()
            .iter()
            .filter(|&&own| carries(own, protocol));
        own.flat_map(|&own| self.usual_ports(own))
            .any(|&(from, to)| from <= first && last <= to)
    }

    fn denied_protocols(&self) -> &[Protocol] {
        match &self.protocols {
            Some(written) => written,
            None if self.reads_request() => &ALL[..2],
            None => &ALL,
        }
    }

    fn denies_protocols(&self, protocols: &[Protocol]) -> bool {
        let denied = self.denied_protocols();
        protocols
            .iter()
            .all(|&one| denied.iter().any(|&own| carries(own, one)))
    }
}

/// Whether what is said of one protocol holds for the other: HTTP and TLS run over TCP.
fn carries(own: Protocol, other: Protocol) -> bool {
    own == other || own == Protocol::Tcp && other != Protocol::Udp
}
