//! First segments of connections that nobody means to have: as many as go, and such as no kernel
//! sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use crate::link::{Frames, Link};
use crate::packets::{
    ACK, DESTINATION_OPTIONS, FIN, FRAGMENT, HOP_BY_HOP, MORE_FRAGMENTS, ROUTING, RST, SYN, TCP,
    V4, ip, tcp, transport_checksum, v6, v6_fragment, v6_options,
};

/// Each from a port of its own.
const FIRST_PORT: u16 = 10_000;
const PORTS: u32 = 50_000;

/// So many, each of another connection. Nobody takes the answers.
pub(crate) fn flood(target: SocketAddr, count: u32) -> anyhow::Result<()> {
    let link = Link::look("eth0")?;
    let (own, frames) = (link.own(target.ip())?, link.open()?);
    let start = Instant::now();
    for number in 0..count {
        let source = FIRST_PORT + u16::try_from(number % PORTS)?;
        let to = SocketAddr::new(target.ip(), target.port() + u16::try_from(number / PORTS)?);
        let segment = tcp((own, source).into(), to, SYN, (number, 0), b"");
        frames.send(&ip(own, to.ip(), TCP, &segment))?;
    }
    println!("{count} in {} ms", start.elapsed().as_millis());
    Ok(())
}

/// One to each address, past whatever the container's own kernel thinks of it.
pub(crate) fn one_each(targets: &[SocketAddr]) -> anyhow::Result<()> {
    let link = Link::look("eth0")?;
    let frames = link.open()?;
    for (port, target) in (FIRST_PORT..).zip(targets) {
        let own = link.own(target.ip())?;
        let segment = tcp((own, port).into(), *target, SYN, (1, 0), b"");
        frames.send(&ip(own, target.ip(), TCP, &segment))?;
    }
    Ok(())
}

/// Every kind that was thought of, with a secret where there is room for one.
pub(crate) fn odd(target: SocketAddr, secret: &str) -> anyhow::Result<()> {
    let link = Link::look("eth0")?;
    let own = link.own(target.ip())?;
    let odd = Odd {
        frames: link.open()?,
        own,
        target,
        secret: secret.as_bytes(),
    };
    odd.segments()?;
    odd.ends(&link)?;
    match (own, target.ip()) {
        (IpAddr::V4(own), IpAddr::V4(to)) => odd.in_v4(own, to),
        (IpAddr::V6(own), IpAddr::V6(to)) => odd.in_v6(own, to),
        _ => unreachable!("own address is of the target's family"),
    }
}

struct Odd<'words> {
    frames: Frames,
    own: IpAddr,
    target: SocketAddr,
    secret: &'words [u8],
}

