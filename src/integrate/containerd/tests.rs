//! Installing and uninstalling on a host of files, without containerd; with real ones: `tests/install`.

use super::*;
use crate::integrate::step::apply;

const TWO: &str = "version = 2\n\n# mine\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    \
                   sandbox_image = \"pause\" # pinned\n    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n      \
                   runtime_type = \"io.containerd.runc.v2\"\n      base_runtime_spec = \"/etc/base.json\"\n\n      # the kubelet's\n      \
                   [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n        SystemdCgroup = true # as the kubelet\n\n\
                   [debug]\nlevel = \"warn\"\n# the end\n";
const THREE: &str =
    "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nSystemdCgroup = true\n";

/// A host of its own in a directory. The binary is the system's shell under our name: it lies where only root writes.
struct Host {
    directory: tempfile::TempDir,
    places: Places,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().canonicalize().expect("a path").join(name);
        std::fs::create_dir_all(at("etc/conf.d")).expect("directories");
        let places = Places {
            binary: "/bin/sh".into(),
            config: at("etc/config.toml"),
            containerd: at("no-containerd"),
            policies: at("policies"),
            running: at("running"),
        };
        Self { directory, places }
    }

    fn with(text: &str) -> Self {
        let host = Self::new();
        host.put("config.toml", text);
        host
    }

    /// A containerd that only says its version.
    fn with_version(mut self, version: &str) -> Self {
        self.places.containerd = self.directory.path().join("containerd");
        let script = format!("#!/bin/sh\necho containerd github.com/containerd/containerd {version}\n");
        crate::sys::file::replace(&self.places.containerd, script.as_bytes(), 0o755).expect("written");
        self
    }

    fn put(&self, name: &str, text: &str) {
        crate::sys::file::replace(&self.path(name), text.as_bytes(), 0o640).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("etc").join(name)
    }

    fn get(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    fn install(&self) -> Result<Plan, ContainerdError> {
        install(&self.places, &name("boundary"), &"default".parse().expect("a name"))
    }

    fn uninstall(&self) -> Result<Plan, ContainerdError> {
        uninstall(&self.places, &name("boundary"))
    }

    fn entry(&self, file: &str, version: document::Version) -> String {
        let document = document::Document::parse(&self.get(file)).expect("TOML");
        let entry = document.runtime(version, "boundary").expect("tables").expect("an entry");
        let mut plain = toml_edit::DocumentMut::new();
        document::merge(&mut plain, entry);
        plain.to_string()
    }
}

fn name(name: &str) -> RuntimeName {
    name.parse().expect("a name")
}

fn run(plan: &Plan) {
    apply(&plan.steps, |_| Ok(())).expect("applied");
}

fn shell() -> String {
    Path::new("/bin/sh").canonicalize().expect("a path").display().to_string()
}

/// What `/bin/sh` is called is not ours, so entries are put in as an earlier install would have made them.
fn renamed(host: &Host, file: &str) {
    host.put(file, &host.get(file).replace(&shell(), "/opt/boundary-shim"));
}

fn has_note(plan: &Plan, part: &str) -> bool {
    plan.notes.iter().any(|note| note.contains(part))
}

#[test]
fn a_file_gets_an_entry_like_runcs_and_is_as_before_without_it() {
    for (text, version) in [(TWO, document::Version::Two), (THREE, document::Version::Three)] {
        let host = Host::with(text);
        let plan = host.install().expect("planned");
        run(&plan);
        assert!(has_note(&plan, "systemctl restart containerd"), "{:?}", plan.notes);
        let entry = host.entry("config.toml", version);
        for line in [
            "runtime_type = \"io.containerd.runc.v2\"",
            "pod_annotations = [\"boundary.*\"]",
            "container_annotations = [\"boundary.*\"]",
            "SystemdCgroup = true",
            &format!("BinaryName = \"{}\"", shell()),
        ] {
            assert!(entry.contains(line), "{line} in {entry}");
        }
        assert_eq!(entry.contains("base_runtime_spec = \"/etc/base.json\""), text == TWO);
        assert!(!entry.contains('#'), "runc's comments are about runc: {entry}");

        renamed(&host, "config.toml");
        run(&host.uninstall().expect("planned"));
        assert_eq!(host.get("config.toml"), text);
    }
}

/// As Debian ships it: containerd 1.x drops runc's default entry where ours is the only one.
#[test]
fn runc_stays_where_no_runtime_was_written() {
    let text = "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    \
                [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"/usr/lib/cni\"\n  \
                [plugins.\"io.containerd.internal.v1.opt\"]\n    path = \"/var/lib/containerd/opt\"\n";
    let host = Host::with(text);
    run(&host.install().expect("planned"));
    let after = host.get("config.toml");
    assert!(after.contains("containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n"), "{after}");
    renamed(&host, "config.toml");
    run(&host.uninstall().expect("planned"));
    assert_eq!(host.get("config.toml"), text);
}

