//! From Docker's form to the OCI specification's: a profile for one container on one machine, as
//! dockerd makes it of the same file (`setupSeccomp` in github.com/moby/profiles/seccomp).
//!
//! Equal as JSON, empty lists left out and all, so that a container which names the resolved file
//! gets the very filter that Docker would have given it. Where dockerd errs, so does this, and says
//! so.

use serde_json::{Map, Value};

use super::conditions::{Circumstances, Kernel};
use super::profile::{ArchMapping, Profile};
use crate::seccomp::arch::{self, Architecture, DockerNames};

/// For what container, on what machine.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The container's bounding capabilities, `CAP_NET_ADMIN`, as `process.capabilities.bounding`
    /// has them.
    pub bounding: &'a [String],
    /// The machine's architecture.
    pub architecture: Arch,
    /// The machine's kernel, as [`kernel_of`] reads it.
    pub kernel: Kernel,
    /// The engine's.
    pub generation: Generation,
}

/// What an engine knows of profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// Docker 20.10: drops the default error's number, the flags and the listener.
    V20,
    /// Docker 23 and later. Of architectures it knows those of the newest: the first releases
    /// lacked riscv64, all before 29.4 loong64.
    V23,
}

/// The filter that a container gets; none means **unconfined**, which whoever writes a profile
/// hardly wants: say so.
#[must_use]
pub fn resolve(profile: &Profile, to: &Target<'_>) -> Option<Value> {
    if profile.is_unconfined() {
        return None;
    }
    let mut filter = Map::new();
    let mut put = |key: &str, value: Value| filter.insert(key.to_owned(), value);
    put("defaultAction", profile.default_action.as_str().into());
    let newer = to.generation >= Generation::V23;
    if let Some(errno) = profile.default_errno.filter(|_| newer) {
        put("defaultErrnoRet", errno.into());
    }
    let architectures = architectures(profile, to);
    if !architectures.is_empty() {
        put("architectures", architectures.into());
    }
    if newer && !profile.flags.is_empty() {
        put("flags", profile.flags.clone().into());
    }
    for (key, text) in [
        ("listenerPath", &profile.listener_path),
        ("listenerMetadata", &profile.listener_metadata),
    ] {
        if newer && !text.is_empty() {
            put(key, text.as_str().into());
        }
    }
    let circumstances = Circumstances {
        capabilities: to.bounding.iter().map(String::as_str).collect(),
        architecture: Some(to.architecture.word(to.generation)),
        kernel: to.kernel,
    };
    let chosen = profile
        .rules
        .iter()
        .filter(|rule| rule.conditions.hold(&circumstances));
    let rules: Vec<Value> = chosen.map(|rule| rule.plain.clone()).collect();
    if !rules.is_empty() {
        put("syscalls", rules.into());
    }
    Some(filter.into())
}

/// The major and minor number of a kernel's release, `6.18.44-1-amd64` (`uname(2)`).
#[must_use]
pub fn kernel_of(release: &str) -> Option<Kernel> {
    let (kernel, rest) = release.split_once('.')?;
    let digits = rest
        .find(|letter: char| !letter.is_ascii_digit())
        .map_or(Some(rest), |end| rest.get(..end))?;
    let number = |text: &str| {
        text.parse()
            .ok()
            .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    Some((number(kernel)?, number(digits)?))
}

/// Whether a profile has architectures for a machine of this one.
pub(crate) fn is_mapped(profile: &Profile, to: &Target<'_>) -> bool {
    mapping(profile, to).is_some()
}

fn mapping<'a>(profile: &'a Profile, to: &Target<'_>) -> Option<&'a ArchMapping> {
    let own = to.architecture.mapped(to.generation);
    profile
        .arch_map
        .iter()
        .find(|machine| Some(machine.own.as_str()) == own)
}

fn architectures(profile: &Profile, to: &Target<'_>) -> Vec<String> {
    let machine = mapping(profile, to);
    let mapped = machine
        .into_iter()
        .flat_map(|machine| [&machine.own].into_iter().chain(&machine.further));
    profile
        .architectures
        .iter()
        .chain(mapped)
        .cloned()
        .collect()
}

/// An architecture that dockerd runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arch {
    architecture: Architecture,
    names: DockerNames,
}

impl Arch {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        arch::dockers().map(|(architecture, names)| Self {
            architecture,
            names,
        })
    }

    /// The architecture of a name: Go's (`amd64`) or the kernel's (`x86_64`, `uname -m`).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|arch| arch.names.go == name || arch.names.kernel == name)
    }

    /// Go's name for it, as Docker's image platforms have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names.go
    }

    /// dockerd's word, empty where it knows none.
    fn word(self, generation: Generation) -> &'static str {
        if self.is_known(generation) {
            self.names.word
        } else {
            ""
        }
    }

    /// What it is called in `archMap`.
    fn mapped(self, generation: Generation) -> Option<&'static str> {
        let is_mapped = self.names.is_mapped && self.is_known(generation);
        is_mapped.then_some(self.architecture.name())
    }

    fn is_known(self, generation: Generation) -> bool {
        !self.names.is_new_in_23 || generation >= Generation::V23
    }
}

#[cfg(test)]
mod tests;
