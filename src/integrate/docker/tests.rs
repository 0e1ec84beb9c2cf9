//! Installing and uninstalling on a host of files, without dockerd; with one: `tests/install`.

use std::os::unix::fs::symlink;

use super::*;
use crate::integrate::step::apply;

/// A host of its own in a directory. The binary is the system's shell under our name: it lies where only root writes.
struct Host {
    directory: tempfile::TempDir,
    places: Places,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().canonicalize().expect("a path").join(name);
        std::fs::create_dir(at("policies")).expect("a directory");
        let places = Places {
            binary: "/bin/sh".into(),
            daemon_config: at("docker/daemon.json"),
            policies: at("policies"),
            running: at("running"),
            resolv_confs: vec![at("resolv.conf")],
        };
        Self { directory, places }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn with_config(text: &str) -> Self {
        let host = Self::new();
        std::fs::create_dir(host.path("docker")).expect("a directory");
        host.put("docker/daemon.json", text);
        host
    }

    fn put(&self, name: &str, text: &str) {
        crate::sys::file::replace(&self.path(name), text.as_bytes(), 0o644).expect("written");
    }

    fn install(&self) -> Result<Plan, DockerError> {
        install(&self.places, &name("boundary"), &policy("default"))
    }

    fn uninstall(&self) -> Result<Plan, DockerError> {
        uninstall(&self.places, &name("boundary"))
    }

    fn config(&self) -> String {
        std::fs::read_to_string(&self.places.daemon_config).expect("a file")
    }
}

fn name(name: &str) -> RuntimeName {
    name.parse().expect("a name")
}

fn policy(name: &str) -> PolicyName {
    name.parse().expect("a name")
}

fn run(plan: &Plan) {
    apply(&plan.steps, |_| Ok(())).expect("applied");
}

fn daemon_json(plan: &Plan) -> DaemonJson {
    let text = plan.steps.iter().find_map(|step| match step {
        Step::Write { after, .. } => Some(after.as_str()),
        _ => None,
    });
    DaemonJson::parse(text.expect("it writes")).expect("well-formed")
}

fn has_note(plan: &Plan, part: &str) -> bool {
    plan.notes.iter().any(|note| note.contains(part))
}

#[test]
fn installing_makes_what_is_missing_and_is_done_then() {
    let host = Host::new();
    host.put("resolv.conf", "nameserver 192.0.2.53\n");
    run(&host.install().expect("planned"));
    let config = DaemonJson::parse(&host.config()).expect("well-formed");
    assert_eq!(config.runtime("boundary").map(PathBuf::from), Path::new("/bin/sh").canonicalize().ok());
    assert_eq!(config.dns(), ["192.0.2.53"]);
    assert_eq!(host.install().expect("planned").steps, []);
}

