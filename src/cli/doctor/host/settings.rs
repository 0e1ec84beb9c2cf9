//! The host's configuration, its policies, and where records go.

use crate::cli::doctor::facts::SettingsFacts;
use crate::cli::doctor::finding::Finding;

/// A record grows by this much before it is of any use to think about space.
const LITTLE: u64 = 256 << 20;
/// Less than a few lines of every container's.
const NONE: u64 = 1 << 20;

/// What no container starts without.
pub(super) fn configuration(found: &Result<SettingsFacts, Vec<String>>) -> Vec<Finding> {
    match found {
        Ok(settings) => vec![valid(settings), records(settings)],
        Err(mistakes) => mistakes
            .iter()
            .map(|mistake| {
                Finding::broken(
                    format!("configuration: {mistake}"),
                    "fix it: until then no container starts",
                )
            })
            .collect(),
    }
}

/// What only some containers need.
pub(super) fn others(found: &Result<SettingsFacts, Vec<String>>) -> Vec<Finding> {
    let Ok(settings) = found else {
        return Vec::new();
    };
    let mistakes = settings.mistakes.iter().map(|mistake| {
        Finding::broken(
            format!("policy: {mistake}"),
            "fix it: until then no container with this policy starts",
        )
    });
    let missing = settings.missing_default.iter().map(|file| {
        Finding::note(
            format!("policy: {file} does not exist"),
            "create it: until then containers without another policy can reach nothing",
        )
    });
    let certificates = settings.extra_ca.iter().map(|mistake| {
        Finding::broken(
            mistake.clone(),
            "fix it: until then no container starts whose policy has TLS intercepted",
        )
    });
    mistakes.chain(missing).chain(certificates).collect()
}

fn valid(settings: &SettingsFacts) -> Finding {
    let policies = if settings.policies == 1 {
        "policy"
    } else {
        "policies"
    };
    Finding::fine(format!(
        "configuration: valid, {} valid {policies}",
        settings.policies
    ))
}

fn records(settings: &SettingsFacts) -> Finding {
    let directory = &settings.audit_directory;
    if let Err(error) = &settings.audit {
        return Finding::broken(
            format!("records: {directory} isn't writable: {error}"),
            "choose another directory in /etc/boundary/config.toml: audit-directory = \"/path\"",
        );
    }
    let what = format!("records: {directory} is writable");
    let Some(space) = settings.space else {
        return Finding::fine(what);
    };
    let left = format!("{what}, {} MiB are free", space >> 20);
    let help =
        "make room: what can't be recorded is denied; audit-keep removes old records by itself";
    match space {
        0..NONE => Finding::broken(left, help),
        NONE..LITTLE => Finding::note(left, help),
        _ => Finding::fine(left),
    }
}
