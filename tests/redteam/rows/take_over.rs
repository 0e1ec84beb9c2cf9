//! Making conntrack forget the proxy's conversations, so that their late answers open a way back.

use test_support::hosts::RESOLVER;

use crate::pairing::Family;
use crate::row::{Need, ROW, Row};
use crate::scene::Scene;

const REMEMBERED: &str = "the proxy's outward datagrams are noted in a set of their own: their answers are never taken for \
                          connections from outside, and what a container sends to port 53 goes to the proxy";

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "take_over_of_the_proxys_dns_with_raw_frames",
        attack: "slow names, then a flood of frames that fills conntrack: the resolver's late answers open ways to it",
        defence: REMEMBERED,
        needs: &[Need::Only(Family::V4)],
        script: |scene| take_over(scene, "attacker-raw", "raw"),
        alone: true,
        ..ROW
    },
    Row {
        name: "take_over_of_the_proxys_dns_without_any_capability",
        attack: "the same with plain sockets, as uid 1000 without any capability",
        defence: REMEMBERED,
        needs: &[Need::Only(Family::V4), Need::Unprivileged],
        script: |scene| take_over(scene, "attacker", "plain"),
        alone: true,
        ..ROW
    },
];

/// Without a filter there is nothing to make forget: a second is enough, and spares the host's own
/// conntrack.
fn take_over(scene: &Scene<'_>, program: &str, how: &str) -> String {
    let seconds = if scene.filtered { 8 } else { 1 };
    format!(
        "{program} take-over {how} {} a.late.test {}.denied.test {seconds}",
        RESOLVER.v4, scene.secret
    )
}
