//! A container's `config.json`, as anyone who may start containers can shape it: checked and
//! rewritten, in every input that the host can be in.

#![no_main]

use std::path::Path;

use boundary_shim::container::plan::GatewayOwner;
use boundary_shim::host::Host;
use boundary_shim::policy::Exit;
use boundary_shim::seccomp::tier::Tier;
use boundary_shim::settings::{
    BoundaryMounts, HostNetwork, NetDevices, PodCapabilities, Privileged, RdmaDevices,
    UserNamespace,
};
use boundary_shim::spec::mounts::HostFiles;
use boundary_shim::spec::{
    self, Nesting, NetworkOrigin, OwnerNamespace, RewriteInput, RewriteOutcome, RuntimeQuirks,
    Spec, capabilities,
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

fuzz_target!(|bytes: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let Ok(spec) = Spec::check(spec) else {
        return;
    };
    let _ = spec::annotations(&spec);
    let _ = spec::mounted_on(&spec, Path::new("/bundle"), Path::new("/etc/resolv.conf"));
    let places = [
        NetworkOrigin::Host,
        NetworkOrigin::Free,
        NetworkOrigin::InUse,
        NetworkOrigin::Filtered {
            exit: Exit::Uplink,
            owner: None,
        },
        NetworkOrigin::Filtered {
            exit: Exit::Host,
            owner: Some(owner()),
        },
    ];
    // Which of them is as good as random, and the same each time. All at once would be a sixteenth
    // of the speed.
    let mut choice = bytes.iter().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let mut choose = |among: usize| {
        let chosen = choice % among;
        choice /= among;
        chosen
    };
    let place = &places[choose(places.len())];
    let user_namespace = [
        UserNamespace::Auto,
        UserNamespace::Require,
        UserNamespace::Never,
    ][choose(3)];
    let nesting = [None, Some(Tier::Nsjail), Some(Tier::Bwrap)][choose(3)];
    let pod_capabilities = [PodCapabilities::Refuse, PodCapabilities::Drop][choose(2)];
    rewrite(
        &spec,
        &Setting {
            place,
            user_namespace,
            nesting,
            pod_capabilities,
        },
    );
});

const PROGRAM: &str = "/usr/local/bin/boundary-shim";

/// What differs from one host to another.
struct Setting<'a> {
    /// Where the network namespace is found that the spec names, if it names one.
    place: &'a NetworkOrigin,
    user_namespace: UserNamespace,
    nesting: Option<Tier>,
    pod_capabilities: PodCapabilities,
}

fn owner() -> OwnerNamespace {
    OwnerNamespace {
        path: "/proc/7/ns/user".to_owned(),
        uid_map: vec![[0, 0, 9]],
        gid_map: vec![[0, 1, 5], [5, 0, 4]],
    }
}

fn input(spec: &Spec, setting: &Setting<'_>, was_host: bool) -> RewriteInput {
    let named = spec::network::path(spec).ok().flatten();
    RewriteInput {
        place: named.map(|_| setting.place.clone()),
        was_host,
        host_user_namespace: false,
        host_processes: false,
        confinement: Default::default(),
        host_files: HostFiles::default(),
        boundary_mounts: BoundaryMounts::Refuse,
        host: Host {
            user_namespaces: true,
            unprivileged_user_namespaces: true,
            apparmor_restricts: false,
            selinux_decides: false,
        },
        host_network: HostNetwork::Filter,
        user_namespace: setting.user_namespace,
        nesting: setting.nesting,
        no_pivot: false,
        host_side: Default::default(),
        quirks: RuntimeQuirks::RUNC,
        net_devices: NetDevices::Adopt,
        rdma_devices: RdmaDevices::Refuse,
        pod_capabilities: setting.pod_capabilities,
        privileged: Privileged::Refuse,
    }
}

fn rewrite(before: &Spec, setting: &Setting<'_>) {
    let mut after = before.clone();
    let Ok(outcome) = spec::rewrite(&mut after, &input(before, setting, false), PROGRAM) else {
        return;
    };
    assert_eq!(
        Spec::check(after.clone().into_value()),
        Ok(after.clone()),
        "what was rewritten can be read again"
    );

    let bounded = outcome.user_namespace || capabilities::beyond(&after["process"]).is_none();
    assert!(bounded, "a capability reaches beyond the container");
    assert_eq!(
        of_kind(&after, "network"),
        1,
        "a network namespace of its own, or a filtered one's"
    );
    assert_eq!(
        of_kind(&after, "user") == 1,
        outcome.user_namespace || of_kind(before, "user") == 1
    );
    assert_eq!(
        outcome.gateway == GatewayOwner::Joined,
        matches!(
            input(before, setting, false).place,
            Some(NetworkOrigin::Filtered { .. })
        )
    );

    let ours = |hook: &&Value| hook["args"][0] == "boundary-shim" && hook["args"][1] == "hook";
    let hooks = after["hooks"]["createRuntime"]
        .as_array()
        .expect("a list of hooks");
    assert_eq!(hooks.iter().filter(ours).count(), 1);
    assert!(
        hooks.last().is_some_and(|last| ours(&last)),
        "our hook comes last"
    );
    nothing_else_changed(before, &after, setting);

    // The plan of the first time says whether it was the host's network.
    let mut again = after.clone();
    let second = spec::rewrite(
        &mut again,
        &input(&after, setting, outcome.exit == Exit::Host),
        PROGRAM,
    );
    // The second time, the filter is found as it should be.
    let nesting = Nesting {
        seccomp_before: None,
        ..outcome.nesting
    };
    // And there is nothing left to withhold.
    assert_eq!(
        second,
        Ok(RewriteOutcome {
            nesting,
            withheld: Vec::new(),
            ..outcome
        })
    );
    assert_eq!(
        again.to_string(),
        after.to_string(),
        "rewriting twice is rewriting once, to the byte"
    );
}

fn of_kind(spec: &Value, kind: &str) -> usize {
    let list = spec["linux"]["namespaces"].as_array();
    list.into_iter()
        .flatten()
        .filter(|entry| entry["type"] == kind)
        .count()
}

/// What is not ours to edit is as it was, and stands where it stood.
fn nothing_else_changed(before: &Value, after: &Value, setting: &Setting<'_>) {
    let edits_process = setting.user_namespace == UserNamespace::Never
        || setting.pod_capabilities == PodCapabilities::Drop
        || setting.nesting.is_some();
    let edited = if edits_process { "process" } else { "" };
    same_but_for(before, after, &["annotations", "hooks", "linux", edited]);
    same_but_for(
        &before["annotations"],
        &after["annotations"],
        &[spec::network::MARKER],
    );
    same_but_for(&before["hooks"], &after["hooks"], &["createRuntime"]);
    same_but_for(
        &before["linux"],
        &after["linux"],
        &["namespaces", "seccomp", "uidMappings", "gidMappings"],
    );
    same_but_for(&before["process"], &after["process"], &["capabilities"]);
}

fn same_but_for(before: &Value, after: &Value, edited: &[&str]) {
    let nothing = Map::new();
    let kept = |value: &Value| {
        let members = value.as_object().unwrap_or(&nothing).iter();
        members
            .filter(|(key, _)| !edited.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.to_string()))
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(before), kept(after));
}
