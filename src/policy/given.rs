//! What an engine told a container about names besides DNS: which domains complete a short name
//! (resolv.conf's `search`), and which names have an address of their own (`docker run --add-host`,
//! which is a line of `/etc/hosts`).
//!
//! Invariant: it comes from the host's side of an engine, never from a file that a container could
//! have written; whoever reads it (`prepare::names`) answers for that. It is bounded there, too.
//! Even so it permits nothing: what a short name stands for is judged by its full name, and an
//! address counts only where a rule names it ([`super::Permit::names`]).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::host::Hostname;

/// The zone of a Kubernetes cluster, unless its administrator chose another.
const CLUSTER: &str = "cluster.local";

/// What one container was told about names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenNames {
    /// Domains that complete a short name, in order.
    pub search: Vec<Hostname>,
    /// Names that have this address, whatever DNS says. A name may have several.
    pub hosts: Vec<(Hostname, IpAddr)>,
}

impl GivenNames {
    /// Whether `short` stands for `full`: whether one of the search domains completes it to that.
    ///
    /// A name of several labels may be somebody else's full name. With the search domain
    /// `cdn.example`, below which DNS knows every name, `evil.test.cdn.example` leads to servers
    /// that everybody shares, and a request there for `evil.test` asks them for another of their
    /// customers. So such a name is completed only by a Kubernetes cluster's zone (`web.shop`,
    /// `kubernetes.default.svc`): there a name exists only where a service of the cluster bears
    /// it. A single label is nobody's name on the internet.
    #[must_use]
    pub fn completes(&self, short: &Hostname, full: &Hostname) -> bool {
        let rest = full.as_str().strip_prefix(short.as_str());
        let Some(domain) = rest.and_then(|rest| rest.strip_prefix('.')) else {
            return false;
        };
        self.search
            .iter()
            .any(|searched| searched.as_str() == domain)
            && (!short.as_str().contains('.') || is_clusters(domain))
    }

    /// The addresses that a name has without DNS.
    pub fn addresses_of(&self, name: &Hostname) -> impl Iterator<Item = IpAddr> {
        let of_name =
            move |(given, address): &(Hostname, IpAddr)| (given == name).then_some(*address);
        self.hosts.iter().filter_map(of_name)
    }

    /// The names that have this address without DNS.
    pub fn names_of(&self, address: IpAddr) -> impl Iterator<Item = &Hostname> {
        self.hosts
            .iter()
            .filter_map(move |(name, given)| (*given == address).then_some(name))
    }
}

fn is_clusters(domain: &str) -> bool {
    domain
        .strip_suffix(CLUSTER)
        .is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn completes(search: &[&str], short: &str, full: &str) -> bool {
        let given = GivenNames {
            search: search.iter().map(|domain| name(domain)).collect(),
            ..GivenNames::default()
        };
        given.completes(&name(short), &name(full))
    }

    #[test]
    fn a_single_label_is_completed_by_any_search_domain_and_by_nothing_else() {
        let search = ["ok.test", "shop.svc.cluster.local"];
        for (full, expected) in [
            ("web.ok.test", true),
            ("web.shop.svc.cluster.local", true),
            ("web.svc.cluster.local", false),
            ("web.denied.test", false),
            ("web.x.ok.test", false),
            ("webb.ok.test", false),
            ("web", false),
        ] {
            assert_eq!(completes(&search, "web", full), expected, "{full}");
        }
        assert!(!completes(&[], "web", "web.ok.test"));
    }

    #[test]
    fn several_labels_are_completed_only_in_a_cluster() {
        let pods = [
            "shop.svc.cluster.local",
            "svc.cluster.local",
            "cluster.local",
            "ok.test",
        ];
        for (short, full, expected) in [
            ("web.shop", "web.shop.svc.cluster.local", true),
            (
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
                true,
            ),
            ("db-0.db", "db-0.db.shop.svc.cluster.local", true),
            ("denied.test", "denied.test.ok.test", false),
            ("a.b", "a.b.ok.test", false),
        ] {
            assert_eq!(completes(&pods, short, full), expected, "{short} {full}");
        }
        for domain in ["notcluster.local", "cluster.local.test", "local"] {
            let full = format!("web.shop.{domain}");
            assert!(!completes(&[domain], "web.shop", &full), "{domain}");
        }
    }

    #[test]
    fn a_name_has_all_addresses_that_it_was_given() {
        let addresses: [IpAddr; 2] = ["172.17.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let given = GivenNames {
            hosts: addresses
                .map(|address| (name("host.test"), address))
                .to_vec(),
            ..GivenNames::default()
        };
        assert!(given.addresses_of(&name("host.test")).eq(addresses));
        assert_eq!(given.addresses_of(&name("other.test")).count(), 0);
        assert!(given.names_of(addresses[1]).eq([&name("host.test")]));
    }
}
