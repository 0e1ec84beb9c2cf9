//! `--since`, `--until` and `--denied`: which attempts to show.

use std::time::SystemTime;

use anyhow::{Context, Result};

use super::zone;
use crate::audit::reader::{RecordedAttempt, Standing};
use crate::escape::clean;

/// Which attempts are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::cli) struct Wanted {
    /// Only denied ones.
    pub(in crate::cli) denied: bool,
    /// Those of this time.
    pub(in crate::cli) period: Period,
}

impl Wanted {
    /// Whether an attempt is.
    pub(in crate::cli) fn has(&self, attempt: &RecordedAttempt) -> bool {
        // Of one that is under way the last isn't known yet.
        let last = if attempt.standing == Standing::Open {
            ""
        } else {
            &attempt.last
        };
        (attempt.denied() || !self.denied) && self.period.has(&attempt.line.time, last)
    }
}

/// From when to when; without a limit where none is given.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::cli) struct Period {
    since: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl Period {
    /// Reads both, each a time, or how long ago it is `now`.
    pub(in crate::cli) fn read(
        since: Option<&str>,
        until: Option<&str>,
        now: SystemTime,
    ) -> Result<Self> {
        let read = |text: Option<&str>| text.map(|text| read(text, now)).transpose();
        Ok(Self {
            since: read(since)?,
            until: read(until)?,
        })
    }

    /// Whether something that was seen at `first` and last heard of at `last` is in it. What
    /// doesn't say a time may be.
    pub(in crate::cli) fn has(&self, first: &str, last: &str) -> bool {
        let early_enough = |until| zone::moment(first).is_none_or(|first| first <= until);
        let late_enough = |since| zone::moment(last).is_none_or(|last| last >= since);
        self.until.is_none_or(early_enough) && self.since.is_none_or(late_enough)
    }
}

fn read(text: &str, now: SystemTime) -> Result<SystemTime> {
    let ago = || {
        humantime::parse_duration(text)
            .ok()
            .and_then(|ago| now.checked_sub(ago))
    };
    zone::parse(text).or_else(ago).with_context(|| {
        format!(
            "invalid time {}: expected how long ago (10m, 2h, 3d) or a time (2024-05-01T12:00:00Z)",
            clean(text, 64)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: [&str; 3] = [
        "2024-05-01T10:00:00.000Z",
        "2024-05-01T11:00:00.000Z",
        "2024-05-01T12:00:00.000Z",
    ];

    fn period(since: Option<&str>, until: Option<&str>) -> Period {
        Period::read(since, until, zone::parse("2024-05-01T12:30:00Z").unwrap()).unwrap()
    }

    #[test]
    fn what_was_under_way_in_it_is_in_it() {
        let [ten, eleven, noon] = TIMES;
        assert!(period(None, None).has(ten, ten));
        assert!(
            period(Some("1h"), None).has(ten, noon) && !period(Some("1h"), None).has(ten, eleven)
        );
        assert!(
            period(None, Some(eleven)).has(eleven, noon)
                && !period(None, Some("2h")).has(eleven, noon)
        );
        assert!(period(Some("90m"), Some("90m")).has(eleven, eleven));
        assert!(period(Some("1m"), Some("1m")).has("never", ""));
    }

    #[test]
    fn what_is_no_time_is_said() {
        for text in [
            "",
            "yesterday",
            "10",
            "-1h",
            "99999999999999999999999y",
            "\x1b[2J",
        ] {
            let said = Period::read(Some(text), None, SystemTime::now())
                .unwrap_err()
                .to_string();
            assert!(
                said.starts_with("invalid time ") && !said.contains('\x1b'),
                "{said}"
            );
        }
    }
}