impl Odd<'_> {
    /// What is odd in TCP itself.
    fn segments(&self) -> anyhow::Result<()> {
        // An experimental option (RFC 6994), and a maximum segment size that nobody has.
        let mut options = vec![2, 4, 0x1e, 0x61, 254, u8::try_from(2 + self.secret.len())?];
        options.extend(self.secret);
        for (port, options, data) in [
            (50_101, &options[..], &b""[..]),
            (50_102, b"", self.secret),
            (50_103, &options, self.secret),
            // Ends of the list, and lengths that lead nowhere.
            (50_104, &[0; 40], b""),
            (50_105, &[254, 0, 254, 1, 2, 255, 3, 3], b""),
        ] {
            self.send(&self.segment(port, SYN, options, data))?;
        }
        let (ece, cwr) = (0x40, 0x80);
        for (port, flags) in
            (50_110..).zip([SYN | ece | cwr, SYN | FIN, SYN | RST, SYN | ACK | FIN, 0xff])
        {
            self.send(&self.segment(port, flags, b"", self.secret))?;
        }
        let whole = self.segment(50_120, SYN, b"", b"");
        // A wrong checksum; headers that say they are shorter and longer than they can be; half of
        // one.
        for (place, value) in [(16, !whole[16]), (12, 0x10), (12, 0xf0)] {
            let mut broken = whole.clone();
            broken[place] = value;
            self.send(&broken)?;
        }
        self.send(&whole[..8])
    }

    /// Sources and destinations that a client doesn't have.
    fn ends(&self, link: &Link) -> anyhow::Result<()> {
        let (own, to) = (self.own, self.target);
        let neighbour = match own {
            IpAddr::V4(own) => IpAddr::V4(Ipv4Addr::from(u32::from(own) ^ 1)),
            IpAddr::V6(own) => IpAddr::V6(Ipv6Addr::from(u128::from(own) ^ 1)),
        };
        // As the kernel makes it of the hardware address (RFC 4291, appendix A).
        let [a, b, c, d, e, f] = link.mac.map(u16::from);
        let link_local = Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            (a ^ 2) << 8 | b,
            c << 8 | 0xff,
            0xfe00 | d,
            e << 8 | f,
        );
        for (from, to) in [
            // To itself, from the very same end.
            ((own, to.port()), (own, to.port())),
            ((neighbour, 50_130), (to.ip(), to.port())),
            ((to.ip(), to.port()), (to.ip(), to.port())),
            ((own, 0), (to.ip(), to.port())),
            ((own, 50_131), (to.ip(), 0)),
            ((link_local.into(), 50_132), (to.ip(), to.port())),
        ] {
            if from.0.is_ipv4() == to.0.is_ipv4() {
                let segment = tcp(from.into(), to.into(), SYN, (1, 0), self.secret);
                self.frames.send(&ip(from.0, to.0, TCP, &segment))?;
            }
        }
        Ok(())
    }

    fn in_v4(&self, own: Ipv4Addr, to: Ipv4Addr) -> anyhow::Result<()> {
        let plain = V4::new(own, to, TCP);
        let [a, b, c, d] = to.octets();
        for (port, options) in [
            // Record route, timestamps, loose and strict source routes, a router alert.
            (50_140, vec![7, 7, 4, 0, 0, 0, 0, 0]),
            (50_141, vec![68, 8, 5, 0, 0, 0, 0, 0]),
            (50_142, vec![131, 7, 4, a, b, c, d, 0]),
            (50_143, vec![137, 7, 4, a, b, c, d, 0]),
            (50_144, vec![148, 4, 0, 0]),
            (50_145, vec![255, 0, 0, 0]),
        ] {
            let packet = V4 {
                options,
                ..plain.clone()
            };
            self.frames
                .send(&packet.around(&self.segment(port, SYN, b"", self.secret)))?;
        }
        let one_hop = V4 {
            ttl: 1,
            ..plain.clone()
        };
        self.frames
            .send(&one_hop.around(&self.segment(50_146, SYN, b"", self.secret)))?;
        // In two pieces; the second alone; and one that overlaps the first.
        let whole = self.segment(50_147, SYN, b"", &[self.secret, &[0; 8]].concat());
        let piece = |fragment: u16, id: u16, payload: &[u8]| {
            let packet = V4 {
                fragment,
                id,
                ..plain.clone()
            };
            packet.around(payload)
        };
        self.frames.send(&piece(MORE_FRAGMENTS, 1, &whole[..16]))?;
        self.frames.send(&piece(2, 1, &whole[16..]))?;
        self.frames.send(&piece(2, 2, &whole[16..]))?;
        self.frames.send(&piece(MORE_FRAGMENTS, 3, &whole[..16]))?;
        self.frames.send(&piece(1, 3, &whole[8..]))
    }

    fn in_v6(&self, own: Ipv6Addr, to: Ipv6Addr) -> anyhow::Result<()> {
        let segment = |port| self.segment(port, SYN, b"", self.secret);
        // Unknown options that are to be skipped (30) and complained about (158), and the option
        // for a home address (201), which stands for the source.
        for (port, header, option) in [
            (50_150, HOP_BY_HOP, 30),
            (50_151, HOP_BY_HOP, 158),
            (50_152, DESTINATION_OPTIONS, 30),
            (50_153, DESTINATION_OPTIONS, 201),
        ] {
            let payload = v6_options(TCP, option, self.secret, &segment(port));
            self.frames.send(&v6(own, to, header, 64, &payload))?;
        }
        // A route by way of somebody else (type 0), and one that has been gone (segments left: 0).
        for (port, left) in [(50_154, 1), (50_155, 0)] {
            let mut payload = vec![TCP, 2, 0, left, 0, 0, 0, 0];
            payload.extend(to.octets());
            payload.extend(segment(port));
            self.frames.send(&v6(own, to, ROUTING, 64, &payload))?;
        }
        let whole = self.segment(50_156, SYN, b"", &[self.secret, &[0; 8]].concat());
        // In one piece that says it is one; in two; the second alone.
        for (offset, part) in [(0, &whole[..]), (1, &whole[..16]), (16, &whole[16..])] {
            let payload = v6_fragment(TCP, offset, part);
            self.frames.send(&v6(own, to, FRAGMENT, 64, &payload))?;
        }
        let mut together = v6_fragment(TCP, 1, &whole[..16]);
        self.frames.send(&v6(own, to, FRAGMENT, 64, &together))?;
        let number = together[4..8].to_vec();
        together = v6_fragment(TCP, 16, &whole[16..]);
        together.splice(4..8, number);
        self.frames.send(&v6(own, to, FRAGMENT, 64, &together))
    }

    /// To the target, with a right checksum.
    fn segment(&self, port: u16, flags: u8, options: &[u8], data: &[u8]) -> Vec<u8> {
        let mut options = options.to_vec();
        while !options.len().is_multiple_of(4) {
            options.push(1);
        }
        let from = (self.own, port).into();
        let mut segment = tcp(from, self.target, flags, (1, 0), b"");
        let words = 5 + u8::try_from(options.len() / 4).expect("a few options");
        segment[12] = words << 4;
        segment.extend(options);
        segment.extend(data);
        segment.splice(16..18, [0, 0]);
        let sum = transport_checksum(self.own, self.target.ip(), TCP, &segment).to_be_bytes();
        segment.splice(16..18, sum);
        segment
    }

    fn send(&self, segment: &[u8]) -> anyhow::Result<()> {
        self.frames
            .send(&ip(self.own, self.target.ip(), TCP, segment))
    }
}
