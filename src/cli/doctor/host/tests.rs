//! Each fact that would keep a container from starting is told of, and what helps.

use super::*;
use crate::apparmor::Denied;
use crate::cli::doctor::facts::{DockerdFacts, EngineFacts, HookFacts, SettingsFacts};
use crate::host::Host;
use crate::settings::UserNamespace;

pub(in crate::cli::doctor) fn healthy() -> HostFacts {
    HostFacts {
        as_root: true,
        runtime: Ok(RuntimeFacts {
            name: "runc",
            path: Some("/usr/sbin/runc".into()),
            version: Ok("runc version 1.3.6".into()),
            hooks: Some(vec!["prestart".into(), "createRuntime".into()]),
            ignores_seccomp: false,
            unreachable: Vec::new(),
            differences: &["known"],
        }),
        configuration: Ok(SettingsFacts {
            user_namespace: UserNamespace::Auto,
            policies: 2,
            mistakes: Vec::new(),
            missing_default: None,
            extra_ca: Vec::new(),
            audit_directory: "/var/log/boundary".into(),
            audit: Ok(()),
            space: Some(1 << 30),
        }),
        gateway: Ok(()),
        host: Host {
            user_namespaces: true,
            unprivileged_user_namespaces: true,
            apparmor_restricts: false,
            selinux_decides: false,
        },
        user_namespace: Ok(()),
        profiles: vec![("boundary-default".into(), None)],
        neighbours: Some([1024, 1024]),
        networks: 3,
        gateways: GatewayFacts::default(),
        engines: vec![installed()],
        hooks: HookFacts::default(),
    }
}

pub(in crate::cli::doctor) fn installed() -> EngineFacts {
    EngineFacts {
        name: "docker",
        runtime: "boundary".into(),
        asked_for: false,
        installed: Ok(true),
        running: None,
        runs: None,
        version: Some("Docker version 26.1.5".into()),
        dockerds: vec![DockerdFacts {
            dns: vec!["192.0.2.1".into()],
            goes_by_dns: true,
            knows_runtime: Ok(true),
            cgroup_driver: None,
        }],
    }
}

fn judged(facts: &HostFacts) -> Vec<Finding> {
    HostFindings::of(facts).all()
}

fn broken(facts: &HostFacts) -> Vec<String> {
    let broken = judged(facts)
        .into_iter()
        .filter(|finding| finding.severity == Severity::Broken);
    broken
        .inspect(|finding| assert!(!finding.remarks.is_empty(), "{finding:?}"))
        .map(|finding| finding.what)
        .collect()
}

#[test]
fn nothing_is_wrong_with_a_healthy_host() {
    assert!(
        judged(&healthy())
            .iter()
            .all(|finding| matches!(finding.severity, Severity::Fine | Severity::Fact))
    );
}

#[test]
fn containers_that_lost_their_gateway_are_told_of() {
    let facts = HostFacts {
        gateways: GatewayFacts { lost: 2, older: 0 },
        ..healthy()
    };
    let told = judged(&facts)
        .into_iter()
        .find(|finding| finding.severity == Severity::Note);
    assert!(told.is_some_and(|told| told.what.ends_with(": 2")));
}

#[test]
fn each_thing_that_would_fail_is_broken_and_says_what_helps() {
    type Spoil = fn(&mut HostFacts);
    let spoil: [(&str, Spoil); 11] = [
        ("runtime: ", |facts| {
            facts.runtime = Err("no runtime".into())
        }),
        ("runtime: runc", |facts| {
            facts.runtime.as_mut().unwrap().version = Err("it failed".into())
        }),
        ("runtime: runc", |facts| {
            facts.runtime.as_mut().unwrap().hooks = Some(vec!["prestart".into()])
        }),
        ("runtime: runc", |facts| {
            facts.runtime.as_mut().unwrap().ignores_seccomp = true
        }),
        ("configuration: c.toml:1", |facts| {
            facts.configuration = Err(vec!["c.toml:1: x".into()])
        }),
        ("kernel: ", |facts| facts.gateway = Err("EPERM".into())),
        ("records: ", |facts| {
            facts.configuration.as_mut().unwrap().audit = Err("EROFS".into())
        }),
        ("records: ", |facts| {
            facts.configuration.as_mut().unwrap().space = Some(0)
        }),
        ("extra-ca: ", |facts| {
            facts.configuration.as_mut().unwrap().extra_ca = vec!["extra-ca: x".into()]
        }),
        ("docker: dockerd was started before dns", |facts| {
            facts.engines[0].dockerds[0].goes_by_dns = false
        }),
        ("docker: ", |facts| {
            facts.engines[0].installed = Err("not JSON".into())
        }),
    ];
    for (what, spoil) in spoil {
        let mut facts = healthy();
        spoil(&mut facts);
        let broken = broken(&facts);
        assert!(
            broken.len() == 1 && broken[0].starts_with(what),
            "{broken:?}"
        );
    }
}

#[test]
fn a_host_without_user_namespaces_is_broken_unless_it_was_told_to_do_without() {
    let mut facts = healthy();
    facts.user_namespace = Err("ENOSPC".into());
    facts.host.user_namespaces = false;
    assert_eq!(broken(&facts), ["user namespaces: disabled"]);
    facts.configuration.as_mut().unwrap().user_namespace = UserNamespace::Never;
    assert!(broken(&facts).is_empty());
}

#[test]
fn what_only_nested_jails_need_is_a_note() {
    let mut facts = healthy();
    facts.host.unprivileged_user_namespaces = false;
    facts.host.apparmor_restricts = true;
    facts.host.selinux_decides = true;
    facts.profiles = vec![
        ("docker-default".into(), Some(Denied::UserNamespaces)),
        ("mine".into(), Some(Denied::Mounts)),
    ];
    facts.engines.clear();
    assert!(broken(&facts).is_empty());
    assert_eq!(
        judged(&facts)
            .iter()
            .filter(|finding| finding.severity == Severity::Note)
            .count(),
        6
    );
}

#[test]
fn gateways_of_a_program_that_was_replaced_are_told_of() {
    let mut facts = healthy();
    facts.gateways.older = 3;
    let said = judged(&facts);
    let notes = said
        .iter()
        .filter(|finding| finding.severity == Severity::Note);
    assert!(notes.clone().count() == 1 && notes.into_iter().all(|one| one.what.ends_with(": 3")));
}

#[test]
fn what_stands_against_the_runtime_does_not_all_stand_against_hooks() {
    let against = |spoil: fn(&mut HostFacts)| {
        let mut facts = healthy();
        spoil(&mut facts);
        let found = HostFindings::of(&facts);
        (
            found.against_runtime().map(|why| !why.is_empty()),
            found.against_gateways().map(|why| !why.is_empty()),
        )
    };
    assert_eq!(against(|_| {}), (Some(false), Some(false)));
    let runtime = against(|facts| facts.runtime = Err("none".into()));
    assert_eq!(runtime, (Some(true), Some(false)));
    let gateway = against(|facts| facts.gateway = Err("EPERM".into()));
    assert_eq!(gateway, (Some(true), Some(true)));
    assert_eq!(against(|facts| facts.as_root = false), (None, None));
}

#[test]
fn without_root_nothing_about_containers_fails() {
    let mut facts = healthy();
    facts.as_root = false;
    facts.gateway = Err("EPERM".into());
    assert!(broken(&facts).is_empty());
    assert!(judged(&facts)[0].remarks[0].contains("sudo"));
}
