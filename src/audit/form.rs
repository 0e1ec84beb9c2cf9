//! The form that a record's lines are written in: JSON for programs (RECORD.md), or text for people
//! who know coder/boundary's log, whose requests have the same words there.

use std::fmt::Write;

use log::{Level, LevelFilter};

use super::line::{Line, RecordedVerdict, render};
use super::requested::Requested;

/// A form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// Every line, as JSON.
    #[default]
    Json,
    /// A line of text for what was judged, if it is at least so grave: denials and notices are warnings,
    /// what was allowed is information. Other lines aren't written.
    Text(LevelFilter),
}

impl Form {
    /// A line without its end; nothing of one that isn't to be written.
    pub(super) fn render(self, line: Line) -> Vec<u8> {
        match self {
            Self::Json => render(line),
            Self::Text(most) => text(&line, most).unwrap_or_default().into_bytes(),
        }
    }
}

/// A line as Go's slog writes it.
fn text(line: &Line, most: LevelFilter) -> Option<String> {
    let (level, message) = match (line.verdict, &line.notice) {
        (Some(RecordedVerdict::Allow), _) => (Level::Info, "ALLOW"),
        (Some(RecordedVerdict::Deny), _) => (Level::Warn, "DENY"),
        (None, Some(notice)) => (Level::Warn, notice.as_str()),
        (None, None) => return None,
    };
    if level > most {
        return None;
    }
    let mut out = format!("time={} level={level}", line.time);
    let mut say = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            // Never fails: it is memory.
            let _ = write!(out, " {key}={}", quoted(value));
        }
    };
    say("msg", Some(message));
    match Requested::of(line) {
        Some(asked) => {
            say("method", Some(&asked.method));
            say("url", Some(&asked.url));
            say("host", Some(&asked.host));
        }
        None => {
            let address = line.address.map(|address| address.to_string());
            let port = line.port.filter(|port| *port != 0);
            say("protocol", line.protocol.map(|kind| kind.word()));
            say("host", line.name.as_deref().or(address.as_deref()));
            say("port", port.map(|port| port.to_string()).as_deref());
        }
    }
    say("rule", line.rule.as_deref());
    say("reason", line.reason.as_deref());
    say("would_allow", line.suggestion.as_deref());
    say(
        "count",
        line.count.map(|count| count.to_string()).as_deref(),
    );
    Some(out)
}

/// A value as it is, or in quotation marks where its end or its key could be mistaken.
fn quoted(value: &str) -> String {
    let plain = !value.is_empty() && !value.contains([' ', '=', '"']);
    if plain {
        value.to_owned()
    } else {
        format!("{value:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Event;
    use super::super::record::Kind;
    use super::*;

    fn line(verdict: RecordedVerdict) -> Line {
        Line {
            protocol: Some(Kind::Http),
            verdict: Some(verdict),
            name: Some("a.dev".to_owned()),
            port: Some(80),
            method: Some("GET".to_owned()),
            path: Some("/b=c".to_owned()),
            ..Line::new(Event::End, "2026-01-01T00:00:00.000Z".to_owned(), "c")
        }
    }

    fn said(line: Line, most: LevelFilter) -> String {
        String::from_utf8(Form::Text(most).render(line)).unwrap()
    }

    #[test]
    fn a_request_has_the_words_that_its_readers_know() {
        let rule = Some("domain=a.dev".to_owned());
        let allowed = Line {
            rule,
            ..line(RecordedVerdict::Allow)
        };
        assert_eq!(
            said(allowed, LevelFilter::Info),
            "time=2026-01-01T00:00:00.000Z level=INFO msg=ALLOW method=GET url=\"http://a.dev/b=c\" host=a.dev rule=\"domain=a.dev\""
        );
    }

    #[test]
    fn a_level_leaves_out_what_is_less_grave() {
        let shown = |verdict, most| !said(line(verdict), most).is_empty();
        use RecordedVerdict::{Allow, Deny};
        assert!(shown(Allow, LevelFilter::Debug) && shown(Allow, LevelFilter::Info));
        assert!(shown(Deny, LevelFilter::Warn) && !shown(Allow, LevelFilter::Warn));
        assert!(!shown(Deny, LevelFilter::Error));
        let update = Line::new(Event::Update, String::new(), "c");
        assert_eq!(said(update, LevelFilter::Debug), "");
    }

    #[test]
    fn what_is_no_request_is_said_by_its_protocol() {
        let dns = Line {
            protocol: Some(Kind::Dns),
            port: Some(53),
            reason: Some("no rule allows it".to_owned()),
            ..line(RecordedVerdict::Deny)
        };
        assert!(
            said(dns, LevelFilter::Warn)
                .ends_with("msg=DENY protocol=dns host=a.dev port=53 reason=\"no rule allows it\"")
        );
    }
}
