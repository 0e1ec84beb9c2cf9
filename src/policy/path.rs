//! HTTP paths: the canonical form in which they are matched, sent and logged, and the patterns of
//! `path=`.
//!
//! Knows nothing of rules or of HTTP messages. Invariant: a path that two servers could read
//! differently (a backslash, `..;`, `//..`, overlong UTF-8) has no canonical form, and where a rule
//! looks at the path, a path without one is denied. An encoded slash alone is kept: some servers take
//! it for a letter of its segment, others for a slash, and rules compare both ([`with_slashes`]).

use std::fmt::Write as _;

/// Gives the canonical form of a path without its query, or `None` where it can't be decided.
///
/// Percent-encoded unreserved characters are decoded, once; other encodings get upper-case digits;
/// what should have been encoded is; `//` becomes `/`; `.` and `..` are resolved (RFC 3986, 6.2.2
/// and 5.2.4).
#[must_use]
pub fn normalise_path(path: &str) -> Option<String> {
    let text = recode(path)?;
    let mut segments = text.strip_prefix('/')?.split('/').collect::<Vec<_>>();
    if segments.iter().any(|segment| is_masked_dots(segment))
        || hides_dots(&text)
        || is_overlong(&text)
    {
        return None;
    }
    let last = segments.pop()?;
    // Merging slashes before or after resolving dots gives different paths, and servers do either.
    if segments.contains(&"") && (last == ".." || segments.contains(&"..")) {
        return None;
    }
    let mut resolved = Vec::new();
    for segment in segments {
        match segment {
            "" | "." => {}
            ".." => drop(resolved.pop()),
            _ => resolved.push(segment),
        }
    }
    match last {
        "." => resolved.push(""),
        ".." => {
            resolved.pop();
            resolved.push("");
        }
        _ => resolved.push(last),
    }
    Some(format!("/{}", resolved.join("/")))
}

/// The canonical form of a path without its query that is sent on as it is spelled: `None` where
/// some server could understand the spelling as another path, because it has dots or slashes that
/// some resolve and others don't.
#[must_use]
pub fn plain_path(path: &str) -> Option<String> {
    normalise_path(path).filter(|normal| recode(path).as_ref() == Some(normal))
}

/// An encoded slash in canonical paths.
const SLASH: &str = "%2F";

/// The canonical path as a server reads it that takes encoded slashes for slashes; none where there
/// are none.
pub(super) fn with_slashes(path: &str) -> Option<String> {
    let has_slashes = path.contains(SLASH);
    has_slashes.then(|| normalise_path(&path.replace(SLASH, "/")))?
}

/// Whether a server that takes encoded slashes for slashes finds dots between them.
fn hides_dots(path: &str) -> bool {
    let decoded = path.replace(SLASH, "/");
    let is_dots = |segment: &str| [".", ".."].contains(&segment) || is_masked_dots(segment);
    decoded.len() != path.len() && decoded.split('/').any(is_dots)
}

/// Whether there is a letter of ASCII in more bytes than it takes, which is no UTF-8: lax decoders find
/// dots and slashes there (`%C0%AE`).
fn is_overlong(path: &str) -> bool {
    const BEGINNINGS: [&str; 6] = ["%C0", "%C1", "%E0%80", "%E0%81", "%F0%80%80", "%F0%80%81"];
    let goes_on = |rest: &str| matches!(rest.as_bytes(), [b'%', b'8' | b'9' | b'A' | b'B', ..]);
    BEGINNINGS
        .iter()
        .any(|begins| path.split(begins).skip(1).any(goes_on))
}

/// Brings the percent-encoding into its one form: afterwards the text is made of `pchar`s (RFC
/// 3986, 3.3) and slashes.
fn recode(path: &str) -> Option<String> {
    let mut text = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'/' => text.push('/'),
            b'%' => match digit(bytes.next()?)? << 4 | digit(bytes.next()?)? {
                b'/' => text.push_str(SLASH),
                // A server that decodes before it splits would see another path, or an end of it.
                b'\\' | 0..=0x1f | 0x7f => return None,
                byte if is_unreserved(byte) => text.push(byte.into()),
                byte => encode(byte, &mut text),
            },
            b'\\' | b'?' | b'#' | 0..=b' ' | 0x7f => return None,
            byte if is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte) => {
                text.push(byte.into())
            }
            byte => encode(byte, &mut text),
        }
    }
    Some(text)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| digit.try_into().ok())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn encode(byte: u8, text: &mut String) {
    write!(text, "%{byte:02X}").expect("writing to a String never fails");
}

