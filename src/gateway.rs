//! The gateway: the second network namespace on the wire between a container and its uplink.
//!
//! Nothing pins it: it lives in the proxy's descriptors, so that whatever ends the proxy ends the
//! gateway, its links, the container's inside links with them, and so the container's network. That
//! is how it fails closed and leaves nothing behind.

pub mod addresses;
pub mod adopt;
pub mod captured;
pub mod links;
pub mod nft;
pub mod park;
pub mod routes;
pub mod ruleset;

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use anyhow::Context;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::rule::RuleAttribute;

use crate::packets::agreed::{CAPTURED, DUMMY, LEAVING, ProxyPorts};
use crate::policy::CapturedPorts;
use crate::sys::netlink::{Netfilter, Route};
use crate::sys::netns::Namespace;
use crate::sys::sysctl::Sysctls;
use captured::CapturedRules;
use links::Links;

/// The routing table that delivers marked packets to this namespace's own sockets.
const LOCAL_DELIVERY: u8 = 100;
/// The routing table with nothing but the routes to the container.
const TO_CONTAINER: u8 = 101;
/// The routing table with the routes to the outside, as the container had them. (Not `main`: a next
/// hop given for a route in there is looked up by all the rules, `fib_check_nh`, and ours lead what
/// has no mark to the container alone.)
pub(crate) const TO_OUTSIDE: u8 = 102;

/// A network namespace, with what is needed to work in it opened once.
#[derive(Debug)]
pub struct NamespaceHandle {
    /// The namespace itself.
    pub namespace: Namespace,
    /// Its links, addresses and routes.
    pub links: Links,
    /// Its settings.
    pub sysctls: Sysctls,
}

impl NamespaceHandle {
    /// Opens the sockets and directories of a namespace.
    ///
    /// # Errors
    /// What entering it and opening sockets gives.
    pub fn open(namespace: Namespace) -> io::Result<Self> {
        let (links, sysctls) =
            namespace.inside(|| Ok((Links::new(Route::open()?), Sysctls::open()?)))?;
        Ok(Self {
            namespace,
            links,
            sysctls,
        })
    }
}

/// A gateway that is ready for links.
#[derive(Debug)]
pub struct Gateway {
    /// The gateway's side of the wire.
    pub side: NamespaceHandle,
    /// Links made so far: the number of the next one.
    next: u32,
}

impl Gateway {
    /// Makes a namespace and everything in it but the ruleset: from here on it forwards nothing,
    /// since it has no link.
    ///
    /// # Errors
    /// Whatever step failed, named.
    pub fn create() -> anyhow::Result<Self> {
        // Owned by this process's user namespace. One of its own would be at the mercy of every
        // process of its owner's user in the user namespace above (user_namespaces(7)), and a
        // container's root may be that, without any capability.
        let namespace = Namespace::create().context("make the gateway's network namespace")?;
        let mut side =
            NamespaceHandle::open(namespace).context("open the gateway's network namespace")?;
        settings(&side.sysctls).context("set up the gateway's network namespace")?;
        plumbing(&mut side.links, side.sysctls.has_ipv6())
            .context("set up the gateway's routing")?;
        Ok(Self { side, next: 0 })
    }

    /// Brings the ruleset into force. Gives the part of it that can be changed then.
    ///
    /// # Errors
    /// What nf_tables says.
    pub fn enforce(
        &self,
        captured: &CapturedPorts,
        ports: ProxyPorts,
    ) -> anyhow::Result<CapturedRules> {
        let (batch, acknowledged) = ruleset::build(captured, ports);
        let namespace = &self.side.namespace;
        let netfilter = namespace.inside(Netfilter::open)?;
        netfilter
            .transact(&batch, acknowledged)
            .context("load the gateway's nf_tables ruleset")?;
        // Conntrack takes no connection over that it hasn't seen begin. (The setting is there once
        // a rule needs conntrack.)
        let strict =
            namespace.inside(|| Sysctls::write_here("netfilter/nf_conntrack_tcp_loose", "0"));
        strict.context("make conntrack strict in the gateway's network namespace")?;
        Ok(CapturedRules::of(netfilter, captured, ports))
    }

    fn take_number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }
}