#[test]
fn servers_that_are_set_stay() {
    let host = Host::with_config(r#"{"dns": ["198.51.100.1"]}"#);
    host.put("resolv.conf", "nameserver 192.0.2.53\n");
    assert_eq!(daemon_json(&host.install().expect("planned")).dns(), ["198.51.100.1"]);
}

#[test]
fn a_host_that_names_only_loopback_is_told_what_to_do() {
    let host = Host::with_config("{}");
    host.put("resolv.conf", "nameserver 127.0.0.53\n");
    let plan = host.install().expect("planned");
    assert!(daemon_json(&plan).dns().is_empty());
    assert!(has_note(&plan, "`dns` isn't set"), "{:?}", plan.notes);
}

#[test]
fn another_programs_runtime_of_that_name_is_neither_replaced_nor_removed() {
    let host = Host::with_config(r#"{"runtimes": {"boundary": {"path": "/opt/other"}}}"#);
    assert!(matches!(host.install(), Err(DockerError::Foreign { .. })));
    assert!(matches!(host.uninstall(), Err(DockerError::Foreign { .. })));
}

#[test]
fn a_runtime_of_ours_that_has_moved_is_brought_up_to_date() {
    let host = Host::with_config(r#"{"runtimes": {"boundary": {"path": "/opt/boundary-shim"}}}"#);
    let path = daemon_json(&host.install().expect("planned")).runtime("boundary");
    assert_eq!(path.map(PathBuf::from), Path::new("/bin/sh").canonicalize().ok());
}

#[test]
fn the_default_runtime_is_not_removed() {
    let text = r#"{"default-runtime": "boundary", "runtimes": {"boundary": {"path": "/opt/boundary-shim"}}}"#;
    assert!(matches!(Host::with_config(text).uninstall(), Err(DockerError::IsDefault(_))));
}

#[test]
fn malformed_files_are_left_alone() {
    for text in ["{", r#"{"runtimes": 1}"#, r#"{"runtimes": {}, "Runtimes": {}}"#, "\u{feff}{}"] {
        let host = Host::with_config(text);
        assert!(matches!(host.install(), Err(DockerError::Malformed { .. })), "{text}");
        assert!(matches!(host.uninstall(), Err(DockerError::Malformed { .. })), "{text}");
        assert_eq!(host.config(), text);
    }
}

#[test]
fn a_huge_file_is_not_read_to_its_end() {
    let host = Host::with_config(&" ".repeat(1024 * 1024 + 1));
    assert!(matches!(host.install(), Err(DockerError::Read { .. })));
}

#[test]
fn a_link_stays_a_link_and_its_file_is_edited() {
    let host = Host::with_config("{}");
    std::fs::rename(host.path("docker/daemon.json"), host.path("real.json")).expect("moved");
    symlink(host.path("real.json"), &host.places.daemon_config).expect("a link");
    run(&host.install().expect("planned"));
    assert!(host.places.daemon_config.is_symlink());
    assert!(host.config().contains("boundary"));
}

#[test]
fn a_dangling_link_is_an_error_and_not_a_new_file() {
    let host = Host::with_config("{}");
    std::fs::remove_file(&host.places.daemon_config).expect("removed");
    symlink(host.path("missing.json"), &host.places.daemon_config).expect("a link");
    assert!(matches!(host.install(), Err(DockerError::Read { .. })));
}

#[test]
fn uninstalling_what_is_not_there_does_nothing() {
    assert_eq!(Host::new().uninstall().expect("planned").steps, []);
    assert_eq!(Host::with_config("{}").uninstall().expect("planned").steps, []);
}

#[test]
fn a_policys_link_goes_with_its_last_runtime_once_no_container_runs() {
    let host = Host::new();
    let link = host.path("boundary-npm");
    symlink("boundary-shim", &link).expect("a link");
    let entry = format!(r#"{{"path": "{}"}}"#, link.display());
    let goes = |plan: &Plan| plan.steps.contains(&Step::Unlink(link.clone()));

    let shared = Host::with_config(&format!(r#"{{"runtimes": {{"boundary": {entry}, "b": {entry}}}}}"#));
    assert!(!goes(&shared.uninstall().expect("planned")));

    let last = Host::with_config(&format!(r#"{{"runtimes": {{"boundary": {entry}}}, "dns": ["192.0.2.1"]}}"#));
    let plan = last.uninstall().expect("planned");
    assert!(goes(&plan) && has_note(&plan, "`dns` stays"), "{plan:?}");

    std::fs::create_dir_all(last.path("running/id-0")).expect("a directory");
    let plan = last.uninstall().expect("planned");
    assert!(!goes(&plan) && has_note(&plan, "stays: containers are running"), "{plan:?}");
}

#[test]
fn a_missing_policy_is_named() {
    let host = Host::with_config("{}");
    assert!(has_note(&host.install().expect("planned"), "policies/default.yaml"));
    host.put("policies/default.yaml", "allow: []\n");
    assert!(!has_note(&host.install().expect("planned"), "policies/default.yaml"));
}

#[test]
fn a_step_that_fails_leaves_the_host_as_it_was() {
    let host = Host::with_config("{}");
    let mut plan = host.install().expect("planned");
    plan.steps.insert(0, Step::Directory(host.path("made")));
    plan.steps.insert(1, Step::Link { link: host.path("link"), target: "x".into() });
    plan.steps.push(Step::Unlink(host.path("nothing-here")));
    let error = apply(&plan.steps, |_| Ok(())).expect_err("the last step");
    assert!(error.to_string().ends_with("nothing-here"), "{error}");
    assert_eq!(host.config(), "{}");
    assert!(!host.path("made").exists() && !host.path("link").is_symlink());
}

#[test]
fn names_that_dockerd_keeps_are_refused() {
    for taken in ["runc", "io.containerd.runc.v2", "a/b", "", "--x"] {
        assert!(taken.parse::<RuntimeName>().is_err(), "{taken}");
    }
}
