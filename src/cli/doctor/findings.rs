//! Judges the facts: what is fine, what is worth knowing, and what keeps containers from starting.
//!
//! Pure. Invariant: every broken finding says in one sentence what to do.

use crate::apparmor::{Denied, is_engine_default};
use crate::host::Host;
use crate::integrate::containerd::RunningConfig;
use crate::settings::UserNamespace;

/// Facts about the host. An error is a text for people, its causes joined.
#[derive(Debug)]
pub(super) struct Facts {
    /// The runtime that calls go to.
    pub(super) runtime: Result<RuntimeFacts, String>,
    /// The host's configuration, or its mistakes.
    pub(super) configuration: Result<SettingsFacts, Vec<String>>,
    /// Whether a gateway could be created, with its ruleset, its link and its sockets.
    pub(super) gateway: Result<(), String>,
    /// The kernel's switches.
    pub(super) host: Host,
    /// Whether a user namespace could be created.
    pub(super) user_namespace: Result<(), String>,
    /// The AppArmor profiles of containers that may nest, and what each denies of what nesting
    /// needs.
    pub(super) profiles: Vec<(String, Option<Denied>)>,
    /// How many neighbours the kernel learns, in IPv4 and IPv6 (`gc_thresh3`, arp(7)), for all
    /// network namespaces together; none where that can't be seen.
    pub(super) neighbours: Option<[u64; 2]>,
    /// How many containers have lost their gateway, and with it their network.
    pub(super) lost: usize,
    /// The engines on this host.
    pub(super) engines: Vec<EngineFacts>,
}

/// Facts about the real runtime.
#[derive(Debug)]
pub(super) struct RuntimeFacts {
    pub(super) name: &'static str,
    /// Its path; none for the embedded one.
    pub(super) path: Option<String>,
    pub(super) version: Result<String, String>,
    /// The hooks that it claims to run; none if it has no `features`.
    pub(super) hooks: Option<Vec<String>>,
    /// Whether it reports that it loads no seccomp filter.
    pub(super) ignores_seccomp: bool,
    /// The services that it needs and that can't be reached, each with the error.
    pub(super) unreachable: Vec<String>,
    pub(super) differences: &'static [&'static str],
}

/// The parts of the configuration that are judged here.
#[derive(Debug)]
pub(super) struct SettingsFacts {
    pub(super) user_namespace: UserNamespace,
    /// Number of valid policy files.
    pub(super) policies: usize,
    /// Mistakes in the others.
    pub(super) mistakes: Vec<String>,
    /// The default policy's file, if it is missing.
    pub(super) missing_default: Option<String>,
    pub(super) audit_directory: String,
    /// Whether records can be written.
    pub(super) audit: Result<(), String>,
}

/// An engine on this host.
#[derive(Debug)]
pub(super) struct EngineFacts {
    pub(super) name: &'static str,
    /// The runtime's name there.
    pub(super) runtime: String,
    /// Whether this very engine was asked about, and so has to offer the runtime.
    pub(super) asked_for: bool,
    /// Whether its configuration offers the runtime.
    pub(super) installed: Result<bool, String>,
    /// What a containerd that runs goes by; none for other engines, and where it can't be told.
    pub(super) running: Option<RunningConfig>,
    /// Its own default runtime, where its configuration has it elsewhere than others of that name.
    pub(super) runs: Option<String>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Fine,
    /// Nothing fails, but it is worth knowing.
    Note,
    /// Something would fail.
    Broken,
}

/// One line of the report.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) what: String,
    /// What helps, or what else is worth knowing.
    pub(super) remarks: Vec<String>,
}

impl Finding {
    fn fine(what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Fine,
            what: what.into(),
            remarks: Vec::new(),
        }
    }

    fn note(what: impl Into<String>, remark: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            what: what.into(),
            remarks: vec![remark.into()],
        }
    }

    fn broken(what: impl Into<String>, remark: impl Into<String>) -> Self {
        Self {
            severity: Severity::Broken,
            ..Self::note(what, remark)
        }
    }
}

