//! What a user namespace that is added costs a container: whatever works without one and not, or
//! otherwise, with one.
//!
//! For nesting's sake alone nothing may be lost, and none is added; where one is needed to bound
//! the container's capabilities, the record says what it costs. Each row was tried, with one and
//! without, under runc 1.1.5 and 1.3.6, crun 1.8.1 and 1.28.

use serde_json::Value;

use super::binds::{BindMount, is_bind, options};
use crate::escape::{MAX_PATH_SHOWN, clean};
use crate::spec::capabilities;
use crate::spec::input::RewriteInput;

/// File systems that runtimes mount and a user namespace allows to be mounted (`FS_USERNS_MOUNT` in
/// the kernel). Not overlay: it would heed other marks on its layers than before (`userxattr`).
const MOUNTABLE: [&str; 7] = [
    "cgroup", "devpts", "mqueue", "proc", "ramfs", "sysfs", "tmpfs",
];

/// Options of tmpfs that only the host's root may give (`mm/shmem.c`).
const ROOTS_TMPFS: [&str; 3] = ["noswap", "quota", "usrquota"];

/// What a user namespace costs this container, each as the end of a sentence.
pub(crate) fn of(spec: &Value, input: &RewriteInput) -> Vec<String> {
    let process = spec.get("process").unwrap_or(&Value::Null);
    let mut costs = Vec::new();
    let lost = capabilities::lost_in_a_user_namespace(process);
    match lost.as_slice() {
        [] => {}
        [one] => costs.push(format!("{one} has no effect")),
        several => costs.push(format!("{} have no effect", several.join(", "))),
    }
    for (number, mount) in mounts(spec).iter().enumerate() {
        costs.extend(of_mount(mount, number, input));
    }
    costs.extend(of_devices(spec, input));
    costs.extend(covered(spec, input));
    for key in ["ioPriority", "scheduler"] {
        if process.get(key).is_some_and(|value| !value.is_null()) {
            costs.push(format!("its {key} can't be set"));
        }
    }
    costs
}

/// Edits the mounts so that they can be mounted in a user namespace.
pub(super) fn fit_mounts(spec: &mut Value, input: &RewriteInput) {
    let list = spec.get_mut("mounts").and_then(Value::as_array_mut);
    for (number, mount) in list.into_iter().flatten().enumerate() {
        let fitting = bind(mount, number, input).map(|bind| bind.fitting());
        if let Some(fitting) = fitting.filter(|fitting| *fitting != options(mount)) {
            mount["options"] = fitting.into();
        }
    }
}

fn mounts(spec: &Value) -> &[Value] {
    spec.get("mounts")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn bind<'a>(mount: &'a Value, number: usize, input: &'a RewriteInput) -> Option<BindMount<'a>> {
    let source = input.host_side.binds.get(number)?.as_ref()?;
    is_bind(mount).then(|| BindMount::new(mount, source))
}

fn of_mount(mount: &Value, number: usize, input: &RewriteInput) -> Vec<String> {
    let text = |key: &str| mount.get(key).and_then(Value::as_str).unwrap_or_default();
    let destination = clean(text("destination"), MAX_PATH_SHOWN);
    if let Some(bind) = bind(mount, number, input) {
        let differences = bind.differences(input.quirks.binds_as_on_host);
        return differences
            .iter()
            .map(|difference| format!("{destination} {difference}"))
            .collect();
    }
    let kind = text("type");
    if is_bind(mount) {
        // The host has nothing there, and the runtime says so.
        return Vec::new();
    }
    if !MOUNTABLE.contains(&kind) {
        let kind = clean(kind, MAX_PATH_SHOWN);
        return vec![format!("no {kind} can be mounted ({destination})")];
    }
    let roots = |option: &&str| kind == "tmpfs" && ROOTS_TMPFS.contains(option);
    let refused = options(mount).into_iter().find(roots);
    refused
        .map(|option| format!("{destination} can't be mounted with {option}"))
        .into_iter()
        .collect()
}

/// Nobody can create device nodes in a user namespace, so runtimes mount the host's own.
fn of_devices(spec: &Value, input: &RewriteInput) -> Option<String> {
    let listed = spec.get("linux")?.get("devices")?.as_array()?;
    let path = |device: &Value| {
        let path = device
            .get("path")
            .and_then(Value::as_str)
            .unwrap_or_default();
        clean(path, MAX_PATH_SHOWN)
    };
    let other = match (&input.host_side.other_device, listed.first()) {
        (Some(other), _) => other.clone(),
        (None, Some(first)) if input.quirks.binds_as_on_host => path(first),
        _ => return None,
    };
    Some(format!("the device {other} has another mode or owner"))
}

fn covered(spec: &Value, input: &RewriteInput) -> Option<String> {
    let covered = input.host_side.covered?;
    let mounted = mounts(spec)
        .iter()
        .any(|mount| mount.get("type").and_then(Value::as_str) == Some(covered));
    mounted.then(|| {
        format!("{covered} can't be mounted, because something covers parts of the host's")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::tests::{input, plain};

    fn costs(edit: impl Fn(&mut Value), input: &RewriteInput) -> Vec<String> {
        let mut spec = plain();
        edit(&mut spec);
        of(&spec, input)
    }

    #[test]
    fn what_engines_write_by_default_costs_nothing() {
        assert_eq!(costs(|_| {}, &input()), Vec::<String>::new());
    }

    #[test]
    fn what_only_the_hosts_root_may_mount_costs() {
        let mounting = |kind: &str, option: &str| {
            let mount = json!({"destination": "/x", "type": kind, "options": [option]});
            costs(
                |spec| spec["mounts"].as_array_mut().unwrap().push(mount.clone()),
                &input(),
            )
        };
        for kind in [
            "tmpfs", "ramfs", "proc", "sysfs", "mqueue", "devpts", "cgroup",
        ] {
            assert_eq!(mounting(kind, "size=1m"), Vec::<String>::new(), "{kind}");
        }
        for kind in ["hugetlbfs", "bpf", "overlay", "nfs", "debugfs", "ext4"] {
            assert_eq!(
                mounting(kind, "rw"),
                [format!("no {kind} can be mounted (/x)")]
            );
        }
        assert_eq!(
            mounting("tmpfs", "noswap"),
            ["/x can't be mounted with noswap"]
        );
    }

    #[test]
    fn devices_priorities_and_a_covered_proc_cost() {
        let listing = |spec: &mut Value| {
            spec["linux"]["devices"] = json!([{"path": "/dev/fuse", "type": "c"}]);
        };
        let mut host = input();
        assert_eq!(costs(listing, &host), Vec::<String>::new());
        host.host_side.other_device = Some("/dev/fuse".into());
        let other = ["the device /dev/fuse has another mode or owner"];
        assert_eq!(costs(listing, &host), other);
        host.host_side.other_device = None;
        host.quirks.binds_as_on_host = true;
        assert_eq!(costs(listing, &host), other);

        let mut host = input();
        host.host_side.covered = Some("proc");
        assert_eq!(
            costs(|_| {}, &host),
            ["proc can't be mounted, because something covers parts of the host's"]
        );
        let priority = |spec: &mut Value| {
            spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE"});
        };
        assert_eq!(costs(priority, &input()), ["its ioPriority can't be set"]);
    }
}