#[test]
fn every_line_that_was_there_stays_in_its_order() {
    let host = Host::with(TWO);
    run(&host.install().expect("planned"));
    let after = host.get("config.toml");
    let mut lines = after.lines();
    for line in TWO.lines() {
        assert!(lines.any(|other| other == line), "{line} is gone or elsewhere:\n{after}");
    }
}

#[test]
fn installing_again_follows_the_binary_and_runc() {
    let host = Host::with(TWO);
    run(&host.install().expect("planned"));
    renamed(&host, "config.toml");
    run(&host.install().expect("planned"));
    assert!(host.get("config.toml").contains(&shell()), "a binary that has moved is followed");

    renamed(&host, "config.toml");
    host.put("config.toml", &host.get("config.toml").replace("SystemdCgroup = true # as the kubelet", ""));
    run(&host.install().expect("planned"));
    assert!(!host.get("config.toml").contains("SystemdCgroup"), "{}", host.get("config.toml"));
}

#[test]
fn version_3_with_imports_gets_a_drop_in_that_goes_again() {
    let host = Host::with(&format!("{}{THREE}", "imports = [\"conf.d/*.toml\"]\n"));
    host.put(
        "conf.d/a.toml",
        "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nNoPivotRoot = true\n",
    );
    let before = host.get("config.toml");
    run(&host.install().expect("planned"));
    assert_eq!(host.get("config.toml"), before);
    let drop_in = host.get("conf.d/boundary-shim-boundary.toml");
    let expected = format!(
        "# Written by `boundary-shim install containerd`; `uninstall containerd` takes it away.\nversion = 3\n\n\
         [plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.boundary]\n\
         runtime_type = \"io.containerd.runc.v2\"\npod_annotations = [\"boundary.*\"]\n\
         container_annotations = [\"boundary.*\"]\n\n\
         [plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.boundary.options]\n\
         SystemdCgroup = true\nNoPivotRoot = true\nBinaryName = \"{}\"\n",
        shell()
    );
    assert_eq!(drop_in, expected);

    renamed(&host, "conf.d/boundary-shim-boundary.toml");
    run(&host.uninstall().expect("planned"));
    assert!(!host.path("conf.d/boundary-shim-boundary.toml").exists() && host.path("conf.d/a.toml").exists());
    assert_eq!(host.get("config.toml"), before);
}

#[test]
fn version_2_with_imports_is_edited_where_its_word_counts() {
    let main = format!("imports = [\"{}\"]\n{TWO}", "/nonexistent/*.toml");
    let host = Host::with(&main);
    run(&host.install().expect("planned"));
    assert!(host.get("config.toml").contains("runtimes.boundary"));

    // In 1.x the imported section is all that counts; with 2.x both do.
    for (version, edited, systemd) in [("1.7.24", "conf.d/a.toml", false), ("v2.1.4 hash", "config.toml", true)] {
        let host = Host::new().with_version(version);
        let imports = format!("imports = [\"{}\"]\n{TWO}", host.path("conf.d/*.toml").display());
        host.put("config.toml", &imports);
        host.put("conf.d/a.toml", "[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/x\"\n");
        run(&host.install().expect("planned"));
        let entry = host.entry(edited, document::Version::Two);
        assert_eq!(entry.contains("SystemdCgroup"), systemd, "{version}: {entry}");
    }
}

#[test]
fn where_the_version_matters_and_nobody_knows_it_nothing_is_done() {
    let host = Host::new();
    let error = host.install().expect_err("no file, no containerd");
    assert!(matches!(error, ContainerdError::Version { .. }), "{error}");
    let silent = Host::new().with_version("unknown");
    assert!(matches!(silent.install(), Err(ContainerdError::Version { .. })));
    assert_eq!(host.uninstall().expect("nothing to do").steps, []);
}

#[test]
fn a_missing_file_is_made_in_containerds_own_form_and_goes_again() {
    for (version, file) in [("1.6.20~ds1", "config.toml"), ("2.1.9", "conf.d/boundary-shim-boundary.toml")] {
        let host = Host::new().with_version(version);
        std::fs::remove_dir_all(host.path("")).expect("removed");
        run(&host.install().expect("planned"));
        assert!(host.get(file).contains("runtimes.boundary.options"), "{version}");
        renamed(&host, file);
        run(&host.uninstall().expect("planned"));
        assert!(!host.path(file).exists() && !host.path("config.toml").exists(), "{version}");
    }
}

