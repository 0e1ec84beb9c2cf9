//! Our profiles, as `install` writes them: the engines' default, plus what a nested jail needs.
//!
//! The defaults of Docker, containerd, podman and CRI-O are one text under different names. Ours
//! have its rules as of Docker 29; older versions lack a rule or two, and none has more. Like it,
//! they name ABI 3.0, in which AppArmor does not mediate user namespaces and Unix sockets: `userns`
//! in a newer ABI would be a syntax error for AppArmor 3. Syntax: apparmor.d(5).

use crate::seccomp::tier::Tier;

/// The engines' default, but user namespaces may be made.
pub const DEFAULT: &str = "boundary-default";
/// The same, and mounts may be made: by whoever has CAP_SYS_ADMIN over a mount namespace, that is,
/// in one of their own.
pub const BWRAP: &str = "boundary-bwrap";

/// The name of the file that holds both, in AppArmor's folder.
pub const FILE: &str = "boundary-shim";

/// The profile under which a tier's jails can be nested.
#[must_use]
pub fn for_tier(tier: Tier) -> &'static str {
    if needs_mounts(tier) { BWRAP } else { DEFAULT }
}

/// Whether jails of this tier mount.
#[must_use]
pub fn needs_mounts(tier: Tier) -> bool {
    tier == Tier::Bwrap
}

/// What the file defines.
#[must_use]
pub fn file() -> String {
    let (default, bwrap) = (
        profile(DEFAULT, "deny mount,"),
        profile(BWRAP, "mount,\n  pivot_root,"),
    );
    format!("abi <abi/3.0>,\ninclude <tunables/global>\n\n{default}\n{bwrap}")
}

fn profile(name: &str, mounts: &str) -> String {
    format!(
        "profile {name} flags=(attach_disconnected,mediate_deleted) {{
  include <abstractions/base>

  network,
  capability,
  file,
  umount,
  {mounts}

  # Engines and runtimes stop containers; a container's processes signal and trace each other.
  signal receive peer=unconfined,
  signal receive peer={{runc,crun,podman,/usr/bin/runc,/usr/sbin/runc,/usr/bin/crun,/usr/bin/podman}},
  signal (send, receive) peer={name},
  ptrace (trace, read, tracedby, readby) peer={name},

  # Of /proc only what belongs to processes, and shared memory's limits, may be written to.
  deny @{{PROC}}/* w,
  deny @{{PROC}}/{{[^1-9/],[^1-9/][^0-9/],[^1-9s/][^0-9y/][^0-9s/],[^1-9/][^0-9/][^0-9/][^0-9/]*}}/** w,
  deny @{{PROC}}/sys/{{[^k]**,kernel/{{?,??,[^s][^h][^m]**}}}} w,
  deny @{{PROC}}/{{kcore,sysrq-trigger}} rwklx,

  # Of /sys only control groups.
  deny /sys/{{[^f]*,f[^s]*,fs/[^c]*,fs/c[^g]*,fs/cg[^r]*}}/** wklx,
  deny /sys/{{firmware,kernel/security,devices/virtual/powercap}}/** rwklx,
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_differ_in_their_name_and_their_mounts() {
        let bwrap = profile(BWRAP, "mount,\n  pivot_root,");
        let as_default = bwrap
            .replace(BWRAP, DEFAULT)
            .replace("  mount,\n  pivot_root,", "  deny mount,");
        assert_eq!(as_default, profile(DEFAULT, "deny mount,"));
    }

    #[test]
    fn every_tier_has_a_profile_that_the_file_defines() {
        for tier in [
            Tier::Nsjail,
            Tier::Unshare,
            Tier::Chromium,
            Tier::Seed,
            Tier::Bwrap,
        ] {
            assert!(file().contains(&format!("\nprofile {} ", for_tier(tier))));
        }
    }
}
