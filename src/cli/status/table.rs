//! The table for people: plain text, aligned, one line per gateway. Every text is escaped here
//! again, wherever it came from.

use std::io::{self, Write};

use super::gateway::{GatewayState, GatewayStatus, PolicyFile};
use crate::cli::columns;
use crate::cli::short::short;
use crate::escape::clean;

/// The widest cell, in bytes; of the last column, in which nothing has to be aligned.
const WIDEST: usize = 40;
const LAST: usize = 200;
/// What isn't known.
const UNKNOWN: &str = "-";

const HEAD: [&str; 12] = [
    "CONTAINER",
    "NAME",
    "STATE",
    "POLICY",
    "HASH",
    "MODE",
    "ALLOWED",
    "DENIED",
    "OPEN",
    "MEMORY",
    "SINCE",
    "LAST DENIAL",
];

/// Writes it.
pub(super) fn write(out: &mut impl Write, shown: &[GatewayStatus]) -> io::Result<()> {
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    for one in shown {
        let last = one.last_denial.as_deref().unwrap_or(UNKNOWN);
        rows.push(row(one).into_iter().chain([clean(last, LAST)]).collect());
    }
    columns::write(&rows, &[], out)
}

fn row(one: &GatewayStatus) -> [String; 11] {
    let number = |number: Option<u64>| {
        number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string())
    };
    let hash = short(&one.policy_hash);
    let hash = match one.policy_file {
        PolicyFile::Same => hash,
        PolicyFile::Changed => format!("{hash} (changed)"),
        PolicyFile::Replaced => format!("{hash} (applied)"),
        PolicyFile::Broken => format!("{hash} (file has errors)"),
    };
    [
        short(&one.container),
        one.name().to_owned(),
        match one.older {
            Some(true) => format!("{} (older)", state(one.state)),
            _ => state(one.state).to_owned(),
        },
        one.policy.clone(),
        hash,
        one.mode.clone(),
        number(one.totals.map(|totals| totals.allowed)),
        number(one.totals.map(|totals| totals.denied)),
        number(one.open),
        format!(
            "{} of {} MiB",
            one.memory.map_or_else(|| UNKNOWN.to_owned(), mebibytes),
            mebibytes(one.memory_limit)
        ),
        one.since.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
    ]
    .map(|cell| clean(&cell, WIDEST))
}

fn state(state: GatewayState) -> &'static str {
    match state {
        GatewayState::Dead => "DEAD: no network",
        GatewayState::Silent => "NO RESPONSE",
        GatewayState::FilterSilent => "FILTER NOT RESPONDING",
        GatewayState::RecordUnwritable => "RECORD NOT WRITABLE",
        GatewayState::Ok => "ok",
    }
}

/// With one digit behind the point, where that isn't nought.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    match (tenths / 10, tenths % 10) {
        (whole, 0) => whole.to_string(),
        (whole, tenth) => format!("{whole}.{tenth}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::line::{ContainerIdentity, Totals};

    fn shown(name: &str, state: GatewayState) -> GatewayStatus {
        GatewayStatus {
            container: "7d4c5b0e9a1f2233445566778899aabb".to_owned(),
            identity: ContainerIdentity {
                name: Some(name.to_owned()),
                ..ContainerIdentity::default()
            },
            state,
            policy: "npm".to_owned(),
            policy_hash: "0ba5c76951b3ee54".repeat(4),
            policy_file: PolicyFile::Changed,
            policy_generation: 1,
            older: Some(false),
            mode: "enforce".to_owned(),
            since: Some("2026-11-28T13:00:01Z".to_owned()),
            memory: Some((5 << 20) + (1 << 19)),
            memory_limit: 64 << 20,
            totals: Some(Totals {
                allowed: 12,
                denied: 3,
                ..Totals::default()
            }),
            open: Some(1),
            last_denial: Some("no rule allows denied.test:443".to_owned()),
        }
    }

    fn table(all: &[GatewayStatus]) -> String {
        let mut out = Vec::new();
        write(&mut out, all).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_say_all() {
        let silent = GatewayStatus {
            totals: None,
            open: None,
            memory: None,
            last_denial: None,
            since: None,
            ..shown("db", GatewayState::Dead)
        };
        let expected = [
            "CONTAINER     NAME           STATE             POLICY  HASH                    MODE     ALLOWED  DENIED  OPEN  \
             MEMORY         SINCE                 LAST DENIAL",
            "7d4c5b0e9a1f  db             DEAD: no network  npm     0ba5c76951b3 (changed)  enforce  -        -       -     \
             - of 64 MiB    -                     -",
            "7d4c5b0e9a1f  a-longer-name  ok                npm     0ba5c76951b3 (changed)  enforce  12       3       1     \
             5.5 of 64 MiB  2026-11-28T13:00:01Z  no rule allows denied.test:443",
        ];
        let table = table(&[silent, shown("a-longer-name", GatewayState::Ok)]);
        assert_eq!(table.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn hostile_names_stay_in_their_cells() {
        let hostile = "\u{1b}[2J\n\u{202e}".repeat(100);
        let mut one = shown(&hostile, GatewayState::Ok);
        (one.policy, one.last_denial) = (hostile.clone(), Some(hostile));
        let text = table(&[one]);
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.chars().all(|c| matches!(c, ' '..='~' | '…' | '\n')),
            "{text}"
        );
    }

    #[test]
    fn sizes_are_for_people() {
        let sizes = [0, 104_858, 1 << 20, (64 << 20) - 1, u64::MAX].map(mebibytes);
        assert_eq!(sizes, ["0", "0.1", "1", "63.9", "1759218604441.5"]);
    }
}
