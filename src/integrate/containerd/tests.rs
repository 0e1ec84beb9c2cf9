//! Installing and uninstalling on a host of files, without containerd; with real ones:
//! `tests/install`.

use super::Containerd;
use super::document::ConfigVersion;
use super::malformed::MalformedToml;
use super::test_host::{CONFIG, DROP_IN, THREE, TWO, entry, host_of_version, host_with, renamed};
use crate::integrate::Engine;
use crate::integrate::error::IntegrateError;
use crate::integrate::step::{Step, apply};
use crate::integrate::test_host::{TestHost, has_note, shell};

#[test]
fn a_file_gets_an_entry_like_runcs_and_is_as_before_without_it() {
    for (text, version) in [(TWO, ConfigVersion::Two), (THREE, ConfigVersion::Three)] {
        let host = host_with(text);
        let plan = host.install_now();
        assert!(
            has_note(&plan, "only when it starts: restart the service"),
            "{:?}",
            plan.notes
        );
        let entry = entry(&host, CONFIG, version);
        for line in [
            "runtime_type = \"io.containerd.runc.v2\"",
            "pod_annotations = [\"boundary.*\"]",
            "container_annotations = [\"boundary.*\"]",
            "SystemdCgroup = true",
            &format!("BinaryName = \"{}\"", shell()),
        ] {
            assert!(entry.contains(line), "{line} in {entry}");
        }
        assert_eq!(
            entry.contains("base_runtime_spec = \"/etc/base.json\""),
            text == TWO
        );
        assert!(
            !entry.contains('#'),
            "runc's comments are about runc: {entry}"
        );

        renamed(&host, CONFIG);
        host.uninstall_now();
        assert_eq!(host.get(CONFIG), text);
    }
}

/// As Debian ships it: containerd 1.x drops runc's default entry where ours is the only one.
#[test]
fn runc_stays_where_no_runtime_was_written() {
    let text = "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    \
                [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"/usr/lib/cni\"\n  \
                [plugins.\"io.containerd.internal.v1.opt\"]\n    path = \"/var/lib/containerd/opt\"\n";
    let host = host_with(text);
    host.install_now();
    let after = host.get(CONFIG);
    assert!(
        after.contains("containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n"),
        "{after}"
    );
    renamed(&host, CONFIG);
    host.uninstall_now();
    assert_eq!(host.get(CONFIG), text);
}

#[test]
fn every_line_that_was_there_stays_in_its_order() {
    let host = host_with(TWO);
    host.install_now();
    let after = host.get(CONFIG);
    let mut lines = after.lines();
    for line in TWO.lines() {
        assert!(
            lines.any(|other| other == line),
            "{line} is gone or elsewhere:\n{after}"
        );
    }
}

#[test]
fn installing_again_follows_the_binary_and_runc() {
    let host = host_with(TWO);
    host.install_now();
    renamed(&host, CONFIG);
    host.install_now();
    assert!(
        host.get(CONFIG).contains(&shell()),
        "a binary that has moved is followed"
    );

    renamed(&host, CONFIG);
    host.put(
        CONFIG,
        &host
            .get(CONFIG)
            .replace("SystemdCgroup = true # as the kubelet", ""),
    );
    host.install_now();
    assert!(
        !host.get(CONFIG).contains("SystemdCgroup"),
        "{}",
        host.get(CONFIG)
    );
}

#[test]
fn another_programs_runtime_of_that_name_is_neither_replaced_nor_removed() {
    let other = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.boundary.options]\nBinaryName = '/opt/other'\n";
    let host = host_with(&format!("{THREE}{other}"));
    assert!(
        matches!(host.install(), Err(IntegrateError::ForeignRuntime { runs, .. }) if runs == "/opt/other")
    );
    assert!(matches!(
        host.uninstall(),
        Err(IntegrateError::ForeignRuntime { .. })
    ));
}

