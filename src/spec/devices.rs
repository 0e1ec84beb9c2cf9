//! Refuses devices that lead out of the container past its gateway: network devices of the host's
//! that the runtime would move in (`linux.netDevices`, config-linux.md#network-devices), unless
//! they are to be adopted, and RDMA devices, whose traffic no packet filter sees.

use serde_json::Value;

use super::error::SpecError;
use super::json::{array, object};
use crate::escape::{MAX_PATH_SHOWN, clean};
use crate::settings::{NetDevices, RdmaDevices};

/// Where the host's RDMA devices are (libibverbs, librdmacm).
const RDMA_FOLDER: &str = "/dev/infiniband";
/// The number of RDMA's character devices (`IB_UVERBS_MAJOR` and others, 231 in
/// Documentation/admin-guide/devices.txt). Beyond the first 32 of a kind they have others.
const RDMA_MAJOR: i64 = 231;

/// Refuses network devices. `own`: whether the container brings a network namespace of its own,
/// whose gateway adopts what is in it before the container runs.
pub(super) fn refuse_network(
    spec: &Value,
    setting: NetDevices,
    own: bool,
) -> Result<(), SpecError> {
    let linux = spec.get("linux").unwrap_or(&Value::Null);
    let Some(name) = object(linux, "netDevices")?.and_then(|devices| devices.keys().next()) else {
        return Ok(());
    };
    let name = clean(name, MAX_PATH_SHOWN);
    match setting {
        NetDevices::Refuse => Err(SpecError::NetDevice(name)),
        NetDevices::Adopt if !own => Err(SpecError::NetDeviceElsewhere(name)),
        NetDevices::Adopt => Ok(()),
    }
}

/// Refuses RDMA devices: by path, by number, and the limits that only they have.
pub(super) fn refuse_rdma(spec: &Value, setting: RdmaDevices) -> Result<(), SpecError> {
    if setting == RdmaDevices::Allow {
        return Ok(());
    }
    match rdma(spec)? {
        Some(what) => Err(SpecError::RdmaDevice(clean(&what, MAX_PATH_SHOWN))),
        None => Ok(()),
    }
}

fn rdma(spec: &Value) -> Result<Option<String>, SpecError> {
    let Some(linux) = object(spec, "linux")? else {
        return Ok(None);
    };
    let text = |entry: &Value, key: &str| Some(entry.get(key)?.as_str()?.to_owned());
    let is_rdma = |entry: &Value| {
        // As the specification has it, `u` is `c`; a rule's missing type is any.
        let character = text(entry, "type").is_none_or(|kind| kind != "b" && kind != "p");
        character && entry.get("major").and_then(Value::as_i64) == Some(RDMA_MAJOR)
    };
    for device in array(linux, "devices")? {
        let path = text(device, "path").unwrap_or_default();
        if is_rdma(device) || is_below(&path) {
            return Ok(Some(path));
        }
    }
    let top = spec
        .as_object()
        .ok_or(SpecError::Type("config.json", "an object"))?;
    let sources = array(top, "mounts")?
        .iter()
        .filter_map(|mount| text(mount, "source"));
    if let Some(source) = sources.into_iter().find(|source| is_below(source)) {
        return Ok(Some(source));
    }
    let Some(resources) = linux.get("resources").and_then(Value::as_object) else {
        return Ok(None);
    };
    let opens = |rule: &&Value| {
        let access = text(rule, "access").is_none_or(|access| access.contains(['r', 'w']));
        rule.get("allow") == Some(&Value::Bool(true)) && access && is_rdma(rule)
    };
    if array(resources, "devices")?.iter().any(|rule| opens(&rule)) {
        return Ok(Some(format!("the device number {RDMA_MAJOR}")));
    }
    let limited = resources.get("rdma").and_then(Value::as_object);
    Ok(limited.and_then(|devices| devices.keys().next().cloned()))
}

