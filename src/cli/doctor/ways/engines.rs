//! The ways that take an engine: with this program as its runtime, or as a hook of its own runtime.
//!
//! Pure. That this host can have gateways is no way yet: there has to be an engine that goes by this
//! program, as it runs and not by its files alone.

use crate::cli::doctor::facts::{DockerdFacts, EngineFacts, HostFacts};
use crate::cli::doctor::host::HostFindings;
use crate::cli::doctor::report::{Audience, Fix, Way};
use crate::integrate::containerd::RunningConfig;

/// Where podman and CRI-O look for hooks unless they are told otherwise (podman(1), crio.conf(5)).
pub(in crate::cli::doctor) const HOOKS: &str = "/usr/share/containers/oci/hooks.d";

/// How the runtime is used, where nothing says with which engine.
const USUAL: &str = "docker run --runtime=boundary IMAGE";
const HOOK: &str = "boundary-shim hook, as createRuntime hook of an engine's own runtime";

/// What a way comes to, with one engine or with all.
#[derive(Debug, Default)]
struct Outcome {
    works: Option<bool>,
    /// Why it doesn't, or can't be told.
    words: Vec<String>,
    /// What mends that, on the host.
    lines: Vec<String>,
}

impl Outcome {
    fn works() -> Self {
        Self {
            works: Some(true),
            ..Self::default()
        }
    }

    fn fails(why: impl Into<String>) -> Self {
        Self {
            works: Some(false),
            words: vec![why.into()],
            lines: Vec::new(),
        }
    }

    fn untold(why: impl Into<String>) -> Self {
        Self {
            works: None,
            ..Self::fails(why)
        }
    }

    fn until(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    fn way(self, name: &'static str, command: &'static str) -> Way {
        let fix = |line| Fix {
            whom: Audience::Host,
            line,
        };
        Way {
            name,
            command,
            works: self.works,
            why: (!self.words.is_empty()).then(|| self.words.join("; ")),
            warnings: Vec::new(),
            fixes: self.lines.into_iter().map(fix).collect(),
        }
    }
}

/// Both. `host`: none in a container.
pub(super) fn ways(host: Option<(&HostFacts, &HostFindings)>) -> Vec<Way> {
    let (command, runtime) = match without_engines(host, HostFindings::against_runtime) {
        Ok(facts) => by_runtime(&facts.engines),
        Err(outcome) => (USUAL, outcome),
    };
    let hook = match without_engines(host, HostFindings::against_gateways) {
        Ok(facts) => by_hook(facts),
        Err(outcome) => outcome,
    };
    vec![runtime.way("runtime", command), hook.way("hook", HOOK)]
}

/// The facts, where nothing stands against a way with any engine.
fn without_engines<'a>(
    host: Option<(&'a HostFacts, &HostFindings)>,
    against: fn(&HostFindings) -> Option<String>,
) -> Result<&'a HostFacts, Outcome> {
    let Some((facts, findings)) = host else {
        return Err(Outcome::untold(
            "it is the engine on the host that starts containers: run boundary-shim doctor there",
        ));
    };
    match against(findings) {
        None => Err(Outcome::untold(
            "it takes root to tell: sudo boundary-shim doctor",
        )),
        Some(why) if !why.is_empty() => Err(Outcome::fails(why)),
        Some(_) => Ok(facts),
    }
}

/// By the engine with which it works, and how it is used there; else all that is to be mended.
fn by_runtime(engines: &[EngineFacts]) -> (&'static str, Outcome) {
    if engines.is_empty() {
        let why = "there is no container engine here; boundary-shim run --bundle DIRECTORY ID works without one";
        return (USUAL, Outcome::fails(why));
    }
    let mut all: Vec<_> = engines
        .iter()
        .map(|engine| (command(engine.name), with(engine)))
        .collect();
    let best = [Some(true), None]
        .into_iter()
        .find_map(|works| all.iter().position(|(_, outcome)| outcome.works == works));
    if let Some(best) = best {
        return all.swap_remove(best);
    }
    let joined = |mut all: Outcome, (_, one): (_, Outcome)| {
        all.words.extend(one.words);
        all.lines.extend(one.lines);
        all
    };
    let none = Outcome {
        works: Some(false),
        ..Outcome::default()
    };
    (USUAL, all.into_iter().fold(none, joined))
}

