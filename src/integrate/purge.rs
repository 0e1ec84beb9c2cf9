//! Takes everything of this program's off a host but the program: policies, settings, records. Plans only.
//!
//! Invariant: nothing goes that something may still need: an engine that knows a runtime of ours, a
//! container that was made with one.

use std::path::Path;

use super::Installation;
use super::change_plan::ChangePlan;
use super::error::IntegrateError;
use super::step::Step;

/// Adds to the plan of an [`super::uninstall`] that nothing is left.
///
/// # Errors
/// Something needs it, which the error names. Whether containers run is the caller's to know.
pub fn purge(plan: &mut ChangePlan, ours: &Installation) -> Result<(), IntegrateError> {
    if !plan.users.is_empty() {
        return Err(IntegrateError::InUse(plan.users.clone()));
    }
    if let Some(file) = plan.file_that_names_us(&ours.configurations) {
        return Err(IntegrateError::Named(file));
    }
    let (there, whole) = (
        |path: &&Path| path.exists(),
        |path: &Path| Step::RemoveTree(path.to_owned()),
    );
    let within = |step: &Step| match step {
        Step::Remove { path, .. } | Step::RemoveFolder(path) => {
            ours.belongings.iter().any(|all| path.starts_with(all))
        }
        _ => false,
    };
    plan.steps.retain(|step| !within(step));
    plan.steps.extend(
        ours.belongings
            .iter()
            .map(AsRef::as_ref)
            .filter(there)
            .map(whole),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrate::Engine;
    use crate::integrate::drop_in::{DropIn, DropInReader};
    use crate::integrate::step::apply;
    use crate::integrate::test_host::TestHost;

    fn host() -> TestHost {
        let mut host = TestHost::new(|at| {
            Engine::DropIn(DropIn {
                reader: DropInReader::Podman,
                folder: at("conf.d"),
            })
        });
        host.ours.belongings = vec![
            host.ours.policies.clone(),
            host.path("records"),
            host.path("none"),
        ];
        host.install_now();
        host.put("policies/mine.yaml", "allow:\n  - domain=example.org\n");
        host.put("records/a.jsonl", "{}\n");
        host
    }

    #[test]
    fn nothing_is_left_and_what_nobody_asked_for_stays() {
        let host = host();
        host.put("others", "others");
        let mut plan = host.uninstall().expect("planned");
        purge(&mut plan, &host.ours).expect("planned");
        apply(&plan.steps, |_| Ok(())).expect("applied");
        assert!(!host.path("policies").exists() && !host.path("records").exists());
        assert!(host.path("others").exists());
        let mut again = host.uninstall().expect("planned");
        purge(&mut again, &host.ours).expect("planned");
        assert_eq!(again.steps, []);
    }

    #[test]
    fn another_engine_or_a_container_that_needs_it_keeps_everything() {
        let host = host();
        host.put(
            "elsewhere.d/x.conf",
            "[engine.runtimes]\nx = [\"/usr/bin/boundary-shim\"]\n",
        );
        let mut plan = host.uninstall().expect("planned");
        assert!(
            matches!(purge(&mut plan, &host.ours), Err(IntegrateError::Named(file)) if file == host.path("elsewhere.d/x.conf").canonicalize().unwrap())
        );
        std::fs::remove_file(host.path("elsewhere.d/x.conf")).unwrap();
        let mut plan = host.uninstall().expect("planned");
        plan.users.insert("web".to_owned());
        let refused = purge(&mut plan, &host.ours).expect_err("refused");
        assert!(refused.to_string().contains("web"), "{refused}");
        assert!(
            !plan
                .steps
                .iter()
                .any(|step| matches!(step, Step::RemoveTree(_)))
        );
    }
}
