//! Engines: installed or not, begun too early, with another runtime than ours.

use super::*;
use crate::cli::doctor::host::tests::{healthy, installed};

#[test]
fn an_engines_runtime_that_is_not_used_is_named() {
    let runs = Some("/usr/libexec/crio/crun".to_owned());
    let engine = EngineFacts {
        name: "crio",
        runs: runs.clone(),
        ..installed()
    };
    let mut facts = healthy();
    facts.engines.push(engine);
    let named = |facts: &HostFacts| {
        let mut all = all(facts).into_iter();
        all.any(|finding| finding.what.contains("/usr/libexec/crio/crun, which"))
    };
    assert!(named(&facts));
    facts.runtime = facts.runtime.map(|runtime| RuntimeFacts {
        path: runs,
        ..runtime
    });
    assert!(!named(&facts));
}

#[test]
fn a_containerd_that_began_too_early_is_broken_and_one_without_the_runtime_only_if_it_was_asked_for()
 {
    let judged = |asked_for, offers, running| {
        let facts = EngineFacts {
            name: "containerd",
            runtime: "npm-only".into(),
            asked_for,
            installed: Ok(offers),
            running: Some(running),
            ..installed()
        };
        let finding = engine(&facts);
        assert_eq!(finding.remarks.is_empty(), finding.severity == Fine);
        finding.severity
    };
    use RunningConfig::{Current, NotFound, Older};
    use Severity::{Broken, Fine, Note};
    for (asked_for, offers, running, severity) in [
        (false, true, Older, Broken),
        (true, true, Older, Broken),
        (true, true, Current, Fine),
        (true, true, NotFound, Note),
        (false, true, NotFound, Fine),
        (true, false, Current, Broken),
        (true, false, Older, Broken),
        (false, false, Current, Note),
        (false, false, Older, Note),
    ] {
        assert_eq!(
            judged(asked_for, offers, running),
            severity,
            "{asked_for} {offers} {running:?}"
        );
    }
}

#[test]
fn a_dockerd_without_dns_is_judged_by_its_file_and_only_where_it_has_the_runtime() {
    let judged = |installed_there, dns: &[&str], goes_by_dns| {
        let engine = EngineFacts {
            installed: Ok(installed_there),
            dockerds: vec![DockerdFacts {
                dns: dns.iter().map(|one| (*one).to_owned()).collect(),
                goes_by_dns,
                knows_runtime: Ok(true),
                cgroup_driver: None,
            }],
            ..installed()
        };
        let found = dns_of(&engine);
        found.first().map(|finding| finding.severity)
    };
    assert_eq!(judged(true, &["192.0.2.1"], true), None);
    assert_eq!(
        judged(true, &["192.0.2.1"], false),
        Some(Severity::Broken),
        "it wasn't restarted"
    );
    assert_eq!(judged(true, &[], false), Some(Severity::Broken));
    assert_eq!(judged(false, &["192.0.2.1"], false), None);
}
