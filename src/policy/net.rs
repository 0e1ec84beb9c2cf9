//! Address ranges that are not simply "the internet": those that are always denied, and those that
//! a rule must name explicitly.
//!
//! Owns the table of ranges, with its sources. Knows nothing of rules. Invariant: an IPv4 address
//! embedded in an IPv6 one is judged as the IPv4 address, because some router or stack on the way
//! unwraps it. The documentation ranges (RFC 5737, RFC 3849) count as the internet: only
//! laboratories use them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// This address, an IPv4 one that is written in IPv6 (`::ffff:192.0.2.1`) as IPv4.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What kind of address one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Class {
    /// The internet.
    Public,
    /// Private to some network: open only to a rule that names it. The text completes "ADDRESS is
    /// …".
    Private(String),
    /// Never open. The text completes "ADDRESS is …".
    Special(String),
}

/// Whether an address is simply on the internet: neither always refused nor private to some
/// network.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    classify(address) == Class::Public
}

/// Judges an address.
pub(super) fn classify(address: IpAddr) -> Class {
    let hidden = translated(address).find_map(|inner| Some((inner, find(&SPECIAL, inner)?)));
    if let Some((inner, (range, what))) = hidden {
        return Class::Special(format!("a wrapping of {inner}, which is {what} ({range})"));
    }
    let judged = unwrapped(address);
    let (table, class): (_, fn(String) -> Class) = match find(&SPECIAL, judged) {
        Some(entry) => (entry, Class::Special),
        None => match find(&PRIVATE, judged) {
            Some(entry) => (entry, Class::Private),
            None => return Class::Public,
        },
    };
    let (range, what) = table;
    if judged == address {
        class(format!("{what} ({range})"))
    } else {
        class(format!("a wrapping of {judged}, which is {what} ({range})"))
    }
}

/// Whether a rule that holds this range means private addresses by it. `0.0.0.0/0` doesn't: who
/// opens the internet has not thereby asked for the neighbours.
pub(super) fn names_private(range: &IpNet) -> bool {
    PRIVATE.iter().any(|(private, _)| private.contains(range))
}

/// Whether there is no address in this range that a rule could open.
pub(super) fn is_never_open(range: &IpNet) -> bool {
    SPECIAL.iter().any(|(special, _)| special.contains(range))
}

/// Whether a rule that holds just this address opens it.
pub(super) fn can_be_named(address: &IpNet) -> bool {
    match classify(address.addr()) {
        Class::Public => true,
        Class::Private(_) => names_private(address),
        Class::Special(_) => false,
    }
}

/// Whether the address, or the IPv4 address inside it, is one of these.
pub(super) fn is_among(address: IpAddr, these: &[IpAddr]) -> bool {
    let these = |address| these.iter().any(|one| one.to_canonical() == address);
    these(address) || inside(address).any(these)
}

/// The IPv4 addresses for which an IPv6 one may be taken on the way.
pub(super) fn inside(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let unwrapped = Some(unwrapped(address)).filter(|inner| *inner != address);
    unwrapped.into_iter().chain(translated(address))
}

/// The IPv4 addresses to which one of a private NAT64 prefix may be translated. How long the prefix is, only
/// its network knows: 48, 56, 64 or 96 bits, behind which the address stands around the ninth byte (RFC 6052,
/// 2.2). Zeros at the beginning are a longer prefix's: there is nobody in 0.0.0.0/8.
fn translated(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let octets = match address {
        IpAddr::V4(_) => [0; 16],
        IpAddr::V6(address) => address.octets(),
    };
    let read = match octets {
        [0, 0x64, 0xff, 0x9b, 0, 1, a, b, _, c, d, e, f, g, h, i] => {
            [[a, b, c, d], [b, c, d, e], [c, d, e, f], [f, g, h, i]]
        }
        _ => [[0; 4]; 4],
    };
    let is_somewhere = |octets: &[u8; 4]| octets.first() != Some(&0);
    let somewhere = read.into_iter().filter(is_somewhere);
    somewhere.map(|octets| IpAddr::from(Ipv4Addr::from(octets)))
}

/// The IPv4 address inside an IPv6 one, where there is one and no doubt about it; else the address itself.
fn unwrapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => wrapped(v6).map_or(address, IpAddr::V4),
    }
}

/// Mapped and compatible (RFC 4291, 2.5.5), NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo (RFC 4380,
/// its client).
fn wrapped(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match address.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            v4(high, low)
        }
        [0x2002, high, low, ..] => v4(high, low),
        [0x2001, 0, .., high, low] => v4(!high, !low),
        _ => None,
    }
}