/// Servlet containers drop `;…` from a segment and then resolve what is left: `/a/..;/b` is `/b` to
/// them.
fn is_masked_dots(segment: &str) -> bool {
    let dots = segment
        .strip_prefix("..")
        .or_else(|| segment.strip_prefix('.'));
    dots.is_some_and(|rest| rest.starts_with(';') || rest.starts_with("%3B"))
}

/// A pattern for canonical paths: segments, where `*` is any one; a `*` at the end is one or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathPattern {
    /// `None` is `*`.
    segments: Vec<Option<Box<str>>>,
    /// How it ends.
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Exactly here.
    Here,
    /// Written with a slash at the end: with or without one.
    Slash,
    /// Written with a `*` at the end: at least one segment more, which may be empty (`/api/*`
    /// matches `/api/`).
    Deeper,
}

impl PathPattern {
    /// Reads one pattern; the error says what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let path = if text == "*" { "/*" } else { text };
        let Some(path) = path.strip_prefix('/') else {
            return Err("a path begins with /".to_owned());
        };
        let recoded = recode(path).ok_or_else(|| hint(path))?;
        let mut segments: Vec<&str> = recoded.split('/').collect();
        let last = segments.pop().unwrap_or_default();
        let end = match last {
            "" => End::Slash,
            "*" => End::Deeper,
            _ => End::Here,
        };
        if end == End::Here {
            segments.push(last);
        }
        let segments = segments
            .into_iter()
            .map(segment)
            .collect::<Result<_, _>>()?;
        Ok(Self { segments, end })
    }

    /// Whether it matches every path there is.
    pub(super) fn is_any(&self) -> bool {
        self.segments.is_empty() && self.end == End::Deeper
    }

    /// Whether every path that `other` matches, this matches, too; no where that takes looking at how
    /// both end.
    pub(super) fn has_all_of(&self, other: &Self) -> bool {
        let fits =
            |(own, others): (&Option<Box<str>>, &Option<Box<str>>)| own.is_none() || own == others;
        let is_deeper = match other.end {
            End::Deeper => other.segments.len() >= self.segments.len(),
            End::Here | End::Slash => other.segments.len() > self.segments.len(),
        };
        let below = self.end == End::Deeper && is_deeper;
        self == other || below && self.segments.iter().zip(&other.segments).all(fits)
    }

    /// Compares with a canonical path.
    pub(super) fn matches(&self, path: &str) -> bool {
        let mut rest = path.strip_prefix('/').unwrap_or(path).split('/');
        let fits = self
            .segments
            .iter()
            .all(|wanted| match (rest.next(), wanted) {
                (Some(segment), Some(wanted)) => segment == &**wanted,
                (Some(segment), None) => !segment.is_empty(),
                (None, _) => false,
            });
        fits && match (self.end, rest.next()) {
            (End::Here | End::Slash, None) | (End::Deeper, Some(_)) => true,
            (End::Slash, Some("")) => rest.next().is_none(),
            _ => false,
        }
    }
}

fn segment(text: &str) -> Result<Option<Box<str>>, String> {
    match text {
        "*" => Ok(None),
        "" => Err("`//` never matches: paths are compared with single slashes".to_owned()),
        "." | ".." => {
            Err("`.` and `..` never match: paths are compared after they are resolved".to_owned())
        }
        _ if is_masked_dots(text) => Err(hint(text)),
        _ if text.contains('*') => Err("`*` stands for a whole segment, as in /users/*".to_owned()),
        _ => Ok(Some(text.into())),
    }
}

fn hint(path: &str) -> String {
    let hint = match path {
        _ if path.contains('?') => "the query is not compared: leave out ? and what follows",
        _ if path.contains('#') => "a fragment is never sent: leave out # and what follows",
        _ if path.contains('\\') => "a path with a backslash is always denied",
        _ if path.contains('%') => {
            "a % is followed by two hexadecimal digits, and %5C and control characters are always denied"
        }
        _ => "such a path is always denied: servers differ in how they read it",
    };
    hint.to_owned()
}

#[cfg(test)]
mod tests;
