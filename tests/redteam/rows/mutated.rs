//! What nobody thought of: packets changed at random.

use crate::pairing::Family;
use crate::row::{Need, ROW, Row};

/// Packets of one attempt, unless `REDTEAM_PACKETS` says otherwise (`scripts/fuzz packets`).
const PACKETS: &str = "50000";

pub(crate) const ROWS: &[Row] = &[Row {
    name: "mutated_packets",
    attack: "valid packets of every kind (ARP, TCP, UDP, ICMP, DNS, fragments, options, neighbour discovery), of both families, \
             changed at random",
    defence: "what no rule lets pass is dropped, and nothing has a route that isn't marked",
    // One stream has both families.
    needs: &[Need::Only(Family::V4)],
    script: |scene| {
        let count = std::env::var("REDTEAM_PACKETS").unwrap_or_else(|_| PACKETS.to_owned());
        // Without the filter a few are enough, and spare the host.
        let count = if scene.filtered {
            count
        } else {
            "500".to_owned()
        };
        let seed = rand::random::<u32>();
        let others = [
            scene.target_v6(),
            scene.neighbour().to_string(),
            scene.target().to_string(),
        ]
        .join(" ");
        format!(
            "echo seed {seed}; attacker-raw mutate {seed} {count} {} {others}",
            scene.secret
        )
    },
    linger: std::time::Duration::from_secs(5),
    seconds: 600,
    alone: true,
    ..ROW
}];
