//! One rule: what its `key=value` words mean, and whether an attempt matches. `words` parses them.
//!
//! Owns the rule language. Knows nothing of files, of which list a rule is in, or of how denials
//! are worded. Invariant: a key that is left out means *the usual* in a rule that allows (ports 80
//! and 443, HTTP and HTTPS) and *any* in a rule that denies; what can't be read (the path of an
//! HTTPS request that isn't intercepted) never matches a rule that allows and always matches one
//! that denies.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::attempt::{Attempt, Protocol};
use super::domain::DomainPattern;
use super::host::Hostname;
use super::net;
use super::path::{PathPattern, with_slashes};
pub use super::path::{normalise_path, plain_path};
use super::ports::Ports;

mod cover;
mod words;

pub use words::{WordMistake, is_method};

/// Longest text of one rule, in bytes.
pub const MAX_RULE: usize = 8 * 1024;

/// A rule, checked. A field that is `None` (or, of `networks`, empty) was not written, or was
/// written as `*`.
#[derive(Debug, Clone)]
pub struct Rule {
    text: Arc<str>,
    domains: Option<Vec<DomainPattern>>,
    /// Names that `domains` leaves out. In denials alone: an exception allows nothing by itself.
    exceptions: Vec<DomainPattern>,
    methods: Option<Vec<String>>,
    paths: Option<Vec<PathPattern>>,
    ports: Option<Ports>,
    protocols: Option<Vec<Protocol>>,
    networks: Arc<[IpNet]>,
}

impl Rule {
    /// The rule as written, with single blanks.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether it asks for the method or the path, so that it fits only what can be read.
    pub(super) fn reads_request(&self) -> bool {
        self.methods.is_some() || self.paths.is_some()
    }

    /// Whether it asks for what only the requests within TLS say.
    pub(super) fn reads_tls(&self) -> bool {
        self.reads_request() && self.is_about_tls()
    }

    /// Whether what runs over TLS is among what it is for.
    pub(super) fn is_about_tls(&self) -> bool {
        let usual = self.usual_protocols();
        usual.contains(&Protocol::Https) || usual.contains(&Protocol::Tcp)
    }

    /// Whether it is about this name, and of addresses about this one, if it has no names.
    pub(super) fn could_be_about(&self, name: &Hostname, address: IpAddr) -> bool {
        self.is_about(name) && (!self.is_for_addresses() || self.touches(address))
    }

    /// Whether one of its names is a pattern that fits this name.
    pub(super) fn has_pattern_for(&self, name: &Hostname) -> bool {
        let mut domains = self.domains.iter().flatten();
        domains.any(|domain| domain.is_pattern() && domain.matches(name))
    }

    /// A name that each of its names and patterns fits, one for each.
    pub(super) fn examples(&self) -> impl Iterator<Item = Hostname> {
        self.domains
            .iter()
            .flatten()
            .filter_map(DomainPattern::example)
            .filter(|name| self.is_about(name))
    }

    /// Whether it allows connections to this name, if the name leads where [`Self::leads_to`] says.
    pub(super) fn allows_name(&self, name: &Hostname) -> bool {
        match &self.domains {
            Some(domains) => self.has_among(domains, name),
            None => self.networks.is_empty(),
        }
    }

    /// Whether its names include this one; one without names is about all of them.
    pub(super) fn is_about(&self, name: &Hostname) -> bool {
        self.domains
            .as_ref()
            .is_none_or(|domains| self.has_among(domains, name))
    }

    fn has_among(&self, domains: &[DomainPattern], name: &Hostname) -> bool {
        let is_among = |names: &[DomainPattern]| names.iter().any(|one| one.matches(name));
        is_among(domains) && !is_among(&self.exceptions)
    }

    /// Whether it says of some names that it isn't about them.
    pub(super) fn has_exceptions(&self) -> bool {
        !self.exceptions.is_empty()
    }

