//! `install kubernetes`: what the DaemonSet does on a node, and who gets the objects.

use std::path::Path;

use boundary_shim::integrate::kubernetes::{self, NodeLayout};

use crate::containerd::DEBIAN;
use crate::here::{Here, in_an_etc_of_its_own, text};

/// What `install kubernetes` is told of a node, and which file the node has.
fn node_with(config: &str, unit: &str, directory: &str) {
    const NODE: &str = "mount -t tmpfs none /usr/local/bin
        chmod 755 /usr/local/bin; mkdir -p $(dirname $2) $3; cp \"$1/before.toml\" $2
        printf '#!/bin/sh\\ntouch /mnt/done; echo systemctl \"$*\"\\n' >/usr/local/bin/systemctl; chmod 755 /usr/local/bin/systemctl
        rm -rf /etc/docker
        for time in 1 2; do
          sh \"$0\" & node=$!
          timeout 60 sh -c 'until [ -e /mnt/done ]; do sleep 0.05; done'
          kill -TERM $node; wait $node; rm /mnt/done
          cmp \"$1/before.toml\" $2; [ ! -e $3/boundary-shim ]
        done
        printf '#!/bin/sh\\necho systemctl \"$*\"; [ \"$1\" != restart ]\\n' >/usr/local/bin/systemctl
        ! sh \"$0\"; cmp \"$1/before.toml\" $2";
    let here = Here::new();
    here.put("before.toml", DEBIAN);
    let layout = NodeLayout {
        config: config.parse().expect("a path"),
        unit: unit.parse().expect("a name"),
        directory: directory.parse().expect("a path"),
    };
    let (name, policy) = (
        "boundary".parse().expect("a name"),
        "npm".parse().expect("a name"),
    );
    let image = "image".parse().expect("a name");
    let manifests = kubernetes::manifests(&name, &policy, &image, &layout).expect("made");
    let (_, block) = manifests.split_once("- |\n").expect("a script");
    let (block, _) = block.split_once("\n---").expect("an end");
    let lines = block
        .lines()
        .map(|line| line.strip_prefix("              ").unwrap_or_default());
    let inside = lines.collect::<Vec<_>>().join("\n").replace(
        "</boundary-shim",
        &format!("<{}", here.ours.binary.display()),
    );
    here.put("node.sh", &inside);

    let output = in_an_etc_of_its_own(
        &["--pid", "--fork", "--mount-proc"],
        NODE,
        &[
            &here.at("node.sh"),
            &here.at(""),
            Path::new(config),
            Path::new(directory),
        ],
    );
    let said = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{said}\n{}",
        text(&output.stderr)
    );
    let all: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("systemctl"))
        .collect();
    let (restart, start) = (
        &*format!("systemctl restart {unit}"),
        &*format!("systemctl start {unit}"),
    );
    assert_eq!(
        all,
        [restart, restart, restart, restart, restart, start],
        "{said}"
    );
    assert!(
        said.contains(&format!("link {directory}/boundary-npm to boundary-shim")),
        "{said}"
    );
}

/// The DaemonSet's own script, with the namespaces of a node: process 1 is ours, and its files are
/// a copy of /etc.
pub(crate) fn node() {
    node_with(
        "/etc/containerd/config.toml",
        "containerd",
        "/usr/local/bin",
    );
    node_with(
        "/etc/rancher/agent/config.toml",
        "k3s-agent",
        "/usr/local/bin/elsewhere",
    );
}

/// A kubectl that only keeps what it is given.
pub(crate) fn kubectl() {
    let here = Here::new();
    let run = |words: &[&str]| {
        let mut command = here.prepared(&["install", "kubernetes"]);
        command
            .args(words)
            .env("PATH", here.at(""))
            .output()
            .expect("it runs")
    };
    let printed = run(&[]);
    assert_eq!(printed.status.code(), Some(0));
    assert!(
        text(&printed.stdout).contains("kind: DaemonSet"),
        "{}",
        text(&printed.stdout)
    );

    let output = run(&["--apply"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).starts_with("boundary-shim: kubectl apply: "),
        "{}",
        text(&output.stderr)
    );

    here.put_program(
        "kubectl",
        &format!(
            "#!/bin/sh\necho \"$*\"; /bin/cat >{}\n",
            here.at("given").display()
        ),
    );
    let output = run(&["--apply"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "apply -f -\n")
    );
    assert_eq!(here.get("given"), text(&printed.stdout));

    let output = run(&["--name", "A"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    for words in [
        ["--config", "etc/config.toml"],
        ["--directory", "/a b"],
        ["--restart-unit", "k3s;reboot"],
    ] {
        let output = run(&words);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
        assert!(text(&output.stderr).contains("expected"), "{words:?}");
    }
}