#[test]
fn another_programs_runtime_of_that_name_is_neither_replaced_nor_removed() {
    let other =
        "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.boundary.options]\nBinaryName = '/opt/other'\n";
    let host = Host::with(&format!("{THREE}{other}"));
    assert!(matches!(host.install(), Err(ContainerdError::Foreign { runs, .. }) if runs == "/opt/other"));
    assert!(matches!(host.uninstall(), Err(ContainerdError::Foreign { .. })));
}

#[test]
fn the_default_runtime_is_not_removed() {
    let host = Host::with(&format!(
        "{THREE}[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'boundary'\n"
    ));
    run(&host.install().expect("planned"));
    renamed(&host, "config.toml");
    assert!(matches!(host.uninstall(), Err(ContainerdError::IsDefault { .. })));
}

#[test]
fn malformed_files_are_left_alone_with_a_reason() {
    let cases = [
        ("version = 2\n[plugins\n", "line 2: "),
        ("version = 2\nplugins = 1\n", "`plugins` isn't a table"),
        ("version = 2\n[plugins]\n\"io.containerd.grpc.v1.cri\" = []\n", "`io.containerd.grpc.v1.cri` isn't a table"),
        ("disabled_plugins = [\"cri\"]\n", "it needs `version = 2`"),
        ("version = 1\n", "it needs `version = 2`"),
        ("version = 4\n", "it needs `version = 2`"),
        ("version = 2\nimports = 1\n", "`imports` isn't a list"),
        ("version = 2\nimports = [\"conf.d/*.toml\"]\n", "conf.d/*.toml can't be followed"),
        ("version = 3\nimports = [\"/*/x/*.toml\"]\n", "can't be followed"),
        ("version = 3\nimports = [\"/x/[ab]*.toml\"]\n", "can't be followed"),
        ("a = 1\na = 2\n", "line 2: "),
    ];
    for (text, reason) in cases {
        let host = Host::with(text);
        for plan in [host.install(), host.uninstall()] {
            let error = anyhow::Error::from(plan.expect_err(text));
            let said = format!("{error:#}");
            assert!(
                said.contains(reason) && said.contains("config.toml is left alone") && !said.contains('\n'),
                "{said}"
            );
        }
        assert_eq!(host.get("config.toml"), text);
    }
}

#[test]
fn a_file_that_could_not_be_given_back_is_left_alone() {
    for text in ["version = 2\r\n[debug]\r\n", "\u{feff}version = 2\n"] {
        let host = Host::with(text);
        assert!(
            matches!(host.install(), Err(ContainerdError::Malformed { source: Malformed::LineEnds, .. })),
            "{text:?}"
        );
    }
    let host = Host::with("version = 2");
    run(&host.install().expect("a newline is added at its end"));
    renamed(&host, "config.toml");
    run(&host.uninstall().expect("planned"));
    assert_eq!(host.get("config.toml"), "version = 2\n");
}

#[test]
fn files_that_import_each_other_end() {
    let host = Host::with("version = 3\nimports = [\"config.toml\", \"b.toml\"]\n");
    host.put("b.toml", "version = 3\nimports = [\"config.toml\", \"missing.toml\"]\n");
    run(&host.install().expect("planned"));
    assert!(host.get("config.toml").contains("runtimes.boundary"));
}

#[test]
fn inline_tables_are_added_to() {
    let inline = "version = 2\nplugins = { \"io.containerd.grpc.v1.cri\" = { containerd = { runtimes = { runc = { options = { SystemdCgroup = true } } } } } }\n";
    let host = Host::with(inline);
    run(&host.install().expect("planned"));
    assert!(host.entry("config.toml", document::Version::Two).contains("SystemdCgroup = true"));
}

#[test]
fn a_disabled_plugin_and_another_runc_are_told() {
    let text = "disabled_plugins = ['io.containerd.grpc.v1.cri']\nversion = 2\n\
                [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]\nBinaryName = '/usr/bin/crun'\n";
    let plan = Host::with(text).install().expect("planned");
    assert!(has_note(&plan, "disables the CRI plugin") && has_note(&plan, "runtime = \"/usr/bin/crun\""), "{plan:?}");
}

#[test]
fn a_step_that_fails_brings_a_removed_file_back() {
    let host = Host::new().with_version("1.6");
    run(&host.install().expect("planned"));
    renamed(&host, "config.toml");
    let before = host.get("config.toml");
    let mut plan = host.uninstall().expect("planned");
    plan.steps.push(Step::Unlink(host.path("nothing-here")));
    apply(&plan.steps, |_| Ok(())).expect_err("the last step");
    assert_eq!(host.get("config.toml"), before);
}
