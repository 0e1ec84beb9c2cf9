//! Which of several files is edited, and what is made where there is none.

use super::super::document::ConfigVersion;
use super::super::test_host::{
    CONFIG, DROP_IN, THREE, TWO, entry, host, host_of_version, host_with, renamed,
};
use crate::integrate::error::IntegrateError;
use crate::integrate::test_host::shell;

#[test]
fn version_3_with_imports_gets_a_drop_in_that_goes_again() {
    let host = host_with(&format!("{}{THREE}", "imports = [\"conf.d/*.toml\"]\n"));
    host.put(
        "etc/conf.d/a.toml",
        "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nNoPivotRoot = true\n",
    );
    let before = host.get(CONFIG);
    host.install_now();
    assert_eq!(host.get(CONFIG), before);
    let drop_in = host.get(DROP_IN);
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

    renamed(&host, DROP_IN);
    host.uninstall_now();
    assert!(!host.path(DROP_IN).exists() && host.path("etc/conf.d/a.toml").exists());
    assert_eq!(host.get(CONFIG), before);
}

#[test]
fn version_2_with_imports_is_edited_where_its_word_counts() {
    let main = format!("imports = [\"{}\"]\n{TWO}", "/nonexistent/*.toml");
    let host = host_with(&main);
    host.install_now();
    assert!(host.get(CONFIG).contains("runtimes.boundary"));

    // In 1.x the imported section is all that counts; with 2.x both do.
    for (version, edited, systemd) in [
        ("1.7.24", "etc/conf.d/a.toml", false),
        ("v2.1.4 hash", CONFIG, true),
    ] {
        let host = host_of_version(version);
        let imports = format!(
            "imports = [\"{}\"]\n{TWO}",
            host.path("etc/conf.d/*.toml").display()
        );
        host.put(CONFIG, &imports);
        host.put(
            "etc/conf.d/a.toml",
            "[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/x\"\n",
        );
        host.install_now();
        let entry = entry(&host, edited, ConfigVersion::Two);
        assert_eq!(
            entry.contains("SystemdCgroup"),
            systemd,
            "{version}: {entry}"
        );
    }
}

/// `containerd config migrate` of 2.3 prints it.
#[test]
fn version_4_is_written_as_3_is() {
    let four = THREE.replace("version = 3", "version = 4");
    let host = host_with(&four);
    host.install_now();
    assert!(entry(&host, CONFIG, ConfigVersion::Four).contains("SystemdCgroup = true"));
    renamed(&host, CONFIG);
    host.uninstall_now();
    assert_eq!(host.get(CONFIG), four);

    let host = host_with(&format!("imports = [\"conf.d/*.toml\"]\n{four}"));
    host.install_now();
    assert!(host.get(DROP_IN).contains("\nversion = 4\n"));
}

/// 2.3 reads each by the names of its own version; without a version, by either's.
#[test]
fn an_imported_file_of_another_version_counts_where_containerd_says_so() {
    let import = "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]\nNoPivotRoot = true\n";
    for (main, containerd, own_version, counts) in [
        (3, "v2.1.9", "version = 2\n", false),
        (3, "v2.3.0-rc.1+unknown", "version = 2\n", true),
        (3, "v2.3.4", "", true),
        (4, "unknown", "version = 2\n", true),
    ] {
        let host = host_of_version(containerd);
        host.put(
            CONFIG,
            &format!("version = {main}\nimports = ['conf.d/*.toml']\n"),
        );
        host.put("etc/conf.d/a.toml", &format!("{own_version}{import}"));
        host.install_now();
        let entry = host.get(DROP_IN);
        assert_eq!(
            entry.contains("NoPivotRoot"),
            counts,
            "{main} {containerd} {own_version}: {entry}"
        );
    }
}

#[test]
fn where_the_version_matters_and_nobody_knows_it_nothing_is_done() {
    let host = host();
    let error = host.install().expect_err("no file, no containerd");
    assert!(matches!(error, IntegrateError::Version { .. }), "{error}");
    let silent = host_of_version("unknown");
    assert!(matches!(
        silent.install(),
        Err(IntegrateError::Version { .. })
    ));
    assert_eq!(host.uninstall().expect("nothing to do").steps, []);
}

#[test]
fn a_missing_file_is_made_in_containerds_own_form_and_goes_again() {
    for (version, file) in [("1.6.20~ds1", CONFIG), ("2.1.9", DROP_IN)] {
        let host = host_of_version(version);
        host.install_now();
        assert!(
            host.get(file).contains("runtimes.boundary.options"),
            "{version}"
        );
        renamed(&host, file);
        host.uninstall_now();
        assert!(
            !host.path(file).exists() && !host.path(CONFIG).exists(),
            "{version}"
        );
    }
}

#[test]
fn files_that_import_each_other_end() {
    let host = host_with("version = 3\nimports = [\"config.toml\", \"b.toml\"]\n");
    host.put(
        "etc/b.toml",
        "version = 3\nimports = [\"config.toml\", \"missing.toml\"]\n",
    );
    host.install_now();
    assert!(host.get(CONFIG).contains("runtimes.boundary"));
}
