//! Capabilities that reach beyond the container that holds them.
//!
//! Invariant: the list names the harmless ones, and every other name, new and misspelt ones
//! included, counts as reaching beyond (crun accepts `net_admin` and even a number as a name).

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::SpecError;
use super::json::{Object, object, object_mut};
use super::keys;

/// The five sets of a process.
const SETS: [&str; 5] = [
    "bounding",
    "effective",
    "inheritable",
    "permitted",
    "ambient",
];

/// Capabilities that can't help a process out of its namespaces, each with the reason. All others
/// act on the kernel as a whole, on other processes, or on namespaces by number or handle.
///
/// SYS_PTRACE isn't among them, though it acts only on processes that its holder sees. Whoever a
/// runtime adds (`exec`, a probe, another container that shares the pid namespace) is seen before
/// it has given up the host's root's capabilities; being undumpable protects it from everybody but
/// those who hold SYS_PTRACE in the user namespace that it comes from (`ptrace(2)`, "Ptrace access
/// mode checking"). `tests/cri/capabilities.rs` attaches to each that comes. A user namespace of the
/// container's own ends that: it isn't the one that they come from.
const HARMLESS: [&str; 23] = [
    "AUDIT_WRITE",      // adds lines to the host's audit log, changes none
    "BLOCK_SUSPEND",    // keeps the machine awake
    "CHOWN",            // files that it can reach by its own mounts
    "DAC_OVERRIDE",     // the same; by handle it would take DAC_READ_SEARCH
    "FOWNER",           // the same
    "FSETID",           // the same
    "IPC_LOCK",         // locks memory, within its cgroup
    "IPC_OWNER",        // System V objects of its own ipc namespace
    "KILL",             // processes of its own pid namespace
    "LEASE",            // files that it can reach
    "LINUX_IMMUTABLE",  // the same
    "MKNOD",            // the device cgroup decides what opens
    "NET_BIND_SERVICE", // ports of its own network namespace
    "NET_RAW",          // frames on its own link, which ends in the gateway
    "SETFCAP",          // file capabilities, within its bounding set
    "SETGID",           // ids inside its own namespaces
    "SETPCAP",          // drops from its bounding set
    "SETUID",           // ids inside its own namespaces
    "SYS_CHROOT",       // chroot; entering a mount namespace takes SYS_ADMIN too
    "SYS_NICE",         // scheduling of processes that it sees
    "SYS_RESOURCE",     // its own limits and quotas; a user namespace would take it away silently
    "SYS_TTY_CONFIG",   // hangs up its own terminal
    "WAKE_ALARM",       // wakes the machine
];

/// Those that count only in the host's user namespace (`capable()` without a namespace in the
/// kernel): inside of another they are there and do nothing. Docker grants none of them by default;
/// of its defaults, MKNOD and AUDIT_WRITE are lost likewise, which few programs notice.
const LOST: [&str; 19] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "BLOCK_SUSPEND",
    "BPF",
    "IPC_LOCK",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "PERFMON",
    "SYSLOG",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// What a container with everything holds, among others.
const EVERYTHING: [&str; 5] = [
    "NET_ADMIN",
    "SYS_ADMIN",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
];

/// Checks the part of a `process` object that is read here: of `config.json` and of `exec`'s
/// process file.
pub(crate) fn check(process: &Value) -> Result<(), SpecError> {
    if let Some(process) = process.as_object() {
        keys::check(process)?;
    } else if !process.is_null() {
        return Err(SpecError::Type("process", "an object"));
    }
    user(process)?;
    let Some(sets) = object(process, "capabilities")? else {
        return Ok(());
    };
    keys::check(sets)?;
    for set in SETS {
        let texts = |list: &Vec<Value>| list.iter().all(Value::is_string);
        if !sets
            .get(set)
            .is_none_or(|list| list.is_null() || list.as_array().is_some_and(texts))
        {
            return Err(SpecError::Type("capabilities", "lists of strings"));
        }
    }
    Ok(())
}

/// Whether a capability reaches beyond the container, by its name in any spelling.
#[must_use]
pub fn reaches_beyond(name: &str) -> bool {
    let name = canonical(name);
    !HARMLESS.contains(&name.as_str())
}

/// The first capability in any of a process's sets that reaches beyond. A checked `process` is
/// expected.
#[must_use]
pub fn beyond(process: &Value) -> Option<String> {
    held(process)
        .find(|name| reaches_beyond(name))
        .map(str::to_owned)
}

/// All capabilities in a process's sets that reach beyond, each once.
pub(super) fn all_beyond(process: &Value) -> Vec<String> {
    let names: BTreeSet<String> = held(process)
        .filter(|name| reaches_beyond(name))
        .map(|name| format!("CAP_{}", canonical(name)))
        .collect();
    names.into_iter().collect()
}

