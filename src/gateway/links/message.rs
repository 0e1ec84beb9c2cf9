//! The kernel's messages about links, read leniently: whoever lives in the namespace chooses names,
//! aliases and the like, and what made a message unreadable would make its link invisible to us.

use crate::sys::netlink::{attributes, raw_messages};

/// One link as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name; what isn't UTF-8 in it is replaced.
    pub name: String,
    /// What kind of virtual device (`veth`, …); none for hardware, and for what routers of
    /// multicast register.
    pub kind: Option<String>,
    /// Whether packets that go into it come back to its own namespace, whatever it is connected to:
    /// the loopback, and the register of a multicast router (`pimreg`), which hands them to a
    /// daemon there. Neither can be moved to another namespace.
    pub turns_back: bool,
    /// Whether it belongs to a device on one of the machine's buses (`IFLA_PARENT_DEV_BUS_NAME`,
    /// since Linux 5.14), of whatever kind it says it is (InfiniBand, CAN, …).
    pub on_bus: bool,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it passes packets: up, and the kernel has noticed that the other end is, too.
    pub passing: bool,
    /// Bytes.
    pub mtu: u32,
    /// Link-layer address.
    pub mac: Vec<u8>,
    /// Frames its queue holds.
    pub txqlen: u32,
    /// The link it belongs to (a veth's other end, a macvlan's base): `IFLA_LINK`.
    pub peer_index: Option<u32>,
    /// The namespace of that link, by this namespace's number for it (`IFLA_LINK_NETNSID`); none:
    /// this namespace.
    pub peer_netns: Option<i32>,
    /// The bridge that it is a port of.
    pub bridge: Option<u32>,
    /// Whether it was taken down when the container at its other end was over, and is to come up
    /// with that one's next gateway. The mark is the link's alias, which lasts as long as the link.
    pub parked: bool,
}

/// The alias of a link that is [`Link::parked`].
pub(super) const PARKED: &str = "parked by boundary-shim";

/// What an announcement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkNews {
    /// Something of the link with this number has changed: it may be new, or have another name, or
    /// have become a port of a bridge. What an announcement doesn't say means nothing: a bridge's
    /// about its port (family `AF_BRIDGE`) names no kind. Ask the kernel what the link is.
    Changed(u32),
    /// There is no link with this number any more; it may have moved to another namespace.
    Gone(u32),
}

// linux/rtnetlink.h, linux/if_link.h, linux/if_arp.h, net/if.h.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_TXQLEN: u16 = 13;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_PARENT_DEV_BUS_NAME: u16 = 57;
const IFLA_INFO_KIND: u16 = 1;
/// Without the flags `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const KIND_OF_ATTRIBUTE: u16 = 0x3fff;
const ARPHRD_LOOPBACK: u16 = 772;
const ARPHRD_PIMREG: u16 = 779;
const IFF_UP: u32 = 1;
const IF_OPER_UP: u8 = 6;

/// The links that the messages of a datagram describe.
pub fn described(datagram: &[u8]) -> impl Iterator<Item = Link> + '_ {
    raw_messages(datagram)
        .filter(|message| message.kind == RTM_NEWLINK)
        .filter_map(|message| Link::read(message.payload))
}

/// What the announcements of a datagram say of links.
pub fn news(datagram: &[u8]) -> impl Iterator<Item = LinkNews> + '_ {
    raw_messages(datagram).filter_map(|message| {
        let header = Header::read(message.payload)?;
        match message.kind {
            RTM_NEWLINK => Some(LinkNews::Changed(header.index)),
            // A bridge says that a port was taken out with the same word, and its own family.
            RTM_DELLINK if header.family == 0 => Some(LinkNews::Gone(header.index)),
            _ => None,
        }
    })
}

/// `ifinfomsg`, rtnetlink(7).
struct Header {
    family: u8,
    layer: u16,
    index: u32,
    flags: u32,
}

impl Header {
    const LENGTH: usize = 16;

    fn read(payload: &[u8]) -> Option<Self> {
        let &[
            family,
            _,
            l0,
            l1,
            i0,
            i1,
            i2,
            i3,
            f0,
            f1,
            f2,
            f3,
            _,
            _,
            _,
            _,
        ] = payload.first_chunk::<{ Self::LENGTH }>()?;
        Some(Self {
            family,
            layer: u16::from_ne_bytes([l0, l1]),
            index: u32::from_ne_bytes([i0, i1, i2, i3]),
            flags: u32::from_ne_bytes([f0, f1, f2, f3]),
        })
    }
}

