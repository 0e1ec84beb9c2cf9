//! Versions: which one is meant by what a person wrote, and whether a difference between profiles
//! was in force then.
//!
//! A release is three numbers, of which those that were left open are [`NEWEST`], beyond every patch
//! level that a range can name.

use serde::Deserialize;

/// In place of a number: whatever is the newest.
const NEWEST: u32 = u32::MAX;

/// A release of an engine: its three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Release([u32; 3]);

impl Release {
    /// The release that is meant, of an engine whose lines (`20.10`, `29`) are these, from the
    /// oldest. `None`: there is none.
    pub(super) fn find(lines: &[&str], asked: Option<&str>) -> Option<Self> {
        let known: Vec<_> = lines.iter().filter_map(|line| numbers(line)).collect();
        let Some(asked) = asked else {
            return Some(Self::newest_of(known.last().map_or(&[], Vec::as_slice)));
        };
        let asked = numbers(asked.strip_prefix('v').unwrap_or(asked))?;
        if known.iter().any(|line| asked.starts_with(line)) {
            return Some(Self::newest_of(&asked));
        }
        known
            .iter()
            .rfind(|line| line.starts_with(&asked))
            .map(|line| Self::newest_of(line))
    }

    fn newest_of(line: &[u32]) -> Self {
        Self::padded(line, NEWEST)
    }

    fn padded(numbers: &[u32], with: u32) -> Self {
        let mut padded = [with; 3];
        for (place, number) in padded.iter_mut().zip(numbers) {
            *place = *number;
        }
        Self(padded)
    }
}

/// Releases in a row: `20.10.22` (just that one; `1.6` is its whole line), `23.0 to 29.4.1` (both
/// included), `29.4.2 on`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Range {
    from: Vec<u32>,
    to: Option<Vec<u32>>,
}

impl Range {
    /// Whether a release is one of them.
    pub(super) fn holds(&self, release: Release) -> bool {
        let begun = release.0 >= Release::padded(&self.from, 0).0;
        let over = self
            .to
            .as_ref()
            .is_some_and(|to| release.0.get(..to.len()) > Some(to));
        begun && !over
    }
}

impl TryFrom<String> for Range {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bound =
            |version: &str| numbers(version).ok_or_else(|| format!("{version:?} is not a version"));
        match text.split(' ').collect::<Vec<_>>()[..] {
            [only] => bound(only).map(|only| Self {
                from: only.clone(),
                to: Some(only),
            }),
            [from, "on"] => Ok(Self {
                from: bound(from)?,
                to: None,
            }),
            [from, "to", to] => Ok(Self {
                from: bound(from)?,
                to: Some(bound(to)?),
            }),
            _ => Err(format!("{text:?} is not a range of versions")),
        }
    }
}

/// One to three numbers with dots between, written without signs and leading zeros.
fn numbers(text: &str) -> Option<Vec<u32>> {
    let number = |part: &str| {
        part.parse()
            .ok()
            .filter(|number: &u32| number.to_string() == part)
    };
    let numbers = text.split('.').map(number).collect::<Option<Vec<_>>>()?;
    (numbers.len() <= 3).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 4] = ["20.10", "26.0", "26.1", "29"];

    fn find(asked: &str) -> Option<[u32; 3]> {
        Release::find(&LINES, Some(asked)).map(|release| release.0)
    }

    #[test]
    fn a_version_is_understood_as_people_write_it() {
        assert_eq!(find("20.10.24"), Some([20, 10, 24]));
        assert_eq!(find("v20.10.24"), Some([20, 10, 24]));
        assert_eq!(find("20.10"), Some([20, 10, NEWEST]));
        assert_eq!(find("20"), Some([20, 10, NEWEST]));
        assert_eq!(find("26"), Some([26, 1, NEWEST]));
        assert_eq!(find("29.4"), Some([29, 4, NEWEST]));
        assert_eq!(
            Release::find(&LINES, None),
            Some(Release([29, NEWEST, NEWEST]))
        );
    }

    #[test]
    fn what_is_no_version_of_a_known_line_is_none() {
        let none = [
            "",
            "v",
            "2",
            "17",
            "26.2",
            "30",
            "abc",
            "25.0.13.1",
            "20.10.",
            ".20.10",
            "+20.10",
            "020.10",
            "20.10-rc",
        ];
        for asked in none.into_iter().chain([
            "20 .10",
            "20.10.4294967296",
            "vv20.10",
            "V20.10",
            "20.10\n",
            "٢٩",
        ]) {
            assert_eq!(find(asked), None, "{asked:?}");
        }
    }

    #[test]
    fn an_engine_without_lines_has_no_version_but_the_newest() {
        assert!(Release::find(&[], None).is_some());
        assert_eq!(Release::find(&[], Some("5")), None);
    }

    #[test]
    fn a_range_ends_where_it_says() {
        let holds = |range: &str, asked: &str| {
            let release = Release::find(&LINES, Some(asked)).unwrap();
            Range::try_from(range.to_owned()).unwrap().holds(release)
        };
        assert!(holds("20.10.22", "20.10.22"));
        assert!(!holds("20.10.22", "20.10.21"));
        assert!(!holds("20.10.22", "20.10.23"));
        assert!(!holds("20.10.22", "20.10"));
        assert!(holds("20.10.4 to 20.10", "20.10.4"));
        assert!(holds("20.10.4 to 20.10", "20.10"));
        assert!(!holds("20.10.4 to 20.10", "20.10.3"));
        assert!(!holds("20.10.4 to 20.10", "26.0"));
        assert!(holds("26.0 to 29.4.1", "29.4.1"));
        assert!(!holds("26.0 to 29.4.1", "29.4.2"));
        assert!(!holds("26.0 to 29.4.1", "29.4"));
        assert!(holds("26.1 on", "26.1.0"));
        assert!(holds("26.1 on", "29"));
        assert!(!holds("26.1 on", "26.0"));
        assert!(holds("26.0", "26.0.2"));
        assert!(!holds("26.0", "26.1.0"));
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        for text in [
            "",
            "on",
            "20.10 to",
            "to 20.10",
            "20.10  on",
            "20.10 on 3",
            "1 to x",
        ] {
            assert!(Range::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
