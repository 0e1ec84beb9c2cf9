//! The heads, each with a body where it says one. Forms that have been used to smuggle requests, and
//! forms that are merely old or odd.

mod passing;
mod refused;

/// What ours makes of the first head and its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passes,
    Refuses,
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Head> {
    passing::HEADS.iter().chain(refused::HEADS)
}

/// A head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    pub(crate) ours: Verdict,
}

/// What is sent behind each: it shows where the body ended, and that the connection went on.
pub(crate) const MARK: &[u8] =
    b"GET /marked HTTP/1.1\r\nHost: marked.example\r\nConnection: close\r\n\r\n";

const fn passes(name: &'static str, bytes: &'static [u8]) -> Head {
    Head {
        name,
        bytes,
        ours: Verdict::Passes,
    }
}

const fn refused(name: &'static str, bytes: &'static [u8]) -> Head {
    Head {
        name,
        bytes,
        ours: Verdict::Refuses,
    }
}