/// Settings of the namespace, and defaults that every link inherits when it arrives.
fn settings(sysctls: &Sysctls) -> io::Result<()> {
    const V4: &[(&str, &str)] = &[
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
        ("ipv4/conf/all/accept_redirects", "0"),
        ("ipv4/conf/default/accept_redirects", "0"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        // The container's source address is also the uplink's: it must not be taken for a martian
        // on the inside.
        ("ipv4/conf/default/accept_local", "1"),
        // Apart from the ports that clients in the container use by default (32768 and up).
        ("ipv4/ip_local_port_range", "1024 32767"),
        // The proxy is often the first to close, and one address has only so many ports: those that
        // wait after a close are used again after a second (ip-sysctl.rst), for IPv6, too.
        ("ipv4/tcp_tw_reuse", "1"),
        // Connections that a dead proxy had open go on trying to say so, and keep this namespace
        // and its links as long: six seconds, not the usual hundred (2⁵ - 1 times the shortest
        // timeout, 200 ms).
        ("ipv4/tcp_orphan_retries", "4"),
        // A reset, or an ICMP error, goes where a packet with its cause's mark would go: back to
        // where that came from.
        ("ipv4/fwmark_reflect", "1"),
        // DNS is answered from port 53; nobody but the proxy lives here.
        ("ipv4/ip_unprivileged_port_start", "0"),
        ("ipv4/conf/default/forwarding", "1"),
        ("ipv4/ip_forward", "1"),
    ];
    const V6: &[(&str, &str)] = &[
        ("ipv6/fwmark_reflect", "1"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv6/conf/default/accept_redirects", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/dad_transmits", "0"),
        ("ipv6/conf/default/disable_ipv6", "0"),
        ("ipv6/conf/all/disable_ipv6", "0"),
        ("ipv6/conf/all/forwarding", "1"),
    ];
    V4.iter()
        .try_for_each(|(name, value)| sysctls.write(name, value))?;
    // A kernel without IPv6 has none of these, and then there is nothing to filter.
    if sysctls.has_ipv6() {
        V6.iter()
            .try_for_each(|(name, value)| sysctls.write(name, value))?;
    }
    Ok(())
}

/// Loopback, the gateway's own address, and routing in which only what a rule or a socket marked
/// has anywhere to go.
///
/// Invariant: what the kernel says by itself (ICMP errors, resets) leads to the container alone,
/// whatever address it is for, unless it answers a packet that came from outside. A container can
/// have the kernel complain to anybody, and the complaint quotes the container's packet. Rules
/// can't see to that: IPv6 options are complained about before the first hook, and when a namespace
/// ends, the kernel takes its rules away some milliseconds before its links (`cleanup_net`:
/// nf_tables' `pre_exit`, then the links' `exit`). What then comes from the container is unmarked,
/// and finds no route.
fn plumbing(links: &mut Links, ipv6: bool) -> io::Result<()> {
    use ruleset::{INBOUND, REPLYING, RETURNING};
    let lo = links.by_name("lo")?.index;
    links.set_up(lo)?;
    links.add_own_address(lo, IpAddr::V4(DUMMY), 32)?;
    // What this namespace itself sends (ip-rule(8), `iif`).
    let sent = || RuleAttribute::Iifname("lo".into());
    let marked = RuleAttribute::FwMark;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        if family == AddressFamily::Inet6 && !ipv6 {
            continue;
        }
        links.deliver_all(family, LOCAL_DELIVERY, lo, None)?;
        for (priority, mark) in [(100, LEAVING), (101, RETURNING), (102, INBOUND)] {
            links.add_rule(family, priority, &[sent(), marked(mark)], TO_OUTSIDE)?;
        }
        links.add_rule(family, 110, &[sent()], TO_CONTAINER)?;
        for (priority, mark) in [(200, CAPTURED), (201, RETURNING)] {
            links.add_rule(family, priority, &[marked(mark)], LOCAL_DELIVERY)?;
        }
        links.add_rule(family, 210, &[marked(INBOUND)], TO_CONTAINER)?;
        links.add_rule(family, 220, &[marked(REPLYING)], TO_OUTSIDE)?;
        links.remove_default_rules(family)?;
    }
    Ok(())
}

/// The descriptor number of a namespace, as rtnetlink wants it.
fn descriptor(namespace: &Namespace) -> i32 {
    use std::os::fd::AsRawFd;
    namespace.as_fd().as_raw_fd()
}
