//! What the kernel allows: gateways, user namespaces, jails within containers, neighbours.

use crate::apparmor::{Denied, is_engine_default};
use crate::cli::doctor::facts::HostFacts;
use crate::cli::doctor::finding::Finding;
use crate::host::Host;
use crate::settings::UserNamespace;

pub(super) fn gateway(made: &Result<(), String>) -> Finding {
    match made {
        Ok(()) => {
            Finding::fine("kernel: a gateway with its ruleset, link and sockets can be created")
        }
        Err(error) => Finding::broken(
            format!("kernel: can't create a gateway: {error}"),
            "run this as root, on Linux 5.12 or later with nf_tables (tproxy, socket and log expressions), conntrack and veth; \
             to load the modules: modprobe -a nf_tables nft_tproxy nft_socket nft_log nf_conntrack nfnetlink_log veth",
        ),
    }
}

pub(super) fn user_namespaces(facts: &HostFacts) -> Option<Finding> {
    let wanted = facts
        .configuration
        .as_ref()
        .map_or(UserNamespace::Auto, |settings| settings.user_namespace);
    Some(match &facts.user_namespace {
        Ok(()) => Finding::fine("user namespaces: can be created"),
        Err(error) if wanted == UserNamespace::Never => Finding::note(
            format!("user namespaces: {error}"),
            "not needed, as user-namespace is \"never\"",
        ),
        Err(_) if !facts.host.user_namespaces => Finding::broken(
            "user namespaces: disabled",
            "enable them with sysctl user.max_user_namespaces=10000, or set user-namespace = \"never\" in /etc/boundary/config.toml",
        ),
        Err(error) => Finding::broken(
            format!("user namespaces: can't be created: {error}"),
            "find out what forbids them (a chroot, a seccomp filter, a security module), or set user-namespace = \"never\" in /etc/boundary/config.toml",
        ),
    })
}

/// What jails within containers lack.
pub(super) fn nesting(facts: &HostFacts) -> Vec<Finding> {
    let profiles = facts.profiles.iter();
    let profiles = profiles.map(|(name, denied)| profile(name, *denied));
    switches(&facts.host).into_iter().chain(profiles).collect()
}

fn switches(host: &Host) -> Vec<Finding> {
    let mut all = Vec::new();
    if !host.unprivileged_user_namespaces {
        all.push(Finding::note(
            "nesting: only root on the host may create user namespaces",
            "to allow jails in containers: sysctl kernel.unprivileged_userns_clone=1",
        ));
    }
    if host.apparmor_restricts {
        all.push(Finding::note(
            "nesting: AppArmor drops the capabilities of unconfined programs in user namespaces",
            "to allow jails in containers without a profile: sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ));
    }
    if host.selinux_decides {
        all.push(Finding::note(
            "nesting: SELinux decides who may create user namespaces",
            "if it denies jails in containers, allow user_namespace { create } for the container's type",
        ));
    }
    all
}

/// `networks`: how many there are beside the host's.
pub(super) fn neighbours([v4, v6]: [u64; 2], networks: u64) -> Finding {
    /// What a container on a bridge has, as with runc: the bridge for the container, the container
    /// for the bridge, and in IPv6 that by its link-local address, too.
    const OF_A_CONTAINER: [u64; 2] = [2, 3];
    /// The kernel's default.
    const USUAL: u64 = 1024;
    let containers = (v4 / OF_A_CONTAINER[0]).min(v6 / OF_A_CONTAINER[1]);
    let what = format!(
        "neighbours: the kernel learns {v4} in IPv4 and {v6} in IPv6, enough for {containers} containers on a bridge; networks beside the host's: {networks}"
    );
    if v4.min(v6) >= USUAL && networks < containers {
        Finding::fine(what)
    } else {
        Finding::note(
            what,
            "beyond that connections fail; for more: sysctl net.ipv4.neigh.default.gc_thresh3=4096 net.ipv6.neigh.default.gc_thresh3=4096",
        )
    }
}

fn profile(name: &str, denied: Option<Denied>) -> Finding {
    let what = match denied {
        None => {
            return Finding::fine(format!("nesting: the AppArmor profile {name} allows it"));
        }
        Some(Denied::UserNamespaces) => "user namespaces",
        Some(Denied::Mounts) => "the mounts of nested jails",
    };
    let help = if is_engine_default(name) {
        "boundary-shim install ENGINE loads a profile that allows them"
    } else {
        "it was modified: uninstall and install again"
    };
    Finding::note(
        format!("nesting: the containers' AppArmor profile {name} denies {what}"),
        help,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Severity;

    #[test]
    fn few_neighbours_are_a_note_that_says_for_how_many_containers_they_are_enough() {
        let enough = |of: [u64; 2], networks| {
            let finding = neighbours(of, networks);
            (finding.severity, finding.what)
        };
        for (of, networks, severity, containers) in [
            ([1024, 1024], 3, Severity::Fine, "341 containers"),
            ([4096, 16_384], 3, Severity::Fine, "2048 containers"),
            ([128, 1024], 3, Severity::Note, "64 containers"),
            ([1024, 1024], 341, Severity::Note, "341 containers"),
            ([1024, 30], 3, Severity::Note, "10 containers"),
        ] {
            let (found, what) = enough(of, networks);
            assert!(found == severity && what.contains(containers), "{what}");
        }
    }
}
