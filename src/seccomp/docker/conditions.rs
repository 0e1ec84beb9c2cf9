//! What a rule of Docker's form depends on (`includes`, `excludes`), and whether it is met.
//!
//! Invariant: of `includes.caps` all must be held, of `excludes.caps` one is enough; names are
//! compared to the letter (`setupSeccomp` in github.com/moby/profiles/seccomp).

use serde_json::Value;

use super::go_json::{string, strings};
use crate::seccomp::Fault;

/// A kernel's version: what people call major and minor.
pub type Kernel = (u32, u32);

/// What a rule depends on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conditions {
    pub(crate) includes: Limits,
    pub(crate) excludes: Limits,
}

/// One of the two sides.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Limits {
    pub(crate) capabilities: Vec<String>,
    /// By dockerd's own words (`amd64`, `x86`).
    pub(crate) architectures: Vec<String>,
    pub(crate) kernel: Option<Kernel>,
}

/// What dockerd chooses rules by: a container, and the machine that it is to run on.
#[derive(Debug)]
pub(crate) struct Circumstances<'a> {
    /// The container's bounding capabilities.
    pub(crate) capabilities: Vec<&'a str>,
    /// dockerd's word for the machine; none for one that no rule names.
    pub(crate) architecture: Option<&'a str>,
    pub(crate) kernel: Kernel,
}

impl Conditions {
    /// Reads the conditions of a rule that stands at `place`, whose known keys have their usual
    /// spelling and values of the right shape.
    pub(crate) fn read(rule: &Value, place: &str) -> Result<Self, Fault> {
        Ok(Self {
            includes: Limits::read(rule, place, "includes")?,
            excludes: Limits::read(rule, place, "excludes")?,
        })
    }

    /// Whether the rule is there.
    pub(crate) fn hold(&self, circumstances: &Circumstances<'_>) -> bool {
        let Self { includes, excludes } = self;
        let has = |name: &String| circumstances.capabilities.contains(&name.as_str());
        let is = |name: &String| circumstances.architecture == Some(name);
        let reached = |least: Kernel| circumstances.kernel >= least;
        let included = (includes.architectures.is_empty() || includes.architectures.iter().any(is))
            && includes.capabilities.iter().all(has)
            && includes.kernel.is_none_or(reached);
        let excluded = excludes.architectures.iter().any(is)
            || excludes.capabilities.iter().any(has)
            || excludes.kernel.is_some_and(reached);
        included && !excluded
    }

    /// Both sides.
    pub(crate) fn limits(&self) -> [&Limits; 2] {
        [&self.includes, &self.excludes]
    }
}

impl Limits {
    fn read(rule: &Value, place: &str, key: &str) -> Result<Self, Fault> {
        let limits = rule.get(key).unwrap_or(&Value::Null);
        let kernel = match limits.get("minKernel") {
            None | Some(Value::Null) => None,
            Some(_) => Some(version(string(limits, "minKernel")).ok_or_else(|| {
                Fault::new(
                    format!("{place}.{key}.minKernel"),
                    "not a kernel version of the form N.N, each up to 255",
                )
            })?),
        };
        Ok(Self {
            capabilities: strings(limits, "caps"),
            architectures: strings(limits, "arches"),
            kernel,
        })
    }
}

/// Reads a version as `KernelVersion.UnmarshalJSON` does. The empty one is 0.0 to dockerd, which
/// every kernel has reached: a rule that *excludes* it is never there.
fn version(text: &str) -> Option<Kernel> {
    if text.is_empty() {
        return Some((0, 0));
    }
    let number = |digits: &str| {
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u8>().ok().filter(|_| plain).map(u32::from)
    };
    let (kernel, major) = text.split_once('.')?;
    Some((number(kernel)?, number(major)?)).filter(|version| *version != (0, 0))
}
