//! What the product makes of bytes: the requests that it would judge, and what servers would get.

use boundary_shim::proxy::http::request::{self, NamedHost};

use crate::heads::{MARK, Verdict};
use crate::wire::Told;

/// Where the requests are sent to.
const DESTINATION: &str = "192.0.2.7:80";

/// How the product reads bytes.
#[derive(Debug, Default)]
pub(crate) struct Ours {
    /// The requests that it passes, as far as they are whole.
    requests: Vec<Told>,
    /// What a server gets; where the first request is refused, all, to see what it would have read.
    pub(crate) sent: Vec<u8>,
    /// Why nothing more passes.
    refused: Option<String>,
    /// Whether a part of a request passed.
    passed: bool,
}

impl Ours {
    /// Reads like the relay, one request after the other.
    pub(crate) fn of(said: &[u8]) -> Self {
        let mut ours = Self::default();
        let mut rest = said;
        while let Some(end) = request::end(rest, 0) {
            let (head, behind) = rest.split_at(end);
            let mut asked = match request::read(head, DESTINATION.parse().unwrap()) {
                Ok(asked) => asked,
                Err(bad) => return ours.refusing(&bad.to_string(), said),
            };
            let is_line = head.trim_ascii().iter().all(|byte| *byte != b'\n');
            if is_line && !head.windows(6).any(|word| word == b" HTTP/") && !behind.is_empty() {
                return ours.refusing("more follows a request without a version", said);
            }
            // What a connection gets that may serve others of the container's afterwards.
            let is_pooled = asked.may_be_pooled() && rest != MARK;
            let rewritten = asked.rewritten(head, is_pooled && !asked.goes_on(), false);
            ours.sent.extend(rewritten.as_deref().unwrap_or(head));
            ours.passed = true;
            let end = match asked.body_end(behind) {
                Ok(Some(end)) => end,
                Ok(None) => {
                    ours.sent.extend(behind);
                    return ours;
                }
                // The bytes before the first wrong one may have passed.
                Err(bad) => {
                    ours.sent.extend(behind);
                    return ours.refusing(&bad.to_string(), said);
                }
            };
            let (body, behind) = behind.split_at(end);
            ours.sent.extend(body);
            ours.requests.push(told(head, &asked, body));
            rest = behind;
            if !asked.goes_on() && !is_pooled {
                break;
            }
        }
        ours
    }

    fn refusing(mut self, why: &str, said: &[u8]) -> Self {
        self.refused = Some(why.to_owned());
        if !self.passed {
            self.sent = said.to_owned();
        }
        self
    }

    /// What became of the first head.
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.passed, &self.refused) {
            (true, None) => Verdict::Passes,
            (true, Some(_)) if !self.requests.is_empty() => Verdict::Passes,
            _ => Verdict::Refuses,
        }
    }

    /// Whether a server has read these requests as they were judged; it may have refused others.
    pub(crate) fn agrees(&self, read: &[Told]) -> bool {
        let mut judged = self.requests.iter();
        read.iter().all(|read| judged.any(|judged| judged == read))
    }

    pub(crate) fn text(&self) -> String {
        let requests: Vec<_> = self.requests.iter().map(Told::text).collect();
        let refused = self.refused.as_ref().map(|why| format!(" ({why})"));
        format!("[{}]{}", requests.join(" | "), refused.unwrap_or_default())
    }
}

fn told(head: &[u8], asked: &request::Request, body: &[u8]) -> Told {
    let line = head.trim_ascii_start().split(|byte| *byte == b' ');
    let host = match asked.host() {
        NamedHost::Name(name) => name.to_string(),
        NamedHost::Address => DESTINATION.to_owned(),
        NamedHost::Nobody => String::new(),
    };
    let target = line.clone().nth(1).unwrap();
    let target = target.trim_ascii_end();
    let body = match asked.body() {
        Some(None) => unchunked(body),
        _ => body.to_owned(),
    };
    Told::of(asked.method().as_bytes(), target, host.as_bytes(), &body)
}

/// The data of chunks that were found to be well-formed.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let line = body.iter().position(|byte| *byte == b'\n').unwrap();
        let digits = body
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let size = std::str::from_utf8(&body[..digits]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return data;
        }
        let (chunk, behind) = body[line + 1..].split_at(size);
        data.extend(chunk);
        body = &behind[2..];
    }
}
