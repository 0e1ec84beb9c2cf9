//! AppArmor: which profile lets a container nest a jail, and what its current profile denies.
//!
//! Engines give their containers a default profile. From AppArmor 4.0 on it denies user namespaces
//! unless the engine pins an older ABI, and in every version it denies the mounts that bubblewrap
//! makes. `install` loads two profiles of ours ([`profiles`]) that differ from the default only in
//! that, and `create` replaces the engine's default with one of them. A profile that a user chose
//! is left alone. Must not know specs or engines' files.

pub mod kernel;
pub mod profiles;

use crate::seccomp::tier::Tier;
pub use kernel::Denied;

/// The default profiles of Docker, containerd's CRI, nerdctl and CRI-O.
const ENGINE_DEFAULTS: [&str; 4] = [
    "docker-default",
    "cri-containerd.apparmor.d",
    "nerdctl-default",
    "crio-default",
];

/// podman's and Buildah's is named after their version (`containers-default-0.62.2`).
const PODMAN_DEFAULT: &str = "containers-default-";

/// What AppArmor makes of a container that is to nest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confinement {
    /// The profile of ours that takes the place of the engine's default. None: the container's
    /// profile stays.
    pub ours: Option<&'static str>,
    /// What the container's profile denies of what nesting needs.
    pub denied: Option<Denied>,
}

/// Whether it is a profile that an engine gives containers for which nobody chose one.
#[must_use]
pub fn is_engine_default(profile: &str) -> bool {
    ENGINE_DEFAULTS.contains(&profile) || profile.starts_with(PODMAN_DEFAULT)
}

/// Whether it stands for no confinement at all.
#[must_use]
pub fn is_unconfined(profile: &str) -> bool {
    matches!(profile, "" | "unconfined")
}

/// Finds out what becomes of a container with this profile on this host.
#[must_use]
pub fn confinement(profile: &str, tier: Tier) -> Confinement {
    if is_unconfined(profile) || !kernel::is_enabled() {
        return Confinement::default();
    }
    let ours = profiles::for_tier(tier);
    if is_engine_default(profile) && kernel::loaded().iter().any(|loaded| loaded == ours) {
        return Confinement {
            ours: Some(ours),
            denied: None,
        };
    }
    Confinement {
        ours: None,
        denied: kernel::denies(profile, tier),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_engines_are_known_and_what_a_user_chose_is_none() {
        for name in [
            "docker-default",
            "cri-containerd.apparmor.d",
            "crio-default",
            "containers-default-0.57.4",
        ] {
            assert!(is_engine_default(name), "{name}");
        }
        for name in [
            "",
            "unconfined",
            "docker-default2",
            "my-docker-default",
            profiles::DEFAULT,
            profiles::BWRAP,
        ] {
            assert!(!is_engine_default(name), "{name}");
        }
    }

    #[test]
    fn an_unconfined_container_is_left_alone() {
        for profile in ["", "unconfined"] {
            assert_eq!(confinement(profile, Tier::Bwrap), Confinement::default());
        }
    }
}
