//! The links of one namespace: what they are, and what the gateway does to them. The netlink messages
//! end here and in `addresses` and `routes`.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    State,
};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::sys::netlink::Route;

/// One link as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What kind of virtual device; none for hardware.
    pub kind: Option<InfoKind>,
    /// Whether it is the loopback.
    pub loopback: bool,
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
}

impl Link {
    /// Reads the kernel's message about a link.
    #[must_use]
    pub fn from_message(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            kind: None,
            loopback: message.header.link_layer_type == LinkLayerType::Loopback,
            up: message.header.flags.contains(LinkFlags::Up),
            passing: false,
            mtu: 1500,
            mac: Vec::new(),
            txqlen: 1000,
            peer_index: None,
            peer_netns: None,
            bridge: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::OperState(state) => link.passing = *state == State::Up,
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(mac) => link.mac.clone_from(mac),
                LinkAttribute::TxQueueLen(txqlen) => link.txqlen = *txqlen,
                LinkAttribute::Link(index) => {
                    link.peer_index = Some(*index).filter(|index| *index != 0)
                }
                LinkAttribute::LinkNetNsId(id) => link.peer_netns = Some(*id),
                LinkAttribute::Controller(index) => link.bridge = Some(*index),
                LinkAttribute::LinkInfo(infos) => {
                    link.kind = infos.iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind.clone()),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        link
    }
}

/// The links of one namespace.
#[derive(Debug)]
pub struct Links(pub(super) Route);

impl Links {
    /// Works through this socket, in the namespace it was opened in.
    #[must_use]
    pub fn new(route: Route) -> Self {
        Self(route)
    }

    /// Every link.
    ///
    /// # Errors
    /// The kernel's.
    pub fn list(&mut self) -> io::Result<Vec<Link>> {
        let answers = self
            .0
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        Ok(answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(message) => Some(Link::from_message(message)),
                _ => None,
            })
            .collect())
    }

    /// The link of this name.
    ///
    /// # Errors
    /// `NotFound`; the kernel's.
    pub fn by_name(&mut self, name: &str) -> io::Result<Link> {
        let found = self.list()?.into_iter().find(|link| link.name == name);
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no link {name}")))
    }

    /// The number that this namespace has for another one, if it has any.
    ///
    /// # Errors
    /// The kernel's.
    pub fn number_of(&mut self, namespace: i32) -> io::Result<Option<i32>> {
        let mut message = NsidMessage::default();
        message
            .attributes
            .push(NsidAttribute::Fd(namespace.cast_unsigned()));
        let RouteNetlinkMessage::NewNsId(answer) =
            self.0.query(RouteNetlinkMessage::GetNsId(message))?
        else {
            return Ok(None);
        };
        Ok(answer
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                NsidAttribute::Id(id) if *id >= 0 => Some(*id),
                _ => None,
            }))
    }

    /// Brings a link up.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_up(&mut self, index: u32) -> io::Result<()> {
        self.set_flag_up(index, true)
    }

    /// Waits until a link that was brought up passes packets. The kernel connects its queue a
    /// moment later (`net/core/link_watch.c`), and drops what is sent before: the first packet of
    /// all, which is repeated after a second.
    ///
    /// # Errors
    /// `TimedOut` after two seconds; the kernel's.
    pub fn wait_passing(&mut self, index: u32) -> io::Result<()> {
        let end = Instant::now() + Duration::from_secs(2);
        loop {
            if self
                .list()?
                .iter()
                .any(|link| link.index == index && link.passing)
            {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Takes a link down.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_down(&mut self, index: u32) -> io::Result<()> {
        self.set_flag_up(index, false)
    }

    fn set_flag_up(&mut self, index: u32, up: bool) -> io::Result<()> {
        let mut message = link(index);
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up {
            LinkFlags::Up
        } else {
            LinkFlags::empty()
        };
        self.0.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Moves a link into another namespace under another name. It arrives down, without addresses
    /// and routes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn give_away(&mut self, index: u32, namespace: i32, name: &str) -> io::Result<()> {
        let mut message = link(index);
        message.attributes.push(LinkAttribute::NetNsFd(namespace));
        message
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        self.0.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Removes a link.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove(&mut self, index: u32) -> io::Result<()> {
        self.0.request(RouteNetlinkMessage::DelLink(link(index)), 0)
    }

    /// Makes a pair of veths: `name` here, under a number that is free, and the far end in another
    /// namespace, looking like `far`: its name, its number (which the kernel heeds only where this
    /// end's is given, too), its MAC address, MTU and queue length.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_pair(
        &mut self,
        index: u32,
        name: &str,
        far: &Link,
        namespace: i32,
    ) -> io::Result<()> {
        let mut peer = link(far.index);
        peer.attributes = vec![
            LinkAttribute::IfName(far.name.clone()),
            LinkAttribute::NetNsFd(namespace),
            LinkAttribute::Mtu(far.mtu),
            LinkAttribute::TxQueueLen(far.txqlen),
        ];
        if far.mac.len() == 6 {
            peer.attributes
                .push(LinkAttribute::Address(far.mac.clone()));
        }
        let mut message = link(index);
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(far.mtu),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        self.0.request(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }
}

fn link(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

pub(super) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

/// Success, too, where what was to be added is there already.
pub(super) fn fine_if_there(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}