    /// Whether it allows connections to this address, whatever name they bear.
    pub(super) fn allows_address(&self, address: IpAddr) -> bool {
        self.domains.is_none() && self.leads_to(address)
    }

    /// Whether it is for addresses, by their ranges, and not for names.
    pub(super) fn is_for_addresses(&self) -> bool {
        self.domains.is_none() && !self.networks.is_empty()
    }

    /// Whether the address is in its ranges, or it has none.
    pub(super) fn leads_to(&self, address: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|range| range.contains(&address))
    }

    /// Whether it has ranges, and the address is in one.
    pub(super) fn names(&self, address: IpAddr) -> bool {
        !self.networks.is_empty() && self.leads_to(address)
    }

    /// Whether it means this address by a private range that it holds.
    pub(super) fn names_private(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|range| range.contains(&address) && net::names_private(range))
    }

    /// Whether the address, or an IPv4 address for which it may be taken, is in its ranges.
    pub(super) fn touches(&self, address: IpAddr) -> bool {
        let is_within = |address| self.networks.iter().any(|range| range.contains(&address));
        is_within(address) || net::inside(address).any(is_within)
    }

    /// Whether it allows this protocol on this port.
    pub(super) fn allows_port(&self, protocol: Protocol, port: u16) -> bool {
        self.usual_protocols().iter().any(|&written| {
            // TCP is what HTTP and TLS run over: who allows all of it, allows them.
            let covers =
                written == protocol || (written == Protocol::Tcp && protocol != Protocol::Udp);
            covers
                && self
                    .usual_ports(written)
                    .iter()
                    .any(|&(first, last)| (first..=last).contains(&port))
        })
    }

    /// Whether the request's method and path are such as it allows.
    pub(super) fn allows_request(&self, attempt: &Attempt<'_>) -> bool {
        !self.reads_request()
            || matches!(attempt.protocol, Protocol::Http | Protocol::Https)
                && attempt
                    .method
                    .is_some_and(|method| self.method_fits(method))
                && attempt.path.is_some_and(|path| self.allows_path(path))
    }

    /// The TCP or UDP ports on which it could allow something.
    pub(super) fn allowed_ports(&self, udp: bool) -> impl Iterator<Item = (u16, u16)> {
        let protocols = self
            .usual_protocols()
            .iter()
            .filter(move |&&written| (written == Protocol::Udp) == udp);
        protocols
            .flat_map(|&written| self.usual_ports(written))
            .copied()
    }

    /// Whether, standing in a list of denials, it forbids this attempt.
    pub(super) fn forbids(&self, attempt: &Attempt<'_>) -> bool {
        self.forbids_but_for_address(attempt)
            && (self.networks.is_empty() || self.touches(attempt.destination.ip()))
    }

    /// The same before it is known which address will be connected to.
    pub(super) fn forbids_but_for_address(&self, attempt: &Attempt<'_>) -> bool {
        self.forbids_on(attempt.protocol, attempt.destination.port())
            && self
                .domains
                .as_ref()
                .is_none_or(|_| attempt.name.is_some_and(|name| self.allows_name(name)))
            && attempt.method.is_none_or(|method| self.method_fits(method))
            && attempt.path.is_none_or(|path| self.forbids_path(path))
    }

    /// Whether, standing in a list of denials, it forbids something of this protocol on this port.
    pub(super) fn forbids_on(&self, protocol: Protocol, port: u16) -> bool {
        let forbidden: &[Protocol] = match &self.protocols {
            Some(written) => written,
            None if self.reads_request() => &[Protocol::Http, Protocol::Https],
            None => &[Protocol::Tcp, Protocol::Udp],
        };
        let over_tcp = forbidden.contains(&Protocol::Tcp) && protocol != Protocol::Udp;
        (over_tcp || forbidden.contains(&protocol))
            && self.ports.as_ref().is_none_or(|ports| ports.contains(port))
    }

    /// Whether, standing in a list of denials, it could forbid a TCP connection to this address and
    /// port, whatever is said on it.
    pub(super) fn could_forbid(&self, destination: SocketAddr) -> bool {
        let over_tcp = self
            .protocols
            .as_ref()
            .is_none_or(|written| written.iter().any(|one| *one != Protocol::Udp));
        over_tcp
            && self
                .ports
                .as_ref()
                .is_none_or(|ports| ports.contains(destination.port()))
            && (self.networks.is_empty() || self.touches(destination.ip()))
    }

    /// Whether, standing in a list of denials, it could not spare a TCP connection that it
    /// [could forbid](Self::could_forbid), whatever is said on it.
    pub(super) fn forbids_whatever_is_said(&self) -> bool {
        let all_of_tcp = self
            .protocols
            .as_ref()
            .is_none_or(|written| written.contains(&Protocol::Tcp));
        all_of_tcp && self.domains.is_none() && !self.reads_request()
    }

    /// Its ranges.
    pub(super) fn ranges(&self) -> &[IpNet] {
        &self.networks
    }

    /// Whether it is about every name that there is, whatever is asked for in it.
    pub(super) fn has_every_name(&self) -> bool {
        let any = |domains: &Vec<DomainPattern>| domains.iter().any(DomainPattern::is_any);
        self.domains.as_ref().is_none_or(any) && self.networks.is_empty() && !self.reads_request()
    }

    /// Whether it has names, and each is among these.
    pub(super) fn has_names_only_of(&self, patterns: &[DomainPattern]) -> bool {
        let is_among = |name: &DomainPattern| patterns.iter().any(|one| one.has_all_of(name));
        self.domains
            .as_ref()
            .is_some_and(|domains| domains.iter().all(is_among))
    }

    /// Whether it is for some addresses alone.
    pub(super) fn has_ranges(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Whether, standing in a list of denials, it forbids every connection to the name, so that the
    /// name need not be looked up.
    pub(super) fn forbids_name(&self, name: &Hostname) -> bool {
        let whole = self.ports.is_none() && self.protocols.is_none() && self.networks.is_empty();
        whole && !self.reads_request() && self.domains.is_some() && self.allows_name(name)
    }

    fn method_fits(&self, method: &str) -> bool {
        // Methods are case-sensitive (RFC 9110, 9.1), but servers exist that take `post`.
        self.methods.as_ref().is_none_or(|methods| {
            methods
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(method))
        })
    }

    /// A path that servers read in two ways is allowed only in both.
    fn allows_path(&self, path: &str) -> bool {
        self.path_fits(path) && with_slashes(path).is_none_or(|path| self.path_fits(&path))
    }

    /// A path that servers read in two ways is forbidden in either.
    fn forbids_path(&self, path: &str) -> bool {
        self.path_fits(path) || with_slashes(path).is_some_and(|path| self.path_fits(&path))
    }

    fn path_fits(&self, path: &str) -> bool {
        self.paths
            .as_ref()
            .is_none_or(|paths| paths.iter().any(|wanted| wanted.matches(path)))
    }

    /// What `proto` means to a rule that allows, where it isn't written.
    fn usual_protocols(&self) -> &[Protocol] {
        match &self.protocols {
            Some(written) => written,
            None if self.is_for_addresses() && !self.reads_request() => &[Protocol::Tcp],
            None => &[Protocol::Http, Protocol::Https],
        }
    }

    /// What `port` means to a rule that allows this protocol, where it isn't written.
    fn usual_ports(&self, protocol: Protocol) -> &[(u16, u16)] {
        match (&self.ports, protocol) {
            (Some(ports), _) => ports.ranges(),
            (None, Protocol::Http) => &[(80, 80)],
            (None, Protocol::Https) => &[(443, 443)],
            (None, Protocol::Tcp | Protocol::Udp) => &[(0, u16::MAX)],
        }
    }
}

#[cfg(test)]
mod tests;
