//! Packets that nobody would think of: valid ones of every kind, changed at random. The same seed
//! gives the same packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::link::Link;
use crate::packets::{
    ACK, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, MORE_FRAGMENTS, SYN, TCP, UDP, V4, arp, dns_question,
    frame, icmp, ip, neighbour, tcp, udp, v6, v6_fragment, v6_options,
};

/// A frame's longest tail that mutation adds.
const TAIL: usize = 64;

/// Sends `count` packets that carry `secret`, claiming to come from the link's own addresses, from
/// `others`, and from anywhere.
pub(crate) fn run(seed: u64, count: u64, others: &[IpAddr], secret: &str) -> anyhow::Result<()> {
    let link = Link::look("eth0")?;
    let frames = link.open()?;
    let seeds = seeds(&link, others, secret.as_bytes())?;
    let mut random = SmallRng::seed_from_u64(seed);
    let mut refused = 0_u64;
    for _ in 0..count {
        let mut packet = seeds[random.random_range(0..seeds.len())].clone();
        mutate(&mut packet, &mut random);
        // The kernel refuses what is longer than the link takes.
        refused += u64::from(frames.send_frame(&packet).is_err());
    }
    println!("mutated: {} sent, {refused} refused", count - refused);
    anyhow::ensure!(refused < count / 2, "most were refused");
    Ok(())
}

/// One to four changes, and the IPv4 header's checksum made right half of the time: else most would
/// end there.
fn mutate(packet: &mut Vec<u8>, random: &mut SmallRng) {
    for _ in 0..random.random_range(1..=4) {
        // Headers are where decisions are made.
        let within = if random.random_bool(0.8) {
            packet.len().min(90)
        } else {
            packet.len()
        };
        let at = random.random_range(12..within);
        match random.random_range(0..7) {
            0 => packet[at] = random.random(),
            1 => packet[at] ^= 1 << random.random_range(0..8),
            2 => packet[at] = [0, 1, 0x7f, 0x80, 0xff][random.random_range(0..5)],
            3 => packet.truncate(at.max(15)),
            4 => packet.extend((0..random.random_range(1..TAIL)).map(|_| 0xa5_u8)),
            5 => {
                let byte = packet[at];
                packet.insert(at, byte);
            }
            // Lengths and addresses: two or four bytes at once.
            _ => {
                let end = (at + [2, 4][random.random_range(0..2)]).min(packet.len());
                random.fill(&mut packet[at..end]);
            }
        }
    }
    if random.random_bool(0.5) {
        right_checksum(packet);
    }
}

fn right_checksum(frame: &mut [u8]) {
    let Some(length) = frame
        .get(14)
        .filter(|first| **first >> 4 == 4)
        .map(|first| usize::from(first & 15) * 4)
    else {
        return;
    };
    let Some(header) = frame
        .get_mut(14..14 + length)
        .filter(|header| header.len() >= 20)
    else {
        return;
    };
    header[10..12].fill(0);
    let sum = crate::packets::checksum(&[header]).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
}

/// Valid frames of every kind, from every source and to every destination that might be treated in
/// its own way.
fn seeds(link: &Link, others: &[IpAddr], secret: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let own = [Some(IpAddr::V4(link.v4)), link.v6.map(IpAddr::V6)];
    let sources: Vec<IpAddr> = own
        .into_iter()
        .flatten()
        .chain(others.iter().copied())
        .collect();
    let far = [
        IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)),
        Ipv4Addr::new(198, 51, 100, 53).into(),
        Ipv4Addr::new(192, 0, 0, 8).into(),
        Ipv4Addr::new(224, 0, 0, 1).into(),
        link.gateway.into(),
        Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10).into(),
        Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x53).into(),
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
    ];
    let destinations: Vec<IpAddr> = far.into_iter().chain(others.iter().copied()).collect();
    let mut packets = vec![
        arp(1, (link.mac, link.v4), ([0; 6], link.gateway)),
        arp(2, (link.mac, link.v4), (link.gateway_mac, link.gateway)),
    ];
    for source in &sources {
        for destination in destinations
            .iter()
            .filter(|one| one.is_ipv4() == source.is_ipv4())
        {
            packets.extend(between(*source, *destination, secret));
            if let (IpAddr::V6(source), IpAddr::V6(destination)) = (source, destination) {
                packets.extend([135, 136].map(|kind| {
                    let message = neighbour(
                        (*source, *destination),
                        kind,
                        *destination,
                        link.mac,
                        secret,
                    );
                    v6(*source, *destination, ICMPV6, 255, &message)
                }));
            }
        }
    }
    let first = packets.first().context("packets")?.len();
    anyhow::ensure!(first >= 14, "a packet's length");
    Ok(packets
        .iter()
        .map(|packet| frame(link.mac, link.gateway_mac, packet))
        .collect())
}

