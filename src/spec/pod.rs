//! Whether a container belongs to a pod, and to which Kubernetes namespace: from the annotations
//! that engines write.
//!
//! CRI-O copies all annotations of a pod into its containers, so only what it writes after them
//! counts (`SandboxName`; not `Namespace`, which it writes for the sandbox alone). With other
//! engines, whoever starts a container can write any of them.
//!
//! Invariant: what follows from these annotations takes something away, or tells of whom a gateway
//! is; it never grants anything.

use serde_json::Value;

use super::identity::MANAGER;
use crate::container::plan::ContainerId;

/// containerd's CRI plugin: the namespace.
const CONTAINERD: &str = "io.kubernetes.cri.sandbox-namespace";
/// CRI-O: `k8s_POD_NAMESPACE_UID_ATTEMPT`. Names in Kubernetes contain no underscore.
const CRIO: &str = "io.kubernetes.cri-o.SandboxName";
/// CRI-O: the pod's id.
const CRIO_POD: &str = "io.kubernetes.cri-o.SandboxID";
/// Annotations that every container of these engines has.
const TYPES: [&str; 2] = [
    "io.kubernetes.cri.container-type",
    "io.kubernetes.cri-o.ContainerType",
];

/// The Kubernetes namespace of the pod that a container belongs to; empty where it can't be
/// determined. None: it belongs to no pod.
#[must_use]
pub fn namespace(spec: &Value) -> Option<String> {
    let annotation = |key: &str| spec.get("annotations")?.get(key);
    let crio = annotation(CRIO).map(|name| name.as_str().and_then(|name| name.split('_').nth(2)));
    let containerd = annotation(CONTAINERD).map(Value::as_str);
    match (crio, containerd) {
        (None, None) => TYPES
            .iter()
            .any(|key| annotation(key).is_some())
            .then(String::new),
        (Some(named), None) | (None, Some(named)) => Some(named.unwrap_or_default().to_owned()),
        // No engine writes both: one of them is the pod's own doing.
        (Some(_), Some(_)) => Some(String::new()),
    }
}

/// The pod that one of CRI-O's containers belongs to, by its id; none for a pause container, and
/// for other engines'.
#[must_use]
pub fn of_crio(spec: &Value) -> Option<ContainerId> {
    let annotation = |key: &str| spec.get("annotations")?.get(key)?.as_str();
    let is_one = annotation(MANAGER) == Some("cri-o") && annotation(TYPES[1]) == Some("container");
    let id = annotation(CRIO_POD).filter(|_| is_one)?;
    ContainerId::parse(id).ok()
}

/// Whether this is the pause container of CRI-O's pod of an id.
#[must_use]
pub fn is_pause_of(spec: &Value, id: &str) -> bool {
    let annotation = |key: &str| spec.get("annotations")?.get(key)?.as_str();
    annotation(MANAGER) == Some("cri-o")
        && annotation(TYPES[1]) == Some("sandbox")
        && annotation(CRIO_POD) == Some(id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(annotations: &Value) -> Option<String> {
        namespace(&json!({"annotations": annotations}))
    }

    #[test]
    fn both_engines_say_where_a_pod_is() {
        assert_eq!(of(&json!({CONTAINERD: "ci"})).as_deref(), Some("ci"));
        assert_eq!(
            of(&json!({CRIO: "k8s_build-7_ci_0a1b_0"})).as_deref(),
            Some("ci")
        );
    }

    #[test]
    fn what_a_pod_can_write_itself_under_crio_does_not_move_it() {
        let named =
            json!({CRIO: "k8s_build-7_ci_0a1b_0", "io.kubernetes.cri-o.Namespace": "trusted"});
        assert_eq!(of(&named).as_deref(), Some("ci"));
        assert_eq!(
            of(&json!({CRIO: "k8s_build-7_ci_0a1b_0", CONTAINERD: "trusted"})).as_deref(),
            Some("")
        );
    }

    #[test]
    fn a_pod_that_is_nowhere_is_a_pod_all_the_same() {
        for annotations in [
            json!({TYPES[0]: "sandbox"}),
            json!({TYPES[1]: "container"}),
            json!({CONTAINERD: 7}),
            json!({CRIO: "x"}),
        ] {
            assert_eq!(of(&annotations).as_deref(), Some(""));
        }
    }

    #[test]
    fn only_cri_os_own_containers_belong_to_a_pod_of_its() {
        let of = |manager: &str, kind: &str, id: &str| {
            let spec = json!({"annotations": {MANAGER: manager, TYPES[1]: kind, CRIO_POD: id}});
            (of_crio(&spec).is_some(), is_pause_of(&spec, "0b5e"))
        };
        assert_eq!(of("cri-o", "container", "0b5e"), (true, false));
        assert_eq!(of("cri-o", "sandbox", "0b5e"), (false, true));
        assert_eq!(of("cri-o", "sandbox", "another"), (false, false));
        // podman writes the other two, too.
        assert_eq!(of("libpod", "container", "0b5e"), (false, false));
        assert_eq!(of("libpod", "sandbox", "0b5e"), (false, false));
        assert_eq!(of("cri-o", "container", "../0b5e"), (false, false));
        assert_eq!(of_crio(&json!({})), None);
    }

    #[test]
    fn other_containers_are_no_pods() {
        for annotations in [json!(null), json!({}), json!({"boundary.policy": "x"})] {
            assert_eq!(of(&annotations), None);
        }
    }
}
