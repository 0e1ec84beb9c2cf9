//! Shows times in UTC, as they are in the record, or in the host's zone; and parses both.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::clock;

/// In which zone times are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Zone {
    /// The host's, not UTC.
    pub(super) local: bool,
}

impl Zone {
    /// A record's time, with milliseconds. What is no time is shown as it is.
    pub(super) fn exact(self, time: &str) -> String {
        if self.local {
            in_zone(time, true).unwrap_or_else(|| time.to_owned())
        } else {
            time.to_owned()
        }
    }

    /// The same, in whole seconds.
    pub(super) fn short(self, time: &str) -> String {
        if self.local {
            in_zone(time, false)
        } else {
            moment(time).map(|moment| seconds(moment) + "Z")
        }
        .unwrap_or_else(|| time.to_owned())
    }
}

/// When a record's time was.
pub(super) fn moment(time: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(time).ok()
}

/// A time of RFC 3339, in whatever zone.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    if let Some(moment) = moment(text) {
        return Some(moment);
    }
    let (time, zone) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let number = |text: &str, most: u64| {
        text.parse::<u64>()
            .ok()
            .filter(|number| text.len() == 2 && *number < most)
    };
    let ahead = Duration::from_secs(number(hours, 24)? * 3600 + number(minutes, 60)? * 60);
    let there = moment(&format!("{time}Z"))?;
    match zone.as_bytes().first() {
        Some(b'+') => there.checked_sub(ahead),
        Some(b'-') => there.checked_add(ahead),
        _ => None,
    }
}

fn in_zone(time: &str, exact: bool) -> Option<String> {
    let moment = moment(time)?;
    let since_epoch = moment.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let ahead = clock::ahead_of_utc(i64::try_from(since_epoch).ok()?)?;
    let apart = Duration::from_secs(ahead.unsigned_abs());
    let there = if ahead < 0 {
        moment.checked_sub(apart)
    } else {
        moment.checked_add(apart)
    }?;
    let text = if exact {
        humantime::format_rfc3339_millis(there).to_string()
    } else {
        seconds(there)
    };
    let (sign, minutes) = (if ahead < 0 { '-' } else { '+' }, apart.as_secs() / 60);
    Some(format!(
        "{}{sign}{:02}:{:02}",
        text.trim_end_matches('Z'),
        minutes / 60,
        minutes % 60
    ))
}

fn seconds(moment: SystemTime) -> String {
    humantime::format_rfc3339_seconds(moment)
        .to_string()
        .trim_end_matches('Z')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_moment_in_every_zone() {
        let noon = parse("2024-05-01T12:00:00Z").unwrap();
        for text in [
            "2024-05-01T12:00:00.000Z",
            "2024-05-01T14:00:00+02:00",
            "2024-05-01T06:30:00-05:30",
        ] {
            assert_eq!(parse(text), Some(noon), "{text}");
        }
        for text in [
            "",
            "noon",
            "2024-05-01T12:00:00",
            "2024-05-01T12:00:00+2:00",
            "2024-05-01T12:00:00+25:00",
            "«+00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_in_the_hosts_zone_is_read_as_what_it_was() {
        let (time, zone) = ("2024-05-01T12:00:00.250Z", Zone { local: true });
        assert_eq!(parse(&zone.exact(time)), moment(time));
        assert_eq!(parse(&zone.short(time)), moment("2024-05-01T12:00:00Z"));
        assert_eq!(Zone { local: false }.exact(time), time);
        assert_eq!(Zone { local: false }.short(time), "2024-05-01T12:00:00Z");
        assert_eq!(zone.short("no time"), "no time");
    }
}
