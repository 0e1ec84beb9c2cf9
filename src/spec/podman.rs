//! Whether a container is podman's, whose network has a need of its own.
//!
//! When a container is over, netavark looks for each of its links: it takes one that isn't there
//! for a failure, and a host's end that is still there for another container's. Docker and CNI's
//! plugins are content with whatever is left. What must not be forgotten: anybody can write the
//! annotation, so nothing but politeness may follow from it.

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