#[test]
fn the_default_runtime_is_not_removed() {
    let host = host_with(&format!(
        "{THREE}[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'boundary'\n"
    ));
    host.install_now();
    renamed(&host, CONFIG);
    assert!(matches!(
        host.uninstall(),
        Err(IntegrateError::IsDefault { .. })
    ));
}

#[test]
fn malformed_files_are_left_alone_with_a_reason() {
    let cases = [
        ("version = 2\n[plugins\n", "line 2: "),
        ("version = 2\nplugins = 1\n", "plugins is not a table"),
        (
            "version = 2\n[plugins]\n\"io.containerd.grpc.v1.cri\" = []\n",
            "io.containerd.grpc.v1.cri is not a table",
        ),
        ("disabled_plugins = [\"cri\"]\n", "expected version = 2"),
        ("version = 1\n", "expected version = 2"),
        ("version = 5\n", "version = 5 is unknown"),
        ("version = 2\nimports = 1\n", "imports is not a list"),
        (
            "version = 2\nimports = [\"conf.d/*.toml\"]\n",
            "unsupported pattern conf.d/*.toml",
        ),
        (
            "version = 3\nimports = [\"/*/x/*.toml\"]\n",
            "unsupported pattern",
        ),
        (
            "version = 3\nimports = [\"/x/[ab]*.toml\"]\n",
            "unsupported pattern",
        ),
        ("a = 1\na = 2\n", "line 2: "),
    ];
    for (text, reason) in cases {
        let host = host_with(text);
        for plan in [host.install(), host.uninstall()] {
            let error = anyhow::Error::from(plan.expect_err(text));
            let said = format!("{error:#}");
            assert!(
                said.contains(reason)
                    && said.contains("config.toml was not changed")
                    && !said.contains('\n'),
                "{said}"
            );
        }
        assert_eq!(host.get(CONFIG), text);
    }
}

#[test]
fn a_file_that_could_not_be_given_back_is_left_alone() {
    for text in ["version = 2\r\n[debug]\r\n", "\u{feff}version = 2\n"] {
        let host = host_with(text);
        assert!(
            matches!(host.install(), Err(IntegrateError::Malformed { source, .. }) if source.downcast_ref() == Some(&MalformedToml::LineEnds)),
            "{text:?}"
        );
    }
    let host = host_with("version = 2");
    host.install_now(); // A newline is added at its end.
    renamed(&host, CONFIG);
    host.uninstall_now();
    assert_eq!(host.get(CONFIG), "version = 2\n");
}

#[test]
fn inline_tables_are_added_to() {
    let inline = "version = 2\nplugins = { \"io.containerd.grpc.v1.cri\" = { containerd = { runtimes = { runc = { options = { SystemdCgroup = true } } } } } }\n";
    let host = host_with(inline);
    host.install_now();
    assert!(entry(&host, CONFIG, ConfigVersion::Two).contains("SystemdCgroup = true"));
}

#[test]
fn a_disabled_plugin_and_another_runc_are_told() {
    let text = "disabled_plugins = ['io.containerd.grpc.v1.cri']\nversion = 2\n\
                [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]\nBinaryName = '/usr/bin/crun'\n";
    let plan = host_with(text).install().expect("planned");
    assert!(
        has_note(&plan, "disables the CRI plugin")
            && has_note(&plan, "runtime = \"/usr/bin/crun\""),
        "{plan:?}"
    );
}

