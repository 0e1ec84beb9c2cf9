//! Parking: when a gateway fails, an interface that it adopted goes back where it came from, with its
//! end on the host down, before the container is ended for it.
//!
//! podman's restart policies start a container again with the network as it stands. (When the
//! container has ended by itself, podman comes for the network at once, and moving takes the kernel too
//! long: [`super::adopt::let_go`].)
//!
//! Invariant: a parked interface passes nothing. Somebody may still be in that namespace, or hold a
//! socket of it, and nobody filters them. Its end on the host, which nobody in there can reach, comes
//! up only when another gateway has adopted it.

use std::io;

use super::adopt::{Adopted, Snapshot};
use super::links::Links;
use super::{Gateway, NamespaceHandle, descriptor};

/// Gives an adopted interface back, in the place of the link that had taken its: with the addresses,
/// routes and settings which the container sees there. One that has no end on the host can't be
/// parked, and is removed; so is one whose place the container has cleared.
///
/// # Errors
/// The kernel's.
pub fn park(
    gateway: &mut Gateway,
    container: &mut NamespaceHandle,
    host: &mut NamespaceHandle,
    adopted: &Adopted,
) -> io::Result<()> {
    let links = &mut gateway.side.links;
    let far = far_end(links, host, adopted.outside.index)?;
    let inner = container.links.by_number(adopted.inner)?;
    let (Some(far), Some(inner)) = (far, inner) else {
        return links.remove(adopted.outside.index);
    };
    host.links.park(far)?;
    let seen = Snapshot::take(container, inner)?;
    // Its other end in the gateway goes with it.
    container.links.remove(adopted.inner)?;
    links.give_away(
        adopted.outside.index,
        descriptor(&container.namespace),
        seen.name(),
    )?;
    seen.restore(container)
}

/// Brings an adopted interface up if it was parked.
///
/// # Errors
/// The kernel's.
pub fn unpark(
    gateway: &mut Gateway,
    host: &mut NamespaceHandle,
    adopted: &Adopted,
) -> io::Result<()> {
    let links = &mut gateway.side.links;
    let Some(far) = far_end(links, host, adopted.outside.index)? else {
        return Ok(());
    };
    if !host.links.by_number(far)?.is_some_and(|link| link.parked) {
        return Ok(());
    }
    host.links.unpark(far)?;
    links.wait_passing(adopted.outside.index)
}

/// The number of a veth's end on the host, if it has one there.
fn far_end(links: &mut Links, host: &NamespaceHandle, index: u32) -> io::Result<Option<u32>> {
    let Some(link) = links.by_number(index)? else {
        return Ok(None);
    };
    let is_there = link.peer_netns.is_some()
        && links.number_of(descriptor(&host.namespace))? == link.peer_netns;
    let veth = link.kind.as_deref() == Some("veth");
    Ok(link.peer_index.filter(|_| veth && is_there))
}
