//! What mends a way, for whom.

use std::collections::BTreeMap;

use super::*;
use crate::cli::doctor::process::SeccompFacts;

fn process() -> ProcessFacts {
    ProcessFacts {
        kernel: "6.12.0".to_owned(),
        architecture: "x86_64".to_owned(),
        namespaces: Vec::new(),
        in_first_user_namespace: true,
        sysctls: BTreeMap::new(),
        security_modules: Vec::new(),
        security_label: None,
        seccomp: SeccompFacts {
            filtered: false,
            denied: Vec::new(),
        },
        no_new_privileges: false,
        root: true,
        capabilities: Vec::new(),
        missing_capabilities: Vec::new(),
        landlock: None,
        cgroup: None,
        systemd: false,
    }
}

fn place(container: Option<ContainerKind>, platforms: &[Platform]) -> Place {
    Place {
        container,
        platforms: platforms.to_vec(),
    }
}

fn lines(why: &str, place: &Place, process: &ProcessFacts) -> Vec<(Audience, String)> {
    let fixes = fixes(why, JailKind::Nsjail, place, process);
    fixes.into_iter().map(|fix| (fix.whom, fix.line)).collect()
}

const SECCOMP: &str =
    "can't be made (EPERM): a seccomp filter denies it, as engines' default profiles do; x";
const USED_UP: &str = "user.max_user_namespaces or user.max_net_namespaces is 0 or used up; x";
const MODULE: &str = "a security module (AppArmor, SELinux) denies it; x";

#[test]
fn a_filter_is_mended_where_the_containers_engine_takes_one() {
    let docker = lines(
        SECCOMP,
        &place(Some(ContainerKind::Docker), &[]),
        &process(),
    );
    let docker: Vec<_> = docker
        .iter()
        .map(|(whom, line)| (*whom, line.as_str()))
        .collect();
    assert_eq!(
        docker,
        [
            (
                Audience::Host,
                "boundary-shim gen-seccomp --output boundary.json"
            ),
            (Audience::Docker, "--security-opt seccomp=boundary.json"),
            (Audience::Docker, "--runtime=boundary"),
        ]
    );
    let pod = lines(SECCOMP, &place(Some(ContainerKind::Pod), &[]), &process());
    assert!(
        pod.len() == 2 && pod[0].1.contains("--format oci") && pod[1].1.contains("Localhost"),
        "containerd doesn't understand Docker's form: {pod:?}"
    );
    let other = lines(SECCOMP, &place(Some(ContainerKind::Other), &[]), &process());
    assert_eq!(other.len(), 5);
}

#[test]
fn where_nothing_can_be_added_no_line_is_given() {
    for kind in [ContainerKind::Ecs, ContainerKind::Pod] {
        let fargate = place(Some(kind), &[Platform::Fargate]);
        assert!(lines(SECCOMP, &fargate, &process()).is_empty());
    }
    // No profile can be put on such nodes.
    for platform in [Platform::Bottlerocket, Platform::Talos] {
        let pod = place(Some(ContainerKind::Pod), &[platform]);
        assert!(lines(SECCOMP, &pod, &process()).is_empty());
        assert!(lines(MODULE, &pod, &process()).is_empty());
    }
}

#[test]
fn namespaces_are_switched_on_by_who_can() {
    let bottlerocket = place(Some(ContainerKind::Pod), &[Platform::Bottlerocket]);
    assert_eq!(
        lines(USED_UP, &bottlerocket, &process()),
        [(
            Audience::Bottlerocket,
            "[settings.kernel.sysctl]\n\"user.max_user_namespaces\" = \"65536\"".to_owned()
        )]
    );
    let mut process = process();
    for (network, which) in [
        ("0", "user.max_net_namespaces"),
        ("9", "user.max_user_namespaces"),
    ] {
        process
            .sysctls
            .insert("user.max_net_namespaces".to_owned(), network.to_owned());
        assert_eq!(
            lines(USED_UP, &place(None, &[]), &process),
            [(Audience::Host, format!("sysctl -w {which}=65536"))]
        );
    }
}

#[test]
fn a_security_module_is_told_by_its_label() {
    let docker = place(Some(ContainerKind::Docker), &[]);
    let under = |label: &str| {
        let process = ProcessFacts {
            security_label: Some(label.to_owned()),
            ..process()
        };
        lines(MODULE, &docker, &process)
    };
    assert!(
        under("docker-default (enforce)")
            .iter()
            .any(|(_, line)| line == "--security-opt apparmor=boundary-default")
    );
    let selinux = under("system_u:system_r:container_t:s0:c1,c2");
    assert!(selinux.len() == 1 && selinux[0].1.contains("container_t"));
}

#[test]
fn what_no_line_mends_gets_none_but_ubuntus_switch() {
    let host = place(None, &[]);
    let unknown = "nsjail: Permission denied (os error 13)";
    assert!(lines(unknown, &host, &process()).is_empty());
    let mut ubuntu = process();
    let switch = "kernel.apparmor_restrict_unprivileged_userns";
    ubuntu.sysctls.insert(switch.to_owned(), "1".to_owned());
    let said = lines(unknown, &host, &ubuntu);
    assert_eq!(said, [(Audience::Host, format!("sysctl -w {switch}=0"))]);
}
