//! The engines: whether they offer the runtime, and go by what is in their files.

use crate::cli::doctor::facts::{DockerdFacts, EngineFacts, HostFacts, RuntimeFacts};
use crate::cli::doctor::finding::{Finding, Severity};
use crate::integrate::containerd::RunningConfig;

pub(super) fn all(facts: &HostFacts) -> Vec<Finding> {
    let engines = &facts.engines;
    let mut all: Vec<Finding> = engines.iter().map(engine).collect();
    all.extend(engines.iter().filter_map(version));
    all.extend(engines.iter().flat_map(dns_of));
    all.extend(
        engines
            .iter()
            .filter_map(|engine| elsewhere(engine, &facts.runtime)),
    );
    if engines.is_empty() {
        all.push(Finding::note(
            "engines: none found",
            "boundary-shim run --bundle DIRECTORY ID works without one",
        ));
    }
    all
}

fn version(engine: &EngineFacts) -> Option<Finding> {
    let version = engine.version.as_ref()?;
    let drivers = engine.dockerds.iter().map(|dockerd| {
        let driver = dockerd.cgroup_driver.as_deref();
        format!(
            "; control groups by {}",
            driver.unwrap_or("its default driver")
        )
    });
    let drivers: String = drivers.collect();
    Some(Finding::fact(format!(
        "{}: {version}{drivers}",
        engine.name
    )))
}

/// dockerd reads `dns` only when it starts. Without it its resolver may ask from the host, so that containers
/// without `--dns` are refused (`prepare/resolvers.rs`).
fn dns_of(engine: &EngineFacts) -> Vec<Finding> {
    let runs_ours = matches!(engine.installed, Ok(true));
    let without = engine
        .dockerds
        .iter()
        .filter(|dockerd| runs_ours && !dockerd.goes_by_dns);
    let findings = without.map(|DockerdFacts { dns, .. }| {
        if dns.is_empty() {
            Finding::broken(
                "docker: dockerd has no dns in its configuration",
                "boundary-shim install docker writes it: until then containers without --dns are refused",
            )
        } else {
            Finding::broken(
                "docker: dockerd was started before dns was in its configuration",
                "restart it (systemctl restart docker): until then containers without --dns are refused",
            )
        }
    });
    findings.collect()
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
mod tests;
