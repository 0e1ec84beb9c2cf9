//! Fragments of IP packets: which packet one belongs to, and whether all of it has arrived. Pure;
//! `ip` parses them, and nothing in them is trusted.

use std::net::IpAddr;

/// Pieces of one packet that are remembered. A datagram of the largest size in frames of the usual
/// size has 45.
const PIECES: usize = 64;

/// What the fragments of one packet have in common (RFC 791 3.2, RFC 8200 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Whole {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) identification: u32,
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
    /// One that begins at a byte and is so long; none where that is the whole packet.
    pub(super) fn new(whole: Whole, from: u16, length: usize, last: bool) -> Option<Self> {
        let from = u32::from(from);
        let fragment = Self {
            whole,
            from,
            to: from + u32::try_from(length).ok()?,
            last,
        };
        (from > 0 || !last).then_some(fragment)
    }

    /// Whether the message begins in it.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.from == 0
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The fragment of eights `from..to` of a packet.
    fn piece(from: u16, to: u16, last: bool) -> Fragment {
        let whole = Whole {
            source: "172.17.0.2".parse().unwrap(),
            destination: "198.51.100.7".parse().unwrap(),
            protocol: 17,
            identification: 1,
        };
        Fragment::new(whole, from * 8, usize::from(to - from) * 8, last).unwrap()
    }

    #[test]
    fn a_packet_is_whole_when_all_pieces_have_come_in_whatever_order() {
        let mut pieces = Pieces::default();
        assert!(!pieces.add(&piece(2, 4, true)));
        assert!(!pieces.add(&piece(0, 1, false)));
        assert!(pieces.add(&piece(1, 2, false)));
    }

    #[test]
    fn what_overlaps_or_has_two_ends_never_is() {
        for wrong in [piece(0, 2, false), piece(1, 3, false), piece(1, 2, true)] {
            let mut pieces = Pieces::default();
            for fragment in [
                piece(0, 2, false),
                piece(3, 4, true),
                wrong,
                piece(2, 3, false),
            ] {
                assert!(!pieces.add(&fragment), "{wrong:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_fragments_make_it_grow_without_bound(ranges in proptest::collection::vec((any::<u16>(), 0_usize..70_000, any::<bool>()), 0..99)) {
            let whole = piece(0, 1, false).whole;
            let mut pieces = Pieces::default();
            for (from, length, last) in ranges {
                if let Some(fragment) = Fragment::new(whole, from, length, last) {
                    pieces.add(&fragment);
                }
            }
            prop_assert!(pieces.ranges.len() <= PIECES);
        }
    }
}
