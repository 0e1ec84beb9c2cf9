//! What the container may nest inside of itself: the tier that the administrator chose, as far as
//! this container can have it.
//!
//! Two things make a nested jail work without a word on the command line: CAP_NET_ADMIN, to wire it
//! up, and a seccomp filter that lets it create its namespaces. The capability is given only where
//! a user namespace bounds it (`user_namespace`), and where that costs the container nothing that
//! it was given. What is not possible is not an error, since the container may never nest anything:
//! a notice in the record says so, and what would help.

use serde_json::Value;

use super::error::SpecError;
use super::input::{NetworkOrigin, RewriteInput};
use super::json::object;
use super::namespaces::namespace;
use super::{capabilities, pod, podman, user_namespace};
use crate::apparmor::{self, Confinement, Denied};
use crate::container::plan::Recipients;
use crate::escape::{MAX_PATH_SHOWN, clean};
use crate::seccomp::patch;
use crate::seccomp::tier::Tier;
use crate::settings::UserNamespace;

/// The capability that a nested jail is wired up with.
pub const CAPABILITY: &str = "CAP_NET_ADMIN";

/// What the container got.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Nesting {
    /// Who gets CAP_NET_ADMIN, in the container's own process and in those that `exec` adds.
    pub capability: Recipients,
    /// The seccomp filter as it was, where it was changed.
    pub seccomp_before: Option<Value>,
    /// The AppArmor profile that took the place of the engine's default.
    pub profile: Option<&'static str>,
    /// What stands in the way of a nested jail all the same, one sentence each, with what would
    /// help.
    pub obstacles: Vec<String>,
}

/// Gives the container what the tier needs, as far as it can have it.
pub(super) fn edit(spec: &mut Value, input: &RewriteInput) -> Result<Nesting, SpecError> {
    let Some(tier) = input.nesting else {
        return Ok(Nesting::default());
    };
    let mut obstacles = obstacles(spec, input)?;
    let (capability, withheld) = grant_capability(spec, input, tier)?;
    obstacles.extend(withheld);
    let seccomp_before = patch_seccomp(spec, tier).unwrap_or_else(|unpatched| {
        obstacles.push(unpatched);
        None
    });
    let profile = confine(spec, input.confinement)?;
    Ok(Nesting {
        capability,
        seccomp_before,
        profile,
        obstacles,
    })
}

/// The container's AppArmor profile; empty where it has none.
///
/// # Errors
/// `process` or its profile is not what the specification says.
pub fn profile(process: &Value) -> Result<&str, SpecError> {
    match process.get("apparmorProfile") {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(profile)) => Ok(profile),
        Some(_) => Err(SpecError::Type("apparmorProfile", "a string")),
    }
}

/// Puts our profile in the place of the engine's default, where there is one.
fn confine(spec: &mut Value, confinement: Confinement) -> Result<Option<&'static str>, SpecError> {
    if let (Some(ours), Some(process)) = (confinement.ours, spec.get_mut("process")) {
        replace_profile(process, ours)?;
    }
    Ok(confinement.ours)
}

/// Gives a process our profile in the place of an engine's default; a profile that somebody chose
/// stays.
///
/// # Errors
/// The profile is not a text.
pub fn replace_profile(process: &mut Value, ours: &str) -> Result<(), SpecError> {
    if apparmor::is_engine_default(profile(process)?) {
        process["apparmorProfile"] = ours.into();
    }
    Ok(())
}

/// Adds the capability that the tier needs, if it can be bounded; gives the reason if it can't. The
/// network namespace must have been settled before, and the user namespace must be added after: it
/// sees the capability, and bounds it.
fn grant_capability(
    spec: &mut Value,
    input: &RewriteInput,
    tier: Tier,
) -> Result<(Recipients, Option<String>), SpecError> {
    let recipients = recipients(tier);
    // Nothing to run, nothing to give.
    let Some(process) = spec.get("process").filter(|process| !process.is_null()) else {
        return Ok(Default::default());
    };
    // Whoever drops everything means it.
    if capabilities::can_have_none(process) {
        let dropped = format!(
            "a nested jail doesn't get {CAPABILITY}: all capabilities of the container were dropped; keep one of them"
        );
        return Ok((Recipients::Nobody, Some(dropped)));
    }
    if !recipients.include(capabilities::user(process)?) {
        return Ok(Default::default());
    }
    if let Some(reason) = unbounded(spec, process, input) {
        let reason = format!("a nested jail doesn't get {CAPABILITY}: {reason}");
        return Ok((
            Recipients::Nobody,
            (!is_podmans_way(spec, input)).then_some(reason),
        ));
    }
    if let Some(process) = spec.get_mut("process") {
        capabilities::grant(process, CAPABILITY)?;
    }
    Ok((recipients, None))
}

/// Whether it can't be had because of how podman makes every plain container: the network first,
/// outside of any user namespace. In each record that would be news to nobody; `docs/limits.md` says it.
fn is_podmans_way(spec: &Value, input: &RewriteInput) -> bool {
    let made_before = matches!(
        input.place,
        Some(NetworkOrigin::Free | NetworkOrigin::InUse)
    );
    let has_users = namespace(spec, "user").is_ok_and(|namespace| namespace.is_some());
    made_before && !has_users && podman::looks_for_links(spec)
}

