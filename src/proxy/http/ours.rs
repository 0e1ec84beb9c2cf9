//! Answers of our own, where there is none of a server's.
//!
//! Owns the words of a denial, and how each form of it is written. Text from strangers (host, path,
//! reason) goes into one only after [`clean`] and the form's own escaping, so that nobody takes it
//! for anything else. How it travels (HTTP/1, HTTP/2) is others' business, but for
//! [`Ours::bytes`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Serialize;

mod form;

pub(in crate::proxy) use form::{ACCEPT, Form};

use crate::escape::clean;
use crate::policy::Denial;

/// Who is answered: what it asked for, and in what form it can read.
#[derive(Debug, Clone, Copy)]
pub(in crate::proxy) struct Asker<'a> {
    pub(in crate::proxy) method: &'a str,
    pub(in crate::proxy) host: &'a str,
    pub(in crate::proxy) path: &'a str,
    pub(in crate::proxy) form: Form,
}

/// 403: the policy denies it. `note`: what the administrator has to say about denials.
pub(in crate::proxy) fn forbidden(asker: Asker<'_>, denial: &Denial, note: Option<&str>) -> Ours {
    let Asker {
        method, host, path, ..
    } = asker;
    let code = match &denial.rule {
        Some(_) => "denied_by_rule",
        None => "not_allowed",
    };
    let [method, host, path, reason] = [method, host, path, &denial.reason].map(repeated);
    let error = format!("denied: {method} {host}{path}: {reason}");
    let words = Words {
        method: Some(method),
        host: Some(host),
        path: Some(path),
        rule: denial.rule.as_deref().map(repeated),
        suggestion: denial.suggestion.as_deref().map(repeated),
        note: note.map(str::to_owned),
        ..Words::new(StatusCode::FORBIDDEN, code, error, reason)
    };
    words.in_form(asker.form)
}

/// 400: the request can't be decided about.
pub(in crate::proxy) fn bad_request(form: Form, why: &str) -> Ours {
    let (status, why) = (StatusCode::BAD_REQUEST, repeated(why));
    Words::new(status, "unclear_request", format!("denied: {why}"), why).in_form(form)
}

/// 421: the connection doesn't lead to the server that the request is for.
pub(in crate::proxy) fn misdirected(form: Form, why: &str) -> Ours {
    let (status, why) = (StatusCode::MISDIRECTED_REQUEST, repeated(why));
    Words::new(status, "misdirected", format!("denied: {why}"), why).in_form(form)
}

/// 502: allowed, but there is no answer to pass on.
pub(in crate::proxy) fn bad_gateway(form: Form, host: &str, problem: &str) -> Ours {
    let (host, problem) = (repeated(host), repeated(problem));
    let error = format!("allowed, but {host} can't be reached: {problem}");
    let words = Words {
        host: Some(host),
        ..Words::new(StatusCode::BAD_GATEWAY, "no_answer", error, problem)
    };
    words.in_form(form)
}

/// What an answer says: all of it printable, and of strangers' text no more than [`REPEATED`].
#[derive(Debug, Serialize)]
struct Words {
    /// All of it in a sentence, for programs that show one field.
    error: String,
    /// What it is, in a word that stays the same.
    code: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    reason: String,
    /// The deny rule that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// The rule that would allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Words {
    fn new(status: StatusCode, code: &'static str, error: String, reason: String) -> Self {
        Self {
            error,
            code,
            status: status.as_u16(),
            method: None,
            host: None,
            path: None,
            reason,
            rule: None,
            suggestion: None,
            note: None,
        }
    }

    fn in_form(&self, form: Form) -> Ours {
        match form {
            Form::Json => self.as_told("application/json", self.json()),
            Form::Html => {
                let mut ours = self.as_told("text/html; charset=utf-8", self.html());
                let (name, value) = NO_SCRIPTS;
                ours.headers.push((name, value.to_owned()));
                ours
            }
            Form::GitRefs => self.as_told("text/plain; charset=utf-8", self.lines().into()),
            Form::GitFetch => {
                let error = pkt_line(&format!("ERR {}", self.lines()));
                self.as_done("application/x-git-upload-pack-result", error)
            }
            // Of the three channels in its answer, the one for what ends it.
            Form::GitPush => {
                let error = pkt_line(&format!("\u{3}{}", self.lines()));
                self.as_done("application/x-git-receive-pack-result", error)
            }
            Form::Grpc => {
                let mut ours = self.as_done("application/grpc", Vec::new());
                ours.headers.extend(self.grpc_status());
                ours
            }
            Form::GrpcWeb => self.as_done("application/grpc-web+proto", self.grpc_frame()),
            Form::GrpcWebText => {
                let frame = STANDARD.encode(self.grpc_frame());
                self.as_done("application/grpc-web-text+proto", frame.into())
            }
        }
    }

