//! Who a container is, for the people who read its record: from what its engine says about it.
//!
//! Invariant: it is only shown, never acted on, since with some engines whoever starts a container
//! writes its annotations. Only those that the engine writes after the container's own are read (as
//! in [`super::pod`]); Docker's own file takes precedence. Every text is cleaned and bounded here.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::audit::line::ContainerIdentity;
use crate::audit::record::MAX_NAME;
use crate::escape::clean;

/// The engine's name: podman and CRI-O overwrite it with theirs.
pub(super) const MANAGER: &str = "io.container.manager";
/// An annotation of every container of containerd's CRI plugin.
const CONTAINERD: &str = "io.kubernetes.cri.container-type";

/// What the annotations say; podman writes only its own name. `wanted`: the labels to record.
#[must_use]
pub fn of_annotations(spec: &Value, wanted: &[String]) -> ContainerIdentity {
    let annotation = |key: &str| spec.get("annotations")?.get(key)?.as_str();
    match (annotation(MANAGER), annotation(CONTAINERD)) {
        (Some("libpod"), None) => engine("podman"),
        (Some("cri-o"), None) => of_crio(annotation, wanted),
        (None, Some(_)) => of_containerd(annotation),
        // Nobody's, or two engines': one of them is somebody's own doing.
        _ => ContainerIdentity::default(),
    }
}

/// What Docker's `config.v2.json` says.
#[must_use]
pub fn of_docker(config: &Value, wanted: &[String]) -> ContainerIdentity {
    let own = config.get("Config");
    ContainerIdentity {
        name: shown(
            config
                .get("Name")
                .and_then(Value::as_str)
                .map(|name| name.strip_prefix('/').unwrap_or(name)),
        ),
        image: shown(own.and_then(|own| own.get("Image")?.as_str())),
        labels: labels(own.and_then(|own| own.get("Labels")), wanted),
        ..engine("docker")
    }
}

fn of_containerd<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> ContainerIdentity {
    ContainerIdentity {
        name: shown(annotation("io.kubernetes.cri.container-name")),
        image: shown(annotation("io.kubernetes.cri.image-name")),
        pod: shown(annotation("io.kubernetes.cri.sandbox-name")),
        namespace: shown(annotation("io.kubernetes.cri.sandbox-namespace")),
        ..engine("containerd")
    }
}

/// CRI-O names a container `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT` and a pod the same without the
/// container; no name of Kubernetes' holds an underscore. Its `ContainerName` and `Namespace` are a
/// pod's alone: in a container they can be anybody's.
fn of_crio<'a>(
    annotation: impl Fn(&str) -> Option<&'a str>,
    wanted: &[String],
) -> ContainerIdentity {
    let part = |key: &str, at: usize| annotation(key)?.split('_').nth(at);
    let is_container = annotation("io.kubernetes.cri-o.ContainerType") == Some("container");
    let listed = annotation("io.kubernetes.cri-o.Labels")
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    ContainerIdentity {
        name: shown(part("io.kubernetes.cri-o.Name", 1).filter(|_| is_container)),
        image: shown(annotation("io.kubernetes.cri-o.ImageName")),
        pod: shown(part("io.kubernetes.cri-o.SandboxName", 1)),
        namespace: shown(part("io.kubernetes.cri-o.SandboxName", 2)),
        labels: labels(listed.as_ref(), wanted),
        ..engine("cri-o")
    }
}

fn engine(name: &str) -> ContainerIdentity {
    ContainerIdentity {
        engine: Some(name.to_owned()),
        ..ContainerIdentity::default()
    }
}

fn labels(all: Option<&Value>, wanted: &[String]) -> BTreeMap<String, String> {
    let value = |key: &String| Some((key.clone(), shown(all?.get(key)?.as_str())?));
    wanted.iter().filter_map(value).collect()
}