/// Takes all that reaches beyond out of all five sets.
pub fn bound(process: &mut Value) {
    let Some(sets) = process
        .get_mut("capabilities")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for set in SETS {
        if let Some(list) = sets.get_mut(set).and_then(Value::as_array_mut) {
            list.retain(|name| name.as_str().is_some_and(|name| !reaches_beyond(name)));
        }
    }
}

/// Writes down what runc understands without it: a set that isn't mentioned is empty, and
/// privileges may be gained by `execve` unless that is said to be false.
///
/// # Errors
/// [`SpecError::Type`].
pub fn spell_out(process: &mut Value) -> Result<(), SpecError> {
    let Some(fields) = process.as_object_mut() else {
        return Ok(());
    };
    if fields.get("noNewPrivileges") == Some(&Value::Bool(false)) {
        fields.shift_remove("noNewPrivileges");
    }
    let sets = object_mut(process, "capabilities")?;
    for set in SETS {
        let list = sets.entry(set).or_insert(Value::Null);
        if list.is_null() {
            *list = Value::Array(Vec::new());
        }
    }
    Ok(())
}

/// The id that the process runs as; 0 where it isn't said, as for Go.
///
/// # Errors
/// [`SpecError::Type`], [`SpecError::AmbiguousKey`].
pub fn user(process: &Value) -> Result<u64, SpecError> {
    let Some(user) = object(process, "user")? else {
        return Ok(0);
    };
    keys::check(user)?;
    match user.get("uid") {
        None | Some(Value::Null) => Ok(0),
        Some(uid) => uid.as_u64().ok_or(SpecError::Type("uid", "a user ID")),
    }
}

/// Whether the process can get a capability: whether it is in the bounding set.
pub(super) fn holds(process: &Value, name: &str) -> bool {
    let bounding = process
        .get("capabilities")
        .and_then(|sets| sets.get("bounding"))
        .and_then(Value::as_array);
    bounding
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|held| canonical(held) == canonical(name))
}

/// Whether the process can't get any capability by any program: all of them were dropped, or none
/// is mentioned.
#[must_use]
pub fn can_have_none(process: &Value) -> bool {
    let bounding = process
        .get("capabilities")
        .and_then(|sets| sets.get("bounding"))
        .and_then(Value::as_array);
    bounding.is_none_or(Vec::is_empty)
}

/// Capabilities of the process that a user namespace takes the effect from, each once.
pub(super) fn lost_in_a_user_namespace(process: &Value) -> Vec<String> {
    let held: Vec<String> = held(process).map(canonical).collect();
    LOST.into_iter()
        .filter(|name| held.iter().any(|held| held == name))
        .map(|name| format!("CAP_{name}"))
        .collect()
}

/// Gives the process a capability. Root gets it by the bounding set alone at `execve`; whoever
/// isn't root keeps only what is ambient, and ambient needs inheritable and permitted
/// (`capabilities(7)`, "Transformation of capabilities").
///
/// # Errors
/// [`SpecError::Type`], [`SpecError::AmbiguousKey`].
pub fn grant(process: &mut Value, name: &str) -> Result<(), SpecError> {
    let root = user(process)? == 0;
    let wanted: &[&str] = if root {
        &["bounding", "effective", "permitted"]
    } else {
        &SETS
    };
    let sets = object_mut(process, "capabilities")?;
    for set in wanted {
        let list = sets.entry(*set).or_insert(Value::Null);
        if list.is_null() {
            *list = Value::Array(Vec::new());
        }
        let list = list
            .as_array_mut()
            .ok_or(SpecError::Type("capabilities", "lists of strings"))?;
        if !list
            .iter()
            .filter_map(Value::as_str)
            .any(|held| canonical(held) == canonical(name))
        {
            list.push(name.into());
        }
    }
    Ok(())
}

/// Whether the process may become as powerful as the host's root, as with `--privileged`.
pub(super) fn holds_everything(process: &Value) -> bool {
    let held: Vec<String> = held(process).map(canonical).collect();
    EVERYTHING
        .iter()
        .all(|name| held.iter().any(|held| held == name))
}

fn held(process: &Value) -> impl Iterator<Item = &str> {
    let sets: Option<&Object> = process.get("capabilities").and_then(Value::as_object);
    let list = move |set: &str| {
        sets.and_then(|sets| sets.get(set))
            .and_then(Value::as_array)
    };
    SETS.into_iter()
        .filter_map(list)
        .flatten()
        .filter_map(Value::as_str)
}