/// Who needs the capability. bubblewrap, called by a user who isn't root, refuses to run with any
/// capability at all.
fn recipients(tier: Tier) -> Recipients {
    if tier == Tier::Bwrap {
        Recipients::Root
    } else {
        Recipients::Everybody
    }
}

/// Why the capability can't be given, if it can't: nothing bounds it, or what would costs the
/// container something else.
fn unbounded(spec: &Value, process: &Value, input: &RewriteInput) -> Option<String> {
    let listed = namespace(spec, "user").is_ok_and(|namespace| namespace.is_some());
    let given = listed || input.quirks.adds_user_namespace;
    if !given && input.user_namespace == UserNamespace::Never {
        return Some("user-namespace is \"never\" in the host's configuration".to_owned());
    }
    // Not even a pod with the host's network, whose namespace would be made here: engines mount
    // what such a pod shares in a way that only the host's user namespace may.
    if !given && pod::namespace(spec).is_some() {
        return Some(
            "its pod has no user namespace that would bound it; hostUsers: false gives it one"
                .to_owned(),
        );
    }
    let comes_anyway =
        capabilities::beyond(process).is_some() || input.user_namespace == UserNamespace::Require;
    let added = !given && !comes_anyway;
    if let Some(cost) = user_namespace::costs::of(spec, input)
        .into_iter()
        .next()
        .filter(|_| added)
    {
        return Some(format!(
            "in the user namespace that this needs, {cost}; --cap-add NET_ADMIN gives it all the same"
        ));
    }
    user_namespace::outlook(spec, input, &user_namespace::reaches_beyond(CAPABILITY))
        .err()
        .map(|obstacle| obstacle.to_string())
}

/// Lets the tier's calls through the container's seccomp filter; gives the filter as it was, if it
/// had to be changed.
fn patch_seccomp(spec: &mut Value, tier: Tier) -> Result<Option<Value>, String> {
    let filter = spec
        .get_mut("linux")
        .and_then(|linux| linux.get_mut("seccomp"));
    let Some(filter) = filter.filter(|filter| !filter.is_null()) else {
        return Ok(None);
    };
    let before = filter.clone();
    if let Err(error) = patch::oci(filter, tier) {
        *filter = before;
        return Err(format!("the seccomp profile is unchanged: {error}"));
    }
    Ok((*filter != before).then_some(before))
}

/// What a profile's denial means for a nested jail, and what would help.
fn denial(profile: &str, denied: Denied) -> String {
    let (what, rules) = match denied {
        Denied::UserNamespaces => ("nothing can be nested: user namespaces are", "userns"),
        Denied::Mounts => (
            "a nested jail can't mount: its mounts are",
            "mount and pivot_root",
        ),
    };
    let help = if apparmor::is_engine_default(profile) {
        "boundary-shim install for the engine loads a profile that allows them".to_owned()
    } else {
        format!("allow {rules} in it, or choose another profile")
    };
    format!(
        "{what} denied by the AppArmor profile {}; {help}",
        clean(profile, MAX_PATH_SHOWN)
    )
}

/// What would stop a nested jail even if the seccomp profile allows it.
fn obstacles(spec: &Value, input: &RewriteInput) -> Result<Vec<String>, SpecError> {
    let mut found = Vec::new();
    let mut say = |sentence: &str| found.push(sentence.to_owned());
    let host = &input.host;
    if !host.user_namespaces {
        say(
            "nothing can be nested: the host has user namespaces switched off; set sysctl user.max_user_namespaces",
        );
    }
    if !host.unprivileged_user_namespaces {
        say(
            "nothing can be nested: the host allows user namespaces to its root alone; set sysctl \
             kernel.unprivileged_userns_clone=1",
        );
    }
    let process = object(spec, "process")?;
    let text = |key: &str| {
        process
            .and_then(|process| process.get(key))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let profile = text("apparmorProfile");
    if host.apparmor_restricts && apparmor::is_unconfined(profile) {
        say(
            "a nested jail gets no capabilities: AppArmor takes them from unconfined programs; run the container with a \
             profile, or set sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        );
    }
    found.extend(
        input
            .confinement
            .denied
            .map(|denied| denial(profile, denied)),
    );
    let label = text("selinuxLabel");
    if host.selinux_decides && !label.is_empty() {
        found.push(format!(
            "SELinux decides whether {} may nest: if nesting is denied, allow its type user_namespace {{ create }}",
            clean(label, MAX_PATH_SHOWN)
        ));
    }
    let process = spec.get("process").unwrap_or(&Value::Null);
    if capabilities::user(process)? == 0 && !capabilities::holds(process, "CAP_SETFCAP") {
        found.push(
            "root in the container can't map its own id in a nested user namespace (since Linux 5.12): add --cap-add SETFCAP"
                .to_owned(),
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
