//! Kubernetes: manifests of the RuntimeClass, of the DaemonSet that installs the runtime on nodes,
//! and of a sample pod.
//!
//! Owns the text ([`manifests`]); on a node, `install containerd` does the work.
//!
//! Invariant: only names without special characters in YAML or shell are put into the text.

mod layout;

use std::fmt;
use std::io;
use std::str::FromStr;

pub use self::layout::{NodeLayout, NodePath, NodeUnit};
use super::runtime_name::RuntimeName;
use crate::policy::PolicyName;
use crate::sys::process;

const TEMPLATE: &str = include_str!("kubernetes/manifests.yaml");
const SCRIPT: &str = include_str!("kubernetes/node.sh");
const RECIPE: &str = include_str!("kubernetes/Containerfile");

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
    image: &Image,
    layout: &NodeLayout,
) -> Result<String, KubernetesError> {
    let name = handler(name)?;
    let text = TEMPLATE
        .replace("@SCRIPT@\n", &each_line(SCRIPT, "              "))
        .replace(
            "@RECIPE@\n",
            &format!("#\n{}#\n", each_line(RECIPE, "#      ")),
        )
        .replace("@NAME@", name)
        .replace("@POLICY@", policy.as_str())
        .replace("@IMAGE@", &image.0)
        .replace("@CONFIG@", &layout.config.to_string())
        .replace("@UNIT@", &layout.unit.to_string())
        .replace("@DIRECTORY@", &layout.directory.to_string());
    Ok(text)
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
