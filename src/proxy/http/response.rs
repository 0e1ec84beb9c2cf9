//! The answers that a client gets: the server's, or ours when there is none.
//!
//! Owns the words of a denial. Text from strangers (host, path, reason) goes into a body only after
//! [`clean`], and as `text/plain` that no browser may take for anything else.

use std::sync::Arc;

use http_body_util::{Either, Full};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{StatusCode, Version};

use super::accounting::{Accounting, Recorded};
use super::held::Passage;
use super::hop;
use super::target::BadRequest;
use crate::audit::Entry;
use crate::escape::clean;
use crate::policy::Denial;

/// What goes back to the client.
pub(super) type Reply = Response<Either<Recorded, Full<Bytes>>>;

/// The server's answer, without what was meant for the hop to us. The record ends with its body, or
/// the request's.
pub(super) fn passed_on(
    response: Response<Incoming>,
    passage: Passage,
    accounting: Arc<Accounting>,
    entry: Entry,
) -> Reply {
    let (mut parts, body) = response.into_parts();
    let close = hop::says(&parts.headers, "close") || parts.version < Version::HTTP_11;
    let body = Recorded::new(body, &parts, passage, accounting, entry);
    parts.headers = hop::end_to_end(parts.headers, false);
    parts.version = Version::HTTP_11;
    if close {
        // The client's connection lives as long as it would without us.
        parts
            .headers
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Response::from_parts(parts, Either::Left(body))
}

/// 403: the policy denies it.
pub(super) fn forbidden(method: &str, host: &str, path: &str, denial: &Denial) -> Reply {
    let mut text = format!(
        "denied: {} {}{}\nreason: {}\n",
        clean(method, REPEATED),
        clean(host, REPEATED),
        clean(path, REPEATED),
        clean(&denial.reason, REPEATED)
    );
    if let Some(rule) = &denial.suggestion {
        text.push_str(&format!(
            "a rule that would allow it: {}\n",
            clean(rule, REPEATED)
        ));
    }
    let mut reply = ours(StatusCode::FORBIDDEN, text);
    reply
        .headers_mut()
        .insert("x-boundary-denied", HeaderValue::from_static("1"));
    reply
}

/// 400: the request can't be decided about. Recorded as denied.
pub(super) fn bad_request(bad: BadRequest, entry: Entry) -> Reply {
    entry.deny(&Denial::because(bad.to_string()));
    ours(StatusCode::BAD_REQUEST, format!("denied: {bad}\n"))
}

/// 502: allowed, but there is no answer to pass on.
pub(super) fn bad_gateway(host: &str, problem: &str) -> Reply {
    ours(
        StatusCode::BAD_GATEWAY,
        format!(
            "allowed, but {} can't be reached: {}\n",
            clean(host, REPEATED),
            clean(problem, REPEATED)
        ),
    )
}

/// An answer of our own ends the connection: what follows on it may have been meant for another
/// server.
fn ours(status: StatusCode, text: String) -> Reply {
    let mut reply = Response::new(Either::Right(Full::from(text)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    reply.headers_mut().insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    reply
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// The most of a stranger's text that is repeated, in bytes. A host name has 253.
const REPEATED: usize = 256;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn text(reply: Reply) -> String {
        String::from_utf8(
            reply
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .to_vec(),
        )
        .unwrap()
    }

    #[tokio::test]
    async fn a_denial_names_the_attempt_the_reason_and_the_rule_to_add() {
        let denial = Denial {
            reason: "no rule allows it".to_owned(),
            rule: None,
            suggestion: Some("domain=evil.example".to_owned()),
        };
        let reply = forbidden("GET", "evil.example", "/x", &denial);
        assert_eq!(reply.status(), StatusCode::FORBIDDEN);
        let expected = "denied: GET evil.example/x\nreason: no rule allows it\na rule that would allow it: domain=evil.example\n";
        assert_eq!(text(reply).await, expected);
    }

    #[tokio::test]
    async fn hostile_text_is_printable_and_short_in_a_denial() {
        let denial = Denial::because("x");
        let reply = forbidden(
            "GET",
            "a\r\nb\u{1b}[2J\u{202e}é",
            &"/p".repeat(5000),
            &denial,
        );
        let text = text(reply).await;
        assert!(
            text.contains("a\\u{d}\\u{a}b\\u{1b}[2J\\u{202e}\\u{e9}"),
            "{text}"
        );
        assert!(text.len() < 600);
    }
}
