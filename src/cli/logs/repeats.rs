//! Consecutive attempts that differ only in times and bytes: shown once, with their number.

use crate::audit::reader::{RecordedAttempt, Told};

/// What was told last, with how often, as long as the next may be like it. By the place of its
/// container.
#[derive(Debug, Default)]
pub(super) struct Repeats(Option<(usize, Told, u64)>);

impl Repeats {
    /// Takes what is told next. Gives what came before it, unless this is the same again.
    pub(super) fn next(&mut self, place: usize, told: Told) -> Option<(usize, Told, u64)> {
        if let (Some((before, Told::Attempt(known), count)), Told::Attempt(attempt)) =
            (&mut self.0, &told)
            && *before == place
            && alike(known, attempt)
        {
            add(known, attempt);
            *count += 1;
            return None;
        }
        self.0.replace((place, told, 1))
    }

    /// The last.
    pub(super) fn last(&mut self) -> Option<(usize, Told, u64)> {
        self.0.take()
    }
}

/// Whether the line for people is the same, but for what [`add`] adds up. A flood's count is a sum
/// already.
fn alike(one: &RecordedAttempt, other: &RecordedAttempt) -> bool {
    let (a, b) = (&one.line, &other.line);
    one.standing == other.standing
        && a.count.is_none()
        && b.count.is_none()
        && (
            a.verdict,
            a.direction,
            a.protocol,
            a.port,
            a.number,
            a.ended,
            a.by,
        ) == (
            b.verdict,
            b.direction,
            b.protocol,
            b.port,
            b.number,
            b.ended,
            b.by,
        )
        && (&a.name, &a.address, &a.method, &a.path) == (&b.name, &b.address, &b.method, &b.path)
        && (&a.rule, &a.reason, &a.suggestion) == (&b.rule, &b.reason, &b.suggestion)
}

fn add(known: &mut RecordedAttempt, attempt: &RecordedAttempt) {
    let (sum, line) = (&mut known.line, &attempt.line);
    for (sum, more) in [
        (&mut sum.bytes_out, line.bytes_out),
        (&mut sum.bytes_in, line.bytes_in),
        (&mut sum.duration_ms, line.duration_ms),
    ] {
        if let Some(more) = more {
            *sum = Some(sum.unwrap_or_default().saturating_add(more));
        }
    }
    known.last.clone_from(&attempt.last);
}