/// Judges all facts.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![runtime(&facts.runtime)];
    let unreachable = facts
        .runtime
        .iter()
        .flat_map(|runtime| &runtime.unreachable);
    all.extend(unreachable.map(|service| {
        Finding::broken(
            format!("runtime: {service}"),
            "start it: until then no container starts",
        )
    }));
    match &facts.configuration {
        Ok(settings) => all.extend(configured(settings)),
        Err(mistakes) => all.extend(mistakes.iter().map(|mistake| {
            Finding::broken(
                format!("configuration: {mistake}"),
                "fix it: until then no container starts",
            )
        })),
    }
    all.push(match &facts.gateway {
        Ok(()) => Finding::fine("kernel: a gateway with its ruleset, link and sockets can be created"),
        Err(error) => Finding::broken(
            format!("kernel: can't create a gateway: {error}"),
            "run this as root, on Linux 5.12 or later with nf_tables (tproxy, socket and log expressions), conntrack and veth; \
             to load the modules: modprobe -a nf_tables nft_tproxy nft_socket nft_log nf_conntrack nfnetlink_log veth",
        ),
    });
    let wanted = facts
        .configuration
        .as_ref()
        .map_or(UserNamespace::Auto, |settings| settings.user_namespace);
    all.extend(user_namespaces(&facts.host, &facts.user_namespace, wanted));
    all.extend(
        facts
            .profiles
            .iter()
            .map(|(name, denied)| profile(name, *denied)),
    );
    all.extend(facts.neighbours.map(neighbours));
    all.extend((facts.lost > 0).then(|| lost(facts.lost)));
    all.extend(facts.engines.iter().map(engine));
    all.extend(
        facts
            .engines
            .iter()
            .filter_map(|engine| elsewhere(engine, &facts.runtime)),
    );
    if facts.engines.is_empty() {
        all.push(Finding::note(
            "engines: none found",
            "boundary-shim run --bundle DIRECTORY ID works without one",
        ));
    }
    all
}

fn lost(count: usize) -> Finding {
    Finding::note(
        format!("gateways: containers that lost theirs, and their network with it: {count}"),
        "boundary-shim status names them (DEAD); start them again",
    )
}

fn runtime(runtime: &Result<RuntimeFacts, String>) -> Finding {
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let remark = "install runc, or set runtime in /etc/boundary/config.toml (\"embedded\" is built in)";
            return Finding::broken(format!("runtime: {error}"), remark);
        }
    };
    let path = runtime
        .path
        .as_ref()
        .map_or_else(String::new, |path| format!(" at {path}"));
    let what = |version: &str| format!("runtime: {}{path}, {version}", runtime.name);
    let finding = match (&runtime.version, &runtime.hooks) {
        (Err(error), _) => Finding::broken(what(error), "it must support --version: reinstall it"),
        (Ok(version), Some(hooks)) if !hooks.iter().any(|hook| hook == "createRuntime") => {
            Finding::broken(
                what(version),
                "it doesn't run createRuntime hooks, without which nothing is filtered: use another runtime",
            )
        }
        (Ok(version), _) if runtime.ignores_seccomp => Finding::broken(
            what(version),
            "it was built without seccomp support and silently ignores containers' filters: use another build",
        ),
        (Ok(version), _) => Finding::fine(what(version)),
    };
    let remarks = finding
        .remarks
        .into_iter()
        .chain(runtime.differences.iter().map(|text| (*text).to_owned()))
        .collect();
    Finding { remarks, ..finding }
}

