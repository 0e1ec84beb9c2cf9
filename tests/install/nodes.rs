//! The table of Kubernetes nodes in `docs/kubernetes.md`: what each row says holds for a configuration written
//! after that distribution's own.

use std::path::{Path, PathBuf};

use boundary_shim::integrate::Engine;
use boundary_shim::integrate::containerd::Containerd;
use toml::{Table, Value};

use crate::containerd::tree;
use crate::here::{Here, text};

/// A row of the table.
struct Node {
    /// Its first cell.
    name: &'static str,
    /// Where the distribution's own configuration, and what else is said of it, was read: a public
    /// repository and a path in it.
    source: &'static str,
    held: Held,
}

enum Held {
    /// There is no node that anything could be installed on.
    Nothing,
    /// `install kubernetes` can't; this is what `install containerd` makes of the file where somebody
    /// builds an image with it.
    OwnImage(Configuration),
    /// `install kubernetes` with these words.
    With(&'static [&'static str], Configuration),
}

struct Configuration {
    /// The main file's path.
    path: &'static str,
    text: &'static str,
    /// What is written.
    written: &'static str,
    /// The runtime that ours is otherwise like.
    like: &'static str,
}

const ETC: &str = "/etc/containerd/config.toml";
const K3S: &str = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml";
const RKE2: &str = "/var/lib/rancher/rke2/agent/etc/containerd/config.toml";
const MICROK8S: &str = "/var/snap/microk8s/current/args/containerd-template.toml";

const NODES: [Node; 9] = [
    Node {
        name: "kubeadm",
        source: "kubernetes/website content/en/docs/setup/production-environment/container-runtimes.md; \
                 containerd/containerd docs/man/containerd-config.toml.5.md",
        held: Held::With(
            &[],
            Configuration {
                path: ETC,
                text: include_str!("../../testdata/nodes/kubeadm.toml"),
                written: "/etc/containerd/conf.d/boundary-shim-boundary.toml",
                like: "runc",
            },
        ),
    },
    Node {
        name: "EKS, Amazon Linux 2023",
        source: "awslabs/amazon-eks-ami nodeadm/internal/containerd/config2.template.toml, \
                 templates/al2023/runtime/rootfs/etc/systemd/system/nodeadm-run.service",
        held: Held::With(
            &[],
            Configuration {
                path: ETC,
                text: include_str!("../../testdata/nodes/eks-al2023.toml"),
                written: ETC,
                like: "nvidia",
            },
        ),
    },
    Node {
        name: "GKE, Container-Optimized OS",
        source: "kubernetes/kubernetes cluster/gce/gci/configure-helper.sh (setup-containerd), cluster/gce/gci/node.yaml",
        held: Held::With(
            &["--directory", "/home/kubernetes/bin"],
            Configuration {
                path: ETC,
                text: include_str!("../../testdata/nodes/gke-cos.toml"),
                written: ETC,
                like: "runc",
            },
        ),
    },
    Node {
        name: "k3s",
        source: "k3s-io/k3s pkg/agent/templates/templates.go; k3s-io/docs docs/advanced.md",
        held: Held::With(
            &["--config", K3S, "--restart-unit", "k3s"],
            Configuration {
                path: K3S,
                text: include_str!("../../testdata/nodes/k3s.toml"),
                written: "/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/boundary-shim-boundary.toml",
                like: "runc",
            },
        ),
    },
    Node {
        name: "RKE2",
        source: "rancher/rke2 pkg/executor/staticpod/cleanup.go, bundle/lib/systemd/system; k3s-io/k3s \
                 pkg/agent/templates/templates.go",
        held: Held::With(
            &["--config", RKE2, "--restart-unit", "rke2-agent"],
            Configuration {
                path: RKE2,
                text: include_str!("../../testdata/nodes/rke2.toml"),
                written: "/var/lib/rancher/rke2/agent/etc/containerd/config-v3.toml.d/boundary-shim-boundary.toml",
                like: "runc",
            },
        ),
    },
    Node {
        name: "MicroK8s",
        source: "canonical/microk8s microk8s-resources/default-args/containerd-template.toml, \
                 microk8s-resources/wrappers/run-containerd-with-args, snap/snapcraft.yaml",
        held: Held::With(
            &[
                "--config",
                MICROK8S,
                "--restart-unit",
                "snap.microk8s.daemon-containerd",
            ],
            Configuration {
                path: MICROK8S,
                text: include_str!("../../testdata/nodes/microk8s.toml"),
                written: MICROK8S,
                like: "runc",
            },
        ),
    },
    Node {
        name: "Bottlerocket",
        source: "bottlerocket-os/bottlerocket-core-kit packages/containerd/containerd-config-toml_k8s_containerd_sock",
        held: Held::OwnImage(Configuration {
            path: ETC,
            text: include_str!("../../testdata/nodes/bottlerocket.toml"),
            written: ETC,
            like: "shimpei",
        }),
    },
    Node {
        name: "EKS Auto Mode",
        source: "awsdocs/amazon-eks-user-guide latest/ug/automode",
        held: Held::Nothing,
    },
    Node {
        name: "EKS, Fargate",
        source: "awsdocs/amazon-eks-user-guide latest/ug/nodes/fargate.adoc",
        held: Held::Nothing,
    },
];

