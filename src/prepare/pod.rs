//! Pods whose network namespace is pinned ([`PinnedPod`]): which container is of one, and whether
//! anybody unknown is in its namespace.
//!
//! CRI-O makes a pod's namespace before any container, and with `drop_infra_ctr = true`, its
//! default, no pause container is in it. The first container of the pod brings the gateway; those
//! that come after it, and after its end, share it.
//!
//! Invariant: a gateway is made only where nobody unfiltered can be. Besides the containers that
//! are being made, which wait for their hooks, only the pod's pause container may be there: what
//! that runs is chosen by the node's administrator, not by the pod, and CRI-O gives it no hooks.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::{joined, namespaces};
use crate::container::bundle::Bundle;
use crate::container::pin::Pin;
use crate::container::plan::{GatewayOwner, PinnedPod};
use crate::container::state::{self, ProcessId};
use crate::spec::{self, Spec, SpecError};
use crate::sys::file;

/// How long those who are in the namespace may be unknown: a container that is made at the same
/// time is known when its hook has begun.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often they are looked at.
const PAUSE: Duration = Duration::from_millis(20);
/// The most that is read of a file with a pid in it.
const PID_LIMIT: u64 = 64;

/// The pod that a container belongs to, where it has a network namespace of its own that is pinned.
pub(crate) fn of(spec: &Spec) -> anyhow::Result<Option<PinnedPod>> {
    let (Some(id), Some(path)) = (spec::pod::of_crio(spec), spec::network::path(spec)?) else {
        return Ok(None);
    };
    let pin = Pin::at(&path)
        .with_context(|| format!("can't use the network namespace {}", path.display()))?;
    let host = namespaces::own("net")?;
    Ok(pin.filter(|pin| pin.inode != host).map(|pin| PinnedPod {
        state: state::directory(&pin.path, id.as_str()),
        id: id.as_str().to_owned(),
        pin,
    }))
}

/// Whose gateway filters a container of a pod, and the pod where that is the pod's own: what would
/// be the container's is the pod's.
pub(crate) fn gateway(
    owner: GatewayOwner,
    pod: Option<PinnedPod>,
) -> (GatewayOwner, Option<PinnedPod>) {
    match (owner, pod) {
        (GatewayOwner::Own, Some(pod)) => (GatewayOwner::Pod, Some(pod)),
        (owner, _) => (owner, None),
    }
}

/// Refuses to make a gateway of the pod where somebody unfiltered could be in its namespace, and
/// where one was before: it may have been killed, and its links with it. `init` is the first
/// process of the container for which the hook was called, `pause` that of the pod's pause
/// container.
pub(crate) fn refuse_strangers(
    pod: &PinnedPod,
    init: ProcessId,
    pause: Option<i32>,
) -> anyhow::Result<()> {
    let network = pod.pin.inode;
    let end = Instant::now() + PATIENCE;
    loop {
        let mut known: Vec<i32> = pause.into_iter().chain([init.pid]).collect();
        for record in state::in_network(network).context("can't list the gateways")? {
            if record.proxy.is_some() {
                return Err(end_lost(pause));
            }
            known.extend(Some(record.init.pid).filter(|_| record.init.alive()));
        }
        if !namespaces::inhabited(network, &known).context("can't list the processes")? {
            return Ok(());
        }
        if Instant::now() > end {
            bail!(SpecError::Unfiltered);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Has CRI-O make anew a pod whose gateway was killed: it does so when its pause container has
/// ended, and never for a pod without one. Gives what to say.
fn end_lost(pause: Option<i32>) -> anyhow::Error {
    let process = pause.and_then(|pause| ProcessId::of(pause).ok());
    let ended = process.is_some_and(|process| joined::end(process).is_ok());
    let what = if ended {
        "it has been ended, so that the kubelet starts it anew"
    } else {
        "start the pod anew"
    };
    anyhow::anyhow!("the gateway of the pod was killed, and its network with it: {what}")
}

/// The first process of the pod's pause container, by what CRI-O keeps of it beside its other
/// containers, of which one has this bundle, in folders that are root's alone: `ID/userdata`, with a
/// `pidfile`.
pub(crate) fn pause(pod: &PinnedPod, bundle: &Path) -> Option<i32> {
    let its = bundle
        .parent()?
        .parent()?
        .join(&pod.id)
        .join(bundle.file_name()?);
    let config = Bundle::read(its.clone()).ok()?.config.value;
    let pid = file::read_regular(&its.join("pidfile"), PID_LIMIT).ok()?;
    spec::pod::is_pause_of(&config, &pod.id)
        .then(|| std::str::from_utf8(&pid).ok()?.trim().parse().ok())?
}
