//! The plan of a container whose runtime is not this program: decided by the hook, when the
//! container has already been created.
//!
//! Nothing about it can be changed any more, so what the runtime personality would edit is refused
//! here: a capability that reaches beyond the container without a user namespace of its own, the
//! host's network, a network that others are in. This program sees no `start` and no `exec` of such
//! a container: the network has to be there by now, and `exec --privileged` gets what it asks for.

use std::path::PathBuf;

use anyhow::{Context, bail};
use oci_spec::runtime::State;

use crate::apparmor::Confinement;
use crate::container::bundle::Bundle;
use crate::container::plan::{ContainerId, GatewayOwner, Plan, Recipients};
use crate::container::state::{self, ProcessId};
use crate::host::Host;
use crate::policy::Exit;
use crate::policy::text;
use crate::prepare::{engines, joined, mounts, names, namespaces, pod, resolvers, sweep, trust};
use crate::settings::{
    self, HostNetwork, Reload, Settings,
    select::{Named, select},
};
use crate::spec::mounts::HostFiles;
use crate::spec::{self, HostSide, NetworkOrigin, RewriteInput, RuntimeQuirks, Spec};
use crate::sys::mountinfo;

/// Said in the record where the host's settings would have the container nest a jail.
const NO_NESTING: &str = "nothing more can be nested in this container: its gateway was made by a hook, which changes \
                          neither capabilities nor seccomp filters";

/// Decides the plan of the container that the runtime tells of.
pub(super) fn plan(container: &State, init: ProcessId) -> anyhow::Result<Plan> {
    let reading = state::reading_policies(state::LOCK.as_ref()).context(state::LOCK)?;
    let settings = settings::load(None).map_err(|all| text::all_of(&all))?;
    sweep::sweep(&settings);
    let id = ContainerId::parse(container.id())?;
    let bundle = Bundle::read(container.bundle().clone())?;
    let spec = &Spec::check(bundle.config.value)?;
    let pod = pod::of(spec)?;
    let place = match &pod {
        Some(pod) => namespaces::place(&pod.pin.path, true)?,
        None => namespaces::place_of(init.pid)?,
    };
    let (gateway, exit) = network(&place)?;
    let (gateway, pod) = pod::gateway(gateway, pod);
    let mounted = mountinfo::of("self").context("can't read the mount table")?;
    let input = RewriteInput {
        host_files: mounts::look(&settings, spec, &bundle.directory, &mounted)?,
        ..input(&settings, spec, place)?
    };
    let user_namespace = spec::judge(spec, &input)?;
    let policy = select(
        &settings,
        Named::default(),
        &spec::annotations(spec),
        settings::read_trusted,
    );
    let policy = policy.map_err(|all| text::all_of(&all))?;
    drop(reading);
    if gateway == GatewayOwner::Joined {
        joined::refuse_another_policy(spec, &namespaces::network_of(init.pid), &policy)?;
    }
    trust::refuse_if_needed(&policy)?;
    let asked = resolvers::choose(&settings, &resolvers::DockerFiles::default(), exit);
    Ok(Plan {
        container: container.id().clone(),
        identity: spec::identity::of_annotations(spec, &settings.record_labels),
        gateway,
        pod,
        starts_by_verb: false,
        ready_by_start: false,
        user_namespace,
        nesting_capability: Recipients::Nobody,
        apparmor_profile: None,
        notices: settings
            .nesting
            .iter()
            .map(|_| NO_NESTING.to_owned())
            .chain(asked.notices)
            .chain(engines::notices(spec, &bundle.directory))
            .collect(),
        own_notices: Vec::new(),
        links_are_looked_for: spec::podman::looks_for_links(spec),
        cgroups_path: spec::cgroup::path(spec)?,
        proxy_memory: settings.proxy_memory,
        dns_rate_limit: settings.dns_rate_limit,
        denied_note: settings.denied_note.clone(),
        denied_names: settings.denied_names,
        log_level: settings.log_level,
        state: state_of(container)?,
        audit: id.audit_file(&settings.audit_directory),
        exit,
        resolvers: asked.resolvers,
        given: names::of_engine(spec, &bundle.directory, &id),
        policy,
        configuration: settings.other_file(),
        reloads: settings.reload == Reload::Auto,
        trust: None,
    })
}

/// The container's state directory. The runtime's root isn't told; where the bundle is tells
/// engines apart as well.
pub(super) fn state_of(container: &State) -> anyhow::Result<PathBuf> {
    Ok(state::directory(
        container.bundle(),
        ContainerId::parse(container.id())?.as_str(),
    ))
}

/// Whose gateway filters the container, which is where it is.
fn network(place: &NetworkOrigin) -> anyhow::Result<(GatewayOwner, Exit)> {
    match place {
        NetworkOrigin::Free => Ok((GatewayOwner::Own, Exit::Uplink)),
        NetworkOrigin::Filtered { exit, .. } => Ok((GatewayOwner::Joined, *exit)),
        NetworkOrigin::InUse => bail!(spec::SpecError::Unfiltered),
        NetworkOrigin::Host => {
            bail!(
                "the host's network can't be filtered by a hook: use another network, or boundary-shim as the runtime"
            )
        }
    }
}

fn input(settings: &Settings, spec: &Spec, place: NetworkOrigin) -> anyhow::Result<RewriteInput> {
    Ok(RewriteInput {
        place: Some(place),
        was_host: false,
        host_user_namespace: namespaces::joins_hosts_users(spec)
            .context("can't determine whose user namespace the container has")?,
        host_processes: namespaces::joins_hosts_processes(spec)
            .context("can't determine whose pid namespace the container has")?,
        host_files: HostFiles::default(),
        boundary_mounts: settings.boundary_mounts,
        host: Host::read(),
        confinement: Confinement::default(),
        host_network: HostNetwork::Refuse,
        user_namespace: settings.user_namespace,
        pod_capabilities: settings.pod_capabilities,
        net_devices: settings.net_devices,
        rdma_devices: settings.rdma_devices,
        privileged: settings.privileged,
        nesting: None,
        no_pivot: false,
        host_side: HostSide::default(),
        // Whoever has no namespace of its own by now gets none from anybody.
        quirks: RuntimeQuirks::RUNC,
    })
}
