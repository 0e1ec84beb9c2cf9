//! The host's time zone, for people.

#![expect(unsafe_code, reason = "localtime_r(3)")]

use std::mem::MaybeUninit;

/// How many seconds the host's clocks are ahead of UTC at a moment, in seconds since 1970; none where the C library can't tell.
#[must_use]
pub fn ahead_of_utc(moment: i64) -> Option<i64> {
    let mut parts = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are of live values, the second of one that may be written; it gives null, or has written all of it.
    let told = unsafe { libc::localtime_r(&raw const moment, parts.as_mut_ptr()) };
    if told.is_null() {
        return None;
    }
    // SAFETY: not null, so it was written.
    Some(unsafe { parts.assume_init() }.tm_gmtoff)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_moment_that_no_year_holds_has_no_zone() {
        assert!(super::ahead_of_utc(0).is_some_and(|ahead| ahead.abs() <= 86_400));
        assert_eq!(super::ahead_of_utc(i64::MAX), None);
    }
}
