//! Answers of our own, where there is none of a server's.
//!
//! Owns the words of a denial. Text from strangers (host, path, reason) goes into a body only after
//! [`clean`], and as `text/plain` that no browser may take for anything else.

use crate::escape::clean;
use crate::policy::Denial;

/// 403: the policy denies it.
pub(in crate::proxy) fn forbidden(method: &str, host: &str, path: &str, denial: &Denial) -> Ours {
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
    Ours {
        status: "403 Forbidden",
        denied: true,
        text,
    }
}

/// 400: the request can't be decided about.
pub(in crate::proxy) fn bad_request(why: &str) -> Ours {
    Ours {
        status: "400 Bad Request",
        denied: false,
        text: format!("denied: {why}\n"),
    }
}

/// 421: the connection doesn't lead to the server that the request is for.
pub(in crate::proxy) fn misdirected(why: &str) -> Ours {
    Ours {
        status: "421 Misdirected Request",
        denied: true,
        text: format!("denied: {why}\n"),
    }
}

/// 502: allowed, but there is no answer to pass on.
pub(in crate::proxy) fn bad_gateway(host: &str, problem: &str) -> Ours {
    Ours {
        status: "502 Bad Gateway",
        denied: false,
        text: format!(
            "allowed, but {} can't be reached: {}\n",
            clean(host, REPEATED),
            clean(problem, REPEATED)
        ),
    }
}

/// An answer. It ends the connection: what follows on it may have been meant for another server.
#[derive(Debug)]
pub(in crate::proxy) struct Ours {
    status: &'static str,
    denied: bool,
    text: String,
}

impl Ours {
    /// As it is sent; to a request whose answers have no body, without one.
    pub(super) fn bytes(&self, bodiless: bool) -> Vec<u8> {
        let denied = if self.denied {
            "x-boundary-denied: 1\r\n"
        } else {
            ""
        };
        let head = format!(
            "HTTP/1.1 {}\r\ncontent-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n{denied}content-length: {}\r\nconnection: close\r\n\r\n",
            self.status,
            self.text.len()
        );
        let body = if bodiless { "" } else { &self.text };
        [head.as_bytes(), body.as_bytes()].concat()
    }

    /// As HTTP/2 has it: its status, its fields, and its body.
    pub(in crate::proxy) fn parts(&self) -> (u16, Vec<(&'static str, String)>, String) {
        let status = self.status.split(' ').next().unwrap_or_default();
        let mut fields = vec![
            ("content-type", "text/plain; charset=utf-8".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
            ("content-length", self.text.len().to_string()),
        ];
        if self.denied {
            fields.push(("x-boundary-denied", "1".to_owned()));
        }
        (status.parse().unwrap_or(500), fields, self.text.clone())
    }
}

/// The most of a stranger's text that is repeated, in bytes. A host name has 253.
const REPEATED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ours: &Ours) -> String {
        let bytes = ours.bytes(false);
        let text = String::from_utf8(bytes).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    #[test]
    fn a_denial_names_the_attempt_the_reason_and_the_rule_to_add() {
        let denial = Denial {
            reason: "no rule allows it".to_owned(),
            rule: None,
            suggestion: Some("domain=evil.example".to_owned()),
        };
        let ours = forbidden("GET", "evil.example", "/x", &denial);
        let expected = "denied: GET evil.example/x\nreason: no rule allows it\na rule that would allow it: domain=evil.example\n";
        assert_eq!(text(&ours), expected);
        let head = String::from_utf8(ours.bytes(true)).unwrap();
        assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n") && head.ends_with("\r\n\r\n"));
    }

    #[test]
    fn hostile_text_is_printable_and_short_in_a_denial() {
        let denial = Denial::because("x");
        let ours = forbidden(
            "GET",
            "a\r\nb\u{1b}[2J\u{202e}é",
            &"/p".repeat(5000),
            &denial,
        );
        let text = text(&ours);
        assert!(
            text.contains("a\\u{d}\\u{a}b\\u{1b}[2J\\u{202e}\\u{e9}"),
            "{text}"
        );
        assert!(text.len() < 600);
    }
}
