//! Kubernetes: manifests of the RuntimeClass, of the DaemonSets that install the runtime on nodes and
//! take it off, and of a sample pod where it needs nobody's leave.
//!
//! Owns the text ([`manifests`], [`removal`]); on a node, `install containerd` and `uninstall
//! containerd` do the work.
//!
//! Nothing is taken off because a pod ends: which of an update, a drain, an eviction or the end of it
//! all it is can't be told from inside. The node's label says so, by which one of the DaemonSets runs
//! there; so that none of them needs a right over the cluster's API.
//!
//! Invariant: only names without special characters in YAML or shell are put into the text.

mod layout;

use std::fmt;
use std::io;
use std::str::FromStr;

pub use self::layout::{NodeLayout, NodePath, NodeUnit};
use super::runtime_name::RuntimeName;
use crate::policy::{Mode, PolicyName};
use crate::sys::process;

const TEMPLATE: &str = include_str!("kubernetes/manifests.yaml");
const SAMPLE: &str = include_str!("kubernetes/sample.yaml");
const DAEMON_SET: &str = include_str!("kubernetes/daemonset.yaml");
const COMMON: &str = include_str!("kubernetes/node.sh");
const RECIPE: &str = include_str!("kubernetes/Containerfile");
const REMOVAL: &str = include_str!("kubernetes/cluster-uninstall.sh");

/// One of the DaemonSets.
struct DaemonSet {
    /// What is added to its name.
    suffix: &'static str,
    /// The value of the label on the nodes where it runs.
    chosen: &'static str,
    /// What it does there.
    script: &'static str,
    /// What tells that it is done.
    ready: &'static str,
}

/// `doctor` is asked by one at a time, and for a bounded time: what hangs must not pile up.
const INSTALLER: DaemonSet = DaemonSet {
    suffix: "",
    chosen: "true",
    script: include_str!("kubernetes/install.sh"),
    ready: "test -e /done && test ! -e /mistaken && exec flock -n /probe timeout -k 5 15 nsenter --target 1 --mount -- \
            @DIRECTORY@/boundary-shim doctor containerd --config @CONFIG@ --name @NAME@",
};

const UNINSTALLER: DaemonSet = DaemonSet {
    suffix: "-uninstall",
    chosen: "uninstall",
    script: include_str!("kubernetes/uninstall.sh"),
    ready: "test -e /done",
};

/// An image as a pod names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image(String);

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubernetesError {
    /// No DNS label, as a RuntimeClass's handler has to be.
    #[error(
        "invalid name for a RuntimeClass: {0}: expected up to 48 of a-z, 0-9 and -, with a letter or digit at both ends"
    )]
    Name(RuntimeName),
    /// More than an image's name.
    #[error("invalid image name: expected up to 255 of A-Z, a-z, 0-9 and . _ - / : @")]
    Image,
}

/// All objects, as YAML for `kubectl apply -f -`.
///
/// # Errors
/// Kubernetes takes no such name.
pub fn manifests(
    name: &RuntimeName,
    policy: &PolicyName,
    mode: Mode,
    image: &Image,
    layout: &NodeLayout,
) -> Result<String, KubernetesError> {
    let name = handler(name)?;
    // One that observes would be refused: its namespace has no label yet.
    let sample = match mode {
        Mode::Enforce => SAMPLE,
        Mode::Observe => "",
    };
    let text = TEMPLATE
        .replace("@SAMPLE@\n", sample)
        .replace("@INSTALLER@\n", &INSTALLER.text())
        .replace("@UNINSTALLER@\n", &UNINSTALLER.text())
        .replace(
            "@RECIPE@\n",
            &format!("#\n{}#\n", each_line(RECIPE, "#      ")),
        )
        .replace("@NAME@", name)
        .replace("@POLICY@", policy.as_str())
        .replace("@MODE@", &mode.to_string())
        .replace("@IMAGE@", &image.0)
        .replace("@CONFIG@", &layout.config.to_string())
        .replace("@UNIT@", &layout.unit.to_string())
        .replace("@DIRECTORY@", &layout.directory.to_string());
    Ok(text)
}

/// The commands that take the class off a cluster again, for a shell.
///
/// # Errors
/// Kubernetes takes no such name.
pub fn removal(name: &RuntimeName) -> Result<String, KubernetesError> {
    Ok(REMOVAL.replace("@NAME@", handler(name)?))
}

impl DaemonSet {
    fn text(&self) -> String {
        let script = format!("{COMMON}{}", self.script);
        DAEMON_SET
            .replace("@SCRIPT@\n", &each_line(&script, "              "))
            .replace("@READY@", self.ready)
            .replace("@CHOSEN@", self.chosen)
            .replace("@SET_LABEL@", &format!("@NAME@{}", self.suffix))
            .replace("@SET@", &format!("boundary-shim-@NAME@{}", self.suffix))
    }
}

/// Hands the objects to the user's `kubectl`, with its own idea of which cluster is meant.
///
/// # Errors
/// There is no kubectl, or it failed; it has said why by then.
pub fn apply(manifests: &str) -> io::Result<()> {
    process::feed("kubectl", &["apply", "-f", "-"], manifests.as_bytes())
}

/// 48: what is put before and after it makes labels and names of at most 63.
fn handler(name: &RuntimeName) -> Result<&str, KubernetesError> {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let text = name.as_str();
    let spelled = text.chars().all(|c| alphanumeric(c) || c == '-') && text.ends_with(alphanumeric);
    if spelled && text.starts_with(alphanumeric) && text.len() <= 48 {
        Ok(text)
    } else {
        Err(KubernetesError::Name(name.clone()))
    }
}

fn each_line(text: &str, indent: &str) -> String {
    text.lines()
        .map(|line| format!("{indent}{line}").trim_end().to_owned() + "\n")
        .collect()
}

impl FromStr for Image {
    type Err = KubernetesError;

    fn from_str(text: &str) -> Result<Self, KubernetesError> {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if first && text.len() <= 255 && text.chars().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KubernetesError::Image)
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