fn shown(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty())
        .map(|text| clean(text, MAX_NAME))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(annotations: &Value, wanted: &[&str]) -> Value {
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        json!(of_annotations(
            &json!({"annotations": annotations}),
            &wanted
        ))
    }

    fn containerds() -> Value {
        json!({
            CONTAINERD: "container",
            "io.kubernetes.cri.container-name": "web",
            "io.kubernetes.cri.image-name": "images.example.org/web:1.2",
            "io.kubernetes.cri.sandbox-id": "0b5e",
            "io.kubernetes.cri.sandbox-name": "web-5d8f-x2x7z",
            "io.kubernetes.cri.sandbox-namespace": "shop",
        })
    }

    fn crios() -> Value {
        json!({
            MANAGER: "cri-o",
            "io.kubernetes.cri-o.ContainerType": "container",
            "io.kubernetes.cri-o.ImageName": "images.example.org/web:1.2",
            "io.kubernetes.cri-o.Labels": r#"{"app":"web","tier":"front","io.kubernetes.pod.name":"web-5d8f-x2x7z"}"#,
            "io.kubernetes.cri-o.Name": "k8s_web_web-5d8f-x2x7z_shop_3c2b-11_0",
            "io.kubernetes.cri-o.SandboxName": "k8s_web-5d8f-x2x7z_shop_3c2b-11_0",
        })
    }

    #[test]
    fn docker_keeps_name_image_and_labels() {
        let config = json!({
            "ID": "7d4c", "Name": "/db",
            "Config": {"Image": "postgres:17", "Labels": {"com.example.team": "shop", "secret": "x"}, "Env": ["A=b"]},
        });
        let wanted = [
            "com.example.team".to_owned(),
            "com.example.missing".to_owned(),
        ];
        let known = json!(of_docker(&config, &wanted));
        let labels = json!({"com.example.team": "shop"});
        assert_eq!(
            known,
            json!({"engine": "docker", "name": "db", "image": "postgres:17", "labels": labels})
        );
        assert_eq!(
            json!(of_docker(&config, &[]))["labels"],
            Value::Null,
            "only what is listed"
        );
    }

    #[test]
    fn what_docker_does_not_say_is_missing() {
        for config in [
            json!(null),
            json!([]),
            json!({"Name": 7, "Config": {"Image": null, "Labels": ["a"]}}),
        ] {
            assert_eq!(
                json!(of_docker(&config, &["a".to_owned()])),
                json!({"engine": "docker"}),
                "{config}"
            );
        }
    }

    #[test]
    fn containerd_and_crio_say_container_image_and_pod() {
        let known = json!({
            "engine": "containerd", "name": "web", "image": "images.example.org/web:1.2",
            "pod": "web-5d8f-x2x7z", "namespace": "shop",
        });
        assert_eq!(of(&containerds(), &["app"]), known);
        let labels = json!({"app": "web"});
        let mut known = known;
        known["engine"] = "cri-o".into();
        known["labels"] = labels;
        assert_eq!(of(&crios(), &["app"]), known);
    }

    #[test]
    fn a_pods_own_container_has_no_name() {
        let mut pods = crios();
        pods["io.kubernetes.cri-o.ContainerType"] = "sandbox".into();
        pods["io.kubernetes.cri-o.Name"] = pods["io.kubernetes.cri-o.SandboxName"].clone();
        let known = of(&pods, &[]);
        assert_eq!(
            (&known["name"], &known["pod"]),
            (&Value::Null, &"web-5d8f-x2x7z".into())
        );
    }

    #[test]
    fn what_a_pod_writes_itself_renames_nothing() {
        let mut pods = crios();
        for key in ["ContainerName", "Namespace", "KubeName"] {
            pods[format!("io.kubernetes.cri-o.{key}")] = "another".into();
        }
        pods["io.kubernetes.cri.sandbox-name"] = "another".into();
        assert!(!of(&pods, &[]).to_string().contains("another"));
    }

    #[test]
    fn who_claims_two_engines_is_nobodys() {
        let mut both = crios();
        both[CONTAINERD] = "container".into();
        assert_eq!(of(&both, &["app"]), json!({}));
        assert_eq!(of(&json!({MANAGER: "somebody"}), &[]), json!({}));
        assert_eq!(of(&json!(null), &[]), json!({}));
    }

    #[test]
    fn podman_writes_nothing_but_that_it_is_podman() {
        assert_eq!(
            of(
                &json!({MANAGER: "libpod", "io.podman.annotations.autoremove": "TRUE"}),
                &[]
            ),
            json!({"engine": "podman"})
        );
    }

    #[test]
    fn hostile_texts_are_cleaned_and_bounded() {
        let config = json!({
            "Name": "/a\u{1b}[2J\n\u{202e}b",
            "Config": {"Image": "x".repeat(100_000), "Labels": {"l": "\u{0}\u{7f}ä".repeat(10_000)}},
        });
        let known = of_docker(&config, &["l".to_owned()]);
        let texts = [known.name, known.image, known.labels.into_values().next()]
            .map(|text| text.expect("a text"));
        for text in texts {
            assert!(
                text.len() <= MAX_NAME && text.chars().all(|c| matches!(c, ' '..='~' | '…')),
                "{text}"
            );
        }
        let mut pods = crios();
        pods["io.kubernetes.cri-o.Labels"] = "{\"app\":".repeat(200_000).into();
        assert_eq!(
            of(&pods, &["app"])["labels"],
            Value::Null,
            "a text that is no JSON"
        );
    }
}
