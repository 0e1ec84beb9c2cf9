//! A record's attempts and events as lines for people. Invariant: the texts were escaped before.

use std::ffi::OsStr;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use super::zone::Zone;
use crate::audit::line::{Ended, Event, Line, Side, with_path};
use crate::audit::reader::{RecordedAttempt, Standing, Told};
use crate::audit::{Direction, Kind};

/// Whether verdicts have colours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    /// On a terminal only, and not where the user wants none (`NO_COLOR`, set to anything).
    pub(super) fn if_wanted(terminal: bool, no_color: Option<&OsStr>) -> Self {
        Self(terminal && no_color.is_none_or(OsStr::is_empty))
    }

    fn verdict(self, denied: bool) -> &'static str {
        match (self.0, denied) {
            (true, true) => "\x1b[31mDENY\x1b[0m ",
            (true, false) => "\x1b[32mALLOW\x1b[0m",
            (false, true) => "DENY ",
            (false, false) => "ALLOW",
        }
    }
}

/// One line. `who` is the container, where several are shown.
pub(super) fn line(
    told: &Told,
    who: Option<&str>,
    repeated: u64,
    zone: Zone,
    paint: Paint,
) -> String {
    let who = who.map(|id| format!("{id} ")).unwrap_or_default();
    match told {
        Told::Attempt(attempt) => {
            format!(
                "{} {who}{}",
                zone.exact(&attempt.line.time),
                self::attempt(attempt, repeated, zone, paint)
            )
        }
        Told::Event(line) => format!("{} {who}{}", zone.exact(&line.time), event(line)),
        Told::Other(text) => format!("{who}{text}"),
    }
}

/// `DENY https evil.test (192.0.2.1:443): no rule allows it; would be allowed by domain=evil.test`.
fn attempt(attempt: &RecordedAttempt, repeated: u64, zone: Zone, paint: Paint) -> String {
    let line = &attempt.line;
    let mut text = paint.verdict(attempt.denied()).to_owned();
    push(&mut text, " ", line.protocol.map(Kind::word));
    push(&mut text, " ", line.number);
    if line.direction == Some(Direction::In) {
        text.push_str(" inbound");
        push(&mut text, " from ", line.source);
        text.push_str(" to");
    }
    push(&mut text, " ", line.method.as_deref());
    push(&mut text, " ", target(line).as_deref());
    push(&mut text, " by ", line.rule.as_deref());
    push(&mut text, ": ", line.reason.as_deref());
    push(
        &mut text,
        "; would be allowed by ",
        line.suggestion.as_deref(),
    );
    if let Some(count) = line.count {
        let ports = if line.port == Some(0) {
            ", on several ports"
        } else {
            ""
        };
        push(
            &mut text,
            "",
            Some(format!(" (the first of {count} counted together{ports})")),
        );
    }
    let remarks = remarks(attempt).join(", ");
    push(
        &mut text,
        " ",
        (!remarks.is_empty()).then(|| format!("[{remarks}]")),
    );
    if repeated > 1 {
        push(
            &mut text,
            "",
            Some(format!(" ×{repeated}, until {}", zone.exact(&attempt.last))),
        );
    }
    text
}

fn push(text: &mut String, before: &str, part: Option<impl std::fmt::Display>) {
    if let Some(part) = part {
        let _ = write!(text, "{before}{part}");
    }
}

fn target(line: &Line) -> Option<String> {
    let address = line
        .address
        .map(|address| SocketAddr::new(address, line.port.unwrap_or_default()));
    let path = line.path.as_deref().unwrap_or_default();
    match (&line.name, address) {
        (Some(name), Some(address)) => Some(format!("{} ({address})", with_path(name, path))),
        (Some(name), None) => Some(with_path(name, path)),
        (None, Some(address)) => Some(with_path(&address.to_string(), path)),
        (None, None) => line
            .flow
            .map(|flow| format!("attempt {flow} (its beginning is not in the record)")),
    }
}

/// How far it is, where it isn't over in order, and what it took.
fn remarks(attempt: &RecordedAttempt) -> Vec<String> {
    let line = &attempt.line;
    let mut remarks = Vec::new();
    match attempt.standing {
        Standing::Open => remarks.push("open".to_owned()),
        Standing::Cut => remarks.push("cut".to_owned()),
        Standing::Over => {
            let by = line
                .by
                .map(|side| format!(" by the {}", side_word(side)))
                .unwrap_or_default();
            remarks.extend(
                line.ended
                    .and_then(out_of_order)
                    .map(|how| format!("{how}{by}")),
            );
        }
    }
    let (out, inward) = (
        line.bytes_out.unwrap_or_default(),
        line.bytes_in.unwrap_or_default(),
    );
    if out > 0 || inward > 0 {
        remarks.push(format!("{} out, {} in", size(out), size(inward)));
    }
    if !attempt.denied() {
        remarks.extend(line.duration_ms.map(duration));
    }
    remarks
}

/// Silence ends every flow of UDP, and of a connection from outside no end is ever told.
fn out_of_order(ended: Ended) -> Option<&'static str> {
    match ended {
        Ended::Closed | Ended::Idle | Ended::Untracked => None,
        Ended::Reset => Some("reset"),
        Ended::Unreachable => Some("unreachable"),
        Ended::Cut => Some("cut"),
    }
}

fn side_word(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
        Side::Gateway => "gateway",
    }
}

fn event(line: &Line) -> String {
    match line.event {
        Event::Start => format!("START {}", start(line)),
        Event::Stop => format!("STOP  {}", stop(line)),
        _ => format!("NOTE  {}", line.notice.as_deref().unwrap_or_default()),
    }
}

/// `web (nginx:1), policy default (enforce, intercepts TLS), boundary-shim 0.1.0`.
fn start(line: &Line) -> String {
    let about = line.gateway.as_deref().cloned().unwrap_or_default();
    let who = about.identity.name.as_deref().unwrap_or(&line.container);
    let image = about
        .identity
        .image
        .map(|image| format!(" ({image})"))
        .unwrap_or_default();
    let (policy, mode, program) = (about.policy, about.mode, about.program);
    let intercepts = if about.intercepts {
        ", intercepts TLS"
    } else {
        ""
    };
    format!("{who}{image}, policy {policy} ({mode}{intercepts}), boundary-shim {program}")
}

/// `gateway ended (the gateway was killed): 12 allowed, 3 denied, 1.2 MiB out, 3.4 MiB in`.
fn stop(line: &Line) -> String {
    let mut text = "gateway ended".to_owned();
    if let Some(reason) = &line.reason {
        push(&mut text, " ", Some(format!("({reason})")));
    }
    if let Some(sums) = line.totals {
        let (out, inward) = (size(sums.bytes_out), size(sums.bytes_in));
        push(
            &mut text,
            ": ",
            Some(format!(
                "{} allowed, {} denied, {out} out, {inward} in",
                sums.allowed, sums.denied
            )),
        );
    }
    text
}

/// `512 B`, `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        // A tenth less than there is rather than one that isn't there.
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, (bytes % unit) * 10 / unit),
        None => format!("{bytes} B"),
    }
}

fn duration(milliseconds: u64) -> String {
    if milliseconds < 10_000 {
        return format!("{milliseconds} ms");
    }
    humantime::format_duration(Duration::from_secs(milliseconds / 1000)).to_string()
}
