//! One line of a file: its bytes, and its content if it is a valid record.
//!
//! This is where the content of a file is made harmless: every text of a line is escaped and cut to
//! the length that its writer keeps to. A line that is not a record of this version (written by an
//! older one, or torn by a crash) is kept as text.

use std::collections::BTreeMap;

use super::super::line::{About, ContainerIdentity, Line, SCHEMA};
use super::super::record::{MAX_METHOD, MAX_NAME, MAX_PATH, MAX_TEXT};
use crate::escape::{clean, clean_name};

/// The longest line that is read, in bytes; gateways write none over 16 KiB.
pub const MAX_LINE: usize = 64 << 10;
/// Longest time, in bytes: `2024-05-01T12:00:00.000Z` has 24.
const MAX_TIME: usize = 32;

/// One line of a file.
#[derive(Debug)]
pub struct FileLine {
    /// As it stands in the file, but for zeroes around it, which a power cut leaves.
    pub raw: Vec<u8>,
    /// What it says; none where it is not a record of this version.
    pub line: Option<Box<Line>>,
}

impl FileLine {
    /// None for an empty line.
    pub(super) fn read(mut raw: Vec<u8>) -> Option<Self> {
        if raw.first() == Some(&0) || raw.last() == Some(&0) {
            let text = raw.split(|byte| *byte == 0).find(|part| !part.is_empty());
            raw = text.unwrap_or_default().to_vec();
        }
        if raw.is_empty() {
            return None;
        }
        let mut line = serde_json::from_slice::<Box<Line>>(&raw)
            .ok()
            .filter(|line| line.v == SCHEMA);
        if let Some(line) = &mut line {
            make_clean(line);
        }
        Some(Self { raw, line })
    }

    /// Its bytes as they may stand on a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        clean(&String::from_utf8_lossy(&self.raw), MAX_LINE)
    }

    /// When it was written; empty where it doesn't say.
    #[must_use]
    pub fn time(&self) -> &str {
        self.line.as_ref().map_or("", |line| &line.time)
    }
}

/// Every field by its name: a new one has to be thought of here.
fn make_clean(line: &mut Line) {
    let Line {
        v: _,
        seq: _,
        event: _,
        flow: _,
        protocol: _,
        direction: _,
        source: _,
        address: _,
        port: _,
        ..
    } = line;
    let Line {
        number: _,
        verdict: _,
        bytes_out: _,
        bytes_in: _,
        duration_ms: _,
        ended: _,
        by: _,
        count: _,
        ..
    } = line;
    let Line {
        time,
        container,
        name,
        method,
        path,
        rule,
        reason,
        suggestion,
        first,
        last,
        gateway,
        totals: _,
        notice,
        ..
    } = line;
    tidy(time, MAX_TIME);
    tidy(container, MAX_NAME);
    if let Some(name) = name {
        *name = clean_name(name, MAX_NAME);
    }
    let bounded = [
        (method, MAX_METHOD),
        (path, MAX_PATH),
        (first, MAX_TIME),
        (last, MAX_TIME),
    ];
    let sentences = [rule, reason, suggestion, notice].map(|text| (text, MAX_TEXT));
    for (text, limit) in bounded.into_iter().chain(sentences) {
        if let Some(text) = text {
            tidy(text, limit);
        }
    }
    if let Some(about) = gateway {
        make_about_clean(about);
    }
}

fn make_about_clean(about: &mut About) {
    let About {
        program,
        began,
        policy,
        policy_hash,
        mode,
        intercepts: _,
        generation: _,
        identity,
    } = about;
    let ContainerIdentity {
        engine,
        name,
        image,
        pod,
        namespace,
        labels,
    } = identity;
    for text in [program, policy, policy_hash, mode] {
        tidy(text, MAX_NAME);
    }
    tidy(began, MAX_TIME);
    for text in [engine, name, image, pod, namespace].into_iter().flatten() {
        tidy(text, MAX_NAME);
    }
    let cleaned = std::mem::take(labels)
        .into_iter()
        .map(|(key, value)| (clean(&key, MAX_NAME), clean(&value, MAX_TEXT)));
    *labels = cleaned.collect::<BTreeMap<_, _>>();
}

/// [`clean`], which most texts are: those are looked at and not made anew.
fn tidy(text: &mut String, limit: usize) {
    if text.len() > limit || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        *text = clean(text, limit);
    }
}
