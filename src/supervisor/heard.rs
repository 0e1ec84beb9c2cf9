//! What the filter logs, on its way to the system's log.
//!
//! Invariant: the filter may have been taken over. Each message is marked as the filter's, and
//! their number per minute is limited.

use std::time::{Duration, Instant};

use log::Level;

/// Messages that are passed on in one minute.
const A_MINUTE: u32 = 100;

/// The filter's messages of this minute.
#[derive(Debug)]
pub(super) struct Heard {
    began: Instant,
    passed_on: u32,
    left_out: u32,
}

impl Heard {
    /// None so far.
    pub(super) fn nothing() -> Self {
        Self {
            began: Instant::now(),
            passed_on: 0,
            left_out: 0,
        }
    }

    /// Says what the filter says, or counts it.
    pub(super) fn pass_on(&mut self, level: Level, text: &str) {
        self.turn_to(Instant::now());
        if self.admit() {
            log::log!(level, "its filter: {text}");
        }
    }

    /// Ends the minute where it is over.
    fn turn_to(&mut self, now: Instant) {
        if now.saturating_duration_since(self.began) >= Duration::from_secs(60) {
            self.say_what_was_left_out();
            *self = Self {
                began: now,
                passed_on: 0,
                left_out: 0,
            };
        }
    }

    fn admit(&mut self) -> bool {
        let admitted = self.passed_on < A_MINUTE;
        if admitted {
            self.passed_on += 1;
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
        admitted
    }

    fn say_what_was_left_out(&self) {
        if self.left_out > 0 {
            log::warn!(
                "{} more messages from its filter were dropped, above {A_MINUTE} a minute",
                self.left_out
            );
        }
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.say_what_was_left_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_a_hundred_messages_and_the_next_has_its_own() {
        let mut heard = Heard::nothing();
        let start = heard.began;
        let mut admitted = |seconds| {
            heard.turn_to(start + Duration::from_secs(seconds));
            let admitted = (0..250).filter(|_| heard.admit()).count();
            (admitted, heard.left_out)
        };
        assert_eq!(admitted(0), (100, 150));
        assert_eq!(admitted(59), (0, 400));
        assert_eq!(admitted(60), (100, 150));
    }
}
