//! `install containerd`: what real containerds make of it, and what the command says.
//!
//! Two containerds are asked: the system's (1.6 on Debian 12), and the newer one (2.1) that
//! `scripts/newer-docker` made.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use boundary_shim::integrate::Engine;
use boundary_shim::integrate::containerd::Containerd;
use toml::Value;

use crate::here::{DENIED, FIRST_POLICY, Here, NONE_LEFT, in_an_etc_of_its_own, text};
use crate::real_containerd::{RealContainerd, assert_others_untouched, can_run_newer, runtimes};

pub(crate) const DEBIAN: &str = "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    \
                      [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"/usr/lib/cni\"\n      \
                      conf_dir = \"/etc/cni/net.d\"\n  [plugins.\"io.containerd.internal.v1.opt\"]\n    \
                      path = \"/var/lib/containerd/opt\"\n";

const CONFIG: &str = "etc/config.toml";

fn engine(here: &Here, containerd: &RealContainerd) -> Engine {
    Engine::Containerd(Containerd {
        config: here.at(CONFIG),
        program: containerd.program.clone(),
    })
}

pub(crate) fn tree(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            let content = std::fs::read_to_string(&path).expect("text");
            found.push((path, content));
        }
    }
    found.sort();
    found
}

/// A configuration as containerd's users have it: its files, and the versions that read it.
struct Case {
    what: &'static str,
    files: Vec<(&'static str, String)>,
    majors: RangeInclusive<u32>,
}

fn cases(here: &Here) -> Vec<Case> {
    let plugin = |version: u32| match version {
        2 => "io.containerd.grpc.v1.cri",
        _ => "io.containerd.cri.v1.runtime",
    };
    let kubeadm = |version| {
        let runc = format!("plugins.\"{}\".containerd.runtimes.runc", plugin(version));
        format!(
            "version = {version}\n[{runc}]\nruntime_type = 'io.containerd.runc.v2' # as ever\n  [{runc}.options]\n    \
             # the kubelet's driver\n    SystemdCgroup = true\n    NoPivotRoot = true\n"
        )
    };
    let other = |version| {
        format!(
            "[plugins.'{}'.containerd.runtimes.other]\nruntime_type = 'io.containerd.kata.v2'\n",
            plugin(version)
        )
    };
    let imports = format!("imports = ['{}']\n", here.at("etc/conf.d/*.toml").display());
    let alone = |what, text: String, majors| Case {
        what,
        files: vec![("config.toml", text)],
        majors,
    };
    let with = |what, text: String, import: String, majors| Case {
        what,
        files: vec![
            ("config.toml", imports.clone() + &text),
            ("conf.d/a.toml", import),
        ],
        majors,
    };
    vec![
        alone("Debian's", DEBIAN.to_owned(), 1..=2),
        alone("a kubeadm node's", kubeadm(2), 1..=2),
        with(
            "with imports",
            DEBIAN.to_owned(),
            "oom_score = 1\n".to_owned(),
            1..=2,
        ),
        with(
            "with an import that speaks of runtimes",
            kubeadm(2),
            other(2),
            1..=2,
        ),
        alone("version 3", kubeadm(3), 2..=2),
        alone(
            "version 3 and nothing else",
            "version = 3\n".to_owned(),
            2..=2,
        ),
        with("version 3 with drop-ins", kubeadm(3), other(3), 2..=2),
    ]
}

pub(crate) fn older_offers() {
    let here = Here::new();
    offers(&RealContainerd::older(), &here);
}

pub(crate) fn newer_offers() {
    let here = Here::new();
    offers(&RealContainerd::newer(&here), &here);
}

fn offers(containerd: &RealContainerd, here: &Here) {
    for case in cases(here)
        .into_iter()
        .filter(|case| case.majors.contains(&containerd.major))
    {
        let _ = std::fs::remove_dir_all(here.at("etc"));
        case.files
            .iter()
            .for_each(|(name, text)| here.put(&format!("etc/{name}"), text));
        check(containerd, here, case.what);
    }
}

fn check(containerd: &RealContainerd, here: &Here, what: &str) {
    let (etc, engine) = (here.at("etc"), engine(here, containerd));
    let (files, mut before) = (tree(&etc), containerd.dump(&here.at(CONFIG)));
    here.install(&engine, "boundary", "default");
    here.install(&engine, "npm-only", "npm");

    let mut after = containerd.dump(&here.at(CONFIG));
    let systemd_cgroup = |runtime: &Value| runtime.get("options")?.get("SystemdCgroup")?.as_bool();
    let runc = runtimes(&mut after)
        .get("runc")
        .and_then(systemd_cgroup)
        .unwrap_or_default();
    for (name, program) in [("boundary", "boundary-shim"), ("npm-only", "boundary-npm")] {
        let runtime = &runtimes(&mut after)[name];
        assert_eq!(
            runtime["runtime_type"].as_str(),
            Some("io.containerd.runc.v2"),
            "{what}"
        );
        assert_eq!(
            runtime["options"]["BinaryName"].as_str(),
            here.at(program).to_str(),
            "{what}"
        );
        assert_eq!(systemd_cgroup(runtime).unwrap_or_default(), runc, "{what}");
        for key in ["pod_annotations", "container_annotations"] {
            assert_eq!(
                runtime[key].as_array().expect("a list"),
                &[Value::from("boundary.*")]
            );
        }
    }
    assert_others_untouched(&mut before, &mut after, &["boundary", "npm-only"], what);

    here.uninstall(&engine, "npm-only");
    here.uninstall(&engine, "boundary");
    assert_eq!(tree(&etc), files, "{what}: as before, byte by byte");
    assert!(!here.at("boundary-npm").is_symlink());
}

/// The defaults hold when the file that we make is the only one.
pub(crate) fn new_file() {
    let here = Here::new();
    let newer = can_run_newer().then(|| RealContainerd::newer(&here));
    for containerd in [Some(RealContainerd::older()), newer].into_iter().flatten() {
        let engine = engine(&here, &containerd);
        here.put(
            "empty.toml",
            if containerd.major == 1 {
                "version = 2\n"
            } else {
                "version = 3\n"
            },
        );
        let mut before = containerd.dump(&here.at("empty.toml"));
        let _ = std::fs::remove_dir_all(here.at("etc"));

        here.install(&engine, "boundary", "default");
        let mut after = containerd.dump(&here.at(CONFIG));
        assert_eq!(
            runtimes(&mut after)["boundary"]["options"]["BinaryName"].as_str(),
            here.ours.binary.to_str()
        );
        assert_others_untouched(&mut before, &mut after, &["boundary"], "a new file");
        here.uninstall(&engine, "boundary");
        assert_eq!(tree(&here.at("etc")), []);
    }
}

/// In a mount namespace of its own, since the command makes `/etc/boundary`.
pub(crate) fn command_for_real() {
    const SCRIPT: &str = "cp \"$1\" /mnt/before
        $0 install containerd --dry-run --config \"$1\" >/mnt/dry; cmp /mnt/before \"$1\"; [ ! -e /etc/boundary ]
        for verb in install install uninstall uninstall; do $0 $verb containerd --config \"$1\"; done
        cmp /mnt/before \"$1\"; stat -c %a \"$1\"; head -n 1 /mnt/dry";
    let here = Here::new();
    here.put(CONFIG, &DEBIAN.replace("version = 2\n", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n"));
    let output = in_an_etc_of_its_own(&[], SCRIPT, &[&here.ours.binary, &here.at(CONFIG)]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let (config, binary) = (here.at(CONFIG), here.ours.binary.display());
    let config = config.display();
    let restart = "note: containerd reads its configuration only when it starts: restart the service that runs it\n";
    let expected = format!(
        "write {config}\n  runtime boundary: {binary}, otherwise like runc\n\
         {FIRST_POLICY}{restart}{DENIED}already installed\n{DENIED}\
         write {config}\n  runtime boundary removed (was {binary})\n{NONE_LEFT}{restart}not installed\n640\nthese changes would be made:\n"
    );
    assert_eq!(text(&output.stdout), expected);
}

pub(crate) fn malformed() {
    let here = Here::new();
    here.put(CONFIG, "version = 2\n[plugins\n");
    for verb in ["install", "uninstall"] {
        let output = here
            .prepared(&[verb, "containerd", "--config"])
            .arg(here.at(CONFIG))
            .output()
            .expect("it runs");
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
        let said = text(&output.stderr);
        let begins = format!(
            "boundary-shim: {} was not changed: line 2: ",
            here.at(CONFIG).display()
        );
        assert!(
            said.starts_with(&begins) && said.lines().count() == 1,
            "{said}"
        );
    }
    assert_eq!(here.get(CONFIG), "version = 2\n[plugins\n");
}