type Entry = (IpNet, &'static str);

fn find(table: &'static [Entry], address: IpAddr) -> Option<&'static Entry> {
    table.iter().find(|(range, _)| range.contains(&address))
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(s: [u16; 8], prefix: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = s;
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(a, b, c, d, e, f, g, h),
        prefix,
    ))
}

const METADATA: &str = "a cloud's metadata service";

/// Shut whatever the rules say. IANA's special-purpose registries, and the clouds' own
/// documentation for the metadata and management addresses that lie outside link-local.
static SPECIAL: [Entry; 18] = [
    (v4(0, 0, 0, 0, 8), "this host"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
    (v4(168, 63, 129, 16, 32), METADATA),   // Azure
    (v4(100, 100, 100, 200, 32), METADATA), // Alibaba Cloud
    (v4(192, 0, 0, 192, 32), METADATA),     // Oracle Cloud
    (v4(192, 0, 0, 8, 32), "the gateway's own"),
    (v6([0; 8], 128), "unspecified"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), METADATA), // Amazon
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), METADATA),  // Google
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discard-only"),     // RFC 6666
    // IPv4 once more (RFC 2765), obsolete: whoever uses it is hiding an address.
    (
        v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
        "an obsolete wrapping of an IPv4 address",
    ),
];

/// Shut unless a rule names them.
static PRIVATE: [Entry; 9] = [
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(100, 64, 0, 0, 10), "shared by a carrier or a cluster"),
    (v4(192, 0, 0, 0, 24), "set aside for protocols"),
    (v4(198, 18, 0, 0, 15), "set aside for benchmarks"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "private"),
    (
        v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
        "private (site-local)",
    ),
    // Translates to IPv4 by a plan that only its network knows (RFC 8215).
    (
        v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
        "a private NAT64 prefix",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn class(address: &str) -> Class {
        classify(address.parse().unwrap())
    }

    #[test]
    fn special_ranges_are_known_to_their_edges() {
        for address in [
            "0.0.0.0",
            "0.255.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.170.2",
            "169.254.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.0.8",
            "100::8",
            "::",
            "::1",
            "fe80::1",
            "febf:ffff::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
        ] {
            assert!(
                matches!(class(address), Class::Special(_)),
                "{address}: {:?}",
                class(address)
            );
        }
    }

    #[test]
    fn private_ranges_are_known_to_their_edges() {
        for address in [
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.0",
            "100.127.255.255",
            "192.0.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "64:ff9b:1::a00:1",
        ] {
            assert!(
                matches!(class(address), Class::Private(_)),
                "{address}: {:?}",
                class(address)
            );
        }
    }

    #[test]
    fn the_internet_and_the_documentation_ranges_are_public() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.169.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "2001:db8::1",
            "2606:4700::1111",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(class(address), Class::Public, "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_hides_in_no_wrapping() {
        for address in [
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::",
            "2001:0:1234::5601:5601", // Teredo: inverted 169.254.169.254
            "::ffff:0:0",
            "::ffff:0:127.0.0.1",
        ] {
            assert!(
                matches!(class(address), Class::Special(_)),
                "{address}: {:?}",
                class(address)
            );
        }
        for address in [
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:c0a8:101::1",
        ] {
            assert!(
                matches!(class(address), Class::Private(_)),
                "{address}: {:?}",
                class(address)
            );
        }
    }

    #[test]
    fn an_address_of_a_private_nat64_is_judged_by_each_that_it_may_be_translated_to() {
        for address in [
            "64:ff9b:1::a9fe:a9fe",        // behind 96 bits
            "64:ff9b:1:a9fe:a9:fe00::",    // 48
            "64:ff9b:1:a9:fe:a9fe::",      // 56
            "64:ff9b:1:0:a9:fea9:fe00:0",  // 64
            "64:ff9b:1:42:a9:fea9:fe00:0", // the same, of another network
            "64:ff9b:1:a9fe:a9:fe00:0:1",  // with what is to be zero
            "64:ff9b:1:ffff::7f00:1",
        ] {
            assert!(
                matches!(class(address), Class::Special(_)),
                "{address}: {:?}",
                class(address)
            );
            let range = IpNet::from(address.parse::<IpAddr>().unwrap());
            assert!(!can_be_named(&range), "{address}");
        }
        for address in ["64:ff9b:1::", "64:ff9b:1::c0a8:1", "64:ff9b:1::808:808"] {
            assert!(matches!(class(address), Class::Private(_)), "{address}");
            assert!(can_be_named(&IpNet::from(
                address.parse::<IpAddr>().unwrap()
            )));
        }
        let own = ["192.168.0.1".parse().unwrap()];
        let is_own = |address: &str| is_among(address.parse().unwrap(), &own);
        assert!(is_own("64:ff9b:1::c0a8:1") && is_own("64:ff9b:1:c0a8:0:100::"));
        assert!(is_own("64:ff9b::c0a8:1") && is_own("192.168.0.1") && !is_own("192.168.0.2"));
    }

    #[test]
    fn the_text_says_which_range() {
        assert_eq!(
            class("169.254.169.254"),
            Class::Special("link-local (169.254.0.0/16)".into())
        );
        assert_eq!(
            class("64:ff9b::10.0.0.1"),
            Class::Private("a wrapping of 10.0.0.1, which is private (10.0.0.0/8)".into())
        );
    }

    #[test]
    fn only_a_range_inside_a_private_one_names_it() {
        for (range, names) in [
            ("10.0.0.0/8", true),
            ("10.1.2.3/32", true),
            ("172.17.0.0/16", true),
            ("fd00::/8", true),
            ("0.0.0.0/0", false),
            ("::/0", false),
            ("8.0.0.0/5", false),
            ("198.51.100.0/24", false),
        ] {
            assert_eq!(names_private(&range.parse().unwrap()), names, "{range}");
        }
    }
}