    /// With the status that it is.
    fn as_told(&self, content_type: &'static str, body: Vec<u8>) -> Ours {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::FORBIDDEN);
        Ours {
            status,
            ..self.as_done(content_type, body)
        }
    }

    /// With 200, where the client looks for errors within the answer alone.
    fn as_done(&self, content_type: &'static str, body: Vec<u8>) -> Ours {
        let mut headers = vec![
            ("content-type", content_type.to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
            ("cache-control", "no-store".to_owned()),
        ];
        if self.status != StatusCode::BAD_GATEWAY {
            headers.push(("x-boundary-denied", "1".to_owned()));
        }
        headers.push(("x-boundary-reason", self.code.to_owned()));
        Ours {
            status: StatusCode::OK,
            headers,
            body,
        }
    }

    fn json(&self) -> Vec<u8> {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        // They stand in texts alone. No browser shall ever find a tag in it, whatever it makes of
        // it.
        for (letter, written) in [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026")] {
            text = text.replace(letter, written);
        }
        text.push('\n');
        text.into_bytes()
    }

    fn html(&self) -> Vec<u8> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::FORBIDDEN);
        let paragraphs: String = self
            .lines()
            .lines()
            .map(|line| format!("<p>{}</p>\n", in_html(line)))
            .collect();
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{status}</title>\n<h1>{status}</h1>\n{paragraphs}</html>\n"
        )
        .into_bytes()
    }

    /// In lines for people.
    fn lines(&self) -> String {
        let mut lines = format!("{}\n", self.error);
        if let Some(rule) = &self.suggestion {
            lines.push_str(&format!("a rule that would allow it: {rule}\n"));
        }
        if let Some(note) = &self.note {
            lines.push_str(&format!("{note}\n"));
        }
        lines
    }

    fn grpc_status(&self) -> [(&'static str, String); 2] {
        // As gRPC has it for statuses of HTTP.
        let status = match self.status {
            400 => "13",
            403 => "7",
            502 => "14",
            _ => "2",
        };
        let message = in_percent(&self.lines().trim_end().replace('\n', "; "));
        [
            ("grpc-status", status.to_owned()),
            ("grpc-message", message),
        ]
    }

    /// What would be trailers, as a message of their own: a byte that says so, and the length.
    fn grpc_frame(&self) -> Vec<u8> {
        const TRAILERS: u8 = 0x80;
        let lines = self
            .grpc_status()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let text = lines.concat();
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        [&[TRAILERS][..], &length.to_be_bytes(), text.as_bytes()].concat()
    }
}

/// A page of ours runs and loads nothing.
const NO_SCRIPTS: (&str, &str) = ("content-security-policy", "default-src 'none'");

/// An answer. It ends the connection: what follows on it may have been meant for another server.
#[derive(Debug)]
pub(in crate::proxy) struct Ours {
    pub(in crate::proxy) status: StatusCode,
    /// Without those that say how it travels.
    pub(in crate::proxy) headers: Vec<(&'static str, String)>,
    pub(in crate::proxy) body: Vec<u8>,
}

impl Ours {
    /// As it is sent in HTTP/1; to a request whose answers have no body, without one.
    pub(in crate::proxy) fn bytes(&self, bodiless: bool) -> Vec<u8> {
        let headers: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!(
            "HTTP/1.1 {}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
            self.status,
            self.body.len()
        );
        let body: &[u8] = if bodiless { &[] } else { &self.body };
        [head.as_bytes(), body].concat()
    }
}

/// The most of a stranger's text that is repeated, in bytes. A host name has 253.
const REPEATED: usize = 256;

fn repeated(text: &str) -> String {
    clean(text, REPEATED)
}

/// A line of git's protocol: its length, that of the length included, in four hexadecimal digits.
fn pkt_line(text: &str) -> Vec<u8> {
    format!("{:04x}{text}", text.len() + 4).into_bytes()
}

fn in_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

/// As gRPC writes messages: in printable ASCII without `%`, all else by its bytes.
fn in_percent(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    bytes.collect()
}

#[cfg(test)]
mod tests;
