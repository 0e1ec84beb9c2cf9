//! Whole rewrites: what engines write goes in, and what changed (and that nothing else did) is
//! compared.

use proptest::prelude::*;
use serde_json::json;

use super::input::OwnerNamespace;
use super::mounts::HostFiles;
use super::user_namespace::binds::BindSource;
use super::*;
use crate::apparmor::Confinement;
use crate::container::plan::Recipients;
use crate::host::Host;
use crate::seccomp::tier::Tier;
use crate::settings::{
    BoundaryMounts, HostNetwork, NetDevices, PodCapabilities, Privileged, RdmaDevices,
    UserNamespace,
};

pub(super) fn plain() -> Value {
    serde_json::from_str(include_str!("../../testdata/specs/plain.json")).unwrap()
}

pub(super) fn with_capability(name: &str) -> Value {
    let mut spec = plain();
    for set in ["bounding", "effective", "permitted"] {
        spec["process"]["capabilities"][set]
            .as_array_mut()
            .unwrap()
            .push(name.into());
    }
    spec
}

/// A host that forbids nothing.
pub(super) const HOST: Host = Host {
    user_namespaces: true,
    unprivileged_user_namespaces: true,
    apparmor_restricts: false,
    selinux_decides: false,
};

pub(super) fn input() -> RewriteInput {
    RewriteInput {
        place: None,
        was_host: false,
        host_user_namespace: false,
        host_processes: false,
        no_pivot: false,
        host_side: HostSide::default(),
        host_files: HostFiles::default(),
        boundary_mounts: BoundaryMounts::Refuse,
        host: HOST,
        confinement: Confinement::default(),
        nesting: None,
        host_network: HostNetwork::Filter,
        user_namespace: UserNamespace::Auto,
        pod_capabilities: PodCapabilities::Refuse,
        net_devices: NetDevices::Refuse,
        rdma_devices: RdmaDevices::Refuse,
        privileged: Privileged::Refuse,
        quirks: RuntimeQuirks::RUNC,
    }
}

/// Checks and rewrites a tree.
pub(super) fn rewrite(tree: &mut Value, input: &RewriteInput) -> Result<RewriteOutcome, SpecError> {
    let mut spec = Spec::check(tree.clone())?;
    let outcome = super::rewrite(&mut spec, input, "/usr/local/bin/boundary-shim")?;
    *tree = spec.into_value();
    Ok(outcome)
}

fn owner() -> OwnerNamespace {
    OwnerNamespace {
        path: "/proc/7/ns/user".into(),
        uid_map: vec![[0, 0, 4_294_967_295]],
        gid_map: vec![[0, 100, 5], [5, 0, 9]],
    }
}

pub(super) fn filtered(owner: Option<OwnerNamespace>) -> Option<NetworkOrigin> {
    Some(NetworkOrigin::Filtered {
        exit: Exit::Uplink,
        owner,
    })
}

pub(super) fn set_path(spec: &mut Value, kind: &str, path: &str) {
    let list = spec["linux"]["namespaces"].as_array_mut().unwrap();
    list.retain(|entry| entry["type"] != kind);
    list.push(json!({"type": kind, "path": path}));
}

/// What changed, line by line, as a reader of the diff sees it (longest common subsequence).
fn diff(before: &Value, after: &Value) -> String {
    let (before, after) = (pretty(before), pretty(after));
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for (i, j) in (0..old.len())
        .rev()
        .flat_map(|i| (0..new.len()).rev().map(move |j| (i, j)))
    {
        common[i][j] = if old[i] == new[j] {
            common[i + 1][j + 1] + 1
        } else {
            common[i + 1][j].max(common[i][j + 1])
        };
    }
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            out += &format!("-{}\n", old[i]);
            i += 1;
        } else {
            out += &format!("+{}\n", new[j]);
            j += 1;
        }
    }
    out
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

