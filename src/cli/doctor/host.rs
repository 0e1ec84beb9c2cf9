//! Judges the facts about a host: what is fine, what is worth knowing, and what keeps containers from
//! starting.
//!
//! Pure. Invariant: every broken finding says in one sentence what to do.

mod engines;
mod kernel;
mod settings;

use super::facts::{GatewayFacts, HostFacts, RuntimeFacts};
use super::finding::{Finding, Severity};

/// What there is to say of a host.
#[derive(Debug)]
pub(super) struct HostFindings {
    as_root: bool,
    /// What every gateway needs, whoever makes it.
    gateways: Vec<Finding>,
    /// What the runtime needs besides.
    runtime: Vec<Finding>,
    /// What no container needs, or not every one.
    others: Vec<Finding>,
}

impl HostFindings {
    pub(super) fn of(facts: &HostFacts) -> Self {
        let mut gateways = settings::configuration(&facts.configuration);
        gateways.push(kernel::gateway(&facts.gateway));
        let mut runtime = vec![real_runtime(&facts.runtime)];
        runtime.extend(services(&facts.runtime));
        runtime.extend(kernel::user_namespaces(facts));
        let mut others = settings::others(&facts.configuration);
        others.extend(kernel::nesting(facts));
        others.extend(
            facts
                .neighbours
                .map(|most| kernel::neighbours(most, facts.networks)),
        );
        others.extend(lost_and_older(facts.gateways));
        others.extend(engines::all(facts));
        Self {
            as_root: facts.as_root,
            gateways,
            runtime,
            others,
        }
    }

    /// Why there can be no gateway, if so; none where it takes root to tell.
    pub(super) fn against_gateways(&self) -> Option<String> {
        self.as_root.then(|| against(self.gateways.iter()))
    }

    /// The same of containers that this program's runtime starts.
    pub(super) fn against_runtime(&self) -> Option<String> {
        let all = self.gateways.iter().chain(&self.runtime);
        self.as_root.then(|| against(all))
    }

    pub(super) fn all(self) -> Vec<Finding> {
        let all = self
            .runtime
            .into_iter()
            .chain(self.gateways)
            .chain(self.others);
        if self.as_root {
            return all.collect();
        }
        // What containers need, root has.
        let not_root = Finding::note(
            "host: looked at without root's rights, which gateways need",
            "for what containers need: sudo boundary-shim doctor",
        );
        let softened = all.map(|finding| match finding.severity {
            Severity::Broken => Finding {
                severity: Severity::Note,
                ..finding
            },
            _ => finding,
        });
        std::iter::once(not_root).chain(softened).collect()
    }
}

/// Empty where nothing is.
fn against<'a>(findings: impl Iterator<Item = &'a Finding>) -> String {
    let broken = findings.filter(|finding| finding.is_broken());
    let broken: Vec<&str> = broken.map(|finding| finding.what.as_str()).collect();
    broken.join("; ")
}

fn lost_and_older(gateways: GatewayFacts) -> Vec<Finding> {
    let GatewayFacts { lost, older } = gateways;
    let lost = (lost > 0).then(|| {
        Finding::note(
            format!("gateways: containers that lost theirs, and their network with it: {lost}"),
            "boundary-shim status names them (DEAD); start them again",
        )
    });
    let older = (older > 0).then(|| {
        Finding::note(
            format!("gateways: those that run a program which was replaced since: {older}"),
            "they filter as before; start their containers again to have them run this one",
        )
    });
    lost.into_iter().chain(older).collect()
}

fn services(runtime: &Result<RuntimeFacts, String>) -> Vec<Finding> {
    let unreachable = runtime.iter().flat_map(|runtime| &runtime.unreachable);
    let broken = unreachable.map(|service| {
        Finding::broken(
            format!("runtime: {service}"),
            "start it: until then no container starts",
        )
    });
    broken.collect()
}

fn real_runtime(runtime: &Result<RuntimeFacts, String>) -> Finding {
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

#[cfg(test)]
pub(super) mod tests;
