//! What a policy is compiled from.

use std::fmt;

use super::places::{Places, PolicyFile};

/// What a policy is made from: rules as their authors wrote them, already read from files and
/// annotations. Travels from the shim to the proxy as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PolicySource {
    /// The policy's name, for records and messages (`default`, `npm`).
    pub name: String,
    /// Whether denials are enforced or only recorded.
    pub mode: Mode,
    /// The mode that the runtime's name or argument chose, if it did: the host's own choice. Plans of an
    /// earlier version don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_mode: Option<Mode>,
    /// Rules that allow, one text each.
    pub allow: Vec<String>,
    /// Rules that deny; they beat every allow.
    pub deny: Vec<String>,
    /// Rules from the container's annotations: they count only where the ceiling allows too.
    pub annotated: Vec<String>,
    /// The host's ceiling for `annotated` rules. Empty: annotations widen nothing.
    pub ceiling: Vec<String>,
    /// The files that the ceiling was read from, as in [`Places`]. Nothing is decided by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ceiling_files: Vec<PolicyFile>,
    /// Something that the reader of a denial should know (`no policy file
    /// /etc/boundary/policies/default.yaml`).
    pub note: Option<String>,
    /// Which TLS is intercepted. Plans of an earlier version don't say.
    #[serde(default)]
    pub tls: TlsSource,
    /// What the host's `ceiling.d` says: bounds of every policy, whatever its mode. Plans of an earlier
    /// version have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerSource>,
    /// Where the rules that allow and deny stand. Nothing is decided by it.
    #[serde(default)]
    pub places: Places,
}

/// What one layer of the host's is made from. It narrows: what passes has to be allowed by the policy and
/// by each layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerSource {
    /// What people know it by (`ceiling.d/corp.yaml`).
    pub name: String,
    /// All that it allows; a layer that says nothing of that leaves all that it doesn't deny.
    pub allow: Option<Vec<String>>,
    /// Rules that deny.
    pub deny: Vec<String>,
    /// Where they stand.
    #[serde(default)]
    pub places: Places,
}

/// Which TLS is intercepted, as a policy file says under `tls`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TlsSource {
    /// When it is.
    pub intercept: Intercept,
    /// Names, or patterns as for `domain`, to which it never is.
    pub passthrough: Vec<String>,
}

/// When TLS is intercepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intercept {
    /// Never: no rule may then need it.
    Never,
    /// To names whose rules ask for what only a request says.
    #[default]
    Auto,
    /// To every name.
    Always,
}

impl Intercept {
    /// Its name in policy files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Auto => "auto",
            Self::Always => "always",
        }
    }

    /// Reads `never`, `auto` or `always`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Never, Self::Auto, Self::Always]
            .into_iter()
            .find(|one| one.name() == text)
    }
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
