//! Where the DaemonSet puts things on a node: distributions differ in that.
//!
//! Invariant: what is put into the script and the YAML has no special characters in either.

use std::fmt;
use std::str::FromStr;

/// Bytes of a path or a unit's name at most: systemd's own limit for names of units.
const LONGEST: usize = 255;

/// What differs from node to node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLayout {
    /// The main configuration file of the node's containerd.
    pub config: NodePath,
    /// The service that starts containerd, which reads the file.
    pub unit: NodeUnit,
    /// Where the program goes: a directory that is there, and only root's to write.
    pub directory: NodePath,
}

/// What is wrong with a word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// No absolute path, or one that would need quoting.
    #[error("expected an absolute path of up to 255 of A-Z, a-z, 0-9 and . _ - /")]
    Path,
    /// More than a unit's name.
    #[error("expected the name of a systemd unit: up to 255 of A-Z, a-z, 0-9 and . _ - @ :")]
    Unit,
}

/// An absolute path on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePath(String);

/// A unit of a node's systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeUnit(String);

fn spelled(text: &str, others: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    text.len() <= LONGEST && text.chars().all(known)
}

impl FromStr for NodePath {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        if text.starts_with('/') && !text.ends_with('/') && spelled(text, "._-/") {
            Ok(Self(text.to_owned()))
        } else {
            Err(LayoutError::Path)
        }
    }
}

impl FromStr for NodeUnit {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if first && spelled(text, "._-@:") {
            Ok(Self(text.to_owned()))
        } else {
            Err(LayoutError::Unit)
        }
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NodeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_and_can_hold_nothing_else() {
        for path in [
            "",
            "/",
            "etc",
            "/a b",
            "/a;b",
            "/$x",
            "/a\n",
            "/a/",
            "/ä",
            &"/a".repeat(128),
        ] {
            assert!(path.parse::<NodePath>().is_err(), "{path:?}");
        }
        assert!(
            "/var/lib/rancher/k3s/config-v3.toml"
                .parse::<NodePath>()
                .is_ok()
        );
    }

    #[test]
    fn a_unit_is_a_name_and_can_hold_nothing_else() {
        for unit in ["", "-x", "a b", "a/b", "a;b", "$(a)", "a\nb"] {
            assert!(unit.parse::<NodeUnit>().is_err(), "{unit:?}");
        }
        for unit in ["k3s", "snap.microk8s.daemon-containerd.service", "a@b"] {
            assert!(unit.parse::<NodeUnit>().is_ok(), "{unit}");
        }
    }
}