fn command(engine: &str) -> &'static str {
    match engine {
        "podman" => "podman --runtime=boundary run IMAGE",
        "containerd" | "crio" => "pods of a RuntimeClass with the handler boundary",
        _ => USUAL,
    }
}

fn with(engine: &EngineFacts) -> Outcome {
    let EngineFacts { name, runtime, .. } = engine;
    match &engine.installed {
        Err(error) => Outcome::fails(format!("{name}: {error}")),
        Ok(false) => Outcome::fails(format!("{name}: the runtime {runtime} is not installed"))
            .until(format!("boundary-shim install {name}")),
        Ok(true) if engine.name == "docker" => with_docker(engine),
        Ok(true) => match engine.running {
            // podman has no daemon.
            None | Some(RunningConfig::Current) => Outcome::works(),
            Some(RunningConfig::Older) => Outcome::fails(format!(
                "{name}: it was started before its configuration was last changed"
            ))
            .until(format!("systemctl restart {name}")),
            Some(RunningConfig::NotFound) => Outcome::fails(format!("{name}: it isn't running"))
                .until(format!("systemctl start {name}")),
        },
    }
}

/// By the first that runs; there is but one by its usual file.
fn with_docker(engine: &EngineFacts) -> Outcome {
    let Some(dockerd) = engine.dockerds.first() else {
        return Outcome::fails("docker: no dockerd runs that reads /etc/docker/daemon.json")
            .until("systemctl start docker");
    };
    match &dockerd.knows_runtime {
        Err(error) => Outcome::untold(format!(
            "docker: dockerd can't be asked for its runtimes by docker info: {error}"
        )),
        Ok(false) => Outcome::fails(format!(
            "docker: the dockerd that runs doesn't know the runtime {}, which is in its file",
            engine.runtime
        ))
        .until("systemctl reload docker"),
        Ok(true) => by_dns(dockerd),
    }
}

/// Where its resolver may ask from the host, containers without `--dns` are refused.
fn by_dns(dockerd: &DockerdFacts) -> Outcome {
    match (dockerd.goes_by_dns, dockerd.dns.is_empty()) {
        (true, _) => Outcome::works(),
        (false, false) => {
            Outcome::fails("docker: dockerd was started before dns was in its configuration")
                .until("systemctl restart docker")
        }
        (false, true) => Outcome::fails("docker: dockerd has no dns in its configuration")
            .until("boundary-shim install docker"),
    }
}

