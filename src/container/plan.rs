//! The plan: all that hook and proxy must know about one container's gateway, decided before
//! anything is changed. It is written as `boundary.json` beside the bundle's `config.json`, so it
//! is removed together with the bundle.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use log::LevelFilter;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pin::Pin;
use crate::audit::line::ContainerIdentity;
use crate::escape::clean;
use crate::policy::{DeniedNames, Exit, GivenNames, PolicySource};

/// One container's gateway, as decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The container's id, as the engine gave it.
    pub container: String,
    /// Who it is, as its engine has it. Plans of an earlier version don't say.
    #[serde(default)]
    pub identity: ContainerIdentity,
    /// Whether the gateway is this container's own.
    pub gateway: GatewayOwner,
    /// The pod that the container belongs to, where the gateway is the pod's. Plans of an earlier
    /// version don't say.
    #[serde(default)]
    pub pod: Option<PinnedPod>,
    /// Whether the engine will call `start` when the network is complete (else, with `run`, it is
    /// complete at the hook).
    pub starts_by_verb: bool,
    /// Whether the container may be created before its gateway is ready: nothing of anybody's runs in
    /// its namespaces before the verb `start`, or `exec`, which wait for that. Plans of an earlier
    /// version don't say.
    #[serde(default)]
    pub ready_by_start: bool,
    /// Whether the container's capabilities are bounded by a user namespace of its own (or its
    /// owner's, when joining).
    pub user_namespace: bool,
    /// Who in the container is given CAP_NET_ADMIN for a nested jail, by `exec` too.
    pub nesting_capability: Recipients,
    /// The AppArmor profile that took the place of the engine's default, for processes that `exec`
    /// adds too.
    pub apparmor_profile: Option<String>,
    /// What is to be said in the record before anything else, for people.
    pub notices: Vec<String>,
    /// What is to be said in the record about this container alone, whose gateway may be another's.
    /// Plans of an earlier version don't say.
    #[serde(default)]
    pub own_notices: Vec<String>,
    /// Whether the engine looks for the container's links after its end ([`crate::spec::podman`]).
    pub links_are_looked_for: bool,
    /// The control group that the engine asked for, as it stands in the specification: anybody's
    /// text.
    pub cgroups_path: Option<String>,
    /// Bytes that the filter may use.
    pub proxy_memory: u64,
    /// Queries a second that the filter answers over a longer time. Plans of an earlier version
    /// don't say.
    #[serde(default = "earlier_rate_limit")]
    pub dns_rate_limit: NonZeroU32,
    /// What the administrator has to say to whoever is denied something. Plans of an earlier version
    /// don't say.
    #[serde(default)]
    pub denied_note: Option<String>,
    /// How questions for denied names are answered. Plans of an earlier version don't say.
    #[serde(default)]
    pub denied_names: DeniedNames,
    /// What is less grave is not said by whoever serves this container.
    pub log_level: LevelFilter,
    /// Directory of this container's state record (`/run/boundary/…`).
    pub state: PathBuf,
    /// The audit file.
    pub audit: PathBuf,
    /// From where the proxy dials.
    pub exit: Exit,
    /// Resolvers that the proxy asks, in order. Never taken from the container's own files.
    pub resolvers: Vec<SocketAddr>,
    /// What its engine told it about names. Plans of an earlier version don't say.
    #[serde(default)]
    pub given: GivenNames,
    /// The rules.
    pub policy: PolicySource,
    /// The host's configuration file that the container was started by, beside which are its policies, presets
    /// and layers: none for the usual one. Plans of an earlier version don't say.
    #[serde(default)]
    pub configuration: Option<PathBuf>,
    /// Whether the gateway looks by itself whether the policy's files were changed. Plans of an earlier
    /// version don't say.
    #[serde(default)]
    pub reloads: bool,
    /// Set where the policy has TLS intercepted.
    #[serde(default)]
    pub trust: Option<TrustPlan>,
}

/// What it was before it could be set.
fn earlier_rate_limit() -> NonZeroU32 {
    const EARLIER: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");
    EARLIER
}

/// What a gateway needs that intercepts TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustPlan {
    /// The roots that servers are verified with, as PEM: files on the host.
    pub roots: Vec<PathBuf>,
    /// Files of ours that the container has as its trust stores: they lack only the gateway's own
    /// certificate.
    pub stores: Vec<(PathBuf, StoreFormat)>,
    /// The variables by which programs in the container find those, for what `exec` adds too.
    pub variables: Vec<String>,
}

/// How certificates are kept in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreFormat {
    /// One behind the other (RFC 7468).
    Pem,
    /// As Java keeps them.
    Jks,
}

/// Whose gateway filters this container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GatewayOwner {
    /// One of its own, made by the hook.
    Own,
    /// It joins the network namespace of a container that has one (`--network container:X`):
    /// nothing to make.
    Joined,
    /// Its pod's, made by the hook of whichever of the pod's containers comes first.
    Pod,
}

/// A pod whose engine keeps its network namespace mounted at a path, where no container of the
/// pod's holds it (CRI-O without a pause container).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedPod {
    /// The pod's id, as its engine gave it.
    pub id: String,
    /// What holds its network namespace.
    pub pin: Pin,
    /// The state directory of its gateway: none of its containers'.
    pub state: PathBuf,
}

/// Bytes of a name as processes show it, and characters of an ID.
const MAX_CALLED: usize = 64;
const SHORT_ID: usize = 12;