fn configured(settings: &SettingsFacts) -> Vec<Finding> {
    let mut all = vec![Finding::fine(format!(
        "configuration: valid, {} valid {}",
        settings.policies,
        if settings.policies == 1 {
            "policy"
        } else {
            "policies"
        }
    ))];
    let advice = "fix it: until then no container with this policy starts";
    all.extend(
        settings
            .mistakes
            .iter()
            .map(|mistake| Finding::broken(format!("policy: {mistake}"), advice)),
    );
    if let Some(file) = &settings.missing_default {
        all.push(Finding::note(
            format!("policy: {file} does not exist"),
            "create it: until then containers without another policy can reach nothing",
        ));
    }
    let directory = &settings.audit_directory;
    all.push(match &settings.audit {
        Ok(()) => Finding::fine(format!("records: {directory} is writable")),
        Err(error) => Finding::broken(
            format!("records: {directory} isn't writable: {error}"),
            "choose another directory in /etc/boundary/config.toml: audit-directory = \"/path\"",
        ),
    });
    all
}

fn user_namespaces(host: &Host, made: &Result<(), String>, wanted: UserNamespace) -> Vec<Finding> {
    let mut all = Vec::new();
    all.push(match made {
        Ok(()) => Finding::fine("user namespaces: can be created"),
        Err(error) if wanted == UserNamespace::Never => {
            Finding::note(format!("user namespaces: {error}"), "not needed, as user-namespace is \"never\"")
        }
        Err(_) if !host.user_namespaces => Finding::broken(
            "user namespaces: disabled",
            "enable them with sysctl user.max_user_namespaces=10000, or set user-namespace = \"never\" in /etc/boundary/config.toml",
        ),
        Err(error) => Finding::broken(
            format!("user namespaces: can't be created: {error}"),
            "find out what forbids them (a chroot, a seccomp filter, a security module), or set user-namespace = \"never\" in /etc/boundary/config.toml",
        ),
    });
    if !host.unprivileged_user_namespaces {
        all.push(Finding::note(
            "nesting: only root on the host may create user namespaces",
            "to allow jails in containers: sysctl kernel.unprivileged_userns_clone=1",
        ));
    }
    if host.apparmor_restricts {
        all.push(Finding::note(
            "nesting: AppArmor drops the capabilities of unconfined programs in user namespaces",
            "to allow jails in containers without a profile: sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ));
    }
    if host.selinux_decides {
        all.push(Finding::note(
            "nesting: SELinux decides who may create user namespaces",
            "if it denies jails in containers, allow user_namespace { create } for the container's type",
        ));
    }
    all
}

fn neighbours([v4, v6]: [u64; 2]) -> Finding {
    /// What a container on a bridge has, as with runc: the bridge for the container, the container
    /// for the bridge, and in IPv6 that by its link-local address, too.
    const OF_A_CONTAINER: [u64; 2] = [2, 3];
    /// The kernel's default.
    const USUAL: u64 = 1024;
    let containers = (v4 / OF_A_CONTAINER[0]).min(v6 / OF_A_CONTAINER[1]);
    let what = format!(
        "neighbours: the kernel learns {v4} in IPv4 and {v6} in IPv6, enough for {containers} containers on a bridge"
    );
    if v4.min(v6) >= USUAL {
        Finding::fine(what)
    } else {
        Finding::note(
            what,
            "beyond that connections fail; for more: sysctl net.ipv4.neigh.default.gc_thresh3=4096 net.ipv6.neigh.default.gc_thresh3=4096",
        )
    }
}

fn profile(name: &str, denied: Option<Denied>) -> Finding {
    let what = match denied {
        None => {
            return Finding::fine(format!("nesting: the AppArmor profile {name} allows it"));
        }
        Some(Denied::UserNamespaces) => "user namespaces",
        Some(Denied::Mounts) => "the mounts of nested jails",
    };
    let help = if is_engine_default(name) {
        "boundary-shim install ENGINE loads a profile that allows them"
    } else {
        "it was modified: uninstall and install again"
    };
    Finding::note(
        format!("nesting: the containers' AppArmor profile {name} denies {what}"),
        help,
    )
}

fn engine(engine: &EngineFacts) -> Finding {
    let EngineFacts { name, runtime, .. } = engine;
    match (&engine.installed, engine.running) {
        (Ok(true), Some(RunningConfig::Older)) => Finding::broken(
            format!("{name}: it was started before its configuration was last changed"),
            format!("restart it: until then it may not know the runtime {runtime}"),
        ),
        (Ok(true), Some(RunningConfig::NotFound)) if engine.asked_for => Finding::note(
            format!(
                "{name}: the runtime {runtime} is installed, but no process was found that reads this file"
            ),
            "whether containerd knows the runtime can't be told",
        ),
        (Ok(true), _) => Finding::fine(format!("{name}: the runtime {runtime} is installed")),
        (Ok(false), _) => Finding {
            severity: if engine.asked_for {
                Severity::Broken
            } else {
                Severity::Note
            },
            what: format!("{name}: the runtime {runtime} is not installed"),
            remarks: vec![format!("to install it: boundary-shim install {name}")],
        },
        (Err(error), _) => Finding::broken(
            format!("{name}: {error}"),
            "fix the engine's configuration: the engine can't read it either",
        ),
    }
}

/// Where an engine runs another file than we do.
fn elsewhere(engine: &EngineFacts, ours: &Result<RuntimeFacts, String>) -> Option<Finding> {
    let runs = engine.runs.as_ref()?;
    let ours = ours.as_ref().ok().map(|ours| ours.path.as_ref());
    (ours != Some(Some(runs))).then(|| {
        Finding::note(
            format!(
                "{}: its own default runtime is {runs}, which boundary-shim doesn't use",
                engine.name
            ),
            format!("to use it: runtime = \"{runs}\" in /etc/boundary/config.toml"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let named = |facts: &Facts| {
            let mut all = findings(facts).into_iter();
            all.any(|finding| finding.what.contains("/usr/libexec/crio/crun, which"))
        };
        assert!(named(&facts));
        facts.runtime = facts.runtime.map(|runtime| RuntimeFacts {
            path: runs,
            ..runtime
        });
        assert!(!named(&facts));
    }

    fn healthy() -> Facts {
        Facts {
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
                audit_directory: "/var/log/boundary".into(),
                audit: Ok(()),
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
            lost: 0,
            engines: vec![installed()],
        }
    }

    fn installed() -> EngineFacts {
        EngineFacts {
            name: "docker",
            runtime: "boundary".into(),
            asked_for: false,
            installed: Ok(true),
            running: None,
            runs: None,
        }
    }

    fn broken(facts: &Facts) -> Vec<String> {
        let broken = findings(facts)
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
            findings(&healthy())
                .iter()
                .all(|finding| finding.severity == Severity::Fine)
        );
    }

    #[test]
    fn containers_that_lost_their_gateway_are_told_of() {
        let facts = Facts {
            lost: 2,
            ..healthy()
        };
        let told = findings(&facts)
            .into_iter()
            .find(|finding| finding.severity == Severity::Note);
        assert!(told.is_some_and(|told| told.what.ends_with(": 2")));
    }

    #[test]
    fn each_thing_that_would_fail_is_broken_and_says_what_helps() {
        type Spoil = fn(&mut Facts);
        let spoil: [(&str, Spoil); 8] = [
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
    fn a_containerd_that_began_too_early_is_broken_and_one_without_the_runtime_only_if_it_was_asked_for()
     {
        let judged = |asked_for, offers, running| {
            let facts = EngineFacts {
                name: "containerd",
                runtime: "npm-only".into(),
                asked_for,
                installed: Ok(offers),
                running: Some(running),
                runs: None,
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
    fn few_neighbours_are_a_note_that_says_for_how_many_containers_they_are_enough() {
        let enough = |of: [u64; 2]| {
            let finding = neighbours(of);
            (finding.severity, finding.what)
        };
        for (of, severity, containers) in [
            ([1024, 1024], Severity::Fine, "341 containers"),
            ([4096, 16_384], Severity::Fine, "2048 containers"),
            ([128, 1024], Severity::Note, "64 containers"),
            ([1024, 30], Severity::Note, "10 containers"),
        ] {
            let (found, what) = enough(of);
            assert!(found == severity && what.contains(containers), "{what}");
        }
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
            findings(&facts)
                .iter()
                .filter(|finding| finding.severity == Severity::Note)
                .count(),
            6
        );
    }
}
