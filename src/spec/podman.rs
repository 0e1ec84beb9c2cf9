//! Whether a container is podman's, which needs its links to stay until the end.
//!
//! When a container has ended, netavark looks for each of its links: a missing one is a failure to
//! it, and a host's end that is still there belongs to another container. And a restart policy
//! starts a container in the network as it stands. Docker and CNI plugins accept whatever is left.
//!
//! Invariant: anybody can write the annotation, so no decision about security follows from it.

use serde_json::Value;

/// What podman writes into every container (`annotations.ContainerManager` of its
/// `pkg/annotations`).
const MANAGER: (&str, &str) = ("io.container.manager", "libpod");

/// Whether podman will look for the container's links after its end.
#[must_use]
pub fn looks_for_links(spec: &Value) -> bool {
    let manager = spec
        .get("annotations")
        .and_then(|annotations| annotations.get(MANAGER.0)?.as_str());
    manager == Some(MANAGER.1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn podmans_containers_are_known_by_what_it_writes() {
        assert!(looks_for_links(
            &json!({"annotations": {"io.container.manager": "libpod"}})
        ));
        for other in [
            json!({}),
            json!({"annotations": {"io.container.manager": "cri-o"}}),
            json!({"annotations": 7}),
        ] {
            assert!(!looks_for_links(&other));
        }
    }
}