impl Plan {
    /// What people call it, and the beginning of its ID, escaped: for whoever lists processes.
    #[must_use]
    pub fn called(&self) -> String {
        let id: String = self.container.chars().take(SHORT_ID).collect();
        match self.identity.called() {
            Some(name) => clean(&format!("{name} {id}"), MAX_CALLED),
            None => clean(&id, MAX_CALLED),
        }
    }

    /// The plan of the pod's gateway, by that of the container of the pod that comes first. None
    /// where the gateway isn't the pod's.
    #[must_use]
    pub fn of_pod(&self) -> Option<Self> {
        let pod = self
            .pod
            .as_ref()
            .filter(|_| self.gateway == GatewayOwner::Pod)?;
        Some(Self {
            container: pod.id.clone(),
            identity: self.identity.clone().of_pod(),
            gateway: GatewayOwner::Own,
            starts_by_verb: false,
            ready_by_start: false,
            state: pod.state.clone(),
            // The stores are the container's.
            trust: None,
            audit: audit_file(self.audit.parent().unwrap_or(&self.audit), &pod.id),
            ..self.clone()
        })
    }

    /// What a gateway of this plan lives as long as; none where that is the container's first
    /// process.
    #[must_use]
    pub fn pin(&self) -> Option<&Pin> {
        let pod = self.pod.as_ref()?;
        (self.gateway == GatewayOwner::Own).then_some(&pod.pin)
    }
}

/// Who in a container is given a capability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipients {
    /// Nobody.
    #[default]
    Nobody,
    /// Its root, and nobody else.
    Root,
    /// Every user.
    Everybody,
}

impl Recipients {
    /// Whether a user is among them, by its id in the container.
    #[must_use]
    pub fn include(self, user: u64) -> bool {
        match self {
            Self::Nobody => false,
            Self::Root => user == 0,
            Self::Everybody => true,
        }
    }
}

/// The longest id: runc takes what can be the name of a file (255 bytes). Engines use at most 64.
const LONGEST_ID: usize = 255;

/// The longest id whose record is named by it: with `.jsonl.1` or a date behind it, it must stay a
/// file's name.
const LONGEST_IN_NAME: usize = 200;

/// What a container's record is called, without its ending: by its id, or by the beginning of a
/// longer one and its hash. No id has a `=` in it, so no other's record is called so.
#[must_use]
pub fn record_name(id: &str) -> String {
    const KEPT: usize = 160;
    if id.len() <= LONGEST_IN_NAME {
        return id.to_owned();
    }
    let kept: String = id.chars().take(KEPT).collect();
    let hash = Sha256::digest(id);
    let hash: String = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{kept}={hash}")
}

/// A container's id that may stand in paths: letters, digits, `_`, `+`, `-`, `.` and `,`, as runc
/// has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerId(String);

/// A text is not a valid container ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid container ID: expected 1 to {LONGEST_ID} letters, digits or any of _+-.,")]
pub struct ContainerIdError;

impl ContainerId {
    /// Checks an id.
    ///
    /// # Errors
    /// [`ContainerIdError`] for what could leave a directory (`.`, `..`, anything with a slash) or
    /// isn't a plain word.
    pub fn parse(text: &str) -> Result<Self, ContainerIdError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.,".contains(&byte);
        let fits = (1..=LONGEST_ID).contains(&text.len())
            && text.bytes().all(plain)
            && text != "."
            && text != "..";
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(ContainerIdError)
        }
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The container's audit file.
    #[must_use]
    pub fn audit_file(&self, directory: &Path) -> PathBuf {
        audit_file(directory, &self.0)
    }
}

fn audit_file(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{}.jsonl", record_name(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_leave_its_directory_is_none() {
        let long = "a".repeat(LONGEST_ID + 1);
        for text in [
            "", ".", "..", "a/b", "../a", "a\0", "a b", "ä", "a\n", &long,
        ] {
            assert_eq!(ContainerId::parse(text), Err(ContainerIdError), "{text:?}");
        }
    }

    #[test]
    fn the_ids_of_engines_are_ids() {
        for text in [
            "47cf662283cef6a19c06f060ca09dbd0450be99e6c7c062e0826716a659cb39b",
            "a",
            "a.b_c+d-e",
            "a,b",
            "...",
            "-x",
        ] {
            let id = ContainerId::parse(text).unwrap();
            assert_eq!(
                id.audit_file(Path::new("/d")).parent(),
                Some(Path::new("/d"))
            );
        }
    }

    #[test]
    fn a_long_ids_record_has_a_files_name_of_its_own() {
        let id = |last: &str, length: usize| format!("{}{last}", "i".repeat(length - 1));
        for length in [LONGEST_IN_NAME, LONGEST_IN_NAME + 1, LONGEST_ID] {
            let files = ["1", "2"].map(|last| {
                let id = ContainerId::parse(&id(last, length)).unwrap();
                id.audit_file(Path::new("/d"))
            });
            assert_ne!(files[0], files[1], "{length}");
            assert!(files[0].file_name().unwrap().len() <= 240, "{length}");
        }
        assert!(ContainerId::parse(&record_name(&id("1", LONGEST_ID))).is_err());
        assert_eq!(
            record_name(&record_name(&id("1", LONGEST_ID))),
            record_name(&id("1", LONGEST_ID))
        );
    }
}
