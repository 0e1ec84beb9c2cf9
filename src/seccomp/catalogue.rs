//! The engines' own default profiles, by version.
//!
//! They are kept in `seccomp-profiles/`, in an arrangement of our own (described in the README
//! there): calls grouped by purpose, each group with its reason, versions as differences. This
//! module answers which engine and version is meant and hands out the profile in Docker's format;
//! `profile_file` reads the files, `release` compares versions, `render` writes.
//!
//! Invariant: only what is known to be an engine's profile is ever answered; a version that nobody
//! looked at is an error.

mod profile_file;
mod release;
mod render;

use serde_json::Value;

use self::profile_file::ProfileFile;
use self::release::Release;

/// What all three engines have alike, in every version.
const COMMON: &str = include_str!("../../seccomp-profiles/common.json");

/// An engine with a default profile of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// dockerd, from 20.10 on.
    Docker,
    /// containerd from 1.6 on: what Kubernetes' `RuntimeDefault` is there, and nerdctl's and
    /// `ctr`'s profile.
    Containerd,
    /// podman. Its profile comes with containers-common, whatever podman's own version is; the
    /// newest is known.
    Podman,
}

/// Not a version, or one of an engine whose profile isn't known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {asked:?} is not known; {}", .engine.name(), known(.lines))]
pub struct UnknownVersion {
    engine: Engine,
    asked: String,
    lines: Vec<&'static str>,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Docker, Self::Containerd, Self::Podman];

    /// Its word, in options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Podman => "podman",
        }
    }

    /// The engine that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == word)
    }

    /// What it has beyond [`COMMON`].
    fn text(self) -> &'static str {
        match self {
            Self::Docker => include_str!("../../seccomp-profiles/docker.json"),
            Self::Containerd => include_str!("../../seccomp-profiles/containerd.json"),
            Self::Podman => include_str!("../../seccomp-profiles/podman.json"),
        }
    }
}

/// The default profile of an engine, in Docker's format.
///
/// `version` is written as people do, `25`, `25.0`, `25.0.13` or `v25.0.13`. A line alone means its
/// newest release, and so does a patch level beyond the newest known one; none at all means the
/// newest of all.
///
/// # Errors
/// [`UnknownVersion`], where no line that is known has that version.
pub fn profile(engine: Engine, version: Option<&str>) -> Result<Value, UnknownVersion> {
    let own = ProfileFile::read(engine.text());
    let Some(release) = Release::find(&own.lines, version) else {
        let asked = version.unwrap_or_default().to_owned();
        return Err(UnknownVersion {
            engine,
            asked,
            lines: own.lines,
        });
    };
    Ok(render::profile(&ProfileFile::read(COMMON), &own, release))
}

fn known(lines: &[&str]) -> String {
    match lines {
        [] => "its profile has no versions, only the newest".to_owned(),
        _ => format!("known are {}", lines.join(", ")),
    }
}

#[cfg(test)]
mod tests;