fn canonical(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_docker_grants_by_default_does_not_reach_beyond() {
        let names = "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE \
                     SYS_CHROOT KILL AUDIT_WRITE";
        for name in names.split_ascii_whitespace() {
            assert!(!reaches_beyond(&format!("CAP_{name}")), "{name}");
        }
    }

    #[test]
    fn unknown_misspelt_and_numbered_capabilities_reach_beyond() {
        // With NET_BROADCAST a netlink socket hears those network namespaces, too, that its own has
        // a number for, as the host's at the other end of a veth (NETLINK_LISTEN_ALL_NSID; the
        // kernel's do_one_broadcast(); tests/docker/attacks.rs).
        for name in [
            "CAP_NET_BROADCAST",
            "CAP_NET_ADMIN",
            "cap_net_admin",
            "net_admin",
            "12",
            "CAP_TOMORROW",
            "",
            "CAP_CAP_CHOWN",
            "ALL",
        ] {
            assert!(reaches_beyond(name), "{name}");
        }
    }

    #[test]
    fn one_in_any_set_counts_and_bounding_takes_it_from_all() {
        for set in SETS {
            let mut process =
                json!({"capabilities": {set: ["CAP_CHOWN", "CAP_SYS_ADMIN"]}, "other": 1});
            assert_eq!(beyond(&process).as_deref(), Some("CAP_SYS_ADMIN"));
            bound(&mut process);
            assert_eq!(
                process,
                json!({"capabilities": {set: ["CAP_CHOWN"]}, "other": 1})
            );
        }
    }

    #[test]
    fn root_gets_a_capability_in_three_sets_and_others_in_all_five() {
        let mut root = json!({"capabilities": {"bounding": ["CAP_CHOWN"], "inheritable": null}});
        grant(&mut root, "CAP_NET_ADMIN").unwrap();
        let given = json!(["CAP_NET_ADMIN"]);
        assert_eq!(
            root["capabilities"]["bounding"],
            json!(["CAP_CHOWN", "CAP_NET_ADMIN"])
        );
        assert_eq!(
            (
                &root["capabilities"]["effective"],
                &root["capabilities"]["permitted"]
            ),
            (&given, &given)
        );
        assert_eq!(root["capabilities"].as_object().unwrap().len(), 4);
        let mut other = json!({"user": {"uid": 1000}});
        grant(&mut other, "CAP_NET_ADMIN").unwrap();
        for set in SETS {
            assert_eq!(other["capabilities"][set], given, "{set}");
        }
        let once = other.clone();
        grant(&mut other, "CAP_NET_ADMIN").unwrap();
        assert_eq!(other, once);
    }

    #[test]
    fn a_set_that_is_not_mentioned_is_written_down_as_empty() {
        for process in [
            json!({}),
            json!({"capabilities": null}),
            json!({"capabilities": {"ambient": null}}),
        ] {
            let mut process = process;
            spell_out(&mut process).unwrap();
            for set in SETS {
                assert_eq!(process["capabilities"][set], json!([]), "{set}");
            }
        }
        let mut process =
            json!({"noNewPrivileges": false, "capabilities": {"bounding": ["CAP_CHOWN"]}});
        spell_out(&mut process).unwrap();
        assert_eq!(
            (
                process.get("noNewPrivileges"),
                &process["capabilities"]["bounding"]
            ),
            (None, &json!(["CAP_CHOWN"]))
        );
        let mut none = json!(null);
        spell_out(&mut none).unwrap();
        assert_eq!(none, json!(null));
    }

    #[test]
    fn what_a_user_namespace_would_take_away_is_seen_in_any_set_and_spelling() {
        for (name, lost) in [
            ("CAP_IPC_LOCK", "CAP_IPC_LOCK"),
            ("sys_nice", "CAP_SYS_NICE"),
            ("SYS_TIME", "CAP_SYS_TIME"),
        ] {
            let sets = json!({"bounding": [name], "effective": [name]});
            assert_eq!(
                lost_in_a_user_namespace(&json!({"capabilities": sets})),
                [lost]
            );
        }
        let docker =
            json!({"capabilities": {"bounding": ["CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_CHOWN"]}});
        assert_eq!(lost_in_a_user_namespace(&docker), Vec::<String>::new());
    }

    #[test]
    fn sets_of_another_shape_are_refused() {
        for sets in [
            json!([]),
            json!({"bounding": "CAP_SYS_ADMIN"}),
            json!({"ambient": [1]}),
            json!({"Bounding": []}),
        ] {
            assert!(check(&json!({"capabilities": sets})).is_err());
        }
        for user in [
            json!([]),
            json!({"uid": "0"}),
            json!({"uid": -1}),
            json!({"UID": 0}),
        ] {
            assert!(check(&json!({"user": user})).is_err());
        }
        assert!(check(&json!("x")).is_err());
    }
}