/// By the files in the folder: others, that an engine was told, can't be known.
fn by_hook(facts: &HostFacts) -> Outcome {
    let mut engines = facts.engines.iter();
    if !engines.any(|engine| ["podman", "crio"].contains(&engine.name)) {
        return Outcome::fails(
            "only podman and CRI-O run hooks of a folder, and neither is here; --runtime=boundary is the way for the others",
        );
    }
    let (there, missing): (Vec<_>, Vec<_>) =
        facts.hooks.programs.iter().partition(|(_, there)| *there);
    match missing.first() {
        _ if !there.is_empty() => Outcome::works(),
        Some((program, _)) => Outcome::fails(format!(
            "{HOOKS} has a hook for {program}, which isn't there"
        ))
        .until(format!("cp \"$(command -v boundary-shim)\" {program}")),
        None => Outcome::fails(format!(
            "no file in {HOOKS} runs it (folders of --hooks-dir or hooks_dir aren't looked at)"
        ))
        .until(format!(
            "install -D -m 644 {} {HOOKS}/boundary.json",
            facts.hooks.packaged.unwrap_or("hooks/boundary.json")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::host::tests::{healthy, installed};

    fn told(facts: &HostFacts) -> [Way; 2] {
        let findings = HostFindings::of(facts);
        ways(Some((facts, &findings))).try_into().expect("two ways")
    }

    fn lines(way: &Way) -> Vec<&str> {
        way.fixes.iter().map(|fix| fix.line.as_str()).collect()
    }

    /// Of the runtime, on a host with this Docker.
    fn with_this(spoil: fn(&mut EngineFacts)) -> Way {
        let mut facts = healthy();
        spoil(&mut facts.engines[0]);
        let [runtime, _] = told(&facts);
        runtime
    }

    #[test]
    fn a_way_that_only_its_host_can_tell_of_is_neither_here_nor_not() {
        let ways = ways(None);
        let names: Vec<_> = ways.iter().map(|way| (way.name, way.works)).collect();
        assert_eq!(names, [("runtime", None), ("hook", None)]);
        assert!(ways.iter().all(|way| way.why.is_some()));
    }

    #[test]
    fn an_engine_that_runs_with_the_runtime_is_a_way() {
        let works = with_this(|_| {});
        assert_eq!((works.works, works.command), (Some(true), USUAL));
        assert!(works.warnings.is_empty() && works.fixes.is_empty());
    }

    #[test]
    fn each_thing_that_an_engine_lacks_has_its_line() {
        type Spoil = fn(&mut EngineFacts);
        let rows: [(Spoil, Option<bool>, &[&str]); 6] = [
            (
                |docker| docker.installed = Ok(false),
                Some(false),
                &["boundary-shim install docker"],
            ),
            (
                |docker| docker.dockerds.clear(),
                Some(false),
                &["systemctl start docker"],
            ),
            (
                |docker| docker.dockerds[0].knows_runtime = Ok(false),
                Some(false),
                &["systemctl reload docker"],
            ),
            (
                |docker| docker.dockerds[0].knows_runtime = Err("it failed".into()),
                None,
                &[],
            ),
            (
                |docker| docker.dockerds[0].goes_by_dns = false,
                Some(false),
                &["systemctl restart docker"],
            ),
            (
                |docker| docker.installed = Err("not JSON".into()),
                Some(false),
                &[],
            ),
        ];
        for (spoil, works, mending) in rows {
            let way = with_this(spoil);
            assert_eq!(
                (way.works, lines(&way)),
                (works, mending.to_vec()),
                "{way:?}"
            );
            assert!(way.why.is_some(), "{way:?}");
        }
    }

    #[test]
    fn one_engine_with_the_runtime_is_enough_and_says_how_it_is_used() {
        let mut facts = healthy();
        facts.engines[0].installed = Ok(false);
        facts.engines.push(EngineFacts {
            name: "containerd",
            running: Some(RunningConfig::Older),
            ..installed()
        });
        let [runtime, _] = told(&facts);
        assert_eq!(runtime.works, Some(false));
        assert_eq!(
            lines(&runtime),
            [
                "boundary-shim install docker",
                "systemctl restart containerd"
            ]
        );
        facts.engines[1].running = Some(RunningConfig::Current);
        let [runtime, _] = told(&facts);
        assert_eq!(runtime.works, Some(true));
        assert!(runtime.command.starts_with("pods"), "{runtime:?}");
        facts.engines.clear();
        let [runtime, hook] = told(&facts);
        assert_eq!((runtime.works, hook.works), (Some(false), Some(false)));
    }

    #[test]
    fn a_hook_takes_an_engine_that_runs_hooks_and_a_file_whose_program_is_there() {
        let mut facts = healthy();
        let hook = |facts: &HostFacts| {
            let [_, hook] = told(facts);
            hook
        };
        assert_eq!(hook(&facts).works, Some(false), "Docker runs none");
        facts.engines[0].name = "podman";
        let missing = hook(&facts);
        assert_eq!(missing.works, Some(false));
        assert!(lines(&missing)[0].starts_with("install -D"), "{missing:?}");
        facts.hooks.programs = vec![("/usr/local/bin/boundary-shim".into(), false)];
        assert_eq!(hook(&facts).works, Some(false));
        facts.hooks.programs[0].1 = true;
        assert_eq!(hook(&facts).works, Some(true));
        facts.gateway = Err("EPERM".into());
        assert_eq!(hook(&facts).works, Some(false));
    }
}
