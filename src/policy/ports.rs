//! Sets of ports: the value of `port=`, and what the gateway captures. Knows nothing of rules.
//!
//! Invariant: ranges are inclusive, sorted and disjoint, because the gateway's ruleset rejects
//! overlaps.

/// Ports whose traffic the gateway hands to the proxy; every other port is refused by the kernel at
/// once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedPorts {
    /// TCP port ranges, inclusive, sorted, disjoint. 80 and 443 are always in it (their denials
    /// explain themselves).
    pub tcp: Vec<(u16, u16)>,
    /// UDP port ranges, inclusive, sorted, disjoint. 53 is not in it: DNS is always captured.
    pub udp: Vec<(u16, u16)>,
}

impl CapturedPorts {
    /// These and those of another.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let both = |one: &[(u16, u16)], other: &[(u16, u16)]| merge([one, other].concat());
        Self {
            tcp: both(&self.tcp, &other.tcp),
            udp: both(&self.udp, &other.udp),
        }
    }
}

/// A set of ports, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// Reads `22`, `80,443` or `1-1024,8080`.
    pub(super) fn parse(value: &str) -> Result<Self, String> {
        let ranges = value.split(',').map(range).collect::<Result<_, _>>()?;
        Ok(Self(merge(ranges)))
    }

    pub(super) fn contains(&self, port: u16) -> bool {
        self.0
            .iter()
            .any(|&(first, last)| (first..=last).contains(&port))
    }

    /// Whether all of this range is in it.
    pub(super) fn has_all(&self, (first, last): (u16, u16)) -> bool {
        self.0.iter().any(|&(from, to)| from <= first && last <= to)
    }

    pub(super) fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }
}

fn range(item: &str) -> Result<(u16, u16), String> {
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        (Some(first), Some(last)) => Err(format!(
            "the range {first}-{last} is empty: write {last}-{first}"
        )),
        _ => Err(
            "a port is a number from 1 to 65535, a range is like 1-1024, a list is like 80,443"
                .to_owned(),
        ),
    }
}

/// Stricter than `str::parse`, which takes `+80`.
fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

/// Sorts ranges and joins those that overlap or touch.
pub(super) fn merge(mut ranges: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(previous) if first <= previous.1.saturating_add(1) => {
                previous.1 = previous.1.max(last)
            }
            _ => merged.push((first, last)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_and_ranges_become_sorted_and_disjoint() {
        for (text, ranges) in [
            ("22", vec![(22, 22)]),
            ("443,80", vec![(80, 80), (443, 443)]),
            ("1-1024,80,1025", vec![(1, 1025)]),
            ("65535,1-65534", vec![(1, 65535)]),
            ("10-20,15-30,5", vec![(5, 5), (10, 30)]),
        ] {
            assert_eq!(Ports::parse(text).unwrap().ranges(), ranges, "{text}");
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "", "0", "65536", "+80", "80,", ",80", "80-", "-80", "90-80", "1-2-3", "http", "8 0",
            "0-80",
        ] {
            assert!(Ports::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn merging_keeps_every_port_and_adds_none(
            ranges in proptest::collection::vec((0u16..300, 0u16..20).prop_map(|(first, more)| (first, first + more)), 0..8),
            port in 0u16..400,
        ) {
            let merged = merge(ranges.clone());
            let held = |set: &[(u16, u16)]| set.iter().any(|&(first, last)| (first..=last).contains(&port));
            prop_assert_eq!(held(&merged), held(&ranges));
            prop_assert!(merged.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
