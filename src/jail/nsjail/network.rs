//! The jail's network: a loopback to which every address of the world belongs, and the ruleset that
//! hands what is sent over it to the filter.
//!
//! Invariant: there is no link but the loopback, and the target can't make one: whatever the ruleset
//! doesn't say leads nowhere.

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use anyhow::Context;
use netlink_packet_route::AddressFamily;

use crate::gateway::links::Links;
use crate::gateway::nft::{Batch, Family, Hook, NftVerdict, Rule};
use crate::gateway::ruleset::{self, FROM_CONTAINER};
use crate::packets::agreed::{DUMMY, PROXY_PORTS, ProxyPorts};
use crate::policy::CapturedPorts;
use crate::sys::netlink::{Netfilter, Route};

/// What the command sends from, unless it chooses another: nobody's addresses (RFC 7600; RFC 4193,
/// whose prefixes are never on the internet).
const OWN_V4: IpAddr = IpAddr::V4(DUMMY);
const OWN_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd6a, 0x6169, 0, 0, 0, 0, 0, 2));

/// The kernel's own table of local addresses (`RT_TABLE_LOCAL`), which is looked up first.
const LOCAL: u8 = 255;

/// The loopback's whole name: the end is compared, too.
const LOOPBACK: &str = "lo\0";
const PREROUTING: &str = "prerouting";
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const DNS: (u16, u16) = (53, 53);

/// Sets up the network namespace of this process.
///
/// # Errors
/// The kernel's, with what it was about.
pub(super) fn set_up(captured: &CapturedPorts) -> anyhow::Result<()> {
    let mut links = Links::new(Route::open()?);
    let lo = links.by_name("lo").context("find the loopback")?.index;
    links.set_up(lo).context("bring the loopback up")?;
    be_everywhere(&mut links, lo, OWN_V4).context("make every address local")?;
    match be_everywhere(&mut links, lo, OWN_V6) {
        Err(error) if has_no_ipv6(&error) => {}
        done => done.context("make every IPv6 address local")?,
    }
    let (batch, acknowledged) = ruleset(captured, PROXY_PORTS);
    let netfilter = Netfilter::open().context(
        "there is no netlink for nf_tables here, as within notify and where the kernel has none: \
         start it outside of that jail",
    )?;
    netfilter
        .transact(&batch, acknowledged)
        .context("load the nf_tables ruleset")
}

fn be_everywhere(links: &mut Links, lo: u32, own: IpAddr) -> io::Result<()> {
    let (family, prefix) = match own {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    links.add_own_address(lo, own, prefix)?;
    links.deliver_all(family, LOCAL, lo, Some(own))
}

/// Whether there is no IPv6: the kernel hasn't it, or it is switched off (`disable_ipv6`).
fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP | libc::EACCES)
    )
}

/// The whole ruleset: the batch's bytes, and the number of acknowledgements to await.
fn ruleset(captured: &CapturedPorts, proxy: ProxyPorts) -> (Vec<u8>, usize) {
    let mut batch = Batch::new("boundary");
    ruleset::declare_captured(&mut batch);
    // -150 (mangle): before a packet is delivered, which all of them are. (Fragments were put together
    // at -400.)
    batch.chain(PREROUTING, Hook::Prerouting, -150, NftVerdict::Accept);
    let mut say = |rule: Rule| batch.rule(PREROUTING, &rule);
    say(Rule::new()
        .not_from_interface(LOOPBACK)
        .verdict(NftVerdict::Drop));
    // Of connections that the filter has accepted.
    let accepted = Rule::new().transport(TCP).of_transparent_socket();
    say(accepted.of_marking_socket(0).verdict(NftVerdict::Accept));
    say(ruleset::held_again(proxy));
    // Whatever server it is for: those on the loopback ask others, past every filter.
    for transport in [TCP, UDP] {
        let dns = Rule::new().transport(transport).destination_port(DNS);
        say(dns.jump(FROM_CONTAINER));
    }
    // Among the jail's own programs, and what the filter answers.
    for (family, destination) in [
        (Family::V4, &[127][..]),
        (Family::V4, &DUMMY.octets()),
        (Family::V6, &Ipv6Addr::LOCALHOST.octets()),
        (Family::V6, &octets(OWN_V6)),
    ] {
        let own = Rule::new().destination_begins(family, destination);
        say(own.verdict(NftVerdict::Accept));
    }
    // What the kernel says by itself: no attempt to record.
    for (from, to) in [(133, 133), (143, 143), (135, 136)] {
        let rule = Rule::new().of_family(Family::V6).transport(ICMPV6);
        say(rule.icmp_type(from, to).verdict(NftVerdict::Drop));
    }
    say(Rule::new().jump(FROM_CONTAINER));
    ruleset::capture(&mut batch, captured, proxy);
    batch.finish()
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
