//! `create`, `run`, `restore`: decides the container's plan and rewrites its bundle.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::container::Container;
use super::runtimes::RuntimeKind;
use crate::apparmor::confinement;
use crate::container::bundle::Bundle;
use crate::container::plan::{GatewayOwner, Plan};
use crate::host::Host;
use crate::policy::{PolicySource, text};
use crate::prepare::resolvers::DockerFiles;
use crate::prepare::trust::{self, Trust};
use crate::prepare::{
    engines, host_side, identity, joined, mounts, names, namespaces, pod, proof, resolvers, sweep,
};
use crate::seccomp::tier::Tier;
use crate::settings::{self, Reload, Settings, select::select};
use crate::spec::{self, NetworkOrigin, RewriteInput, RewriteOutcome, Spec};
use crate::supervisor::begun;
use crate::sys::mountinfo;

/// Rewrites the bundle so that the runtime calls our hook and the container can't reach around the
/// gateway. `starts_by_verb`: the engine will call `start`. `no_pivot`: `--no-pivot` was given. `reading`: keeps the
/// host's policies as they are, until one is chosen.
pub(super) fn prepare(
    settings: &Settings,
    runtime: &RuntimeKind,
    container: &Container<'_>,
    bundle: Option<&Path>,
    starts_by_verb: bool,
    no_pivot: bool,
    reading: Option<File>,
) -> anyhow::Result<()> {
    sweep::forget(&container.state);
    let mut bundle = Bundle::read_original(directory(bundle)?)?;
    let mut spec = Spec::check(bundle.config.value.take())?;
    let policy = policy(settings, container, &spec)?;
    drop(reading);
    let pod = pod::of(&spec)?;
    let input = RewriteInput {
        no_pivot,
        ..look_around(settings, runtime, container, &spec, &bundle, pod.is_some())?
    };
    let outcome = spec::rewrite(&mut spec, &input, &program()?)?;
    let (gateway, pod) = pod::gateway(outcome.gateway, pod);

    check_filter(&outcome, &spec, input.nesting)?;
    if let (GatewayOwner::Joined, Some(network)) = (gateway, spec::network::path(&spec)?) {
        joined::refuse_another_policy(&spec, &network, &policy)?;
    }

    let docker = resolvers::docker_directory(&spec, &bundle.directory, &container.id)
        .map(|directory| DockerFiles::read(&directory));
    // A joined namespace's resolver was looked at when its owner was made.
    if let Some(docker) = docker.as_ref().filter(|_| gateway == GatewayOwner::Own) {
        docker.refuse_if_it_asks_from_host()?;
    }
    let given = match &docker {
        Some(docker) => docker.given.clone(),
        None => names::of_engine(&spec, &bundle.directory, &container.id),
    };
    let docker = docker.unwrap_or_default();
    let joined = || resolvers::joined_directory(&spec, &bundle.directory, &container.id);
    let kept_in = docker.kept_in.clone().or_else(joined);
    let identity = identity::find(settings, kept_in.as_deref(), &spec);
    let asked = resolvers::choose(settings, &docker, outcome.exit);
    let jails_mount = input.nesting == Some(Tier::Bwrap);
    let trust = if trust::is_needed(gateway, &spec, &policy)? {
        trust::provide(settings, &mut spec, &bundle, &container.state, jails_mount)?
    } else {
        Trust::default()
    };
    let plan = Plan {
        container: container.id.as_str().to_owned(),
        own_notices: withheld(
            &outcome,
            identity.name.as_deref().unwrap_or(container.id.as_str()),
        ),
        identity,
        gateway,
        pod,
        starts_by_verb,
        ready_by_start: starts_by_verb
            && gateway == GatewayOwner::Own
            && !spec::hooks::others_run_inside(&spec),
        user_namespace: outcome.user_namespace,
        nesting_capability: outcome.nesting.capability,
        apparmor_profile: outcome.nesting.profile.map(str::to_owned),
        notices: outcome
            .nesting
            .obstacles
            .into_iter()
            .chain(outcome.notices)
            .chain(asked.notices)
            .chain(trust.notices)
            .chain(engines::notices(&spec, &bundle.directory))
            .collect(),
        links_are_looked_for: spec::podman::looks_for_links(&spec),
        cgroups_path: spec::cgroup::path(&spec)?,
        proxy_memory: settings.proxy_memory,
        dns_rate_limit: settings.dns_rate_limit,
        denied_note: settings.denied_note.clone(),
        denied_names: settings.denied_names,
        log_level: settings.log_level,
        state: container.state.clone(),
        audit: container.id.audit_file(&settings.audit_directory),
        exit: outcome.exit,
        resolvers: asked.resolvers,
        given,
        policy,
        configuration: settings.other_file(),
        reloads: settings.reload == Reload::Auto,
        trust: trust.plan,
    };
    bundle.config.value = spec.into_value();
    bundle.write(&plan)?;
    leave_behind(settings, &plan);
    Ok(())
}