impl Link {
    /// One of which nothing but its number is known.
    pub(in crate::gateway) fn numbered(index: u32) -> Self {
        Self {
            index,
            name: String::new(),
            kind: None,
            turns_back: false,
            on_bus: false,
            up: false,
            passing: false,
            mtu: 1500,
            mac: Vec::new(),
            txqlen: 1000,
            peer_index: None,
            peer_netns: None,
            bridge: None,
            parked: false,
        }
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let header = Header::read(payload)?;
        let mut link = Self {
            turns_back: matches!(header.layer, ARPHRD_LOOPBACK | ARPHRD_PIMREG),
            up: header.flags & IFF_UP != 0,
            ..Self::numbered(header.index)
        };
        for (kind, value) in attributes(payload.get(Header::LENGTH..)?) {
            match kind & KIND_OF_ATTRIBUTE {
                IFLA_IFNAME => link.name = text(value),
                IFLA_OPERSTATE => link.passing = value == [IF_OPER_UP],
                IFLA_MTU => link.mtu = number(value).unwrap_or(link.mtu),
                IFLA_ADDRESS => link.mac = value.to_vec(),
                IFLA_TXQLEN => link.txqlen = number(value).unwrap_or(link.txqlen),
                IFLA_LINK => link.peer_index = number(value).filter(|index| *index != 0),
                IFLA_LINK_NETNSID => link.peer_netns = number(value).map(u32::cast_signed),
                IFLA_MASTER => link.bridge = number(value),
                IFLA_LINKINFO => {
                    let kind = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                    link.kind = kind.map(|(_, value)| text(value));
                }
                IFLA_IFALIAS => link.parked = text(value) == PARKED,
                IFLA_PARENT_DEV_BUS_NAME => link.on_bus = true,
                _ => {}
            }
        }
        Some(link)
    }

    /// Whether it is a device of the machine: its other end is no link of any namespace.
    #[must_use]
    pub fn is_hardware(&self) -> bool {
        self.on_bus || self.kind.is_none()
    }
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(value.get(..end.unwrap_or(value.len())).unwrap_or_default())
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AF_BRIDGE: u8 = 7;
    const AF_INET6: u8 = 10;
    const ARPHRD_ETHER: u16 = 1;

    fn message(kind: u16, family: u8, layer: u16, told: &[(u16, &[u8])]) -> Vec<u8> {
        let mut payload = vec![family, 0];
        payload.extend(layer.to_ne_bytes());
        payload.extend(5_u32.to_ne_bytes());
        payload.extend([0; 8]);
        for (kind, value) in told {
            payload.extend(attribute(*kind, value));
        }
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        [bytes, payload].concat()
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn link(layer: u16, told: &[(u16, &[u8])]) -> Link {
        described(&message(RTM_NEWLINK, 0, layer, told))
            .next()
            .unwrap()
    }

    #[test]
    fn a_port_that_is_taken_out_of_its_bridge_is_not_gone() {
        let bridge = message(RTM_DELLINK, AF_BRIDGE, ARPHRD_ETHER, &[]);
        assert_eq!(news(&bridge).next(), None);
        let gone = message(RTM_DELLINK, 0, ARPHRD_ETHER, &[]);
        assert_eq!(news(&gone).next(), Some(LinkNews::Gone(5)));
    }

    #[test]
    fn whoever_announces_a_link_only_says_which() {
        for family in [0, AF_BRIDGE, AF_INET6] {
            let told = message(RTM_NEWLINK, family, ARPHRD_ETHER, &[]);
            assert_eq!(news(&told).next(), Some(LinkNews::Changed(5)));
        }
    }

    #[test]
    fn a_link_is_seen_whatever_its_name_and_alias() {
        let found = link(
            ARPHRD_ETHER,
            &[(IFLA_IFALIAS, b"\xff\0"), (IFLA_IFNAME, b"e\xff\0")],
        );
        assert_eq!((found.index, found.name.as_str()), (5, "e\u{fffd}"));
    }

    #[test]
    fn hardware_has_no_kind_or_is_on_a_bus() {
        let kind = |kind: &[u8]| attribute(IFLA_INFO_KIND, kind);
        assert!(link(ARPHRD_ETHER, &[]).is_hardware());
        assert!(!link(ARPHRD_ETHER, &[(IFLA_LINKINFO, &kind(b"dummy\0"))]).is_hardware());
        let infiniband = [
            (IFLA_LINKINFO, &kind(b"ipoib\0")[..]),
            (IFLA_PARENT_DEV_BUS_NAME, b"pci\0"),
        ];
        assert!(link(32, &infiniband).is_hardware());
    }

    #[test]
    fn what_a_multicast_router_registers_turns_back() {
        for (layer, turns_back) in [
            (ARPHRD_LOOPBACK, true),
            (ARPHRD_PIMREG, true),
            (ARPHRD_ETHER, false),
        ] {
            assert_eq!(link(layer, &[]).turns_back, turns_back);
        }
    }
}