/// The table's rows, as cells.
fn rows() -> Vec<Vec<String>> {
    let page = include_str!("../../docs/kubernetes.md");
    let (_, table) = page
        .split_once("| nodes | `install kubernetes` with |")
        .expect("the table");
    table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

pub(crate) fn rows_hold() {
    let rows = rows();
    let names: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, NODES.map(|node| node.name));
    for (row, node) in rows.iter().zip(&NODES) {
        assert!(node.source.contains('/') && row.len() == 4, "{row:?}");
        match &node.held {
            Held::Nothing => assert_eq!(row[1..3], ["–", "–"], "{row:?}"),
            Held::OwnImage(configuration) => {
                assert_eq!(row[1..3], ["–", "–"], "{row:?}");
                installs(configuration);
            }
            Held::With(words, configuration) => {
                let said = row[1].split('`').nth(1).unwrap_or_default();
                assert_eq!(said, words.join(" "), "{row:?}");
                let written = configuration.written;
                let (_, short) = written
                    .split_once("/agent/etc/containerd/")
                    .unwrap_or(("", written));
                let expected = if words.contains(&written) {
                    "that file".to_owned()
                } else {
                    format!("`{short}`")
                };
                assert!(row[2].contains(&expected), "{row:?}");
                prints(words, configuration);
                installs(configuration);
            }
        }
    }
}

/// The DaemonSet that the row's words print works on the row's file, and restarts the row's unit.
fn prints(words: &[&str], configuration: &Configuration) {
    let here = Here::new();
    let output = here
        .prepared(&["install", "kubernetes"])
        .args(words)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let after = |word: &str, usual: &'static str| {
        let at = words.iter().position(|other| *other == word);
        at.map_or(usual, |at| words[at + 1])
    };
    for line in [
        format!("config={}", configuration.path),
        format!("directory={}", after("--directory", "/usr/local/bin")),
        format!(
            "systemctl restart {};",
            after("--restart-unit", "containerd")
        ),
    ] {
        assert!(text(&output.stdout).contains(&line), "{line}");
    }
}

/// What is to be written is written, like the node's usual runtime, and goes again; all below a
/// directory of ours.
fn installs(configuration: &Configuration) {
    let here = Here::new();
    let root = here.at("node").display().to_string();
    let below = |path: &str| PathBuf::from(format!("{root}{path}"));
    let imports = |line: &str| match line.split_once("imports = [\"") {
        Some((before, path)) => format!("{before}imports = [\"{root}{path}\n"),
        None => format!("{line}\n"),
    };
    let own: String = configuration.text.lines().map(imports).collect();
    here.put(&format!("node{}", configuration.path), &own);
    let before = tree(Path::new(&root));
    let engine = Engine::Containerd(Containerd {
        config: below(configuration.path),
        program: here.at("no-containerd"),
    });

    here.install(&engine, "boundary", "default");
    let after = tree(Path::new(&root));
    let mut changed = after.iter().filter(|file| !before.contains(file));
    let (path, written) = changed.next().expect("something is written");
    assert_eq!(path, &below(configuration.written));
    assert_eq!(changed.next(), None);

    let ours = entry(written, "boundary").expect("an entry");
    let usual = entry(&own, configuration.like).expect("an entry");
    let of = |entry: &Table, option: &str| entry.get("options")?.get(option).cloned();
    assert_eq!(of(&ours, "SystemdCgroup"), of(&usual, "SystemdCgroup"));
    assert_eq!(
        ours.get("base_runtime_spec"),
        usual.get("base_runtime_spec")
    );
    assert_eq!(
        of(&ours, "BinaryName"),
        Some(Value::from(here.ours.binary.to_str().expect("text")))
    );

    here.uninstall(&engine, "boundary");
    assert_eq!(tree(Path::new(&root)), before);
}

/// A runtime in a file, whichever the version.
fn entry(text: &str, name: &str) -> Option<Table> {
    let file: Table = text.parse().expect("TOML");
    let mut plugins = file.get("plugins")?.as_table()?.values();
    plugins.find_map(|plugin| {
        let runtimes = plugin.get("containerd")?.get("runtimes")?;
        runtimes.get(name)?.as_table().cloned()
    })
}