/// Has others do what the container's hook would else wait for, or nobody: its gateway is begun,
/// and what other containers left is swept.
fn leave_behind(settings: &Settings, plan: &Plan) {
    let own = plan.gateway == GatewayOwner::Own;
    // The hook makes a gateway that was not begun, and the next `create` sweeps.
    if let Err(error) = begun::begin(plan, own, || sweep::sweep(settings)) {
        log::warn!("the gateway is not begun before its hook: {error:#}");
    }
}

/// What the record says where a container, by its name, is started without what it asked for.
fn withheld(outcome: &RewriteOutcome, name: &str) -> Vec<String> {
    let sentence = || {
        format!(
            "container {name} runs without {}, which nothing in its pod would bound (pod-capabilities = \"drop\" in the host's \
             configuration): with hostUsers: false in the pod it would have them",
            outcome.withheld.join(", ")
        )
    };
    (!outcome.withheld.is_empty())
        .then(sentence)
        .into_iter()
        .collect()
}

/// A filter that was changed is proved before any container gets it.
fn check_filter(
    outcome: &RewriteOutcome,
    spec: &Value,
    nesting: Option<Tier>,
) -> anyhow::Result<()> {
    let after = spec.get("linux").and_then(|linux| linux.get("seccomp"));
    match (&outcome.nesting.seccomp_before, after, nesting) {
        (Some(before), Some(after), Some(tier)) => proof::prove(before, after, tier),
        _ => Ok(()),
    }
}

/// The bundle's directory, absolute, as the hook will be told of it.
fn directory(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let here = || std::env::current_dir().context("can't determine the working directory");
    Ok(match given {
        Some(given) if given.is_absolute() => given.to_owned(),
        Some(given) => here()?.join(given),
        None => here()?,
    })
}

/// What the rewrite must know of the host.
fn look_around(
    settings: &Settings,
    runtime: &RuntimeKind,
    container: &Container<'_>,
    spec: &Spec,
    bundle: &Bundle,
    pinned: bool,
) -> anyhow::Result<RewriteInput> {
    let earlier = bundle
        .earlier_plan()
        .filter(|plan| plan.container == container.id.as_str());
    let nesting = settings.nesting_in(spec::pod::namespace(spec).as_deref());
    let profile = spec::nesting::profile(spec.get("process").unwrap_or(&Value::Null))?;
    let mounted = mountinfo::of("self").context("can't read the mount table")?;
    let network = spec::network::path(spec)?;
    let place = network
        .as_deref()
        .map(|path| namespaces::place(path, pinned))
        .transpose()?;
    if let (Some(NetworkOrigin::InUse), Some(network)) = (&place, &network) {
        joined::end_what_lost_its_gateway(network)?;
    }
    Ok(RewriteInput {
        place,
        was_host: earlier.is_some_and(|plan| plan.exit == crate::policy::Exit::Host),
        host_user_namespace: namespaces::joins_hosts_users(spec)?,
        host_processes: namespaces::joins_hosts_processes(spec)?,
        no_pivot: false,
        host_side: host_side::look(spec, &bundle.directory, &mounted),
        host_files: mounts::look(settings, spec, &bundle.directory, &mounted)?,
        boundary_mounts: settings.boundary_mounts,
        host: Host::read(),
        confinement: nesting
            .map(|tier| confinement(profile, tier))
            .unwrap_or_default(),
        host_network: settings.host_network,
        user_namespace: settings.user_namespace,
        pod_capabilities: settings.pod_capabilities,
        net_devices: settings.net_devices,
        rdma_devices: settings.rdma_devices,
        privileged: settings.privileged,
        nesting,
        quirks: runtime.quirks,
    })
}

/// The policy that host, runtime name and annotations select.
fn policy(
    settings: &Settings,
    container: &Container<'_>,
    spec: &Spec,
) -> anyhow::Result<PolicySource> {
    let annotations = spec::annotations(spec);
    select(
        settings,
        container.named,
        &annotations,
        settings::read_trusted,
    )
    .map_err(|all| text::all_of(&all))
}

/// This program's path, for the hook: the very file that runs now.
fn program() -> anyhow::Result<String> {
    let path =
        std::fs::read_link("/proc/self/exe").context("can't determine this program's path")?;
    // Replaced or removed while it runs, the kernel says `… (deleted)`, and another file may stand
    // there by now.
    let same = super::handoff::is_this_program(&path);
    anyhow::ensure!(
        same,
        "this program was replaced while it ran ({}): try again",
        path.display()
    );
    path.into_os_string()
        .into_string()
        .ok()
        .context("this program's path is not valid UTF-8")
}