/// Whether a path is RDMA's folder, or in it. (Comparing paths instead of strings ignores `//` and
/// `/./`.)
fn is_below(path: &str) -> bool {
    std::path::Path::new(path).starts_with(RDMA_FOLDER)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{input, plain, rewrite};
    use super::*;
    use crate::settings::HostNetwork;
    use crate::spec::RewriteInput;

    fn with(edit: impl FnOnce(&mut Value)) -> Value {
        let mut spec = plain();
        edit(&mut spec);
        spec
    }

    fn adopting() -> RewriteInput {
        RewriteInput {
            net_devices: NetDevices::Adopt,
            ..input()
        }
    }

    #[test]
    fn network_devices_are_refused_by_name_unless_they_are_adopted() {
        let mut spec =
            with(|spec| spec["linux"]["netDevices"] = json!({"enp3s0": {"name": "eth1"}}));
        let refused = rewrite(&mut spec.clone(), &input()).unwrap_err();
        assert_eq!(refused, SpecError::NetDevice("enp3s0".into()));
        assert!(refused.to_string().contains("net-devices = \"adopt\""));
        rewrite(&mut spec, &adopting()).unwrap();
        assert_eq!(
            spec["linux"]["netDevices"],
            json!({"enp3s0": {"name": "eth1"}})
        );
        for nothing in [json!({}), json!(null)] {
            let mut spec = with(|spec| spec["linux"]["netDevices"] = nothing);
            rewrite(&mut spec, &input()).unwrap();
        }
    }

    #[test]
    fn network_devices_go_only_where_the_containers_own_gateway_adopts_them() {
        let spec = with(|spec| spec["linux"]["netDevices"] = json!({"enp3s0": {}}));
        let joined = RewriteInput {
            place: super::super::tests::filtered(None),
            ..adopting()
        };
        let elsewhere = Err(SpecError::NetDeviceElsewhere("enp3s0".into()));
        let path = |spec: &mut Value| {
            let entries = spec["linux"]["namespaces"].as_array_mut().unwrap();
            entries.retain(|entry| entry["type"] != "network");
            entries.push(json!({"type": "network", "path": "/proc/7/ns/net"}));
        };
        let mut joining = spec.clone();
        path(&mut joining);
        assert_eq!(rewrite(&mut joining, &joined).map(drop), elsewhere);
        let mut of_host = spec;
        of_host["linux"]["namespaces"]
            .as_array_mut()
            .unwrap()
            .retain(|entry| entry["type"] != "network");
        let filtering = RewriteInput {
            host_network: HostNetwork::Filter,
            ..adopting()
        };
        assert_eq!(rewrite(&mut of_host, &filtering).map(drop), elsewhere);
    }

    #[test]
    fn rdma_devices_are_refused_however_they_are_given() {
        type Give = fn(&mut Value);
        let given: [(&str, Give); 6] = [
            ("/dev/infiniband/uverbs0", |spec| {
                spec["linux"]["devices"] = json!([{"path": "/dev/infiniband/uverbs0", "type": "c", "major": 240, "minor": 0}]);
            }),
            ("/dev/other", |spec| {
                spec["linux"]["devices"] =
                    json!([{"path": "/dev/other", "type": "c", "major": 231, "minor": 192}]);
            }),
            ("/dev//infiniband/.", |spec| {
                spec["mounts"].as_array_mut().unwrap().push(
                    json!({"destination": "/x", "type": "bind", "source": "/dev//infiniband/."}),
                );
            }),
            ("the device number 231", |spec| {
                spec["linux"]["resources"]["devices"] =
                    json!([{"allow": true, "type": "c", "major": 231, "access": "rwm"}]);
            }),
            ("the device number 231", |spec| {
                spec["linux"]["resources"]["devices"] = json!([{"allow": true, "major": 231}]);
            }),
            ("mlx5_0", |spec| {
                spec["linux"]["resources"]["rdma"] = json!({"mlx5_0": {"hcaHandles": 3}});
            }),
        ];
        for (named, give) in given {
            let mut spec = with(give);
            let refused = rewrite(&mut spec.clone(), &input()).unwrap_err();
            assert_eq!(refused, SpecError::RdmaDevice(named.into()));
            assert!(refused.to_string().contains("rdma-devices = \"allow\""));
            let allowing = RewriteInput {
                rdma_devices: RdmaDevices::Allow,
                ..input()
            };
            rewrite(&mut spec, &allowing).unwrap();
        }
    }

    #[test]
    fn other_devices_are_none_of_rdma() {
        for rule in [
            json!({"allow": false, "type": "c", "major": 231, "access": "rwm"}),
            json!({"allow": true, "type": "c", "major": 231, "access": "m"}),
            json!({"allow": true, "type": "b", "major": 231, "access": "rwm"}),
            json!({"allow": true, "type": "c", "access": "m"}),
        ] {
            let mut spec = with(|spec| {
                spec["linux"]["resources"]["devices"] = json!([rule]);
                spec["linux"]["devices"] =
                    json!([{"path": "/dev/infinibandage", "type": "c", "major": 1, "minor": 3}]);
            });
            rewrite(&mut spec, &input()).unwrap();
        }
    }

    #[test]
    fn a_key_that_only_go_would_take_for_one_of_these_is_refused() {
        for spec in [
            with(|spec| spec["linux"]["NetDevices"] = json!({"enp3s0": {}})),
            with(|spec| spec["linux"]["devices"] = json!([{"Path": "/dev/infiniband/uverbs0"}])),
            with(|spec| spec["linux"]["resources"]["Rdma"] = json!({"mlx5_0": {}})),
        ] {
            let refused = rewrite(&mut spec.clone(), &input()).unwrap_err();
            assert!(
                matches!(refused, SpecError::AmbiguousKey { .. }),
                "{refused:?}"
            );
        }
    }
}
