//! Local time, in the host's time zone.

use std::mem::MaybeUninit;
use std::time::SystemTime;

/// A moment within a year, in the host's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// From 0.
    pub month: u8,
    /// From 1.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
}

/// A moment in the host's time zone; none before 1970, or if the C library can't tell.
#[must_use]
pub fn local(moment: SystemTime) -> Option<Local> {
    let seconds = moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?
        .as_secs()
        .try_into()
        .ok()?;
    let parts = broken_down(seconds)?;
    let small = |number: libc::c_int| u8::try_from(number).ok();
    Some(Local {
        month: small(parts.tm_mon)?,
        day: small(parts.tm_mday)?,
        hour: small(parts.tm_hour)?,
        minute: small(parts.tm_min)?,
        second: small(parts.tm_sec)?,
    })
}

/// How many seconds the host's clocks are ahead of UTC at a moment, in seconds since 1970; none
/// where the C library can't tell.
#[must_use]
pub fn ahead_of_utc(moment: i64) -> Option<i64> {
    broken_down(moment).map(|parts| parts.tm_gmtoff)
}

#[expect(unsafe_code, reason = "localtime_r(3)")]
fn broken_down(moment: i64) -> Option<libc::tm> {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are of live values of the right kind, the second of one that may be
    // written; nothing in this program changes the environment (clippy.toml), which the C library
    // reads for the zone.
    let told = unsafe { libc::localtime_r(&raw const moment, parts.as_mut_ptr()) };
    if told.is_null() {
        return None;
    }
    // SAFETY: zeroed is a valid `tm` (numbers, and a pointer that may be null), and it was filled.
    Some(unsafe { parts.assume_init() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_is_told_in_the_hosts_zone() {
        // 2001-09-09T01:46:40Z. Zones differ by whole quarters of an hour, and by less than a day.
        let told = local(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
        assert_eq!((told.month, told.minute % 15, told.second), (8, 1, 40));
        assert!([8, 9].contains(&told.day));
        assert_eq!(local(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    fn a_moment_that_no_year_holds_has_no_zone() {
        assert!(ahead_of_utc(0).is_some_and(|ahead| ahead.abs() <= 86_400));
        assert_eq!(ahead_of_utc(i64::MAX), None);
    }
}