/// A read-only mount from where nothing may be executed.
fn with_noexec_mount(spec: &mut Value) -> HostSide {
    let mounts = spec["mounts"].as_array_mut().unwrap();
    let mut binds = vec![None; mounts.len()];
    mounts.push(
        json!({"destination": "/work", "type": "bind", "source": "/srv", "options": ["rbind", "ro"]}),
    );
    binds.push(Some(BindSource {
        options: vec!["rw".into(), "nodev".into(), "noexec".into()],
        executable: true,
        mounts_below: false,
    }));
    HostSide {
        binds,
        ..HostSide::default()
    }
}

#[test]
fn a_user_namespace_that_would_cost_something_is_not_added_for_nestings_sake() {
    let mut spec = plain();
    let host_side = with_noexec_mount(&mut spec);
    let before = spec.clone();
    let input = RewriteInput {
        host_side,
        nesting: Some(Tier::Nsjail),
        ..input()
    };
    let outcome = rewrite(&mut spec, &input).unwrap();
    assert!(!outcome.user_namespace && outcome.notices.is_empty());
    assert_eq!(
        outcome.nesting.obstacles,
        [
            "a nested jail doesn't get CAP_NET_ADMIN: in the user namespace that this needs, /work is noexec like its \
             source; --cap-add NET_ADMIN gives it all the same"
        ]
    );
    assert_eq!(spec["mounts"], before["mounts"]);
}

#[test]
fn where_one_is_needed_mounts_are_fitted_and_what_it_costs_is_said() {
    let mut spec = with_capability("CAP_SYS_TIME");
    let host_side = with_noexec_mount(&mut spec);
    let input = RewriteInput {
        host_side,
        ..input()
    };
    let outcome = rewrite(&mut spec, &input).unwrap();
    assert!(outcome.user_namespace);
    assert_eq!(
        outcome.notices,
        [
            "in the user namespace that bounds its capabilities, CAP_SYS_TIME has no effect",
            "in the user namespace that bounds its capabilities, /work is noexec like its source",
        ]
    );
    assert_eq!(
        spec["mounts"].as_array().unwrap().last().unwrap()["options"],
        json!(["rbind", "ro", "nodev", "noexec"])
    );
}

#[test]
fn a_namespace_of_another_that_is_mounted_or_changed_is_refused_beside_a_user_namespace() {
    for (kind, edit) in [
        ("pid", json!({})),
        ("ipc", json!({})),
        ("uts", json!({"hostname": "x"})),
        ("mount", json!({})),
    ] {
        let mut spec = with_capability("CAP_NET_ADMIN");
        for kind in ["proc", "mqueue"] {
            let mount = json!({"destination": "/x", "type": kind, "source": kind});
            spec["mounts"].as_array_mut().unwrap().push(mount);
        }
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "ipc"}));
        set_path(&mut spec, kind, "/proc/7/ns/x");
        for (key, value) in edit.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let allowed = RewriteInput {
            privileged: Privileged::Allow,
            ..input()
        };
        let refused = rewrite(&mut spec, &allowed).unwrap_err();
        assert!(
            matches!(refused, SpecError::SharedNamespaces(_, shared) if shared == kind),
            "{kind}: {refused}"
        );
    }
}

