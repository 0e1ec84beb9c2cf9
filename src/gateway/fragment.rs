//! Fragments of IP packets: which packet one belongs to, and whether all of it has come. Pure; the
//! bytes are the container's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Pieces of one packet that are remembered. A datagram of the largest size in frames of the usual
/// size has 45.
const PIECES: usize = 64;

/// What the fragments of one packet have in common (RFC 791 3.2, RFC 8200 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Whole {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    identification: u32,
}

/// One fragment: which bytes of which packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Of which packet.
    pub whole: Whole,
    from: u32,
    to: u32,
    last: bool,
}

impl Fragment {
    /// Reads the head of a packet; none where it is whole.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::read_v4(packet),
            6 => Self::read_v6(packet),
            _ => None,
        }
    }

    /// Whether the message begins in it.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.from == 0
    }

    fn read_v4(packet: &[u8]) -> Option<Self> {
        let (place, length) = (number(packet, 6)?, number(packet, 2)?);
        let header = u32::from(packet.first()? & 0x0f) * 4;
        let address = |at: usize| {
            Some(IpAddr::V4(Ipv4Addr::from(
                *packet.get(at..)?.first_chunk::<4>()?,
            )))
        };
        let whole = Whole {
            source: address(12)?,
            destination: address(16)?,
            protocol: *packet.get(9)?,
            identification: number(packet, 4)?,
        };
        let (from, last) = ((place & 0x1fff) * 8, place & 0x2000 == 0);
        Self {
            whole,
            from,
            to: from + length.saturating_sub(header),
            last,
        }
        .or_whole()
    }

    fn read_v6(packet: &[u8]) -> Option<Self> {
        const FRAGMENT: u8 = 44;
        /// Hop-by-hop options, routing, destination options: they may come before it.
        const BEFORE: [u8; 3] = [0, 43, 60];
        let address = |at: usize| {
            Some(IpAddr::V6(Ipv6Addr::from(
                *packet.get(at..)?.first_chunk::<16>()?,
            )))
        };
        let (mut next, mut at) = (*packet.get(6)?, 40);
        while BEFORE.contains(&next) {
            (next, at) = (
                *packet.get(at)?,
                at + (usize::from(*packet.get(at + 1)?) + 1) * 8,
            );
        }
        if next != FRAGMENT {
            return None;
        }
        let (place, length) = (number(packet, at + 2)?, number(packet, 4)?);
        let whole = Whole {
            source: address(8)?,
            destination: address(24)?,
            protocol: *packet.get(at)?,
            identification: number(packet, at + 4)? << 16 | number(packet, at + 6)?,
        };
        let (from, last) = (place & 0xfff8, place & 1 == 0);
        let before = u32::try_from(at + 8 - 40).ok()?;
        Self {
            whole,
            from,
            to: from + length.saturating_sub(before),
            last,
        }
        .or_whole()
    }

    fn or_whole(self) -> Option<Self> {
        (self.from > 0 || !self.last).then_some(self)
    }
}

/// The pieces of one packet that have come.
#[derive(Debug, Default)]
pub struct Pieces {
    /// In order, none overlapping another.
    ranges: Vec<(u32, u32)>,
    end: Option<u32>,
    /// No kernel will put it together (RFC 5722), or we can't tell.
    spoilt: bool,
}

impl Pieces {
    /// Adds one; says whether all have come.
    pub fn add(&mut self, fragment: &Fragment) -> bool {
        let range = (fragment.from, fragment.to);
        let overlaps = self
            .ranges
            .iter()
            .any(|(from, to)| range.0 < *to && *from < range.1);
        let other_end = fragment.last && self.end.is_some_and(|end| end != fragment.to);
        self.spoilt |= overlaps || other_end || self.ranges.len() >= PIECES;
        if self.spoilt {
            return false;
        }
        if fragment.last {
            self.end = Some(fragment.to);
        }
        let place = self.ranges.partition_point(|other| *other < range);
        self.ranges.insert(place, range);
        let reached = self
            .ranges
            .iter()
            .try_fold(0, |reached, (from, to)| (reached == *from).then_some(*to));
        reached.is_some() && reached == self.end
    }
}

/// Two bytes, as they are on the wire.
fn number(packet: &[u8], at: usize) -> Option<u32> {
    Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The fragment of eights `from..to` of a packet over IPv4.
    fn v4(id: u8, from: u8, to: u8, last: bool) -> Fragment {
        let more = if last { 0 } else { 0x20 };
        let mut packet = vec![
            0x45,
            0,
            0,
            20 + (to - from) * 8,
            0,
            id,
            more,
            from,
            64,
            17,
            0,
            0,
        ];
        packet.extend([172, 17, 0, 2, 198, 51, 100, 7]);
        Fragment::read(&packet).unwrap()
    }

    #[test]
    fn a_whole_packet_is_no_fragment() {
        let mut packet = vec![
            0x45, 0, 0, 28, 0, 1, 0x40, 0, 64, 17, 0, 0, 172, 17, 0, 2, 198, 51, 100, 7,
        ];
        assert_eq!(Fragment::read(&packet), None);
        packet[0] = 0x65;
        packet.resize(48, 0);
        assert_eq!(Fragment::read(&packet), None);
    }

    #[test]
    fn a_fragment_is_found_behind_other_headers_of_ipv6() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 32, 60, 64];
        packet.extend([0xfd; 32]);
        packet.extend([44, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend([17, 0, 0, 17, 0, 0, 1, 2]);
        let fragment = Fragment::read(&packet).unwrap();
        assert_eq!((fragment.from, fragment.to, fragment.last), (16, 32, false));
        assert_eq!(
            (fragment.whole.protocol, fragment.whole.identification),
            (17, 0x102)
        );
    }

    #[test]
    fn a_packet_is_whole_when_all_pieces_have_come_in_whatever_order() {
        let mut pieces = Pieces::default();
        assert!(!pieces.add(&v4(1, 2, 4, true)));
        assert!(!pieces.add(&v4(1, 0, 1, false)));
        assert!(pieces.add(&v4(1, 1, 2, false)));
    }

    #[test]
    fn what_overlaps_or_has_two_ends_never_is() {
        for wrong in [v4(1, 0, 2, false), v4(1, 1, 3, false), v4(1, 1, 2, true)] {
            let mut pieces = Pieces::default();
            for fragment in [
                v4(1, 0, 2, false),
                v4(1, 3, 4, true),
                wrong,
                v4(1, 2, 3, false),
            ] {
                assert!(!pieces.add(&fragment), "{wrong:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 0..99)) {
            let mut pieces = Pieces::default();
            for mut packet in packets {
                packet.iter_mut().take(1).for_each(|first| *first = 0x40 | *first & 0x2f);
                Fragment::read(&packet).iter().for_each(|fragment| { pieces.add(fragment); });
            }
            prop_assert!(pieces.ranges.len() <= PIECES);
        }
    }
}
