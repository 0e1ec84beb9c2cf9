//! The zone: who a name or an address belongs to.

use std::net::{IpAddr, Ipv4Addr};

use test_support::hosts::{ALLOWED, ATTACKER, DENIED, Host, RESOLVER, WILD, far};

/// Everyone who answers.
pub(crate) const HOSTS: [Host; 5] = [RESOLVER, ALLOWED, DENIED, WILD, ATTACKER];

/// Names whose addresses nobody ought to follow: an allowed name that points at the inside (DNS
/// rebinding).
pub(crate) const REBINDING: [(&str, Ipv4Addr); 3] = [
    ("metadata.rebind.test", Ipv4Addr::new(169, 254, 169, 254)),
    ("loopback.rebind.test", Ipv4Addr::LOCALHOST),
    ("private.rebind.test", Ipv4Addr::new(10, 1, 2, 3)),
];

/// Names below this one have the wildcard host's address, and are answered late over UDP: after
/// every resolver's patience.
const LATE: &str = ".late.test";

/// The same, but within a resolver's patience.
const SLOW: &str = ".slow.test";

/// Names below this one have the wildcard host's address too. The first question about each is
/// answered, for a moment; no other.
const ONCE: &str = ".once.test";

/// Names below this one have the wildcard host's address too: what an alias stands for.
const CHAIN: &str = ".chain.test";

/// How many aliases a name has, one for another, before it comes to an address: `chainN.wild.test`
/// has N.
pub(crate) fn aliases(name: &str) -> Option<usize> {
    let label = name.strip_suffix(".wild.test.")?;
    label.strip_prefix("chain")?.parse().ok()
}

/// Whether a name has an address of the sixth version where nothing answers.
pub(crate) fn is_half_dead(name: &str) -> bool {
    name.eq_ignore_ascii_case("dead6.wild.test.")
}

/// Whether a name is one that is answered once.
pub(crate) fn is_once(name: &str) -> bool {
    name.trim_end_matches('.')
        .to_ascii_lowercase()
        .ends_with(ONCE)
}

/// Whether a name is one that is answered late.
pub(crate) fn is_late(name: &str) -> bool {
    name.trim_end_matches('.')
        .to_ascii_lowercase()
        .ends_with(LATE)
}

/// Whether a name is one that is answered slowly.
pub(crate) fn is_slow(name: &str) -> bool {
    name.trim_end_matches('.')
        .to_ascii_lowercase()
        .ends_with(SLOW)
}

/// The host that a name belongs to.
pub(crate) fn by_name(name: &str) -> Option<Host> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if is_late(&name) || is_slow(&name) || is_once(&name) || name.ends_with(CHAIN) {
        return Some(WILD);
    }
    if let Some(last) = name
        .strip_prefix('n')
        .and_then(|name| name.strip_suffix(".far.test"))
    {
        return last.parse().ok().map(far);
    }
    HOSTS
        .into_iter()
        .find(|host| match host.name.strip_prefix('*') {
            Some(suffix) => name.ends_with(suffix),
            None => name == host.name,
        })
}

/// The host that owns an address.
pub(crate) fn by_address(address: IpAddr) -> Option<Host> {
    HOSTS
        .into_iter()
        .find(|host| address == IpAddr::V4(host.v4) || address == IpAddr::V6(host.v6))
}
