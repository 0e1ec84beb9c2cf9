//! The time as people on this host read it.

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

/// A moment in the host's time zone (localtime_r(3)): none before 1970, or where the C library knows no answer.
#[must_use]
#[expect(unsafe_code, reason = "a call into the C library")]
pub fn local(moment: SystemTime) -> Option<Local> {
    let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs().try_into().ok()?;
    let mut broken_down = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both point to values of the right kind that outlive the call, and nothing in this program changes the
    // environment (clippy.toml), which the C library reads for the zone.
    let done = unsafe { libc::localtime_r(&raw const seconds, broken_down.as_mut_ptr()) };
    if done.is_null() {
        return None;
    }
    // SAFETY: zeroed is a valid `tm` (numbers, and a pointer that may be null), and it was filled.
    let tm = unsafe { broken_down.assume_init() };
    let small = |number: libc::c_int| u8::try_from(number).ok();
    Some(Local {
        month: small(tm.tm_mon)?,
        day: small(tm.tm_mday)?,
        hour: small(tm.tm_hour)?,
        minute: small(tm.tm_min)?,
        second: small(tm.tm_sec)?,
    })
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
}
