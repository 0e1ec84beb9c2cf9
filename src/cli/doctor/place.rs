//! Where this runs: on a host or in a container, and on which of the platforms that behave in ways of
//! their own. Says for each what works there, and what to do.
//!
//! Pure: [`Traces`] are what was found, and nothing in them is believed where a container could have
//! brought it along: its image's os-release says nothing of the node.

use super::finding::Finding;

/// What tells where this runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Traces {
    /// `/etc/os-release`.
    pub(super) os_release: String,
    /// `/proc/version`.
    pub(super) version: String,
    /// `/proc/self/mountinfo`.
    pub(super) mounts: String,
    /// `/proc/self/uid_map`.
    pub(super) uid_map: String,
    /// `/run/.containerenv`: podman's.
    pub(super) containerenv: Option<String>,
    /// Variables of this process, as `NAME=VALUE`.
    pub(super) environment: Vec<String>,
    /// Which of [`FILES`] there are.
    pub(super) files: Vec<&'static str>,
    /// Whether a container engine is installed here.
    pub(super) has_engine: bool,
}

/// Docker's mark in its containers.
const DOCKERENV: &str = "/.dockerenv";
/// What the kubelet gives to pods.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io";
/// What a machine's firmware says of it: Firecracker has none.
const FIRMWARE: &str = "/sys/class/dmi/id";
const K3S: &str = "/var/lib/rancher/k3s";
const RKE2: &str = "/var/lib/rancher/rke2";

/// Files whose presence tells something.
pub(super) const FILES: [&str; 5] = [DOCKERENV, SERVICE_ACCOUNT, FIRMWARE, K3S, RKE2];

/// Variables that tell something.
pub(super) const VARIABLES: [&str; 5] = [
    "container",
    "KUBERNETES_SERVICE_HOST",
    "AWS_EXECUTION_ENV",
    "ECS_CONTAINER_METADATA_URI",
    "ECS_CONTAINER_METADATA_URI_V4",
];

/// Where this runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// In what kind of container; none on a host, and in a container that has an engine of its own:
    /// that is a host to the containers in it.
    pub(super) container: Option<ContainerKind>,
    pub(super) platforms: Vec<Platform>,
}

/// Who made the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContainerKind {
    Docker,
    Podman,
    Pod,
    Ecs,
    Other,
}

/// What behaves in ways of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    AmazonLinux2,
    AmazonLinux2023,
    Bottlerocket,
    EksAuto,
    Fargate,
    ContainerOptimized,
    Talos,
    K3s,
    Rke2,
    Sysbox,
    Gvisor,
    Rootless,
}

impl ContainerKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Pod => "pod",
            Self::Ecs => "ecs",
            Self::Other => "other",
        }
    }

    fn described(self) -> &'static str {
        match self {
            Self::Docker => "one of Docker's",
            Self::Podman => "one of podman's",
            Self::Pod => "a pod's",
            Self::Ecs => "a task's of ECS",
            Self::Other => "a container of an engine that leaves no mark",
        }
    }
}

/// Recognises it.
pub(super) fn recognise(traces: &Traces) -> Place {
    let inside = container(traces);
    Place {
        container: inside.filter(|_| !traces.has_engine),
        platforms: Platform::ALL
            .into_iter()
            .filter(|one| one.is_seen(traces, inside))
            .collect(),
    }
}

fn container(traces: &Traces) -> Option<ContainerKind> {
    let marked = [
        (
            ContainerKind::Ecs,
            traces.has_variable("ECS_CONTAINER_METADATA_URI")
                || traces.has_variable("ECS_CONTAINER_METADATA_URI_V4"),
        ),
        (
            ContainerKind::Pod,
            traces.has_variable("KUBERNETES_SERVICE_HOST") || traces.has_file(SERVICE_ACCOUNT),
        ),
        (
            ContainerKind::Podman,
            traces.containerenv.is_some() || traces.variable("container") == Some("podman"),
        ),
        (ContainerKind::Docker, traces.has_file(DOCKERENV)),
        (
            ContainerKind::Other,
            traces.has_variable("container") || traces.has_engines_files(),
        ),
    ];
    let mut marked = marked.into_iter();
    marked.find_map(|(kind, is)| is.then_some(kind))
}

