//! The links of one namespace: what they are, and what the gateway does to them. The netlink messages
//! end here and in `addresses` and `routes`.

mod message;

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

pub use message::{Link, LinkNews, described, news};

use crate::sys::netlink::Route;
use message::PARKED;

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
        self.survey().map(|(links, _)| links)
    }

    /// Every link, and whether that is certain: where links come and go meanwhile, older kernels
    /// (before 6.9) can skip one that stays.
    ///
    /// # Errors
    /// The kernel's.
    pub fn survey(&mut self) -> io::Result<(Vec<Link>, bool)> {
        let answers = self
            .0
            .dump_unread(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        let links = described(&answers.messages).collect();
        Ok((links, !answers.interrupted))
    }

    /// The link of this number, if there is one.
    ///
    /// # Errors
    /// The kernel's.
    pub fn by_number(&mut self, index: u32) -> io::Result<Option<Link>> {
        let question = RouteNetlinkMessage::GetLink(link(index));
        match self.0.query_unread(question) {
            Ok(answer) => described(&answer)
                .next()
                .map(Some)
                .ok_or_else(|| io::ErrorKind::InvalidData.into()),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
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
    /// `TimedOut` after ten seconds, which the kernel takes where hundreds of links come at once;
    /// the kernel's.
    pub fn wait_passing(&mut self, index: u32) -> io::Result<()> {
        // Each question holds up what is waited for: both take the kernel's one lock for links.
        const LONGEST: Duration = Duration::from_millis(10);
        let mut pause = Duration::from_micros(100);
        let end = Instant::now() + Duration::from_secs(10);
        while !self.by_number(index)?.is_some_and(|link| link.passing) {
            if Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST);
        }
        Ok(())
    }

    /// Takes a link down.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_down(&mut self, index: u32) -> io::Result<()> {
        self.set_flag_up(index, false)
    }

    /// Takes a link down, and marks it as [`Link::parked`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn park(&mut self, index: u32) -> io::Result<()> {
        self.set_flag_up_as(index, false, Some(PARKED))
    }

    /// Brings a parked link up again.
    ///
    /// # Errors
    /// The kernel's.
    pub fn unpark(&mut self, index: u32) -> io::Result<()> {
        self.set_flag_up_as(index, true, Some(""))
    }

    fn set_flag_up(&mut self, index: u32, up: bool) -> io::Result<()> {
        self.set_flag_up_as(index, up, None)
    }

    fn set_flag_up_as(&mut self, index: u32, up: bool, alias: Option<&str>) -> io::Result<()> {
        let mut message = link(index);
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up {
            LinkFlags::Up
        } else {
            LinkFlags::empty()
        };
        let alias = alias.map(|alias| LinkAttribute::IfAlias(alias.to_owned()));
        message.attributes.extend(alias);
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