/// As Bottlerocket has it, where no entry is called runc; or NVIDIA's toolkit.
#[test]
fn the_nodes_default_runtime_is_followed() {
    let node = |name: &str, kind: &str, runs: &str| {
        format!(
            "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndefault_runtime_name = '{name}'\n\
             [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.{name}]\nruntime_type = '{kind}'\n\
             base_runtime_spec = '/etc/cri-base.json'\n\
             [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.{name}.options]\nSystemdCgroup = true\nBinaryName = '{runs}'\n"
        )
    };
    for (runs, notes) in [
        ("shimpei", "to use it too, put runtime = \"shimpei\""),
        (
            "/usr/bin/nvidia-container-runtime",
            "no container gets a GPU",
        ),
    ] {
        let host = host_with(&node("usual", "io.containerd.runc.v2", runs));
        let plan = host.install_now();
        assert!(has_note(&plan, notes), "{:?}", plan.notes);
        let entry = entry(&host, CONFIG, ConfigVersion::Two);
        assert!(
            entry.contains("SystemdCgroup = true")
                && entry.contains("base_runtime_spec = '/etc/cri-base.json'")
                && entry.contains(&format!("BinaryName = \"{}\"", shell())),
            "{entry}"
        );
    }

    // Another kind of shim understands other options.
    let kata = node("kata", "io.containerd.kata.v2", "kata-runtime")
        + "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nbase_runtime_spec = '/etc/runc.json'\n";
    let host = host_with(&kata);
    assert!(!has_note(&host.install_now(), "kata"));
    let entry = entry(&host, CONFIG, ConfigVersion::Two);
    assert!(
        entry.contains("/etc/runc.json") && !entry.contains("SystemdCgroup"),
        "{entry}"
    );
}

/// Made the default by hand, it is no model for itself, and nothing is taken from it.
#[test]
fn our_own_runtime_as_the_default_stays_as_it_is() {
    let host = host_with(
        "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndefault_runtime_name = 'usual'\n\
         [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.usual]\nruntime_type = 'io.containerd.runc.v2'\n\
         options = { SystemdCgroup = true }\n",
    );
    host.install_now();
    let by_hand = host
        .get(CONFIG)
        .replace("= 'usual'", "= 'boundary'")
        .replace(&shell(), "/opt/boundary-shim");
    host.put(CONFIG, &by_hand);
    let plan = host.install_now();
    assert!(!has_note(&plan, "to use it too"), "{:?}", plan.notes);
    let entry = entry(&host, CONFIG, ConfigVersion::Two);
    assert!(entry.contains("SystemdCgroup = true"), "{entry}");
}

#[test]
fn what_something_else_makes_is_left_alone_with_where_to_go() {
    let k3s = format!("# File generated by k3s. DO NOT EDIT. Use config.toml.tmpl instead.\n{TWO}");
    let host = host_with(&k3s);
    let refused = |host: &TestHost, part: &str| {
        let error = anyhow::Error::from(host.install().expect_err("refused"));
        let said = format!("{error:#}");
        assert!(said.contains(part) && !said.contains('\n'), "{said}");
    };
    refused(&host, "Use config.toml.tmpl instead");
    assert_eq!(host.get(CONFIG), k3s);
    assert!(
        host.uninstall_now().steps.is_empty(),
        "there is nothing to do"
    );

    // What is imported is the administrator's.
    let host = host_with(&format!(
        "# File generated by k3s. DO NOT EDIT. Use config-v3.toml.tmpl instead.\nimports = ['conf.d/*.toml']\n{THREE}"
    ));
    host.install_now();
    assert!(host.get(DROP_IN).contains("SystemdCgroup = true"));

    // MicroK8s.
    let host = host_with(TWO);
    host.put("etc/config-template.toml", TWO);
    refused(&host, "etc/config-template.toml");

    let templates = TestHost::new(|at| {
        Engine::Containerd(Containerd {
            config: at("etc/config.toml.tmpl"),
            program: at("no-containerd"),
        })
    });
    refused(&templates, "would be taken for the whole configuration");
    templates.put("etc/config.toml.tmpl", "{{ template \"base\" . }}\n");
    refused(&templates, "it is a template");
}

#[test]
fn a_step_that_fails_brings_a_removed_file_back() {
    let host = host_of_version("1.6");
    host.install_now();
    renamed(&host, CONFIG);
    let before = host.get(CONFIG);
    let mut plan = host.uninstall().expect("planned");
    plan.steps.push(Step::Unlink(host.path("nothing-here")));
    apply(&plan.steps, |_| Ok(())).expect_err("the last step");
    assert_eq!(host.get(CONFIG), before);
}