impl Traces {
    fn variable(&self, name: &str) -> Option<&str> {
        let mut all = self.environment.iter();
        all.find_map(|one| one.strip_prefix(name)?.strip_prefix('='))
    }

    fn has_variable(&self, name: &str) -> bool {
        self.variable(name).is_some()
    }

    fn has_file(&self, file: &str) -> bool {
        self.files.contains(&file)
    }

    /// Engines mount these files over an image's.
    fn has_engines_files(&self) -> bool {
        let points: Vec<&str> = self
            .mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .collect();
        ["/etc/resolv.conf", "/etc/hosts"]
            .iter()
            .all(|file| points.contains(file))
    }

    /// The kernel's release, as `uname -r` has it.
    fn release(&self) -> &str {
        self.version.split(' ').nth(2).unwrap_or_default()
    }

    /// A field of os-release(5).
    fn os(&self, key: &str) -> Option<&str> {
        let mut lines = self.os_release.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(value.trim_matches('"'))
    }

    /// Whether root here is one user of the host's who isn't root.
    fn is_one_users(&self) -> bool {
        let first = self.uid_map.lines().next().unwrap_or_default();
        let words: Vec<&str> = first.split_ascii_whitespace().collect();
        matches!(words.as_slice(), ["0", outside, "1"] if *outside != "0")
    }
}

impl Platform {
    const ALL: [Self; 12] = [
        Self::AmazonLinux2,
        Self::AmazonLinux2023,
        Self::Bottlerocket,
        Self::EksAuto,
        Self::Fargate,
        Self::ContainerOptimized,
        Self::Talos,
        Self::K3s,
        Self::Rke2,
        Self::Sysbox,
        Self::Gvisor,
        Self::Rootless,
    ];

