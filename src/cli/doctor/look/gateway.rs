//! Whether a gateway can be made: by making one.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;

use crate::gateway::{Gateway, NamespaceHandle, adopt};
use crate::packets::agreed::ProxyPorts;
use crate::policy::CapturedPorts;
use crate::sys::netns::Namespace;
use crate::sys::socket;

/// Creates what the start of a container creates: namespaces, ruleset, link, sockets. All of it is
/// gone when this returns.
pub(super) fn make_a_gateway() -> anyhow::Result<()> {
    let mut gateway = Gateway::create()?;
    let captured = CapturedPorts {
        tcp: vec![(80, 80), (443, 443)],
        udp: vec![(123, 123)],
    };
    let listener = gateway
        .side
        .namespace
        .inside(|| socket::listen_captured(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
    let port = listener
        .context("open a transparent socket")?
        .local_addr()?
        .port();
    gateway.enforce(
        &captured,
        ProxyPorts {
            tcp: port,
            udp: port,
        },
    )?;
    let mut container = NamespaceHandle::open(Namespace::create()?)?;
    adopt::private_link(&mut gateway, &mut container)?;
    Ok(())
}
