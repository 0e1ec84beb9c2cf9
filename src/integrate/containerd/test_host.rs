//! A host with containerd's files, and no containerd but one that says its version.

use super::document::{ConfigVersion, TomlDocument};
use super::{Containerd, entry as entries};
use crate::integrate::Engine;
use crate::integrate::test_host::{TestHost, shell};

pub(super) const TWO: &str = "version = 2\n\n# mine\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    \
                   sandbox_image = \"pause\" # pinned\n    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n      \
                   runtime_type = \"io.containerd.runc.v2\"\n      base_runtime_spec = \"/etc/base.json\"\n\n      # the kubelet's\n      \
                   [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n        SystemdCgroup = true # as the kubelet\n\n\
                   [debug]\nlevel = \"warn\"\n# the end\n";
pub(super) const THREE: &str = "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nSystemdCgroup = true\n";

pub(super) const CONFIG: &str = "etc/config.toml";
pub(super) const DROP_IN: &str = "etc/conf.d/boundary-shim-boundary.toml";

/// Without a containerd that could be asked.
pub(super) fn host() -> TestHost {
    TestHost::new(|at| {
        Engine::Containerd(Containerd {
            config: at(CONFIG),
            program: at("no-containerd"),
        })
    })
}

pub(super) fn host_with(config: &str) -> TestHost {
    let host = host();
    host.put(CONFIG, config);
    host
}

/// With a containerd that only says its version.
pub(super) fn host_of_version(version: &str) -> TestHost {
    let host = TestHost::new(|at| {
        Engine::Containerd(Containerd {
            config: at(CONFIG),
            program: at("containerd"),
        })
    });
    let script = format!("#!/bin/sh\necho containerd github.com/containerd/containerd {version}\n");
    crate::sys::file::replace(&host.path("containerd"), script.as_bytes(), 0o755).expect("written");
    host
}

pub(super) fn entry(host: &TestHost, file: &str, version: ConfigVersion) -> String {
    let mut document = TomlDocument::parse(&host.get(file)).expect("TOML");
    document.read_as(version);
    let entry = document
        .runtime("boundary")
        .expect("tables")
        .expect("an entry");
    let mut plain = toml_edit::DocumentMut::new();
    entries::merge(&mut plain, entry);
    plain.to_string()
}

/// What `/bin/sh` is called is not ours, so entries are put in as an earlier install would have
/// made them.
pub(super) fn renamed(host: &TestHost, file: &str) {
    host.put(
        file,
        &host.get(file).replace(&shell(), "/opt/boundary-shim"),
    );
}