    /// Its name in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AmazonLinux2 => "amazon-linux-2",
            Self::AmazonLinux2023 => "amazon-linux-2023",
            Self::Bottlerocket => "bottlerocket",
            Self::EksAuto => "eks-auto-mode",
            Self::Fargate => "fargate",
            Self::ContainerOptimized => "container-optimized-os",
            Self::Talos => "talos",
            Self::K3s => "k3s",
            Self::Rke2 => "rke2",
            Self::Sysbox => "sysbox",
            Self::Gvisor => "gvisor",
            Self::Rootless => "rootless",
        }
    }

    fn is_seen(self, traces: &Traces, container: Option<ContainerKind>) -> bool {
        let (kernel, release) = (&traces.version, traces.release());
        let host = |key, value| container.is_none() && traces.os(key) == Some(value);
        let built_for = |name: &str| release.contains(name);
        match self {
            Self::AmazonLinux2 => built_for(".amzn2.") && !Self::Fargate.is_seen(traces, container),
            Self::AmazonLinux2023 => {
                built_for(".amzn2023.") && !Self::Fargate.is_seen(traces, container)
            }
            Self::Bottlerocket => {
                host("ID", "bottlerocket")
                    || kernel.contains("bottlerocket")
                    // Kernels of before its compiler had that name.
                    || (kernel.contains("(builder@buildkitsandbox)") && kernel.contains("Buildroot"))
            }
            Self::EksAuto => {
                container.is_none()
                    && traces
                        .os("PRETTY_NAME")
                        .is_some_and(|name| name.contains("EKS Auto"))
            }
            // In a pod there it has no name: an Amazon kernel on a machine without firmware is a
            // Firecracker's.
            Self::Fargate => {
                traces.variable("AWS_EXECUTION_ENV") == Some("AWS_ECS_FARGATE")
                    || (container == Some(ContainerKind::Pod)
                        && built_for(".amzn2")
                        && !traces.has_file(FIRMWARE))
            }
            Self::ContainerOptimized => {
                host("ID", "cos") || (kernel.contains("Chromium OS") && release.ends_with('+'))
            }
            Self::Talos => host("ID", "talos") || release.ends_with("-talos"),
            Self::K3s => traces.has_file(K3S),
            Self::Rke2 => traces.has_file(RKE2),
            Self::Sysbox => traces.mounts.contains(" sysboxfs "),
            // Since 2018, whatever kernel it says it is.
            Self::Gvisor => kernel.contains("#1 SMP Sun Jan 10 15:06:54 PST 2016"),
            Self::Rootless => {
                traces.is_one_users()
                    || traces
                        .containerenv
                        .as_ref()
                        .is_some_and(|file| file.contains("rootless=1"))
            }
        }
    }

    /// What it is, and what works there.
    fn advice(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::AmazonLinux2 => (
                "Amazon Linux 2",
                &[
                    "for nodes: boundary-shim install kubernetes | kubectl apply -f -, then runtimeClassName: boundary",
                    "pods without a seccompProfile have no seccomp filter, so nsjail works in them; with RuntimeDefault \
                     notify does, from kernel 5.10 on (4.14 and 5.4 have none)",
                ],
            ),
            Self::AmazonLinux2023 => (
                "Amazon Linux 2023",
                &[
                    "for nodes: boundary-shim install kubernetes | kubectl apply -f -, then runtimeClassName: boundary",
                    "pods without a seccompProfile have no seccomp filter, so nsjail works in them; with RuntimeDefault \
                     notify does",
                ],
            ),
            Self::Bottlerocket => (
                "Bottlerocket",
                &[
                    "no runtime can be added to its nodes: use jail within the pods",
                    "notify works there as it is; nsjail needs user namespaces, which the node's settings switch on \
                     (EKS Auto Mode, which is Bottlerocket too, has no such settings)",
                ],
            ),
            Self::EksAuto => (
                "EKS Auto Mode",
                &[
                    "its nodes' settings can't be changed, nor a runtime added: use jail --jail-type notify within the pods",
                ],
            ),
            Self::Fargate => (
                "Fargate",
                &[
                    "neither runtimes nor capabilities can be added there: use jail --jail-type notify within the \
                     container (Linux 5.9; landjail needs Linux 6.7)",
                ],
            ),
            Self::ContainerOptimized => (
                "Container-Optimized OS (GKE)",
                &[
                    "for nodes, but Autopilot's: boundary-shim install kubernetes --directory /home/kubernetes/bin",
                    "in Autopilot's pods, as under any RuntimeDefault: jail --jail-type notify",
                ],
            ),
            Self::Talos => (
                "Talos",
                &[
                    "its nodes have no shell and are read-only, so no runtime can be installed: use jail within the \
                     pods (under RuntimeDefault --jail-type notify)",
                ],
            ),
            Self::K3s => (
                "k3s",
                &[
                    "its containerd reads files of its own: boundary-shim install containerd --config \
                     /var/lib/rancher/k3s/agent/etc/containerd/config.toml, and restart k3s (before k3s 1.32 by hand, \
                     in config.toml.tmpl)",
                ],
            ),
            Self::Rke2 => (
                "RKE2",
                &[
                    "its containerd reads files of its own: boundary-shim install containerd --config \
                     /var/lib/rancher/rke2/agent/etc/containerd/config.toml, and restart rke2-agent or rke2-server",
                ],
            ),
            Self::Sysbox => (
                "a container of sysbox's",
                &[
                    "sysbox lets its root make namespaces, so nsjail should work as it is, and an engine in it can \
                     have the runtime: boundary-shim install docker",
                    "sysbox answers some calls by seccomp notification, of which there is but one: notify and \
                     landjail refuse then",
                ],
            ),
            Self::Gvisor => (
                "gVisor",
                &[
                    "its kernel is its own, without nf_tables and seccomp notification: no jail works in it, and \
                     containers' networks are to be filtered outside of it",
                ],
            ),
            Self::Rootless => (
                "a rootless engine",
                &[
                    "a gateway needs the host's root: use root's engine for --runtime=boundary, or jail within the \
                     containers, where notify needs no right",
                ],
            ),
        }
    }
}

/// What there is to say of the place.
pub(super) fn findings(place: &Place) -> Vec<Finding> {
    let here = place.container.map(|kind| Finding {
        remarks: vec![
            "this is about this container alone; boundary-shim doctor on its host is about engines and gateways"
                .to_owned(),
        ],
        ..Finding::fact(format!("place: in a container, {}", kind.described()))
    });
    let platforms = place.platforms.iter().map(|platform| {
        let (name, remarks) = platform.advice();
        Finding {
            remarks: remarks.iter().map(|remark| (*remark).to_owned()).collect(),
            ..Finding::fact(format!("place: {name}"))
        }
    });
    here.into_iter().chain(platforms).collect()
}

#[cfg(test)]
mod tests;