/// What goes from one address to another: datagrams, questions, segments, ICMP, fragments, options.
fn between(source: IpAddr, destination: IpAddr, secret: &[u8]) -> Vec<Vec<u8>> {
    let at = |address: IpAddr, port: u16| SocketAddr::new(address, port);
    let text = String::from_utf8_lossy(secret);
    let name = format!("{text}.denied.test");
    let mut packets = Vec::new();
    for port in [7777, 443] {
        packets.push(ip(
            source,
            destination,
            UDP,
            &udp(at(source, 1111), at(destination, port), secret),
        ));
    }
    for name in [name.as_str(), "allowed.test"] {
        let question = dns_question(7, name);
        packets.push(ip(
            source,
            destination,
            UDP,
            &udp(at(source, 1111), at(destination, 53), &question),
        ));
    }
    for (port, flags) in [
        (80, SYN),
        (443, SYN),
        (7777, SYN),
        (80, ACK),
        (53, ACK | SYN),
    ] {
        let segment = tcp(
            at(source, 1111),
            at(destination, port),
            flags,
            (1, 1),
            secret,
        );
        packets.push(ip(source, destination, TCP, &segment));
    }
    packets.push(ip(source, destination, 253, secret));
    let datagram = udp(at(source, 1111), at(destination, 7777), secret);
    match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            for kind in [8, 3, 13, 17, 5] {
                let message = icmp((source, destination), (kind, 0), [0, 1, 0, 1], secret);
                packets.push(V4::new(from, to, ICMP).around(&message));
            }
            packets.push(
                V4 {
                    fragment: MORE_FRAGMENTS,
                    ..V4::new(from, to, UDP)
                }
                .around(&padded(&datagram)),
            );
            packets.push(
                V4 {
                    options: vec![7, 7, 4, 0, 0, 0, 0, 0],
                    ..V4::new(from, to, UDP)
                }
                .around(&datagram),
            );
            packets.push(
                V4 {
                    ttl: 1,
                    ..V4::new(from, to, UDP)
                }
                .around(&datagram),
            );
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            for kind in [128, 1, 2, 3, 130, 133] {
                let message = icmp((source, destination), (kind, 0), [0, 1, 0, 1], secret);
                packets.push(v6(from, to, ICMPV6, 255, &message));
            }
            packets.push(v6(
                from,
                to,
                FRAGMENT,
                64,
                &v6_fragment(UDP, 1, &padded(&datagram)),
            ));
            packets.push(v6(
                from,
                to,
                HOP_BY_HOP,
                64,
                &v6_options(UDP, 5, &[0, 0], &datagram),
            ));
            packets.push(v6(
                from,
                to,
                60,
                64,
                &v6_options(UDP, 1, &[0; 4], &datagram),
            ));
            packets.push(v6(from, to, UDP, 1, &datagram));
        }
        _ => {}
    }
    packets
}

/// Fragments' payloads but the last's are multiples of eight bytes.
fn padded(datagram: &[u8]) -> Vec<u8> {
    let mut padded = datagram.to_vec();
    padded.resize(datagram.len().next_multiple_of(8), 0);
    padded
}
