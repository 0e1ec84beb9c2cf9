//! What a policy is compiled from.

use std::fmt;

/// What a policy is made from: rules as their authors wrote them, already read from files and
/// annotations. Travels from the shim to the proxy as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PolicySource {
    /// The policy's name, for records and messages (`default`, `npm`).
    pub name: String,
    /// Whether denials are enforced or only recorded.
    pub mode: Mode,
    /// Rules that allow, one text each.
    pub allow: Vec<String>,
    /// Rules that deny; they beat every allow.
    pub deny: Vec<String>,
    /// Rules from the container's annotations: they count only where the ceiling allows too.
    pub annotated: Vec<String>,
    /// The host's ceiling for `annotated` rules. Empty: annotations widen nothing.
    pub ceiling: Vec<String>,
    /// Something that the reader of a denial should know (`no policy file
    /// /etc/boundary/policies/default.yaml`).
    pub note: Option<String>,
}

/// Whether a denial ends the attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What the rules don't allow fails.
    #[default]
    Enforce,
    /// What the rules don't allow passes and is recorded as `would deny`. Special ranges stay shut,
    /// and private ones that no rule names.
    Observe,
}

impl Mode {
    /// Its name in settings and annotations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }

    /// Reads `enforce` or `observe`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "enforce" => Some(Self::Enforce),
            "observe" => Some(Self::Observe),
            _ => None,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        })
    }
}
