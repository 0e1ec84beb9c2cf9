//! Getting back what was taken: changing the network that a container was given, and mounting, as it
//! is and in namespaces of its own. How it is started (by `exec`, by a file with capabilities) is
//! the caller's part.

#![expect(
    clippy::disallowed_methods,
    reason = "an attacker goes by no wrapper of ours"
)]

use std::fs::File;

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::link::LinkAttribute;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use crate::namespaces::{link, tell};

/// The number that the kernel gives the namespace of the first veth's other end.
const OTHER_END: i32 = 0;

/// Prints one line for each attempt: `permitted` or the error.
pub(crate) fn attempt(interface: &str) -> anyhow::Result<()> {
    let given = File::open("/proc/self/ns/net")?;
    here("as it is", interface)?;
    say("user namespace", unshare(CloneFlags::CLONE_NEWUSER));
    here("in a user namespace of its own", interface)?;
    say("network namespace", unshare(CloneFlags::CLONE_NEWNET));
    here("in a network of its own", "lo")?;
    say(
        "back to the pod's network",
        setns(&given, CloneFlags::CLONE_NEWNET),
    );
    Ok(())
}

/// Changes a link, looks into the namespace of its other end, and mounts.
fn here(how: &str, interface: &str) -> anyhow::Result<()> {
    let change = link(vec![
        LinkAttribute::IfName(interface.to_owned()),
        LinkAttribute::TxQueueLen(777),
    ]);
    tell(
        &format!("{how}, change {interface}"),
        Message::SetLink(change),
        0,
    )?;
    let there = link(vec![LinkAttribute::IfNetnsId(OTHER_END)]);
    tell(
        &format!("{how}, look through {interface}"),
        Message::GetLink(there),
        NLM_F_DUMP,
    )?;
    let mounted = mount(
        Some("none"),
        "/srv",
        Some("tmpfs"),
        MsFlags::empty(),
        None::<&str>,
    );
    say(&format!("{how}, mount"), mounted);
    Ok(())
}

fn say(what: &str, outcome: nix::Result<()>) {
    match outcome {
        Ok(()) => println!("{what}: permitted"),
        Err(error) => println!("{what}: {error}"),
    }
}
