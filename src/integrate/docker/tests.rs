//! Installing and uninstalling on a host of files, without dockerd; with one: `tests/install`.

use std::net::IpAddr;
use std::os::unix::fs::symlink;

use super::daemon_json::DaemonJson;
use super::*;
use crate::integrate::Engine;
use crate::integrate::step::apply;
use crate::integrate::test_host::{TestHost, has_note, shell};

const CONFIG: &str = "docker/daemon.json";

fn host() -> TestHost {
    host_where(|_| true)
}

fn host_where(answers: fn(IpAddr) -> bool) -> TestHost {
    TestHost::new(|at| {
        let dns = HostDns {
            resolv_confs: vec![at("resolv.conf")],
            resolved: at("resolve"),
            drop_in: at("resolved.conf.d/boundary.conf"),
            answers,
        };
        Engine::Docker(Docker {
            daemon_config: at(CONFIG),
            dns,
            restart: false,
            as_default: false,
        })
    })
}

fn host_with(config: &str) -> TestHost {
    let host = host();
    host.put(CONFIG, config);
    host
}

fn daemon_json(plan: &ChangePlan) -> DaemonJson {
    let text = plan.steps.iter().find_map(|step| match step {
        Step::Write { path, after, .. } if path.ends_with(CONFIG) => Some(after.as_str()),
        _ => None,
    });
    DaemonJson::parse(text.expect("it writes")).expect("well-formed")
}

#[test]
fn installing_makes_what_is_missing_and_is_done_then() {
    let host = host();
    host.put("resolv.conf", "nameserver 192.0.2.53\n");
    host.install_now();
    let config = DaemonJson::parse(&host.get(CONFIG)).expect("well-formed");
    assert_eq!(config.runtime("boundary"), Some(shell()));
    assert_eq!(config.dns(), ["192.0.2.53"]);
    assert_eq!(host.install().expect("planned").steps, []);
}