#[test]
fn a_plain_container_gets_our_hooks_and_nothing_else() {
    let (before, mut after) = (plain(), plain());
    let outcome = rewrite(&mut after, &input()).unwrap();
    assert_eq!(
        outcome,
        RewriteOutcome {
            gateway: GatewayOwner::Own,
            exit: Exit::Uplink,
            user_namespace: false,
            nesting: Nesting::default(),
            withheld: Vec::new(),
            notices: Vec::new(),
        }
    );
    insta::assert_snapshot!(diff(&before, &after), @r#"
    +    ],
    +    "createRuntime": [
    +      {
    +        "path": "/usr/local/bin/boundary-shim",
    +        "args": [
    +          "boundary-shim",
    +          "hook"
    +        ],
    +        "env": [
    +          "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
    +        ],
    +        "timeout": 30
    +      }
    +    ],
    +    "poststop": [
    +      {
    +        "path": "/usr/local/bin/boundary-shim",
    +        "args": [
    +          "boundary-shim",
    +          "hook",
    +          "poststop"
    +        ],
    +        "env": [
    +          "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
    +        ],
    +        "timeout": 30
    +      }
    "#);
}

#[test]
fn a_reaching_capability_brings_a_user_namespace_of_its_own() {
    let (before, mut after) = (
        with_capability("CAP_NET_ADMIN"),
        with_capability("CAP_NET_ADMIN"),
    );
    assert!(rewrite(&mut after, &input()).unwrap().user_namespace);
    after["hooks"] = before["hooks"].clone();
    insta::assert_snapshot!(diff(&before, &after), @r#"
    +      },
    +      {
    +        "type": "user"
    +    ],
    +    "uidMappings": [
    +      {
    +        "containerID": 0,
    +        "hostID": 0,
    +        "size": 4294967295
    +      }
    +    ],
    +    "gidMappings": [
    +      {
    +        "containerID": 0,
    +        "hostID": 0,
    +        "size": 4294967295
    +      }
    "#);
}

#[test]
fn a_capability_that_only_the_bounding_set_holds_counts() {
    let mut spec = plain();
    spec["process"]["capabilities"]["bounding"] = json!(["CAP_SYS_PTRACE"]);
    assert!(rewrite(&mut spec, &input()).unwrap().user_namespace);
}

#[test]
fn without_user_namespaces_the_capability_is_refused_or_taken_away() {
    let off = RewriteInput {
        host: Host {
            user_namespaces: false,
            ..HOST
        },
        ..input()
    };
    let refused = rewrite(&mut with_capability("CAP_NET_ADMIN"), &off).unwrap_err();
    assert_eq!(
        refused,
        SpecError::NoUserNamespaces("CAP_NET_ADMIN reaches beyond the container".into())
    );
    assert!(refused.to_string().contains("user.max_user_namespaces"));
    let never = RewriteInput {
        user_namespace: UserNamespace::Never,
        ..off
    };
    let mut spec = with_capability("CAP_NET_ADMIN");
    assert!(!rewrite(&mut spec, &never).unwrap().user_namespace);
    assert_eq!(spec["process"], plain()["process"]);
}

#[test]
fn without_pivot_root_there_is_no_user_namespace_of_ours() {
    let bare = RewriteInput {
        no_pivot: true,
        ..input()
    };
    let refused = rewrite(&mut with_capability("CAP_SYS_ADMIN"), &bare).unwrap_err();
    assert_eq!(
        refused,
        SpecError::NoPivot("CAP_SYS_ADMIN reaches beyond the container".into())
    );
    // What was not asked for is no reason to refuse: the container goes without.
    let nesting = RewriteInput {
        nesting: Some(Tier::Nsjail),
        ..bare
    };
    let mut spec = plain();
    let outcome = rewrite(&mut spec, &nesting).unwrap();
    assert_eq!(
        (outcome.user_namespace, outcome.nesting.capability),
        (false, Recipients::Nobody)
    );
    assert!(
        outcome
            .nesting
            .obstacles
            .iter()
            .any(|obstacle| obstacle.contains("--no-pivot"))
    );
    assert_eq!(spec["process"], plain()["process"]);
}

#[test]
fn a_device_under_another_name_is_not_lost_to_nesting() {
    let input = RewriteInput {
        host_side: HostSide {
            absent_device: Some("/dev/disk".into()),
            ..HostSide::default()
        },
        nesting: Some(Tier::Nsjail),
        ..input()
    };
    let mut spec = plain();
    let outcome = rewrite(&mut spec, &input).unwrap();
    assert_eq!(
        (outcome.user_namespace, outcome.nesting.capability),
        (false, Recipients::Nobody)
    );
    assert!(
        outcome
            .nesting
            .obstacles
            .iter()
            .any(|obstacle| obstacle.contains("/dev/disk"))
    );
    assert_eq!(spec["process"], plain()["process"]);
    // Asked for a capability that needs the user namespace, too, it would fail in the runtime's
    // words.
    let refused = rewrite(&mut with_capability("CAP_NET_ADMIN"), &input).unwrap_err();
    assert_eq!(
        refused,
        SpecError::AbsentDevice(
            "CAP_NET_ADMIN reaches beyond the container".into(),
            "/dev/disk".into()
        )
    );
    // Whoever brings a user namespace knows what is to be had in it.
    let mut spec = with_capability("CAP_NET_ADMIN");
    spec["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "user"}));
    assert!(rewrite(&mut spec, &input).unwrap().user_namespace);
}

#[test]
fn required_means_every_container() {
    let required = RewriteInput {
        user_namespace: UserNamespace::Require,
        ..input()
    };
    assert!(rewrite(&mut plain(), &required).unwrap().user_namespace);
    let joiner = RewriteInput {
        place: filtered(None),
        ..required
    };
    let mut spec = plain();
    set_path(&mut spec, "network", "/proc/7/ns/net");
    assert!(matches!(
        rewrite(&mut spec, &joiner),
        Err(SpecError::OwnerUnbounded(_))
    ));
}

#[test]
fn a_user_namespace_of_the_engine_stays() {
    let mut spec = with_capability("CAP_SYS_ADMIN");
    spec["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "user"}));
    spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    let before = spec["linux"].clone();
    assert!(rewrite(&mut spec, &input()).unwrap().user_namespace);
    assert_eq!(spec["linux"], before);
}

#[test]
fn a_user_namespace_that_is_the_hosts_or_strangers_bounds_nothing() {
    for host_user_namespace in [true, false] {
        let input = RewriteInput {
            host_user_namespace,
            ..input()
        };
        let mut spec = with_capability("CAP_SYS_ADMIN");
        set_path(&mut spec, "user", "/proc/1/ns/user");
        assert!(matches!(
            rewrite(&mut spec, &input),
            Err(SpecError::SharedUserNamespace(_))
        ));
        let mut spec = plain();
        set_path(&mut spec, "user", "/proc/1/ns/user");
        assert!(!rewrite(&mut spec, &input).unwrap().user_namespace);
    }
}

#[test]
fn the_hosts_network_becomes_a_private_one() {
    let mut missing = plain();
    missing["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .remove(1);
    let mut named = plain();
    set_path(&mut named, "network", "/var/run/docker/netns/default");
    for (mut spec, place) in [(missing, None), (named, Some(NetworkOrigin::Host))] {
        let refused = RewriteInput {
            host_network: HostNetwork::Refuse,
            place: place.clone(),
            ..input()
        };
        assert_eq!(
            rewrite(&mut spec.clone(), &refused),
            Err(SpecError::HostNetwork)
        );
        let outcome = rewrite(&mut spec, &RewriteInput { place, ..input() }).unwrap();
        assert_eq!(
            (outcome.gateway, outcome.exit),
            (GatewayOwner::Own, Exit::Host)
        );
        assert!(
            spec["linux"]["namespaces"]
                .as_array()
                .unwrap()
                .contains(&json!({"type": "network"}))
        );
        // The bundle is the same, rewritten: so must be the plan.
        let again = rewrite(
            &mut spec.clone(),
            &RewriteInput {
                was_host: true,
                ..input()
            },
        )
        .unwrap();
        assert_eq!(again, outcome);
    }
}

#[test]
fn our_marker_set_by_a_user_does_not_get_the_hosts_network() {
    let mut spec = plain();
    spec["annotations"] = json!({network::MARKER: "host"});
    assert_eq!(
        rewrite(&mut spec, &input()),
        Err(SpecError::Marker(network::MARKER))
    );
}

#[test]
fn a_namespace_in_use_without_a_gateway_is_refused_and_a_fresh_one_taken() {
    let mut spec = plain();
    set_path(&mut spec, "network", "/run/netns/cni-1");
    let at = |place| RewriteInput {
        place: Some(place),
        ..input()
    };
    assert_eq!(
        rewrite(&mut spec.clone(), &at(NetworkOrigin::InUse)),
        Err(SpecError::Unfiltered)
    );
    let outcome = rewrite(&mut spec, &at(NetworkOrigin::Free)).unwrap();
    assert_eq!(
        (outcome.gateway, outcome.exit),
        (GatewayOwner::Own, Exit::Uplink)
    );
    assert_eq!(spec["linux"]["namespaces"][2]["path"], "/run/netns/cni-1");
    let mut reaching = with_capability("CAP_NET_ADMIN");
    assert!(matches!(
        rewrite(&mut reaching, &at(NetworkOrigin::Free)),
        Err(SpecError::PremadeNetwork(_))
    ));
}

#[test]
fn a_joiner_that_reaches_beyond_joins_the_owners_user_namespace() {
    let mut spec = with_capability("CAP_NET_ADMIN");
    set_path(&mut spec, "network", "/proc/7/ns/net");
    let joiner = RewriteInput {
        place: filtered(Some(owner())),
        ..input()
    };
    let outcome = rewrite(&mut spec, &joiner).unwrap();
    assert_eq!(
        (outcome.gateway, outcome.exit, outcome.user_namespace),
        (GatewayOwner::Joined, Exit::Uplink, true)
    );
    assert_eq!(
        spec["linux"]["namespaces"][3],
        json!({"type": "user", "path": "/proc/7/ns/user"})
    );
    assert_eq!(
        spec["linux"]["gidMappings"][1],
        json!({"containerID": 5, "hostID": 0, "size": 9})
    );
    let unbounded = RewriteInput {
        place: filtered(None),
        ..input()
    };
    let mut spec = with_capability("CAP_NET_ADMIN");
    assert!(matches!(
        rewrite(&mut spec, &unbounded),
        Err(SpecError::OwnerUnbounded(_))
    ));
}

#[test]
fn privileged_host_pid_and_host_mount_containers_are_refused_unless_the_host_allows_them() {
    let mut privileged = plain();
    let all = [
        "NET_ADMIN",
        "SYS_ADMIN",
        "SYS_MODULE",
        "SYS_PTRACE",
        "SYS_RAWIO",
    ]
    .map(|name| format!("CAP_{name}"));
    privileged["process"]["capabilities"]["bounding"] = json!(all);
    privileged["linux"]["seccomp"] = Value::Null;
    privileged["linux"]["maskedPaths"] = Value::Null;
    assert_eq!(
        rewrite(&mut privileged.clone(), &input()),
        Err(SpecError::Privileged)
    );
    privileged["linux"]["maskedPaths"] = json!(["/proc/kcore"]);
    privileged["linux"]["resources"]["devices"] =
        json!([{"allow": true, "type": "a", "access": "rwm"}]);
    assert_eq!(
        rewrite(&mut privileged.clone(), &input()),
        Err(SpecError::Privileged)
    );
    let allowed = RewriteInput {
        privileged: Privileged::Allow,
        ..input()
    };
    assert!(rewrite(&mut privileged, &allowed).unwrap().user_namespace);

    let mut host_pid = plain();
    host_pid["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .remove(2);
    assert_eq!(
        rewrite(&mut host_pid.clone(), &input()),
        Err(SpecError::HostProcesses)
    );
    assert!(rewrite(&mut host_pid, &allowed).is_ok());

    let mut host_mounts = plain();
    host_mounts["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .retain(|namespace| namespace["type"] != "mount");
    assert_eq!(
        rewrite(&mut host_mounts.clone(), &input()),
        Err(SpecError::HostMounts)
    );
    assert!(rewrite(&mut host_mounts, &allowed).is_ok());
}

#[test]
fn our_hooks_are_there_once_the_one_behind_all_others_the_other_before_them() {
    let mut spec = plain();
    let ours = json!({"path": "/old/boundary-shim", "args": ["boundary-shim", "hook", "x"]});
    spec["hooks"]["createRuntime"] =
        json!([ours, {"path": "/other", "args": ["boundary-shim"]}, ours]);
    spec["hooks"]["poststop"] = json!([{"path": "/other"}, ours]);
    rewrite(&mut spec, &input()).unwrap();
    let paths = |stage: &str| {
        let hooks = spec["hooks"][stage].as_array().unwrap();
        let paths = hooks.iter().map(|hook| hook["path"].as_str().unwrap());
        paths.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        paths("createRuntime"),
        ["/other", "/usr/local/bin/boundary-shim"]
    );
    assert_eq!(
        paths("poststop"),
        ["/usr/local/bin/boundary-shim", "/other"]
    );
}

#[test]
fn what_go_would_read_otherwise_is_refused() {
    let cases: [(&str, Value); 12] = [
        ("/linux/resources/Devices", json!([])),
        ("/linux/resources/devices/0/Allow", json!(true)),
        ("/Linux", json!({})),
        ("/hoo\u{212a}s", json!({})),
        ("/linux/Namespaces", json!([])),
        ("/linux/UidMappings", json!([])),
        ("/linux/namespaces/1/Path", json!("/proc/1/ns/net")),
        ("/process/Capabilities", json!({})),
        ("/process/capabilities/BOUNDING", json!([])),
        ("/hooks/createruntime", json!([])),
        ("/hooks/PostStop", json!([])),
        ("/mounts/1/Source", json!("/x")),
    ];
    for (pointer, value) in cases {
        let mut spec = plain();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        spec.pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert(key.into(), value);
        assert!(
            matches!(
                rewrite(&mut spec, &input()),
                Err(SpecError::AmbiguousKey { .. })
            ),
            "{pointer}"
        );
    }
}

#[test]
fn annotations_are_free_words() {
    let mut spec = plain();
    spec["annotations"] = json!({"Path": "x", "ENV": "y", network::MARKER: "z"});
    assert_eq!(
        annotations(&Spec::check(spec.clone()).unwrap())
            .into_keys()
            .collect::<Vec<_>>(),
        ["ENV", "Path"]
    );
    spec["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(network::MARKER);
    assert!(rewrite(&mut spec, &input()).is_ok());
}

#[test]
fn a_namespace_listed_twice_is_refused() {
    let mut spec = plain();
    spec["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "network", "path": "/proc/1/ns/net"}));
    assert_eq!(
        rewrite(&mut spec, &input()),
        Err(SpecError::TwiceListed("network"))
    );
}

#[test]
fn things_of_another_type_are_refused_not_repaired() {
    let pointers = "/linux /linux/namespaces /linux/namespaces/1 /linux/namespaces/1/path /process /hooks \
                    /hooks/createRuntime /hooks/poststop /annotations /mounts";
    for pointer in pointers.split_ascii_whitespace() {
        for value in [json!(7), json!("x"), json!([[]])] {
            let mut spec = plain();
            spec["hooks"]["createRuntime"] = json!([]);
            spec["hooks"]["poststop"] = json!([]);
            spec["annotations"] = json!({});
            spec["linux"]["namespaces"][1]["path"] = json!("");
            if pointer.ends_with("path") && value.is_string()
                || pointer.starts_with("/hooks/") && value.is_array()
            {
                continue;
            }
            *spec.pointer_mut(pointer).unwrap() = value.clone();
            assert!(rewrite(&mut spec, &input()).is_err(), "{pointer} {value}");
        }
    }
    assert!(rewrite(&mut json!([]), &input()).is_err());
}

#[test]
fn the_last_mount_on_a_path_counts() {
    let mut spec = plain();
    let resolv = |spec: &Value| {
        mounted_on(
            &Spec::check(spec.clone()).unwrap(),
            Path::new("/bundle"),
            Path::new("/etc/resolv.conf"),
        )
    };
    assert_eq!(resolv(&spec), Some("/bundle/resolv.conf".into()));
    spec["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": "/etc//./resolv.conf", "source": "/other"}));
    assert_eq!(resolv(&spec), Some("/other".into()));
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-zA-Z/_.]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("x[a-z]{1,6}", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn unknown_fields_survive_wherever_they_stand(value in anything(), key in "x-[a-zA-Z]{0,8}") {
        for pointer in ["", "/process", "/process/capabilities", "/linux", "/linux/namespaces/1", "/hooks", "/mounts/0"] {
            let mut spec = with_capability("CAP_NET_ADMIN");
            spec.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(key.clone(), value.clone());
            rewrite(&mut spec, &input()).unwrap();
            prop_assert_eq!(&spec.pointer(pointer).unwrap()[&key], &value);
        }
    }

    #[test]
    fn rewriting_twice_is_rewriting_once(
        capability in prop::sample::select(vec!["CAP_CHOWN", "CAP_SYS_ADMIN"]),
        host: bool,
        nesting in prop::sample::select(vec![None, Some(Tier::Nsjail), Some(Tier::Bwrap)]),
    ) {
        let mut spec = with_capability(capability);
        if host {
            spec["linux"]["namespaces"].as_array_mut().unwrap().remove(1);
        }
        let first = rewrite(&mut spec, &RewriteInput { nesting, ..input() }).unwrap();
        let mut again = spec.clone();
        let was_host = first.exit == Exit::Host;
        let second = rewrite(&mut again, &RewriteInput { was_host, nesting, ..input() }).unwrap();
        // The second time, the filter is found as it should be.
        let nesting = Nesting { seccomp_before: None, ..first.nesting };
        prop_assert_eq!(RewriteOutcome { nesting, ..first }, second);
        prop_assert_eq!(spec.to_string(), again.to_string());
    }

    #[test]
    fn no_tree_panics(value in anything(), pointer in prop::sample::select(vec![
        "/linux", "/linux/namespaces", "/linux/namespaces/1", "/linux/resources", "/linux/resources/devices", "/process",
        "/process/capabilities", "/process/capabilities/bounding", "/hooks", "/hooks/prestart", "/mounts", "/mounts/0",
    ])) {
        let mut spec = plain();
        *spec.pointer_mut(pointer).unwrap() = value;
        let _ = rewrite(&mut spec, &input());
    }
}

/// A container of a pod whose network belongs to the host's user namespace.
fn in_pod(capabilities: &[&str]) -> Value {
    let mut spec = plain();
    spec["annotations"] = json!({
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.sandbox-namespace": "shop",
    });
    set_path(&mut spec, "network", "/proc/7/ns/net");
    for set in [
        "bounding",
        "effective",
        "permitted",
        "inheritable",
        "ambient",
    ] {
        spec["process"]["capabilities"][set] = json!([&["CAP_CHOWN"], capabilities].concat());
    }
    spec
}

fn of_pod(pod_capabilities: PodCapabilities) -> RewriteInput {
    RewriteInput {
        place: filtered(None),
        pod_capabilities,
        ..input()
    }
}

/// Both cures, in words that a pod's author knows. Elsewhere, neither is one.
#[test]
fn what_nothing_bounds_in_a_pod_is_refused_with_both_cures() {
    let cured = |error: &SpecError| {
        let error = error.to_string();
        (
            error.contains("hostUsers: false in the pod"),
            error.contains("pod-capabilities = \"drop\" in the node's config.toml"),
        )
    };
    for place in [filtered(None), Some(NetworkOrigin::Free)] {
        let refusing = RewriteInput {
            place,
            ..of_pod(PodCapabilities::Refuse)
        };
        let error = rewrite(&mut in_pod(&["CAP_NET_ADMIN"]), &refusing).unwrap_err();
        assert_eq!(cured(&error), (true, true), "{error}");
        let mut elsewhere = in_pod(&["CAP_NET_ADMIN"]);
        elsewhere["annotations"] = json!({});
        let error = rewrite(&mut elsewhere, &refusing).unwrap_err();
        assert!(!cured(&error).1, "{error}");
    }
    // Dropping would not help where every container needs a user namespace.
    let requiring = RewriteInput {
        user_namespace: UserNamespace::Require,
        ..of_pod(PodCapabilities::Drop)
    };
    let error = rewrite(&mut in_pod(&["CAP_NET_ADMIN"]), &requiring).unwrap_err();
    assert!(matches!(error, SpecError::OwnerUnbounded(_)), "{error}");
}

#[test]
fn a_pods_container_may_be_started_without_what_nothing_bounds() {
    let asked = [
        "CAP_NET_ADMIN",
        "sys_admin",
        "CAP_SYS_PTRACE",
        "CAP_TOMORROW",
        "CAP_NET_RAW",
    ];
    let mut spec = in_pod(&asked);
    spec["linux"]["seccomp"] = Value::Null;
    let outcome = rewrite(&mut spec, &of_pod(PodCapabilities::Drop)).unwrap();
    assert_eq!(
        outcome.withheld,
        [
            "CAP_NET_ADMIN",
            "CAP_SYS_ADMIN",
            "CAP_SYS_PTRACE",
            "CAP_TOMORROW"
        ]
    );
    assert!(!outcome.user_namespace);
    let left = json!(["CAP_CHOWN", "CAP_NET_RAW"]);
    let sets = spec["process"]["capabilities"].as_object().unwrap();
    assert_eq!(sets.len(), 5);
    assert!(sets.values().all(|set| *set == left), "{sets:?}");
}

#[test]
fn what_is_bounded_stays_though_the_host_drops_the_rest() {
    let dropping = of_pod(PodCapabilities::Drop);
    let untouched = |mut spec: Value, input: &RewriteInput| {
        let before = spec["process"].clone();
        let outcome = rewrite(&mut spec, input).unwrap();
        assert_eq!((&spec["process"], outcome.withheld), (&before, Vec::new()));
        outcome.user_namespace
    };
    // The pod's own user namespace, by path: hostUsers: false.
    let mut own_users = in_pod(&["CAP_NET_ADMIN"]);
    own_users["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "user", "path": "/proc/7/ns/user"}));
    assert!(untouched(own_users.clone(), &dropping));
    // Nothing was asked for.
    assert!(!untouched(in_pod(&["CAP_NET_RAW"]), &dropping));
    // The same path to the host's own bounds nothing.
    let hosts = RewriteInput {
        host_user_namespace: true,
        ..dropping
    };
    let outcome = rewrite(&mut own_users, &hosts).unwrap();
    assert_eq!(
        (outcome.withheld, outcome.user_namespace),
        (vec!["CAP_NET_ADMIN".to_owned()], false)
    );
}

/// The setting is about pods. Elsewhere, whoever asks for a capability gets it or an error.
#[test]
fn only_a_pods_container_is_started_without() {
    let mut elsewhere = in_pod(&["CAP_NET_ADMIN"]);
    elsewhere["annotations"] = json!({});
    assert!(matches!(
        rewrite(&mut elsewhere, &of_pod(PodCapabilities::Drop)),
        Err(SpecError::OwnerUnbounded(_))
    ));
}

#[test]
fn a_privileged_pod_is_refused_whatever_the_host_says_about_capabilities() {
    let all = [
        "CAP_NET_ADMIN",
        "CAP_SYS_ADMIN",
        "CAP_SYS_MODULE",
        "CAP_SYS_PTRACE",
        "CAP_SYS_RAWIO",
    ];
    let mut privileged = in_pod(&all);
    privileged["linux"]["seccomp"] = Value::Null;
    privileged["linux"]["maskedPaths"] = Value::Null;
    for setting in [PodCapabilities::Refuse, PodCapabilities::Drop] {
        let error = rewrite(&mut privileged.clone(), &of_pod(setting)).unwrap_err();
        assert_eq!(error, SpecError::PrivilegedPod);
        for cure in ["single capabilities", "privileged = \"allow\""] {
            assert!(error.to_string().contains(cure), "{error}");
        }
    }
    // Allowed, it is a container that asks for much, and each of the cures is one.
    let allowing = |setting| RewriteInput {
        privileged: Privileged::Allow,
        ..of_pod(setting)
    };
    assert!(matches!(
        rewrite(&mut privileged.clone(), &allowing(PodCapabilities::Refuse)),
        Err(SpecError::PodUnbounded(_))
    ));
    let dropping = allowing(PodCapabilities::Drop);
    assert_eq!(
        rewrite(&mut privileged.clone(), &dropping)
            .unwrap()
            .withheld,
        all
    );
    // With what masks and devices protect, it is no more than its capabilities.
    privileged["linux"]["maskedPaths"] = json!(["/proc/kcore"]);
    privileged["linux"]["resources"]["devices"] = json!([]);
    let outcome = rewrite(&mut privileged, &of_pod(PodCapabilities::Drop)).unwrap();
    assert_eq!(outcome.withheld, all);
}