#[test]
fn servers_that_are_set_stay() {
    let host = host_with(r#"{"dns": ["198.51.100.1"]}"#);
    host.put("resolv.conf", "nameserver 192.0.2.53\n");
    assert_eq!(
        daemon_json(&host.install().expect("planned")).dns(),
        ["198.51.100.1"]
    );
}

#[test]
fn a_host_that_names_only_loopback_is_told_what_to_do() {
    let host = host_with("{}");
    host.put("resolv.conf", "nameserver 127.0.0.53\n");
    let plan = host.install().expect("planned");
    assert!(daemon_json(&plan).dns().is_empty());
    assert!(has_note(&plan, "dns isn't set"), "{:?}", plan.notes);
}

#[test]
fn only_servers_that_answer_are_named() {
    let some = host_where(|server| server.to_string() == "192.0.2.54");
    some.put(
        "resolv.conf",
        "nameserver 192.0.2.53\nnameserver 192.0.2.54\n",
    );
    assert_eq!(
        daemon_json(&some.install().expect("planned")).dns(),
        ["192.0.2.54"]
    );
    let none = host_where(|_| false);
    none.put("resolv.conf", "nameserver 192.0.2.53\n");
    let plan = none.install().expect("planned");
    assert!(daemon_json(&plan).dns().is_empty());
    assert!(
        has_note(&plan, "(192.0.2.53) don't respond"),
        "{:?}",
        plan.notes
    );
}

#[test]
fn systemd_resolved_is_made_to_listen_on_the_bridge_before_its_address_is_written() {
    for (config, address) in [
        ("{}", "172.17.0.1"),
        (r#"{"bip": "10.9.0.1/24"}"#, "10.9.0.1"),
    ] {
        let host = host_with(config);
        host.put("resolv.conf", "nameserver 127.0.0.53\n");
        host.put("resolve/stub-resolv.conf", "");
        let plan = host.install().expect("planned");
        let listens = format!("[Resolve]\nDNSStubListenerExtra={address}\n");
        let server = address.parse().expect("an address");
        let place =
            |wanted: &dyn Fn(&Step) -> bool| plan.steps.iter().position(wanted).expect("planned");
        let order = [
            place(&|step| matches!(step, Step::Write { after, .. } if after.ends_with(&listens))),
            place(&|step| *step == Step::Restart("systemd-resolved.service".to_owned())),
            place(&|step| *step == Step::Ask(server)),
            place(&|step| matches!(step, Step::Write { path, .. } if path.ends_with(CONFIG))),
        ];
        assert!(order.is_sorted(), "{:?}", plan.steps);
        assert_eq!(daemon_json(&plan).dns(), [address]);
    }
    let host = host_with(r#"{"bridge": "none"}"#);
    host.put("resolv.conf", "nameserver 127.0.0.53\n");
    host.put("resolve/stub-resolv.conf", "");
    assert!(has_note(&host.install().expect("planned"), "no bridge"));
}

#[test]
fn uninstalling_takes_out_the_dns_that_was_put_in_and_no_other() {
    let host = host_with("{}");
    host.put("resolv.conf", "nameserver 192.0.2.53\n");
    // The program isn't the shell that stands for it here.
    let install = || {
        host.install_now();
        host.put(
            CONFIG,
            &host.get(CONFIG).replace(&shell(), "/opt/boundary-shim"),
        );
    };
    install();
    host.put("running/id-0/record.json", "");
    let plan = host.uninstall().expect("planned");
    assert!(
        has_note(&plan, "need it") && !daemon_json(&plan).dns().is_empty(),
        "{plan:?}"
    );
    std::fs::remove_dir_all(host.path("running")).expect("removed");
    host.uninstall_now();
    assert!(
        DaemonJson::parse(&host.get(CONFIG))
            .expect("well-formed")
            .dns()
            .is_empty()
    );
    assert!(!host.path("docker/boundary-dns").exists());
    assert_eq!(host.uninstall().expect("planned").steps, []);

    install();
    host.put(
        CONFIG,
        &host.get(CONFIG).replace("192.0.2.53", "192.0.2.99"),
    );
    let plan = host.uninstall_now();
    assert!(has_note(&plan, "dns is kept (192.0.2.99)"), "{plan:?}");
}

#[test]
fn uninstalling_leaves_systemd_resolved_as_it_was() {
    let host = host_with(
        r#"{"dns": ["172.17.0.1"], "runtimes": {"boundary": {"path": "/opt/boundary-shim"}}}"#,
    );
    host.put("docker/boundary-dns", "172.17.0.1\n");
    let drop_in = "resolved.conf.d/boundary.conf";
    let removes = |plan: &ChangePlan| {
        plan.steps
            .iter()
            .any(|step| matches!(step, Step::Remove { path, .. } if *path == host.path(drop_in)))
    };
    host.put(drop_in, "[Resolve]\nDNSStubListenerExtra=172.17.0.1\n");
    assert!(
        !removes(&host.uninstall().expect("planned")),
        "somebody else's"
    );
    host.put(
        drop_in,
        "# Made by boundary-shim: lets containers ask this host's resolver.\n[Resolve]\n",
    );
    let plan = host.uninstall().expect("planned");
    assert!(
        removes(&plan)
            && plan
                .steps
                .contains(&Step::Restart("systemd-resolved.service".to_owned())),
        "{plan:?}"
    );
}

#[test]
fn another_programs_runtime_of_that_name_is_neither_replaced_nor_removed() {
    let host = host_with(r#"{"runtimes": {"boundary": {"path": "/opt/other"}}}"#);
    assert!(matches!(
        host.install(),
        Err(IntegrateError::ForeignRuntime { .. })
    ));
    assert!(matches!(
        host.uninstall(),
        Err(IntegrateError::ForeignRuntime { .. })
    ));
}

#[test]
fn a_runtime_of_ours_that_has_moved_is_brought_up_to_date() {
    let host = host_with(r#"{"runtimes": {"boundary": {"path": "/opt/boundary-shim"}}}"#);
    let path = daemon_json(&host.install().expect("planned")).runtime("boundary");
    assert_eq!(path, Some(shell()));
}

#[test]
fn the_default_runtime_is_not_removed() {
    let text = r#"{"default-runtime": "boundary", "runtimes": {"boundary": {"path": "/opt/boundary-shim"}}}"#;
    assert!(matches!(
        host_with(text).uninstall(),
        Err(IntegrateError::IsDefault { .. })
    ));
}

fn as_default(mut host: TestHost) -> TestHost {
    if let Engine::Docker(docker) = &mut host.engine {
        docker.as_default = true;
    }
    host
}

/// As if the program that is installed were called what it is.
fn run_by_name(host: &TestHost) {
    host.put(
        CONFIG,
        &host.get(CONFIG).replace(&shell(), "/opt/boundary-shim"),
    );
}

fn default_of(host: &TestHost) -> Option<String> {
    DaemonJson::parse(&host.get(CONFIG))
        .expect("well-formed")
        .default_runtime()
}

#[test]
fn what_was_the_default_runtime_is_it_again_after_uninstall() {
    for (before, config) in [
        (None, "{}"),
        (Some("crun"), r#"{"default-runtime": "crun"}"#),
    ] {
        let host = as_default(host_with(config));
        host.install_now();
        assert_eq!(default_of(&host).as_deref(), Some("boundary"));
        assert_eq!(host.install().expect("planned").steps, []);
        run_by_name(&host);
        host.uninstall_now();
        assert_eq!(default_of(&host).as_deref(), before);
        assert!(!host.path("docker/boundary-default-runtime").exists());
        assert_eq!(host.uninstall().expect("planned").steps, []);
    }
}

#[test]
fn a_default_runtime_that_somebody_chose_later_stays() {
    let host = as_default(host_with("{}"));
    host.install_now();
    run_by_name(&host);
    let chosen = host.get(CONFIG).replace(
        r#""default-runtime": "boundary""#,
        r#""default-runtime": "crun""#,
    );
    host.put(CONFIG, &chosen);
    host.uninstall_now();
    assert_eq!(default_of(&host).as_deref(), Some("crun"));
    assert!(!host.path("docker/boundary-default-runtime").exists());
}

#[test]
fn malformed_files_are_left_alone() {
    for text in [
        "{",
        r#"{"runtimes": 1}"#,
        r#"{"runtimes": {}, "Runtimes": {}}"#,
        "\u{feff}{}",
    ] {
        let host = host_with(text);
        assert!(
            matches!(host.install(), Err(IntegrateError::Malformed { .. })),
            "{text}"
        );
        assert!(
            matches!(host.uninstall(), Err(IntegrateError::Malformed { .. })),
            "{text}"
        );
        assert_eq!(host.get(CONFIG), text);
    }
}

#[test]
fn a_huge_file_is_not_read_to_its_end() {
    let host = host_with(&" ".repeat(1024 * 1024 + 1));
    assert!(matches!(host.install(), Err(IntegrateError::Read { .. })));
}

#[test]
fn a_link_stays_a_link_and_its_file_is_edited() {
    let host = host_with("{}");
    std::fs::rename(host.path(CONFIG), host.path("real.json")).expect("moved");
    symlink(host.path("real.json"), host.path(CONFIG)).expect("a link");
    host.install_now();
    assert!(host.path(CONFIG).is_symlink());
    assert!(host.get(CONFIG).contains("boundary"));
}

#[test]
fn a_dangling_link_is_an_error_and_not_a_new_file() {
    let host = host_with("{}");
    std::fs::remove_file(host.path(CONFIG)).expect("removed");
    symlink(host.path("missing.json"), host.path(CONFIG)).expect("a link");
    assert!(matches!(host.install(), Err(IntegrateError::Read { .. })));
}

#[test]
fn uninstalling_what_is_not_there_does_nothing() {
    assert_eq!(host().uninstall().expect("planned").steps, []);
    assert_eq!(host_with("{}").uninstall().expect("planned").steps, []);
}

#[test]
fn a_policys_link_goes_with_its_last_runtime_once_no_container_runs() {
    let host = host();
    let link = host.path("boundary-npm");
    symlink("boundary-shim", &link).expect("a link");
    let entry = format!(r#"{{"path": "{}"}}"#, link.display());
    let goes = |plan: &ChangePlan| plan.steps.contains(&Step::Unlink(link.clone()));

    let shared = host_with(&format!(
        r#"{{"runtimes": {{"boundary": {entry}, "b": {entry}}}}}"#
    ));
    assert!(!goes(&shared.uninstall().expect("planned")));

    let last = host_with(&format!(
        r#"{{"runtimes": {{"boundary": {entry}}}, "dns": ["192.0.2.1"]}}"#
    ));
    let plan = last.uninstall().expect("planned");
    assert!(goes(&plan) && has_note(&plan, "dns is kept"), "{plan:?}");

    for file in ["elsewhere.json", "elsewhere.d/podman.conf"] {
        last.put(
            file,
            &format!("[engine.runtimes]\n\"npm\" = [\"{}\"]\n", link.display()),
        );
        let plan = last.uninstall().expect("planned");
        assert!(!goes(&plan) && has_note(&plan, file), "{plan:?}");
        last.put(file, &format!("{}-other\"", link.display()));
        assert!(goes(&last.uninstall().expect("planned")));
    }

    std::fs::create_dir_all(last.path("running/id-0")).expect("a directory");
    let plan = last.uninstall().expect("planned");
    assert!(
        !goes(&plan) && has_note(&plan, "is kept: running containers"),
        "{plan:?}"
    );
}

#[test]
fn a_policy_that_allows_nothing_is_made_and_named() {
    let host = host_with("{}");
    assert!(has_note(
        &host.install().expect("planned"),
        "policies/default.yaml"
    ));
    host.install_now();
    assert!(has_note(
        &host.install().expect("planned"),
        "everything is denied so far"
    ));
    host.put("policies/default.yaml", "allow: []\n");
    assert!(!has_note(
        &host.install().expect("planned"),
        "policies/default.yaml"
    ));
}

#[test]
fn a_step_that_fails_leaves_the_host_as_it_was() {
    let host = host_with("{}");
    let mut plan = host.install().expect("planned");
    plan.steps.insert(0, Step::Directory(host.path("made")));
    plan.steps.insert(
        1,
        Step::Link {
            link: host.path("link"),
            target: "x".into(),
        },
    );
    plan.steps.push(Step::Unlink(host.path("nothing-here")));
    let error = apply(&plan.steps, |_| Ok(())).expect_err("the last step");
    assert!(error.to_string().ends_with("nothing-here"), "{error}");
    assert_eq!(host.get(CONFIG), "{}");
    assert!(!host.path("made").exists() && !host.path("link").is_symlink());
}

#[test]
fn a_directory_that_two_files_need_is_made_once() {
    let mut host = host();
    host.ours.policies = host.path("docker/policies");
    let plan = host.install_now();
    let made = |name: &str| {
        plan.steps
            .iter()
            .filter(|step| **step == Step::Directory(host.path(name)))
            .count()
    };
    assert_eq!((made("docker"), made("docker/policies")), (1, 1));
}

#[test]
fn names_that_dockerd_keeps_are_refused() {
    for taken in ["runc", "io.containerd.runc.v2", "a/b", "", "--x"] {
        assert!(taken.parse::<RuntimeName>().is_err(), "{taken}");
    }
}
